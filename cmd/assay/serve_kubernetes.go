package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

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
	events       bool
	resources    bool
	before       predecessors
	ownNamespace string // empty: not in a pod
	service      string
	webhook      string // the name of the webhook configurations
	webhookCA    string // the file of who is above the certificate
	state        *clusterStateOptions
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

With --policy-resources the TrustPolicy and NamespaceTrustPolicy objects of the
cluster decide, beside those of --policy. Each shows in its status whether it is
in force; a version that cannot be used leaves the one before in force.
`

const serveKubernetesExamples = `  # in a pod
  assay serve kubernetes --policy /etc/assay/policies --tls-cert tls.crt --tls-key tls.key

  # with the policies that are objects of the cluster
  assay serve kubernetes --policy-resources --tls-cert tls.crt --tls-key tls.key

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
	o.beside.policy, o.beside.cert = "; --policy-resources takes the policies of the cluster", ", or --own-ca"
	o.before.flags(a, cmd)
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "`FILE` that says how the API server is reached (default: the pod's service account)")
	f.BoolVar(&o.resources, "policy-resources", false, "let the TrustPolicy and NamespaceTrustPolicy objects of the cluster decide, beside --policy")
	f.StringVar(&o.ownNamespace, "own-namespace", "", "`NAMESPACE` of Assay itself, where Secrets and ConfigMaps are that TrustPolicies name, and what Assay keeps (default: the pod's)")
	f.StringVar(&o.pin, "pin", string(kubernetes.PinPods), "in which objects tags are pinned to digests: pods, all or never")
	f.StringArrayVar(&o.exempt, "exempt-namespace", nil, "`NAMESPACE` in which everything is allowed; may be repeated (default: kube-system, and --own-namespace); empty: none")
	f.StringArrayVar(&o.kinds, "kind", nil, "`GROUP/KIND=PATH[,PATH...]`: where a custom resource has images, as JSON pointers; * stands for every item, ? at the end for a path that may lead nowhere; may be repeated")
	f.BoolVar(&o.unknownKinds, "insecure-allow-unknown-kinds", false, "allow objects of kinds of which nobody said where their images are")
	f.BoolVar(&o.sighup, "sighup-annotation", false, "mark new objects as container-signature-enforcer does; the mark is never read")
	f.BoolVar(&o.dia, "dia-paths", false, "answer at DIA's /verify and /echo as well")
	f.BoolVar(&o.events, "events", false, "write Events about what was refused, and about what policies that warn or audit would refuse; needs to create and patch events")
	f.StringVar(&o.ownCA, "own-ca", "", "keep an own authority of certificates in the `SECRET` of the own namespace, in the place of --tls-cert; needs --service and --webhook-configuration")
	f.StringVar(&o.service, "service", "", "`NAME` of the Service by which the API server calls, for --own-ca")
	f.StringVar(&o.webhook, "webhook-configuration", "", "`NAME` of the mutating and of the validating webhook configuration that shall trust the own authority, for --own-ca and --webhook-ca")
	f.StringVar(&o.webhookCA, "webhook-ca", "", "PEM `FILE` with the authorities above --tls-cert, which Assay has the webhook configurations trust; needs --webhook-configuration; read again when it changes")
	o.state = clusterStateFlags(cmd)
	o.shared = sharedFlags(cmd)
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
	o.otherPolicies = o.otherPolicies || o.resources
	if err := o.check(); err != nil {
		return err
	}
	o.findOwnNamespace()
	if err := o.checkOwn(); err != nil {
		return err
	}
	kinds, err := parseKinds(o.kinds)
	if err != nil {
		return err
	}
	o.state.store(a, o.serveOptions)
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
	background, err := s.know(api, o)
	if err != nil {
		return usageError("%w", err)
	}
	logins, err := o.state.logins(api)
	if err != nil {
		return usageError("%w", err)
	}
	if err := o.state.share(o.serveOptions, api, o.ownNamespace); err != nil {
		return err
	}
	exempt := o.exemptNamespaces()
	h, err := kubernetes.New(kubernetes.Config{
		Point: s.point, Namespaces: background.namespaces, Pin: kubernetes.Pin(o.pin), Kinds: kinds, Exempt: exempt,
		InsecureAllowUnknownKinds: o.unknownKinds, SighupAnnotation: o.sighup, DIA: o.dia,
		Refused: s.metrics.refuse, Log: s.log, Events: background.events, Logins: logins,
	})
	if err != nil {
		return usageError("%w", err)
	}
	s.log.Info("exempt namespaces: everything in them is allowed", "namespaces", exempt)
	defer background.begin(context.WithoutCancel(ctx))()
	served := &webhook{Handler: h, server: s}
	routes := map[string]http.Handler{"/mutate": served, "/validate": served, "GET /readyz": knowing(trusting(background.own, &s.ready), background.needs...)}
	if o.dia {
		routes["/verify"], routes["/echo"] = served, served
	}
	return s.run(ctx, routes)
}

// webhook is the point as it is served. It lets nobody in without a client certificate that counts, where there is an authority for them.
type webhook struct {
	*kubernetes.Handler
	server *server
}

// ServeHTTP implements http.Handler.
func (w *webhook) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	s := w.server
	if s.clients != nil && !s.knows(r) {
		s.metrics.refuse("unauthenticated")
		w.Refuse(out, r, http.StatusUnauthorized, "a client certificate is needed")
		return
	}
	w.Handler.ServeHTTP(out, r)
}

// checkOwn refuses command lines that leave open what own certificates are for, and by whom others shall be trusted.
func (o *serveKubernetesOptions) checkOwn() error {
	switch {
	case o.ownCA != "" && o.webhookCA != "":
		return usageError("--own-ca beside --webhook-ca: choose one")
	case o.webhookCA != "" && o.cert == "":
		return usageError("--webhook-ca without --tls-cert: there is no certificate that could be trusted")
	case o.webhookCA != "" && o.webhook == "":
		return usageError("--webhook-ca needs --webhook-configuration")
	case o.ownCA == "" && (o.service != "" || o.webhook != "" && o.webhookCA == ""):
		return usageError("--service and --webhook-configuration go with --own-ca, the second also with --webhook-ca")
	case o.ownCA == "":
		return nil
	case o.service == "" || o.webhook == "":
		return usageError("--own-ca needs --service and --webhook-configuration")
	case o.ownNamespace == "":
		return withHint(usageError("--own-ca: the own namespace is not known"), "outside of a pod, give --own-namespace")
	}
	return nil
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

// findOwnNamespace asks the pod for what --own-namespace did not say.
func (o *serveKubernetesOptions) findOwnNamespace() {
	if o.ownNamespace == "" {
		o.ownNamespace = podNamespace()
	}
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
