package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// probeEvery is how often a cluster is asked that is not there yet.
const probeEvery = time.Second

const probeHelp = `Ask a cluster to run an image that nobody vouched for, and see whether Assay
refuses it. The pod is created as a dry run in NAMESPACE, which must be in the
webhook's scope: nothing is stored, and nothing runs. It proves that the webhook
is registered, can be reached by the API server, and decides.

With --ready or --alive, ask a server on this host about itself instead, as
probes of containers do.

Exit codes: 0 if Assay refuses the image, 1 if it would be admitted, 2 if neither
can be told within --timeout. Of a server: 0 if it is ready or lives, 1 if it says
that it is not, 2 if it does not answer.`

func (a *app) probeCommand() *cobra.Command {
	var kubeconfig, namespace, ready, alive string
	timeout := time.Minute
	cmd := &cobra.Command{
		Use:   "probe [flags] [IMAGE]",
		Short: "See whether the webhook of a cluster refuses an image",
		Long:  probeHelp,
		Example: unwrapped(`
  assay probe --kubeconfig ~/.kube/config --namespace shop assay.invalid/signed-by-nobody:1

  # the daemon of a node with --listen-metrics unix:/run/health/assay.sock
  assay probe --ready /run/health/assay.sock`),
		Args: usageArgs(cobra.MaximumNArgs(1)),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached (default: the pod's service account)")
	f.StringVarP(&namespace, "namespace", "n", "", "`NAMESPACE` in the webhook's scope, in which pods may be created")
	f.DurationVar(&timeout, "timeout", timeout, "how long to ask again while it cannot be told")
	f.StringVar(&ready, "ready", "", "ask a server on this host whether it is ready, at the unix `SOCKET` of its --listen-metrics; no cluster is asked then")
	f.StringVar(&alive, "alive", "", "ask a server on this host whether it lives at all, at the same unix `SOCKET`")
	cmd.MarkFlagsMutuallyExclusive("ready", "alive", "namespace")
	cmd.MarkFlagsOneRequired("ready", "alive", "namespace")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case ready+alive != "" && (len(args) > 0 || kubeconfig != ""):
			return usageError("--ready and --alive ask a server of this host, and not about an image")
		case ready != "":
			return a.probeServer(cmd.Context(), ready, "/readyz")
		case alive != "":
			return a.probeServer(cmd.Context(), alive, "/healthz")
		case len(args) == 0:
			return usageError("no image to ask for")
		}
		api, err := cluster.Open(kubeconfig, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			return withHint(usageError("%w", err), "--kubeconfig names a file; without it, Assay must run in a pod with a service account")
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		return a.probe(ctx, func(ctx context.Context) (string, error) { return api.Refusal(ctx, namespace, args[0]) })
	}
	return cmd
}

// probe asks until Assay refuses or ctx ends: a webhook that was registered just now is heard of later.
func (a *app) probe(ctx context.Context, ask func(context.Context) (string, error)) error {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	var last error
	for {
		reason, err := ask(ctx)
		switch {
		case err == nil:
			fmt.Fprintf(a.stdout, "Assay refuses the image: %s\n", plain(strings.TrimSpace(reason)))
			return nil
		case last == nil || !over(ctx):
			last = err // what ctx's end says is not why
		}
		select {
		case <-ctx.Done():
			return probed(last)
		case <-ticker.C:
		}
	}
}

// Limits of a probe of a server on this host.
const (
	serverProbeTimeout = 5 * time.Second
	maxServerProbe     = 1 << 10 // bytes of the answer that are told
)

// probeServer asks a server at a unix socket about itself.
func (a *app) probeServer(ctx context.Context, socket, path string) error {
	ctx, cancel := context.WithTimeout(ctx, serverProbeTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server"+path, nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxServerProbe)) // the status decides
	if answer.StatusCode != http.StatusOK {
		return &exitError{code: exitDenied, err: errors.New(plain(strings.TrimSpace(string(text))))}
	}
	_, err = fmt.Fprintln(a.stdout, plain(strings.TrimSpace(string(text))))
	return err
}

// over reports whether a context has ended, or is about to be told so.
func over(ctx context.Context) bool {
	end, has := ctx.Deadline()
	return ctx.Err() != nil || has && !time.Now().Before(end)
}

func probed(last error) error {
	if errors.Is(last, cluster.ErrAdmitted) {
		return withHint(&exitError{code: exitDenied, err: last},
			"is the namespace in the scope of the webhooks (kubectl get validatingwebhookconfigurations), and does no policy allow the image, or only warn or audit?")
	}
	return &exitError{code: exitCannotTell, err: last}
}
