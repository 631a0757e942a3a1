package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notaryv1/state"
)

// stateFlag adds the flag that names the folder of what must outlive a run.
func stateFlag(cmd *cobra.Command, folder *string) {
	cmd.Flags().StringVar(folder, "state-dir", "", "`FOLDER` that keeps what was seen of Notary servers (default $ASSAY_STATE_DIR, $XDG_STATE_HOME/assay, then ~/.local/state/assay)")
	if err := cmd.MarkFlagDirname("state-dir"); err != nil {
		panic(err)
	}
}

// stateIn returns the folder of what must outlive a run; empty if there is none.
func (a *app) stateIn(folder string) string {
	switch {
	case folder != "":
		return folder
	case a.getenv("ASSAY_STATE_DIR") != "":
		return a.getenv("ASSAY_STATE_DIR")
	case filepath.IsAbs(a.getenv("XDG_STATE_HOME")):
		return filepath.Join(a.getenv("XDG_STATE_HOME"), "assay")
	case a.getenv("HOME") != "":
		return filepath.Join(a.getenv("HOME"), ".local", "state", "assay")
	}
	return ""
}

// seenIn returns the store of what was seen of Notary servers. Without any folder it is one that keeps nothing and says so.
func (a *app) seenIn(folder string) *state.Folder {
	if folder = a.stateIn(folder); folder == "" {
		return state.Open("")
	}
	return state.Open(filepath.Join(folder, "notaryv1"))
}

// seenView is what is shown of a repository at a Notary server.
type seenView struct {
	Server   string         `json:"server"`
	GUN      string         `json:"gun"`
	Anchor   string         `json:"anchor"` // names the root of trust of the policies under which it was seen
	Seen     time.Time      `json:"seen,omitzero"`
	Versions map[string]int `json:"versions"`       // the highest of each role
	Root     string         `json:"root,omitempty"` // SHA-256 of the root, which those to come must follow
}

func (a *app) trustSeenCommand() *cobra.Command {
	var folder string
	output := "table"
	cmd := &cobra.Command{
		Use:   "seen",
		Short: "Show what was seen of repositories at Notary servers: the highest versions, and when",
		Example: unwrapped(`
  assay trust seen
  assay trust seen --state-dir /var/lib/assay -o json`),
		Args: usageArgs(cobra.NoArgs),
	}
	stateFlag(cmd, &folder)
	cmd.Flags().StringVarP(&output, "output", "o", output, "table, or json: one repository a line")
	registerWords(cmd, "output", "table", "json")
	cmd.RunE = func(*cobra.Command, []string) error {
		if output != "table" && output != "json" {
			return usageError("--output %q: want table or json", output)
		}
		states, err := a.seenIn(folder).List()
		if printed := a.printSeen(output, states); printed != nil {
			return printed
		}
		if err != nil {
			return &exitError{code: exitCannotTell, err: err}
		}
		return nil
	}
	return cmd
}

func (a *app) printSeen(output string, states []notaryv1.State) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		for _, s := range states {
			if err := out.Encode(viewSeen(s)); err != nil {
				return err
			}
		}
		return nil
	}
	if len(states) == 0 {
		fmt.Fprintln(a.stderr, "assay: no repository at a Notary server was seen yet")
		return nil
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"server", "repository", "seen", "highest versions"})
	for _, s := range states {
		v := viewSeen(s)
		t.AppendRow(table.Row{plain(v.Server), plain(v.GUN), v.Seen.Format(time.RFC3339), strings.Join(v.lines(), "\n")})
	}
	_, err := fmt.Fprintln(a.stdout, t.Render())
	return err
}

func viewSeen(s notaryv1.State) seenView {
	v := seenView{Server: s.Server, GUN: s.GUN, Anchor: s.Anchor, Seen: s.Seen.UTC(), Root: s.Root(), Versions: map[string]int{}}
	for name, floors := range s.Floors {
		if len(floors) > 0 {
			v.Versions[name] = floors[0].Version
		}
	}
	return v
}

// lines writes a version a line.
func (v seenView) lines() []string {
	var lines []string
	for name, version := range v.Versions {
		lines = append(lines, plain(fmt.Sprintf("%s %d", name, version)))
	}
	slices.Sort(lines)
	return lines
}

func (a *app) trustForgetCommand() *cobra.Command {
	var folder, server string
	cmd := &cobra.Command{
		Use:   "forget REPOSITORY...",
		Short: "Forget what was seen of repositories at a Notary server, so that older trust data count again",
		Long: strings.TrimSpace(`
Forget is for a server that was restored from a backup, or set up anew, on purpose:
what was seen before is newer than what it has now, and so nothing of it counts.
The repository is then seen as if for the first time.

Exit codes: 0 if something was forgotten for each name, 64 if not.`),
		Example: unwrapped(`
  assay trust forget registry.acme.example/shop/api
  assay trust forget --server https://notary.acme.example:4443 registry.acme.example/shop/api`),
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	stateFlag(cmd, &folder)
	cmd.Flags().StringVar(&server, "server", "", "only what was seen at this `URL`")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		states, _ := a.seenIn(folder).List()
		var names []string
		for _, s := range states {
			names = append(names, s.GUN)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return a.forget(cmd.Context(), a.seenIn(folder), strings.TrimRight(server, "/"), names)
	}
	return cmd
}

// forget takes away what was seen of repositories by their names, all of them or none.
func (a *app) forget(ctx context.Context, seen *state.Folder, server string, names []string) error {
	states, broken := seen.List()
	var chosen []notaryv1.Key
	var errs []error
	for _, name := range names {
		before := len(chosen)
		for _, s := range states {
			if s.GUN == name && (server == "" || s.Server == server) {
				chosen = append(chosen, s.Key)
			}
		}
		if len(chosen) == before {
			errs = append(errs, fmt.Errorf("%s: nothing was seen of it; assay trust seen lists the names", name))
		}
	}
	if len(errs) > 0 {
		return usageError("%w", errors.Join(append(errs, broken)...))
	}
	for _, k := range chosen {
		if err := seen.Forget(ctx, k); err != nil {
			return &exitError{code: exitCannotTell, err: err}
		}
		fmt.Fprintf(a.stdout, "forgot %s\n", plain(k.String()))
	}
	return nil
}
