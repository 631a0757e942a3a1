package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const doctorHelp = `Look at an installation and say whether images are decided about there.
`

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "See whether an installation does what it should",
		Long:  doctorHelp,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.doctorDockerCommand(), a.doctorContainerdCommand())
	return cmd
}

// diagnosis is what a finding means. The zero diagnosis is the one that nobody may overlook.
type diagnosis int

const (
	wrong    diagnosis = iota // images may run that nobody vouched for
	unknown                   // it cannot be told
	doubtful                  // it is guarded, and something could be better
	fine
)

func (c diagnosis) String() string {
	return [...]string{"WRONG", "could not tell", "warning", "ok"}[c]
}

// finding is one thing that was looked at.
type finding struct {
	about string
	state diagnosis
	text  string
	hint  string // the next step; "": none
}

// diagnose prints findings, and returns the exit code of the worst: a warning is none.
func (a *app) diagnose(findings []finding) error {
	worst := fine
	for _, f := range findings {
		fmt.Fprintf(a.stdout, "%-14s %-12s %s\n", f.state, f.about, plain(strings.TrimSpace(f.text)))
		worst = min(worst, f.state)
	}
	for _, f := range findings {
		if f.hint != "" {
			fmt.Fprintf(a.stderr, "assay: hint: %s\n", f.hint)
		}
	}
	switch worst {
	case wrong:
		return &exitError{code: exitDenied}
	case unknown:
		return &exitError{code: exitCannotTell}
	}
	return nil
}
