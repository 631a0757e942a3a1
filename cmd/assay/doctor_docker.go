package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/workload"
)

// defaultCanary is an image that nobody has and nobody vouches for: its registry cannot exist (RFC 6761).
const defaultCanary = "assay.invalid/signed-by-nobody:1"

const doctorDockerHelp = `Ask a Docker engine whether it is guarded: its version and the known flaws by
which requests pass authorization plugins, which plugins it asks and in which
order, whether containers go on without it, whether builds pass them, and whether
a plugin refuses an image that nobody vouched for. To see that, it is asked to make a container of the
image; nothing is started, and nothing is left.

Exit codes: 0 if the image is refused, also beside warnings; 1 if it is not, or
if Assay is not among the plugins; 2 if it cannot be told.`

func (a *app) doctorDockerCommand() *cobra.Command {
	var socket, plugin, canary string
	timeout := time.Minute
	cmd := &cobra.Command{
		Use:   "docker",
		Short: "See whether a Docker engine refuses what nobody vouched for",
		Long:  doctorDockerHelp,
		Example: unwrapped(`
  assay doctor docker
  assay doctor docker --docker-socket /run/docker.sock --plugin assay:x86_64`),
		Args: usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.StringVar(&socket, "docker-socket", "/run/docker.sock", "the engine's unix `SOCKET`")
	f.StringVar(&plugin, "plugin", "assay", "`NAME` under which the engine knows Assay; without a tag, any")
	f.StringVar(&canary, "canary", defaultCanary, "`IMAGE` that nobody vouched for")
	f.DurationVar(&timeout, "timeout", timeout, "how long all of it may take")
	output := findingsFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkFindings(*output); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		engine := workload.NewDocker(socket)
		defer engine.Close()
		return a.diagnose(*output, examine(ctx, engine, plugin, canary))
	}
	return cmd
}

// examine looks at an engine.
func examine(ctx context.Context, engine *workload.Docker, plugin, canary string) []finding {
	health, err := engine.Health(ctx)
	if err != nil {
		return []finding{{about: "engine", state: unknown, text: err.Error(),
			hint: "--docker-socket names the engine's socket; if the engine runs and a plugin is down, docs/start/docker.md has the way back"}}
	}
	seen := canaryFinding(ctx, engine, plugin, canary)
	all := append(engineFindings(health), pluginFinding(health, plugin, seen.state == fine), seen)
	return append(all, buildFinding(ctx, engine)...)
}

// buildFinding says whether builds can pass all plugins.
func buildFinding(ctx context.Context, engine *workload.Docker) []finding {
	unasked, err := engine.Unasked(ctx)
	switch {
	case err != nil:
		return []finding{{about: "builds", state: unknown, text: err.Error()}}
	case unasked:
		return []finding{{about: "builds", state: doubtful, text: unaskedText,
			hint: "what a build made is decided about before it runs; to stop builds themselves, keep their users from the engine's socket"}}
	}
	return nil
}

// unaskedText is what is said of an engine that lets builds pass its plugins.
const unaskedText = "the engine answers gRPC over HTTP/2 without asking authorization plugins: whoever may use its socket can build, and a build runs commands in any image"

func engineFindings(h workload.DockerHealth) []finding {
	var all []finding
	flaws, err := workload.DockerFlaws(h.Version)
	switch {
	case err != nil:
		all = append(all, finding{about: "engine", state: doubtful, text: err.Error() + ": nobody can say which known flaws it has"})
	case len(flaws) == 0:
		all = append(all, finding{about: "engine", state: fine, text: h.Version + " has none of the known flaws of authorization plugins"})
	}
	for _, f := range flaws {
		all = append(all, finding{about: "engine", state: doubtful,
			text: fmt.Sprintf("%s has %s, unless its distribution mended it: %s", h.Version, f.ID, f.About),
			hint: fmt.Sprintf("%s is mended in %s and later lines", f.ID, strings.Join(f.Fixed, ", "))})
	}
	if h.LiveRestore {
		all = append(all, finding{about: "live-restore", state: doubtful,
			text: "is on: containers go on while the engine does not run, and so does a plugin that the engine manages, with the socket that it was given",
			hint: "after an update of the engine, disable and enable a plugin that it manages, unless systemd holds the engine's socket (docker.socket)"})
	}
	return all
}

// pluginFinding looks at the list of plugins. asked says that the plugin was seen to be asked.
func pluginFinding(h workload.DockerHealth, plugin string, asked bool) finding {
	at := slices.IndexFunc(h.Plugins, func(name string) bool { return called(name, plugin) })
	switch {
	case at < 0 && asked:
		// Engines tell the list that they were started with, also after they read another one.
		return finding{about: "plugins", state: doubtful, text: plugin + " is asked, though the engine does not list it: it was put in by a reload (SIGHUP)",
			hint: "whether another plugin is asked before it can be told when the engine was started anew"}
	case at < 0 && len(h.Plugins) == 0:
		return finding{about: "plugins", state: wrong, text: "the engine asks no authorization plugin",
			hint: `"authorization-plugins" in /etc/docker/daemon.json names them; then reload the engine (SIGHUP)`}
	case at < 0:
		return finding{about: "plugins", state: wrong, text: plugin + " is not among " + strings.Join(h.Plugins, ", "),
			hint: `"authorization-plugins" in /etc/docker/daemon.json names them; --plugin says how Assay is called`}
	case at < len(h.Plugins)-1:
		return finding{about: "plugins", state: doubtful, text: fmt.Sprintf("%s is asked before %s", h.Plugins[at], strings.Join(h.Plugins[at+1:], ", ")),
			hint: "all must allow, so that nothing passes; as the last one, Assay decides nothing that another plugin denies anyway"}
	}
	return finding{about: "plugins", state: fine, text: strings.Join(h.Plugins, ", then ")}
}

// called reports whether an engine's name of a plugin is the one that is meant, which may lack the tag and where the plugin came from.
func called(name, meant string) bool {
	if name == meant {
		return true
	}
	base, tag, _ := strings.Cut(path.Base(name), ":")
	return base == meant || base+":"+tag == meant
}

func canaryFinding(ctx context.Context, engine *workload.Docker, plugin, canary string) finding {
	got, err := engine.Refusal(ctx, canary)
	switch {
	case errors.Is(err, workload.ErrNotRefused):
		return finding{about: "canary", state: wrong, text: canary + " may run: " + err.Error(),
			hint: "a plugin that was disabled is still listed and no longer asked; and does no policy allow the image, or only warn or audit?"}
	case err != nil:
		return finding{about: "canary", state: unknown, text: err.Error()}
	case !called(got.Plugin, plugin):
		return finding{about: "canary", state: unknown, text: fmt.Sprintf("%s is refused by %s, before Assay was asked: %s", canary, got.Plugin, got.Reason)}
	}
	return finding{about: "canary", state: fine, text: fmt.Sprintf("%s is refused: %s", canary, got.Reason)}
}
