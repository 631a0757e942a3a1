package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

Exit codes: 0 if Assay refuses the image, 1 if it would be admitted, 2 if neither
can be told within --timeout.`

func (a *app) probeCommand() *cobra.Command {
	var kubeconfig, namespace string
	timeout := time.Minute
	cmd := &cobra.Command{
		Use:   "probe IMAGE",
		Short: "See whether the webhook of a cluster refuses an image",
		Long:  probeHelp,
		Example: unwrapped(`
  assay probe --kubeconfig ~/.kube/config --namespace shop assay.invalid/signed-by-nobody:1`),
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached (default: the pod's service account)")
	f.StringVarP(&namespace, "namespace", "n", "", "`NAMESPACE` in the webhook's scope, in which pods may be created")
	f.DurationVar(&timeout, "timeout", timeout, "how long to ask again while it cannot be told")
	if err := cmd.MarkFlagRequired("namespace"); err != nil {
		panic(err)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
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
		case ctx.Err() == nil || last == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return probed(last)
		case <-ticker.C:
		}
	}
}

func probed(last error) error {
	if errors.Is(last, cluster.ErrAdmitted) {
		return withHint(&exitError{code: exitDenied, err: last},
			"is the namespace in the scope of the webhooks (kubectl get validatingwebhookconfigurations), and does no policy allow the image, or only warn or audit?")
	}
	return &exitError{code: exitCannotTell, err: last}
}
