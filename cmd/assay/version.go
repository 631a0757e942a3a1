package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func (a *app) versionCommand() *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  assay version -o json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			switch output {
			case "text":
				_, err := fmt.Fprintf(a.stdout, "assay %s %s %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			case "json":
				return json.NewEncoder(a.stdout).Encode(map[string]any{
					"version": versionText(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH, "formats": formatNames(),
				})
			}
			return usageError("--output %q: want text or json", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	registerWords(cmd, "output", "text", "json")
	return cmd
}

// usageArgs makes the error of an argument check a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return withHint(usageError("%w", err), "see "+cmd.CommandPath()+" --help")
		}
		return nil
	}
}
