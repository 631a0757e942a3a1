package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notation"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

const serveHelp = `Serve decides for others, until it is told to end (SIGTERM): then it finishes what
it was asked and takes nothing new.

Policies, settings of registries, certificates and tokens are read again when
their files change. What cannot be used is logged and counted, and what was in
force before stays in force. Each verdict is one line of JSON on stderr.
`

func (a *app) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Decide for others, as a server",
		Long:  serveHelp,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.serveAPICommand(), a.serveDockerCommand(), a.serveKubernetesCommand(), a.serveNodeCommand())
	return cmd
}

// serveOptions are the flags that all servers share.
type serveOptions struct {
	listen     string
	policies   []string
	registries *registryOptions
	stateDir   string
	seen       *lateStore // in the place of stateDir; nil: there
	cert, key  string
	clientCA   string
	ownCA      string // the Secret of own certificates, in the place of cert and key
	plainHTTP  bool
	timeout    time.Duration
	drainDelay time.Duration
	trace      traceOptions
	shared     *sharedOptions // nil: nothing is shared
	upstream   upstreamOptions

	// otherPolicies says that policies come from somewhere else as well, so that --policy may be left out.
	otherPolicies bool

	// beside is what a hint names in the place of --policy and of --tls-cert; "": nothing.
	beside struct{ policy, cert string }
}

// serveFlags adds the flags that all servers share; listen is the default of --listen.
func (a *app) serveFlags(cmd *cobra.Command, listen string) *serveOptions {
	o := &serveOptions{}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", listen, "`ADDRESS` to listen at: host and port, or a port on all hosts")
	f.StringArrayVarP(&o.policies, "policy", "p", nil, "policy `FILE`, or folder of *.yaml and *.yml files; may be repeated; read again when it changes")
	f.StringVar(&o.cert, "tls-cert", "", "PEM `FILE` with the server's certificate and what is above it; read again when it changes")
	f.StringVar(&o.key, "tls-key", "", "PEM `FILE` with the key of --tls-cert")
	f.StringVar(&o.clientCA, "client-ca", "", "PEM `FILE` with the authorities whose client certificates count; read again when it changes")
	f.BoolVar(&o.plainHTTP, "insecure-plain-http", false, "serve without TLS")
	f.DurationVar(&o.timeout, "timeout", enforce.DefaultTimeout, "how long one request with all its images may take")
	f.DurationVar(&o.drainDelay, "drain-delay", 0, "how long to go on listening after SIGTERM, while /readyz says that the end is near")
	o.trace.flags(f)
	o.registries = a.registryFlags(cmd)
	o.registries.guarded = true
	stateFlag(cmd, &o.stateDir)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	return o
}

// refuseEmpty refuses flags that were given without a value, as a variable of a shell does that is not set: without its file, a server
// would do without what the file asks for.
func refuseEmpty(cmd *cobra.Command) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			err = usageError("--%s: is empty; leave it out, or give a value", f.Name)
		}
	})
	return err
}

// check refuses command lines that leave a question of safety open.
func (o *serveOptions) check() error {
	switch {
	case len(o.policies) == 0 && !o.otherPolicies:
		return withHint(usageError("no policy: nobody's word would count"), "--policy names a file or a folder"+o.beside.policy)
	case (o.cert == "") != (o.key == ""):
		return usageError("--tls-cert and --tls-key go together")
	case o.cert != "" && o.ownCA != "":
		return usageError("--own-ca beside --tls-cert: choose one")
	case o.cert == "" && o.ownCA == "" && !o.plainHTTP:
		return withHint(usageError("no certificate to serve with"), "give --tls-cert and --tls-key"+o.beside.cert+", or --insecure-plain-http if the connection is safe by itself")
	case o.cert != "" && o.plainHTTP:
		return usageError("--insecure-plain-http beside --tls-cert: choose one")
	case o.ownCA != "" && o.plainHTTP:
		return usageError("--insecure-plain-http beside --own-ca: choose one")
	case o.clientCA != "" && o.cert == "" && o.ownCA == "":
		return usageError("--client-ca without --tls-cert: client certificates need TLS")
	case o.timeout <= 0:
		return usageError("--timeout %v: want more than 0", o.timeout)
	case o.drainDelay < 0:
		return usageError("--drain-delay %v: want 0 or more", o.drainDelay)
	}
	if err := o.shared.check(); err != nil {
		return err
	}
	if err := o.trace.check(); err != nil {
		return err
	}
	return o.upstream.check()
}

// server is what all servers share: one engine whose policies, registries and trust material are kept current, and what is told of it.
type server struct {
	fileWatcher
	app      *app
	options  *serveOptions
	name     string // of the point
	log      *slog.Logger
	metrics  *serverMetrics
	source   *currentClient
	keeper   *material.Keeper
	revoked  *notation.Revocations
	engine   *engine.Engine
	policies *policySet
	identity identity           // nil: plain HTTP
	clients  *clientAuthorities // nil: clients are not known by certificates
	open     *connections
	ready    readiness
	awaited  <-chan struct{} // closed when all policies are there whose trust material is to be fetched first; nil: they are
	needs    []knowledge     // without which the server is not ready
	inFlight atomic.Int64
	tracing  *tracing      // nil: none
	shared   *shared.Cache // nil: nothing is shared
	upstream *upstreamLink // nil: none

	// unchecked says that TLS certificates of registries are not checked, which is counted.
	unchecked bool

	// point is what the point decides with: its verdicts are logged and counted.
	point *enforce.Point
}

// newServer reads everything that the flags name, which were checked. name is that of the point, as policies know it.
func (a *app) newServer(name string, o *serveOptions) (*server, error) {
	s := &server{app: a, options: o, name: name, metrics: newServerMetrics(), source: &currentClient{}}
	s.log = slog.New(slog.NewJSONHandler(a.stderr, nil)).With("point", name)
	var err error
	if s.tracing, err = o.trace.open(context.Background(), name, s.log); err != nil {
		return nil, err
	}
	o.registries.trace = s.tracing.registryTrace()
	s.revoked = notation.NewRevocations(nil, a.now)
	if s.keeper, err = a.keeper(); err != nil {
		return nil, err
	}
	if err := s.watch("registries", s.loadRegistries); err != nil {
		return nil, err
	}
	var seen notaryv1.Store = a.seenIn(o.stateDir)
	if o.seen != nil {
		seen = o.seen
	}
	sharing, err := s.share()
	if err != nil {
		return nil, err
	}
	if s.engine, err = a.makeEngine(nil, peers{
		source: s.source, keeper: s.keeper, revoked: s.revoked, seen: seen, timeout: o.timeout, tracer: s.tracing.engineTracer(), shared: sharing,
	}); err != nil {
		return nil, err
	}
	s.policies = &policySet{engine: s.engine, log: s.log}
	if len(o.policies) > 0 {
		if err := s.policySource("policies", o.readPolicies); err != nil {
			return nil, err
		}
	}
	if err := s.loadTLS(); err != nil {
		return nil, err
	}
	s.open = newConnections(maxConnections, s.metrics.displaced.Inc)
	s.metrics.registry.MustRegister(s.open.metrics()...)
	decider, err := o.upstream.open(s)
	if err != nil {
		return nil, err
	}
	s.point = &enforce.Point{Decider: decider, Timeout: o.timeout, Record: s.record}
	return s, nil
}

// loadTLS reads what of TLS is in files. Each is made anew by itself: what is wrong with one holds the other up in nothing.
func (s *server) loadTLS() error {
	if s.options.cert != "" {
		files := &fileIdentity{options: s.options}
		if err := s.watch("certificates", files.load); err != nil {
			return err
		}
		s.known(files)
	}
	if s.options.clientCA == "" {
		return nil
	}
	s.clients = &clientAuthorities{file: s.options.clientCA, now: s.app.now}
	return s.watch("client-authorities", s.clients.load)
}

// known says what the server is known by.
func (s *server) known(by identity) {
	s.identity = by
	s.metrics.registry.MustRegister(expiry(by))
}

// loadRegistries makes the client of registries anew. Requests under way end with the old one.
func (s *server) loadRegistries(r *reading) error {
	client, err := s.options.registries.clientOf(r)
	if err != nil {
		return err
	}
	s.source.use(client)
	return nil
}

func policyWarnings(policies []*policy.Policy) []string {
	var all []string
	for _, p := range policies {
		for _, w := range p.Warnings {
			all = append(all, w.Error())
		}
	}
	return all
}

// record logs a verdict as one line, and counts it.
func (s *server) record(o *enforce.Occasion, req engine.Request, v *engine.Verdict) {
	s.metrics.decided(req.Point, v)
	if s.unchecked && v.Allowed {
		s.metrics.weakened.WithLabelValues(diaSkipVerify).Inc()
	}
	level := slog.LevelInfo
	if m := enforce.Of(v); m == enforce.CannotTell || m == enforce.Bug {
		level = slog.LevelWarn
	}
	fields := []slog.Attr{
		slog.String("requestId", o.RequestID), slog.String("asked", req.Point), slog.String("namespace", logged(req.Namespace)),
		slog.String("image", logged(v.Image)), slog.String("digest", v.Digest.String()), slog.String("verdict", enforce.Of(v).String()),
		slog.String("outcome", v.Outcome.String()), slog.String("mode", v.Mode), slog.String("policy", v.Policy), slog.String("rule", v.Rule),
		slog.String("reason", logged(v.Reason)), slog.Bool("cached", v.Cached), slog.Float64("durationMs", milliseconds(v.Duration.Total)),
	}
	fields = append(fields, about(o, req.Image)...)
	var bug *engine.BugError
	if errors.As(v.Err(), &bug) {
		fields = append(fields, slog.String("stack", string(bug.Stack)))
	}
	s.log.LogAttrs(context.Background(), level, "verdict", fields...)
}

// about is what a line of the log says of the request beside the image; what the point does not know is not there.
func about(o *enforce.Occasion, image string) []slog.Attr {
	fields := make([]slog.Attr, 0, 5)
	add := func(key, text string) {
		if text != "" {
			fields = append(fields, slog.String(key, logged(text)))
		}
	}
	add("user", o.User)
	add("operation", o.Operation)
	add("kind", o.Kind)
	add("name", o.Name)
	if o.Containers != nil {
		add("containers", o.Containers(image))
	}
	return fields
}

// maxLogged is how much of a text of somebody else's stands in a line of the log, in bytes: whoever names images must not fill disks, nor
// write to the terminal of whoever reads it.
const maxLogged = 2 << 10

func logged(s string) string {
	if len(s) <= maxLogged {
		return enforce.Plain(s)
	}
	return enforce.Plain(strings.ToValidUTF8(s[:maxLogged], "")) + "…"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// close lets go of what a server that does not run any more holds.
func (s *server) close() {
	s.source.use(nil)
	s.upstream.close()
	s.tracing.close()
	if s.shared != nil {
		s.shared.Close()
	}
}
