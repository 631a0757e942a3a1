package main

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/enforce/docker/memory"
	"github.com/assay-dev/assay/workload"
)

// Defaults of serve docker.
const (
	defaultPluginSocket  = "/run/docker/plugins/assay.sock"
	defaultDockerSocket  = "/run/docker.sock"
	defaultDockerTimeout = 20 * time.Second // people give up after 30
	askEngineEvery       = 2 * time.Second  // until it answers for the first time
)

const serveDockerHelp = `Serve the authorization plugin of a Docker engine. The engine asks before it obeys a
request: reading ones are allowed at once, the images of all others are decided
about, and at docker run the content that the host has is compared with what was
vouched for.

Start it before the engine, which does not start with a plugin that it cannot
find: dockerd --authorization-plugin=assay finds the default socket. Under
systemd the socket is the one that systemd holds (LISTEN_FDS).

What images are not named for has switches, allow, deny or warn each:
SWITCHES
The environment gives what img-authz-plugin was given, and what it lacked:
  REGISTRY              HOST, or HOST:PORT, of the one registry (default docker.io)
  NOTARY                URL of its Notary server (default https://notary.docker.io)
  NOTARY_ROOT_CA        CA of that server's certificate, PEM or a file
  REGISTRY_CA           CA of the registry's certificate, PEM or a file
  REGISTRY_CREDENTIALS  USER:PASSWORD at the registry, and at a Notary server on its host
  POLICY                folder of policies in the place of REGISTRY and NOTARY; as --policy
  ROUTES                switches, as build=deny,plugins=allow; as --route
`

const serveDockerExamples = `  # one registry, one Notary server: the settings of img-authz-plugin
  REGISTRY=registry.example:5000 NOTARY=notary.example:4443 assay serve docker

  # policies, which are read again when they change
  assay serve docker --policy /etc/assay/policies --registries /etc/assay/registries.yaml

  # no builds, no exec; metrics for a collector on this host
  assay serve docker --policy /etc/assay/policies --route build=deny --route exec=deny --listen-metrics 127.0.0.1:9323`

// serveDockerOptions are the flags of serve docker beside those of all servers.
type serveDockerOptions struct {
	*serveOptions
	hostOptions
	dockerOptions
	settings dockerSettings
}

// dockerOptions are the flags of servers that are an engine's authorization plugin.
type dockerOptions struct {
	engine string // socket
	given  []string
	routes map[string]docker.Action
	strict bool
}

func (o *dockerOptions) engineFlag(f *pflag.FlagSet) {
	f.StringVar(&o.engine, "docker-socket", defaultDockerSocket, "unix `SOCKET` of the engine, which is asked what is behind a name")
}

func (o *dockerOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.given, "route", nil, "`SWITCH=ACTION` for requests that name no image; may be repeated")
	f.BoolVar(&o.strict, "require-content-chain", false, "deny where a registry cannot be asked for the content of what was vouched for; without it the digest counts that the engine recorded at its pull")
}

func (a *app) serveDockerCommand() *cobra.Command {
	o := &serveDockerOptions{serveOptions: &serveOptions{plainHTTP: true}}
	cmd := &cobra.Command{
		Use:     "docker [flags]",
		Short:   "Serve the authorization plugin of a Docker engine",
		Long:    strings.TrimSpace(strings.Replace(serveDockerHelp, "SWITCHES\n", switchesHelp(), 1)),
		Example: serveDockerExamples,
		Args:    usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.socket.flags(f, defaultPluginSocket)
	o.engineFlag(f)
	f.StringArrayVarP(&o.policies, "policy", "p", nil, "policy `FILE`, or folder of *.yaml and *.yml files; may be repeated; read again when it changes")
	o.dockerOptions.flags(f)
	o.metricsFlag(f)
	f.DurationVar(&o.timeout, "timeout", defaultDockerTimeout, "how long one request with all its images may take")
	o.upstream.flags(f)
	o.trace.flags(f)
	o.registries = a.registryFlags(cmd)
	o.registries.guarded = true
	stateFlag(cmd, &o.stateDir)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.serveDocker(cmd.Context(), o) }
	return cmd
}

// switchesHelp lists the switches, one a line.
func switchesHelp() string {
	var b strings.Builder
	for _, s := range docker.Switches() {
		b.WriteString("  " + s.Name + strings.Repeat(" ", 13-len(s.Name)) + s.Default.String() + strings.Repeat(" ", 7-len(s.Default.String())) + s.What + "\n")
	}
	b.WriteString("\n")
	return b.String()
}

func (a *app) serveDocker(ctx context.Context, o *serveDockerOptions) error {
	o.settings = a.dockerSettings()
	if o.settings.policy != "" {
		o.policies = append(o.policies, o.settings.policy)
	}
	o.otherPolicies = len(o.policies) == 0
	if err := o.readRoutes(o.settings.routes); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	o.registries.more = o.settings.registries
	s, err := a.newServer(docker.Name, o.serveOptions)
	if err != nil {
		return err
	}
	if err := o.obey(s); err != nil {
		return err
	}
	h, beside, err := s.dockerPlugin(&o.dockerOptions)
	if err != nil {
		return err
	}
	return s.runHost(ctx, s.plain(h), &o.hostOptions, nil, beside)
}

// dockerPlugin makes the authorization plugin, and what goes on beside it.
func (s *server) dockerPlugin(o *dockerOptions) (*docker.Handler, func(context.Context), error) {
	a, state := s.app, s.options.stateDir
	daemon := workload.NewDocker(o.engine)
	h, err := docker.New(docker.Config{
		Memory: a.decidedIn(state, s.log), Point: s.point, Daemon: daemon, Routes: o.routes, RequireContentChain: o.strict,
		Local: s.engine.Local, Builders: a.builtIn(state, s.log),
		Log: s.log, Refused: s.metrics.refuse, Now: a.now,
	})
	if err != nil {
		daemon.Close()
		return nil, nil, usageError("%w", err)
	}
	return h, func(ctx context.Context) {
		defer daemon.Close()
		s.askEngine(ctx, daemon)
		<-ctx.Done()
	}, nil
}

// decidedIn returns the memory of decided content. Without any folder nothing is remembered.
func (a *app) decidedIn(folder string, log *slog.Logger) docker.Memory {
	if folder = a.stateIn(folder); folder == "" {
		return nil
	}
	return memory.Open(filepath.Join(folder, "docker"), memory.Options{Now: a.now, Log: log})
}

// builtIn returns the memory of who had images built. Without any folder nobody is known.
func (a *app) builtIn(folder string, log *slog.Logger) docker.Builders {
	if folder = a.stateIn(folder); folder == "" {
		return nil
	}
	return memory.OpenBuilders(filepath.Join(folder, "docker"), memory.Options{Now: a.now, Log: log})
}

// readRoutes reads the switches: those of somewhere else, then those of flags.
func (o *dockerOptions) readRoutes(before []string) error {
	o.routes = map[string]docker.Action{}
	var known []string
	for _, s := range docker.Switches() {
		known = append(known, s.Name)
	}
	for _, pair := range slices.Concat(before, o.given) {
		name, word, found := strings.Cut(strings.TrimSpace(pair), "=")
		if !found {
			return usageError("--route %q: want SWITCH=ACTION, such as build=deny", pair)
		}
		if !slices.Contains(known, name) {
			hint := "there are " + strings.Join(known, ", ")
			if near := nearest(name, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			return withHint(usageError("--route %s: there is no such switch", pair), hint)
		}
		action, err := docker.ParseAction(word)
		if err != nil {
			return usageError("--route %s: %w", name, err)
		}
		o.routes[name] = action
	}
	return nil
}

// tellRoutes says in the log which switches are set.
func (o *dockerOptions) tellRoutes(log *slog.Logger) {
	for _, name := range slices.Sorted(maps.Keys(o.routes)) {
		log.Info("switch", "name", name, "action", o.routes[name].String())
	}
}

// obey puts the policy that the environment's settings are in the place of files, if there are none, and says in the log what is obeyed.
func (o *serveDockerOptions) obey(s *server) error {
	o.tellRoutes(s.log)
	if !o.otherPolicies {
		if o.settings.notary != "" || o.settings.notaryCA != "" {
			s.log.Warn("NOTARY and NOTARY_ROOT_CA are without effect beside policies, and REGISTRY only names whose REGISTRY_CA and REGISTRY_CREDENTIALS are")
		}
		return nil
	}
	return s.policySource("settings", o.settings.policies(s.log, s.app.now))
}

// askEngine says in the log which known flaws the engine has, as soon as it answers: it starts after its plugins.
func (s *server) askEngine(ctx context.Context, daemon *workload.Docker) {
	ticker := time.NewTicker(askEngineEvery)
	defer ticker.Stop()
	for {
		if health, err := daemon.Health(ctx); err == nil {
			s.tellFlaws(health.Version)
			if unasked, err := daemon.Unasked(ctx); err == nil && unasked {
				s.log.Warn("engine", "version", enforce.Plain(health.Version), "warning", unaskedText)
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tellFlaws warns of an engine by whose flaws requests pass a plugin.
func (s *server) tellFlaws(version string) {
	flaws, err := workload.DockerFlaws(version)
	if err != nil {
		s.log.Warn("engine", "version", enforce.Plain(version), "warning", "nobody can say which known flaws of authorization plugins it has: "+enforce.Plain(err.Error()))
		return
	}
	for _, f := range flaws {
		s.log.Warn("engine", "version", enforce.Plain(version), "flaw", f.ID, "warning", f.About, "fixed", strings.Join(f.Fixed, ", "))
	}
	if len(flaws) == 0 {
		s.log.Info("engine", "version", enforce.Plain(version))
	}
}
