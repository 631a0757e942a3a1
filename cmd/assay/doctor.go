package main

import (
	"encoding/json"
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

var diagnosisWords = [...]string{"wrong", "could-not-tell", "warning", "ok"}

// MarshalText implements encoding.TextMarshaler.
func (c diagnosis) MarshalText() ([]byte, error) { return []byte(diagnosisWords[c]), nil }

// finding is one thing that was looked at.
type finding struct {
	about string
	state diagnosis
	text  string
	hint  string // the next step; "": none
}

// findingsFlag adds the flag that says how findings are printed.
func findingsFlag(cmd *cobra.Command) *string {
	output := cmd.Flags().StringP("output", "o", "text", "text, or json: one finding a line")
	registerWords(cmd, "output", "text", "json")
	return output
}

// diagnose prints findings, and returns the exit code of the worst: a warning is none.
func (a *app) diagnose(output string, findings []finding) error {
	if err := a.printFindings(output, findings); err != nil {
		return err
	}
	worst := fine
	for _, f := range findings {
		worst = min(worst, f.state)
	}
	switch worst {
	case wrong:
		return &exitError{code: exitDenied}
	case unknown:
		return &exitError{code: exitCannotTell}
	}
	return nil
}

// printFindings prints findings as text, with the hints on stderr, or as JSON with all in one place.
func (a *app) printFindings(output string, findings []finding) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		for _, f := range findings {
			if err := out.Encode(printedFinding{About: f.about, State: f.state, Text: strings.TrimSpace(f.text), Hint: f.hint}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range findings {
		fmt.Fprintf(a.stdout, "%-14s %-12s %s\n", f.state, f.about, plain(strings.TrimSpace(f.text)))
	}
	for _, f := range findings {
		if f.hint != "" {
			fmt.Fprintf(a.stderr, "assay: hint: %s\n", f.hint)
		}
	}
	return nil
}

// printedFinding is a finding in JSON.
type printedFinding struct {
	About string    `json:"about"`
	State diagnosis `json:"state"`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty"`
}

// checkFindings refuses another way to print findings than there is, before anything is looked at.
func checkFindings(output string) error {
	if output != "text" && output != "json" {
		return usageError("--output %q: want text or json", output)
	}
	return nil
}
