package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// ownNamespaceFile tells a pod its namespace.
const ownNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// maxNamespaceFile is the most that is read of it.
const maxNamespaceFile = 1 << 10

// serveKubernetesOptions are the flags of serve kubernetes beside those of all servers.
type serveKubernetesOptions struct {
	*serveOptions
	kubeconfig   string
	pin          string
	exempt       []string
	exemptGiven  bool
	kinds        []string
	unknownKinds bool
	sighup       bool
	dia          bool
	before       predecessors
	ownNamespace string // empty: not in a pod
	service      string
	webhook      string // the name of the webhook configurations
}

const serveKubernetesHelp = `Serve the admission webhook of a Kubernetes cluster. Every image of an object is
decided about before the object is stored: of containers, init containers,
ephemeral containers and image volumes, in pods and in whatever makes pods.

Register /mutate, which pins tags to the digests that were decided about, and
/validate, which decides about what is there after all mutations. Without the
second, a webhook that comes later can add images; without the first, a tag can
move between the decision and the run.

The labels of namespaces come from the cluster: the service account, or the user
of --kubeconfig, needs to get, list and watch namespaces.
`

const serveKubernetesExamples = `  # in a pod
  assay serve kubernetes --policy /etc/assay/policies --tls-cert tls.crt --tls-key tls.key

  # outside of the cluster
  assay serve kubernetes --policy policies/ --tls-cert tls.crt --tls-key tls.key --kubeconfig assay.kubeconfig

  # with the images of a custom resource: one that must be there, and one that may
  assay serve kubernetes --policy policies/ --tls-cert tls.crt --tls-key tls.key \
    --kind 'minio.min.io/Tenant=/spec/image,/spec/kes/image?'`

func (a *app) serveKubernetesCommand() *cobra.Command {
	o := &serveKubernetesOptions{}
	cmd := &cobra.Command{
		Use:     "kubernetes [flags]",
		Short:   "Decide about the objects of a Kubernetes cluster, as its admission webhook",
		Long:    strings.TrimSpace(serveKubernetesHelp),
		Example: serveKubernetesExamples,
		Args:    cobra.NoArgs,
	}
	o.serveOptions = a.serveFlags(cmd, ":8443")
	o.before.flags(a, cmd)
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached (default: the pod's service account)")
	f.StringVar(&o.pin, "pin", string(kubernetes.PinPods), "in which objects tags are pinned to digests: pods, all or never")
	f.StringArrayVar(&o.exempt, "exempt-namespace", nil, "`NAMESPACE` in which everything is allowed; may be repeated (default: kube-system, and the pod's own); empty: none")
	f.StringArrayVar(&o.kinds, "kind", nil, "`GROUP/KIND=PATH[,PATH...]`: where a custom resource has images, as JSON pointers; * stands for every item, ? at the end for a path that may lead nowhere; may be repeated")
	f.BoolVar(&o.unknownKinds, "insecure-allow-unknown-kinds", false, "allow objects of kinds of which nobody said where their images are")
	f.BoolVar(&o.sighup, "sighup-annotation", false, "mark new objects as container-signature-enforcer does; the mark is never read")
	f.BoolVar(&o.dia, "dia-paths", false, "answer at DIA's /verify and /echo as well")
	f.StringVar(&o.ownNamespace, "own-namespace", "", "`NAMESPACE` of Assay itself (default: the pod's own)")
	f.StringVar(&o.ownCA, "own-ca", "", "keep an own authority of certificates in the `SECRET` of the own namespace, in the place of --tls-cert; needs --service and --webhook-configuration")
	f.StringVar(&o.service, "service", "", "`NAME` of the Service by which the API server calls, for --own-ca")
	f.StringVar(&o.webhook, "webhook-configuration", "", "`NAME` of the mutating and of the validating webhook configuration that shall trust the own authority, for --own-ca")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.exemptGiven = cmd.Flags().Changed("exempt-namespace")
		return a.serveKubernetes(cmd, o)
	}
	registerWords(cmd, "pin", string(kubernetes.PinPods), string(kubernetes.PinAll), string(kubernetes.PinNever))
	return cmd
}

func (a *app) serveKubernetes(cmd *cobra.Command, o *serveKubernetesOptions) error {
	ctx := cmd.Context()
	if err := o.before.read(a, cmd, o); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if err := o.checkOwn(); err != nil {
		return err
	}
	kinds, err := parseKinds(o.kinds)
	if err != nil {
		return err
	}
	s, err := a.newServer("kubernetes", o.serveOptions)
	if err != nil {
		return err
	}
	if err := o.before.obey(s); err != nil {
		return err
	}
	api, err := cluster.Open(o.kubeconfig, s.log)
	if err != nil {
		return withHint(usageError("%w", err), "--kubeconfig names a file; without it, Assay must run in a pod with a service account")
	}
	namespaces, err := api.Namespaces()
	if err != nil {
		return usageError("%w", err)
	}
	exempt := o.exemptNamespaces()
	h, err := kubernetes.New(kubernetes.Config{
		Point: s.point, Namespaces: namespaces, Pin: kubernetes.Pin(o.pin), Kinds: kinds, Exempt: exempt,
		InsecureAllowUnknownKinds: o.unknownKinds, SighupAnnotation: o.sighup, DIA: o.dia,
		Refused: s.metrics.refuse, Log: s.log,
	})
	if err != nil {
		return usageError("%w", err)
	}
	s.log.Info("exempt namespaces: everything in them is allowed", "namespaces", exempt)
	own, err := s.ownIdentity(api, o)
	if err != nil {
		return usageError("%w", err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { namespaces.Run(watching) })
	if own != nil {
		watch.Go(func() { own.Run(watching) })
	}
	defer watch.Wait()
	defer stop()
	webhook := s.restricted(h)
	routes := map[string]http.Handler{"/mutate": webhook, "/validate": webhook, "GET /readyz": knowing(namespaces, trusting(own, &s.ready))}
	if o.dia {
		routes["/verify"], routes["/echo"] = webhook, webhook
	}
	return s.run(ctx, routes)
}

// checkOwn refuses command lines that leave open what own certificates are for.
func (o *serveKubernetesOptions) checkOwn() error {
	if o.ownNamespace == "" {
		if own, err := readLimited(ownNamespaceFile, maxNamespaceFile); err == nil && len(own) <= maxNamespaceFile {
			o.ownNamespace = strings.TrimSpace(string(own))
		}
	}
	switch {
	case o.ownCA == "" && (o.service != "" || o.webhook != ""):
		return usageError("--service and --webhook-configuration go with --own-ca")
	case o.ownCA == "":
		return nil
	case o.service == "" || o.webhook == "":
		return usageError("--own-ca needs --service and --webhook-configuration")
	case o.ownNamespace == "":
		return withHint(usageError("--own-ca: the own namespace is not known"), "outside of a pod, give --own-namespace")
	}
	return nil
}

// ownIdentity is the identity of --own-ca; nil without it.
func (s *server) ownIdentity(api *cluster.Cluster, o *serveKubernetesOptions) (*cluster.Identity, error) {
	if o.ownCA == "" {
		return nil, nil
	}
	own, err := api.Identity(cluster.IdentityConfig{
		Namespace: o.ownNamespace, Secret: o.ownCA, Service: o.service, Webhook: o.webhook, Now: s.app.now,
	})
	if err == nil {
		s.known(own)
	}
	return own, err
}

// trusting is not ready before the API server trusts what is shown.
func trusting(own *cluster.Identity, ready http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own != nil && !own.Ready() {
			http.Error(w, "not ready: the API server does not trust the own certificate yet", http.StatusServiceUnavailable)
			return
		}
		ready.ServeHTTP(w, r)
	})
}

// restricted lets nobody in without a client certificate that counts, where there is an authority for them.
func (s *server) restricted(h http.Handler) http.Handler {
	if s.clients == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.knows(r) {
			s.metrics.refuse("unauthenticated")
			answerError(w, http.StatusUnauthorized, "a client certificate is needed")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// knowing is not ready before the namespaces are known: until then nothing can be told.
func knowing(namespaces *cluster.Namespaces, ready http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !namespaces.Ready() {
			http.Error(w, "not ready: the namespaces of the cluster are not known yet", http.StatusServiceUnavailable)
			return
		}
		ready.ServeHTTP(w, r)
	})
}

// exemptNamespaces are those that were named, or the usual ones: what a cluster cannot start without, and Assay itself.
func (o *serveKubernetesOptions) exemptNamespaces() []string {
	if o.exemptGiven {
		return slices.DeleteFunc(slices.Clone(o.exempt), func(name string) bool { return name == "" })
	}
	exempt := []string{"kube-system"}
	if o.ownNamespace != "" {
		exempt = append(exempt, o.ownNamespace)
	}
	return exempt
}

// parseKinds reads --kind.
func parseKinds(texts []string) ([]kubernetes.Kind, error) {
	kinds := make([]kubernetes.Kind, 0, len(texts))
	for _, text := range texts {
		name, paths, found := strings.Cut(text, "=")
		group, kind, grouped := strings.Cut(name, "/")
		if !found || !grouped || group == "" || kind == "" || paths == "" {
			return nil, usageError("--kind %q: want GROUP/KIND=PATH, as in minio.min.io/Tenant=/spec/image", text)
		}
		kinds = append(kinds, kubernetes.Kind{Group: group, Kind: kind, Paths: strings.Split(paths, ",")})
	}
	return kinds, nil
}
