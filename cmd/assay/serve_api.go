package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/policy"
)

// serveAPIOptions are the flags of serve api beside those of all servers.
type serveAPIOptions struct {
	*serveOptions
	tokens    string
	noAuth    bool
	rate      int
	connector bool
	keeper    bool // serve Gatekeeper
	review    reviewOptions
	cluster   nodePolicyOptions
}

const serveAPIHelp = `Serve verdicts over HTTP: POST /v1/verdicts {"images": ["registry.example/app:1"]}
answers with one verdict for each image, GET /v1/openapi.json describes it.

Who may ask is said by --client-ca, --tokens, --token-review, or several of them,
of which one suffices. Without any, --insecure-no-auth answers everybody; beside --insecure-plain-http on
a loopback address it need not be said.
`

const serveAPIExamples = `  # with client certificates
  assay serve api --policy policies/ --tls-cert tls.crt --tls-key tls.key --client-ca clients.pem

  # with tokens: a file with lines "NAME sha256:HEX"
  printf 'ci sha256:%s\n' "$(printf %s "$TOKEN" | sha256sum | cut -d' ' -f1)" > tokens
  assay serve api --policy policies/ --tls-cert tls.crt --tls-key tls.key --tokens tokens

  # one of several replicas, which share what they proved
  openssl rand -base64 32 > shared.key && chmod 600 shared.key
  assay serve api --policy policies/ --tls-cert tls.crt --tls-key tls.key --client-ca clients.pem \
    --shared-cache rediss://valkey.example:6379 --shared-cache-key shared.key

  # in a cluster, for a service account that asks with "kubectl create token deployer -n ci --audience assay"
  assay serve api --policy policies/ --tls-cert tls.crt --tls-key tls.key --token-review --token-user system:serviceaccount:ci:deployer

  # what the nodes of a cluster ask first (assay serve node --upstream), with the policies of the cluster
  assay serve api --policy-resources --tls-cert tls.crt --tls-key tls.key --client-ca nodes.pem

  # beside OPA in one pod, in the place of container-signature-enforcer
  assay serve api --policy policies/ --listen 127.0.0.1:8080 --insecure-plain-http --opa-connector`

func (a *app) serveAPICommand() *cobra.Command {
	o := &serveAPIOptions{}
	cmd := &cobra.Command{
		Use:     "api [flags]",
		Short:   "Answer questions about images over HTTP",
		Long:    strings.TrimSpace(serveAPIHelp),
		Example: serveAPIExamples,
		Args:    cobra.NoArgs,
	}
	o.serveOptions = a.serveFlags(cmd, ":8443")
	f := cmd.Flags()
	f.StringVar(&o.tokens, "tokens", "", "`FILE` with the SHA-256 of bearer tokens that may ask, \"NAME sha256:HEX\" a line; read again when it changes")
	f.BoolVar(&o.noAuth, "insecure-no-auth", false, "answer everybody who can connect, except pages in browsers")
	o.review.flags(f)
	o.shared = sharedFlags(cmd)
	o.cluster.flagsBesideKubeconfig(f)
	f.IntVar(&o.rate, "rate", api.DefaultRate, "how many images a second a client may ask about")
	f.BoolVar(&o.connector, "opa-connector", false, "serve /checkImage and /healthz as container-signature-enforcer's connector does")
	f.BoolVar(&o.keeper, "gatekeeper", false, "serve /gatekeeper as a provider of external data for Gatekeeper")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.serveAPI(cmd.Context(), o) }
	return cmd
}

func (a *app) serveAPI(ctx context.Context, o *serveAPIOptions) error {
	o.cluster.kubeconfig, o.review.policies = o.review.kubeconfig, o.cluster.resources
	o.otherPolicies, o.beside.policy = o.cluster.resources, "; --policy-resources takes the policies of a cluster"
	if err := o.check(); err != nil {
		return err
	}
	if err := o.checkAccess(); err != nil {
		return err
	}
	if !o.review.on {
		if err := o.cluster.check(); err != nil {
			return err
		}
	}
	s, err := a.newServer(api.Name, o.serveOptions)
	if err != nil {
		return err
	}
	known, err := o.cluster.know(s, o.stateDir)
	if err != nil {
		return err
	}
	c := api.Config{
		Point: s.point, Points: policy.Points(), InsecureNoAuth: o.everybody(), Rate: o.rate,
		Connector: o.connector, Gatekeeper: o.keeper, Log: s.log, Refused: s.metrics.refuse, Now: a.now,
	}
	if o.clientCA != "" {
		c.ClientCertificates = s.clients.counts
	}
	if c.TokenReview, err = o.review.open(s.log); err != nil {
		return err
	}
	if o.tokens != "" {
		c.Tokens = &api.Tokens{}
		if err := s.watch("tokens", func(r *reading) error { return o.loadTokens(r, c.Tokens) }); err != nil {
			return err
		}
	}
	p, err := api.New(c)
	if err != nil {
		return usageError("%w", err)
	}
	defer known.begin(context.WithoutCancel(ctx))()
	return s.run(ctx, p.Routes())
}

func (o *serveAPIOptions) loadTokens(r *reading, t *api.Tokens) error {
	content, err := r.file(o.tokens, api.MaxTokensFile)
	if err == nil {
		err = t.Use(content)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.tokens, err)
	}
	return nil
}

// checkAccess refuses command lines that do not say who may ask.
func (o *serveAPIOptions) checkAccess() error {
	if err := o.review.check(); err != nil {
		return err
	}
	switch {
	case o.known() && o.noAuth:
		return usageError("--insecure-no-auth beside --client-ca, --tokens or --token-review: choose")
	case !o.known() && !o.everybody():
		return withHint(usageError("who may ask?"), "give --client-ca, --tokens or --token-review, or --insecure-no-auth for everybody who can connect")
	case o.rate < 1:
		return usageError("--rate %d: want 1 or more", o.rate)
	}
	return nil
}

// known reports whether clients have to be known.
func (o *serveAPIOptions) known() bool { return o.clientCA != "" || o.tokens != "" || o.review.on }

// everybody reports whether no client has to be known: where that is asked for by name, or where nobody but this host can connect, without
// TLS, which is asked for by name as well.
func (o *serveAPIOptions) everybody() bool {
	if o.known() {
		return false
	}
	return o.noAuth || o.plainHTTP && isLoopback(o.listen)
}

// isLoopback reports whether an address to listen at is one that only this host reaches, written as such: names of hosts can change.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
