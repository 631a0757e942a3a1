package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/containerd/health"
)

const containerdHelp = `Bring Assay's image verifier to where containerd looks for it, or take it away.

containerd starts it at each pull, before it fetches anything of the image. It asks
the daemon of this node (assay serve node), and where none answers it runs assay
verify. assay doctor containerd says whether containerd does.
`

// defaultVerifiers is the folder that docs and deploy name.
const defaultVerifiers = "/opt/assay/containerd/verifiers"

func (a *app) containerdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "containerd",
		Short: "Install or remove the image verifier of containerd",
		Long:  strings.TrimSpace(containerdHelp),
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.containerdInstallCommand(), a.containerdFallbackCommand(), a.containerdUninstallCommand())
	return cmd
}

// checkVerifiers refuses a folder that containerd could not be told of.
func checkVerifiers(folder string) error {
	switch {
	case folder == "":
		return usageError("--bin-dir is empty")
	case !filepath.IsAbs(folder):
		return usageError("--bin-dir %q: containerd wants an absolute path", folder)
	case filepath.Clean(folder) == string(filepath.Separator):
		return usageError("--bin-dir %q: a folder of its own is needed", folder)
	}
	return nil
}

// containerdSettings is a configuration of containerd that makes it ask, and which of its settings would make it not ask.
func containerdSettings(folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# containerd asks Assay before it pulls an image. This belongs into /etc/containerd/config.toml, or into a file that "imports" there names: without that
# line no other file is read. containerd reads it when it is started again. It is written by assay containerd install.
version = 3

[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = %q
  # Less than 0: all that is in the folder is asked, and all must allow. With a number, those past it are not asked, and nothing says so.
  max_verifiers = -1
  # The verifier answers within 9 s ("timeout" of /etc/assay/containerd-verifier.json), so that its reason is told.
  per_verifier_timeout = "10s"

# Each of these, set otherwise, makes containerd pull for a kubelet WITHOUT asking. They are under [plugins."io.containerd.cri.v1.images"]:
#
`, folder)
	for _, bypass := range health.Bypasses() {
		if bypass.Safe == "none" {
			fmt.Fprintf(&b, "#   %-30s must not be there\n", bypass.Name)
			continue
		}
		fmt.Fprintf(&b, "#   %-30s must be %s, as it is by default\n", bypass.Name, bypass.Safe)
	}
	b.WriteString(`#
# Nobody is asked about images that are there already or that are imported, nor by clients that pull by themselves: ctr image pull --local,
# nerdctl, BuildKit. assay doctor containerd says whether containerd asks, and what is there that nobody was asked about.
`)
	return b.String()
}
