package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

const containerdUninstallHelp = `Remove Assay's image verifier from the folder where containerd looks for verifiers.
The folder stays, and so does what else is in it.

From then on containerd asks nobody: it allows every image where the folder is empty
or absent. Take its settings (bin_dir) away as well.

Exit codes: 0 if no verifier of Assay is there any more; 2 if it could not be removed.`

func (a *app) containerdUninstallCommand() *cobra.Command {
	var folder, output string
	cmd := &cobra.Command{
		Use:   "uninstall [flags]",
		Short: "Remove the image verifier: containerd asks nobody then",
		Long:  containerdUninstallHelp,
		Example: unwrapped(`
  assay containerd uninstall
  assay containerd uninstall --bin-dir /opt/containerd/image-verifier/bin`),
		Args: usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&folder, "bin-dir", defaultVerifiers, "`FOLDER` of verifiers")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	registerWords(cmd, "output", "text", "json")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	cmd.RunE = func(*cobra.Command, []string) error { return a.containerdUninstall(folder, output) }
	return cmd
}

func (a *app) containerdUninstall(folder, output string) error {
	if output != "text" && output != "json" {
		return usageError("--output %q: want text or json", output)
	}
	if err := checkVerifiers(folder); err != nil {
		return err
	}
	name := filepath.Join(folder, verifierName)
	err := os.Remove(name)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notPut(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &exitError{code: exitCannotTell, err: err}
	}
	if output == "json" {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"verifier": name, "changed": there, "unguarded": len(entries) == 0})
	}
	word := "removed "
	if !there {
		word = "not there: "
	}
	fmt.Fprintln(a.stdout, word+name)
	if len(entries) == 0 {
		a.warnOf("no verifier is in " + folder + ": a containerd that looks there allows every image")
	}
	return nil
}
