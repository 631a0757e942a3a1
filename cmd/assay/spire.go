package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/workload"
)

const spireHelp = `Be a workload attestor of a SPIRE agent. A workload gets its identity only if the
image that it runs is vouched for; names, keys and selectors are those of the
attestors that the agent has built in.

The agent starts the attestor, speaks to it over a socket, and reads its log from
stderr. Its configuration says how:

  WorkloadAttestor "docker" {
      plugin_cmd      = "/opt/assay/assay"
      plugin_args     = ["spire", "docker"]
      plugin_checksum = "<sha256>"
      plugin_data {}
  }

The checksum is what assay spire install prints, or sha256sum. The agent needs a
folder for the socket that can be written to: $TMPDIR, or /tmp.
`

const spireEnd = `
Exit codes: 0 when the agent has ended it, 1 if no agent has started it, 2 if it
cannot listen for the agent.`

// spireExamples are of an attestor by its name.
const spireExamples = `
  # agent.conf: selectors only
  WorkloadAttestor %[1]q {
      plugin_cmd  = "/opt/assay/assay"
      plugin_args = ["spire", %[1]q]
      plugin_data {}
  }

  # agent.conf: only for images that a policy allows
  WorkloadAttestor %[1]q {
      plugin_cmd  = "/opt/assay/assay"
      plugin_args = ["spire", %[1]q]
      plugin_data { policy = "/etc/assay/policies" }
  }`

// spireAttestor is one attestor as a command.
type spireAttestor struct {
	name, short, help string
	// make makes the attestor. It opens nothing: there is no configuration yet.
	make func(*spire.Plugin, *workload.Proc) spire.Attestor
}

func (a *app) spireCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "spire",
		Short: "Be a workload attestor of a SPIRE agent",
		Long:  strings.TrimSpace(spireHelp),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, attestor := range a.spireAttestors() {
		cmd.AddCommand(a.spireAttestorCommand(attestor))
	}
	cmd.AddCommand(a.spireInstallCommand())
	return cmd
}

// spireAttestors are the attestors that there are.
func (a *app) spireAttestors() []spireAttestor {
	return []spireAttestor{a.spireDocker(), a.spireKubernetes()}
}

func (a *app) spireAttestorCommand(attestor spireAttestor) *cobra.Command {
	root := "/"
	cmd := &cobra.Command{
		Use:     attestor.name + " [flags]",
		Short:   attestor.short,
		Long:    strings.TrimSpace(attestor.help + spireEnd),
		Example: unwrapped(fmt.Sprintf(spireExamples, attestor.name)),
		Args:    usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&root, "proc-root", root, "`FOLDER` below which proc/PID is read; for tests")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.getenv(spire.Cookie) != spire.Cookie {
			return notStarted(attestor.name)
		}
		return a.spireServe(cmd.Context(), attestor, root)
	}
	return cmd
}

// notMeant is what go-plugin says of a plugin that nobody has started.
const notMeant = `This binary is a plugin. These are not meant to be executed directly.
Please execute the program that consumes these plugins, which will
load any plugins automatically`

// notStarted says that no agent has started the plugin, and which one would.
func notStarted(name string) error {
	hint := fmt.Sprintf(`that program is spire-agent. In its configuration, WorkloadAttestor %[1]q has plugin_cmd = "<path of assay>" and `+
		`plugin_args = ["spire", %[1]q]; see assay spire %[1]s --help`, name)
	return withHint(&exitError{code: exitDenied, err: fmt.Errorf("%s", notMeant)}, hint)
}

// spireServe is an attestor until its agent ends it. Interrupts are the agent's business: both get those of a terminal.
func (a *app) spireServe(ctx context.Context, attestor spireAttestor, root string) error {
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	plugin := spire.New(spire.NewLog(a.stderr))
	proc := workload.NewProc(os.DirFS(root))
	proc.Go = plugin.Go
	made := attestor.make(plugin, proc)
	if err := spire.Serve(ctx, spire.Config{Plugin: plugin, Attestor: made}); err != nil {
		plugin.Log().Error("the plugin ends", "error", err) // whoever reads stderr wants JSON by now
		return &exitError{code: exitCannotTell}
	}
	return nil
}
