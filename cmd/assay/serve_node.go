package main

import (
	"context"
	"errors"
	"net/http"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/containerd"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/policy"
)

// defaultNodeSocket is where a host's programs find its daemon.
const defaultNodeSocket = "/run/assay/node.sock"

// nodeName is what the daemon is called in logs and traces. It is no point itself: those who ask are.
const nodeName = "node"

const serveNodeHelp = `Serve all enforcement points of one host at one unix socket: containerd's image
verifier, and programs that ask for verdicts, as "assay verify --node" and SPIRE's
agent do; with --docker a Docker engine as well, as its authorization plugin. They
share policies, caches, trust material and sessions with registries.

Root and the own user may use everything. Users of --allow-user may ask for
verdicts in the name of the points cli and spire; the socket must let them connect
(--socket-mode, --socket-group). Nobody else is answered: the kernel says who asks.

With --policy-resources the TrustPolicy and NamespaceTrustPolicy objects of a
cluster decide, which are read and never written to. A copy of them is kept in the
state folder: static pods come before the API server, and are decided about by it.

An engine finds the daemon by the file /etc/docker/plugins/assay.spec with the
line unix:///run/assay/node.sock. Start the daemon before containerd and the engine.
Under systemd the socket is the one that systemd holds (LISTEN_FDS).

With --containerd-canary it sees, now and then, whether containerd refuses an image
that nobody vouched for, and says so in its metrics and its log.
`

const serveNodeExamples = `  # for containerd, with policies that are read again when they change
  assay serve node --policy /etc/assay/policies

  # for a Docker engine as well, which exec is switched off for
  echo unix:///run/assay/node.sock > /etc/docker/plugins/assay.spec
  assay serve node --policy /etc/assay/policies --docker --route exec=deny

  # on a node of a cluster, with the cluster's policies
  assay serve node --policy-resources --kubeconfig /etc/assay/kubeconfig --own-namespace assay --state-dir /var/lib/assay

  # ask an upstream first, so that all hosts verify a digest once
  assay serve node --policy /etc/assay/policies --upstream https://assay.acme.example:8443 --upstream-ca /etc/assay/upstream-ca.pem \
    --upstream-cert /etc/assay/host.crt --upstream-key /etc/assay/host.key

  # have containerd pull a canary every hour, which must be refused
  assay serve node --policy /etc/assay/policies --containerd-canary /run/containerd/containerd.sock --listen-metrics 127.0.0.1:9323

  # the user of a CI runner may ask; metrics for a collector on this host
  assay serve node --policy /etc/assay/policies --socket-mode 0660 --socket-group runner --allow-user runner --listen-metrics 127.0.0.1:9323`

// serveNodeOptions are the flags of serve node beside those of all servers.
type serveNodeOptions struct {
	*serveOptions
	hostOptions
	dockerOptions
	cluster nodePolicyOptions
	canary  canaryOptions
	docker  bool
	allow   []string
	users   []uint32
}

func (a *app) serveNodeCommand() *cobra.Command {
	o := &serveNodeOptions{serveOptions: &serveOptions{plainHTTP: true}}
	cmd := &cobra.Command{
		Use:     "node [flags]",
		Short:   "Serve all enforcement points of one host at a unix socket",
		Long:    strings.TrimSpace(serveNodeHelp),
		Example: serveNodeExamples,
		Args:    usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.socket.flags(f, defaultNodeSocket)
	f.BoolVar(&o.socket.taken, "take-over", false, "take the place of a daemon that still serves the socket, which is told to end by whoever started it: between the two nobody finds none")
	f.StringArrayVar(&o.allow, "allow-user", nil, "`USER`, by name or number, who may ask for verdicts beside root and the own user; may be repeated")
	f.StringArrayVarP(&o.policies, "policy", "p", nil, "policy `FILE`, or folder of *.yaml and *.yml files; may be repeated; read again when it changes")
	o.cluster.flags(f)
	f.BoolVar(&o.docker, "docker", false, "be the authorization plugin of a Docker engine at the same socket")
	o.engineFlag(f)
	o.dockerOptions.flags(f)
	o.canary.flags(f)
	o.metricsFlag(f)
	f.DurationVar(&o.timeout, "timeout", defaultDockerTimeout, "how long one request with all its images may take")
	o.upstream.flags(f)
	o.shared = sharedFlags(cmd)
	o.trace.flags(f)
	o.registries = a.registryFlags(cmd)
	o.registries.guarded = true
	stateFlag(cmd, &o.stateDir)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := errors.Join(o.checkDocker(cmd), o.canary.check(f)); err != nil {
			return err
		}
		return a.serveNode(cmd.Context(), o)
	}
	return cmd
}

// dockerFlags are without effect unless --docker is given.
var dockerFlags = [...]string{"docker-socket", "route", "require-content-chain"}

func (o *serveNodeOptions) checkDocker(cmd *cobra.Command) error {
	for _, name := range dockerFlags {
		if cmd.Flags().Changed(name) && !o.docker {
			return usageError("--%s is about a Docker engine: give --docker as well", name)
		}
	}
	return nil
}

func (a *app) serveNode(ctx context.Context, o *serveNodeOptions) error {
	var err error
	if o.users, err = userIDs(o.allow); err != nil {
		return err
	}
	if err := o.readRoutes(nil); err != nil {
		return err
	}
	o.otherPolicies, o.beside.policy = o.cluster.resources, "; --policy-resources takes the policies of a cluster"
	if err := o.check(); err != nil {
		return err
	}
	if err := o.cluster.check(); err != nil {
		return err
	}
	s, err := a.newServer(nodeName, o.serveOptions)
	if err != nil {
		return err
	}
	known, err := o.cluster.know(s, o.stateDir)
	if err != nil {
		return err
	}
	routes, beside, err := s.nodeRoutes(o)
	if err != nil {
		return err
	}
	beside = append(beside, known.runs...)
	canaries, err := s.canaries(&o.canary)
	if err != nil {
		return err
	}
	if canaries != nil {
		beside = append(beside, canaries)
	}
	decisions := &node.Decisions{Point: s.point, Points: policy.Points(), Via: s.route}
	n, err := node.New(node.Config{Routes: routes, Decisions: decisions, Users: o.users, Log: s.log, Refused: s.turnedAway})
	if err != nil {
		return usageError("%w", err)
	}
	h := s.plain(s.parting(n))
	h.ConnContext = n.Context
	h.IdleTimeout = -1                                     // an engine would lose the request that it sends meanwhile; who does not ask holds places of their own
	h.ReadTimeout = s.options.timeout + defaultReadTimeout // it goes on while the answer is made, and ends that too
	h.WriteTimeout = s.options.timeout + defaultWriteTimeout
	return s.runHost(ctx, h, &o.hostOptions, n.Listener, beside...)
}

// nodeRoutes returns what is served, and what goes on beside it.
func (s *server) nodeRoutes(o *serveNodeOptions) (routes []node.Route, beside []func(context.Context), err error) {
	c, err := containerd.New(containerd.Config{Point: s.point, Log: s.log, Refused: s.metrics.refuse})
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	for pattern, h := range c.Routes() {
		routes = append(routes, node.Route{Pattern: pattern, Handler: worded(h, s.route(pattern, h))})
	}
	if !o.docker {
		return routes, nil, nil
	}
	o.tellRoutes(s.log)
	plugin, ask, err := s.dockerPlugin(&o.dockerOptions)
	if err != nil {
		return nil, nil, err
	}
	for pattern, h := range plugin.Routes() {
		routes = append(routes, node.Route{Pattern: pattern, Handler: h}) // bounded by itself: requests that only read are not held up
	}
	return routes, append(beside, ask), nil
}

// turnedAway counts what the socket refuses.
func (s *server) turnedAway(reason string) {
	if reason == node.Crowded {
		s.metrics.displaced.Inc()
		return
	}
	s.metrics.refuse(reason)
}

// worded has inner refuse in the words of h, if it has some.
func worded(h, inner http.Handler) http.Handler {
	if own, found := h.(refuser); found {
		return struct {
			http.Handler
			refuser
		}{inner, own}
	}
	return inner
}

// userIDs returns the numbers of users.
func userIDs(users []string) ([]uint32, error) {
	var all []uint32
	for _, name := range users {
		number := name
		if _, err := strconv.ParseUint(name, 10, 32); err != nil {
			found, err := user.Lookup(name)
			if err != nil {
				return nil, usageError("--allow-user %s: %w", name, err)
			}
			number = found.Uid
		}
		id, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, usageError("--allow-user %s: users here have no numbers", name)
		}
		all = append(all, uint32(id))
	}
	return all, nil
}
