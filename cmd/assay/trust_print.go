package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// trustKinds are the kinds of members, in the order in which they are shown.
var trustKinds = []struct{ name, title string }{
	{"fulcio", "certificate authority (Fulcio)"},
	{"rekor", "transparency log (Rekor)"},
	{"ct", "certificate transparency log"},
	{"tsa", "time-stamp authority"},
}

// printTrust prints where material comes from and what is in it; index is its place among others.
func (a *app) printTrust(output string, v *trustView, index int) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(a.stderr, "assay: warning: %s\n", plain(w))
	}
	if index > 0 {
		fmt.Fprintln(a.stdout)
	}
	for _, line := range [][2]string{
		{"source", string(v.Kind) + ": " + v.Source}, {"version", v.Version}, {"age", v.age()}, {"proof ends", day(v.Expires)}, {"usable until", day(v.UsableUntil)},
	} {
		if line[1] != "" && (line[0] != "age" || v.Version != "") {
			fmt.Fprintf(a.stdout, "%-13s %s\n", line[0], plain(line[1]))
		}
	}
	if len(v.Members) == 0 {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, a.memberTable(v))
	return err
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func (a *app) memberTable(v *trustView) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"kind", "URL or subject", "key", "type", "valid from", "until"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, WidthMax: 44, WidthMaxEnforcer: text.WrapText}, {Number: 3, WidthMax: 34, WidthMaxEnforcer: text.WrapHard},
	})
	for i := range v.Members {
		m := &v.Members[i]
		name := m.URL
		if name == "" || m.Subject != "" {
			name = strings.TrimSpace(name + "\n" + m.Subject)
		}
		until := day(m.Until)
		if !m.Valid(v.now) {
			until += " (not now)"
		}
		t.AppendRow(table.Row{m.Kind, strings.Join(plainLines(name), "\n"), m.Key, m.Type, day(m.From), strings.TrimSpace(until)})
	}
	return t.Render()
}

func plainLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return lines
}

// printUpdate prints what an update changed, or says why it changed nothing. What could not be fetched was told already.
func (a *app) printUpdate(before, after *trustView) error {
	switch {
	case after.lastErr != nil:
		return nil
	case after.unsaved != nil:
		return fmt.Errorf("%s: was fetched, and cannot be kept on disk: %w; name another folder with --cache", plain(after.Source), after.unsaved)
	case after.Error != "":
		return errors.New(after.Error)
	}
	switch {
	case before.Version == after.Version:
		fmt.Fprintf(a.stdout, "%s: version %s is current\n", plain(after.Source), after.Version)
	case before.Version == "":
		fmt.Fprintf(a.stdout, "%s: version %s, fetched for the first time\n", plain(after.Source), after.Version)
	default:
		fmt.Fprintf(a.stdout, "%s: version %s, was %s\n", plain(after.Source), after.Version, before.Version)
	}
	for _, line := range changed(before.Members, after.Members) {
		fmt.Fprintln(a.stdout, line)
	}
	for _, w := range after.Warnings {
		fmt.Fprintf(a.stderr, "assay: warning: %s\n", plain(w))
	}
	return nil
}

// changed lists the members that came, went, or count at other times.
func changed(before, after []material.Member) []string {
	old := map[string]*material.Member{}
	for i := range before {
		old[before[i].Kind+before[i].Key] = &before[i]
	}
	var lines []string
	for i := range after {
		m := &after[i]
		was := old[m.Kind+m.Key]
		delete(old, m.Kind+m.Key)
		switch {
		case was == nil:
			lines = append(lines, "  + "+memberLine(m))
		case !was.From.Equal(m.From) || !was.Until.Equal(m.Until):
			lines = append(lines, fmt.Sprintf("  ~ %s, was valid %s", memberLine(m), span(was)))
		}
	}
	for i := range before {
		if m := &before[i]; old[m.Kind+m.Key] != nil {
			lines = append(lines, "  - "+memberLine(m))
		}
	}
	return lines
}

func memberLine(m *material.Member) string {
	name := m.URL
	if name == "" {
		name = m.Subject
	}
	return fmt.Sprintf("%s %s %s, valid %s", m.Kind, plain(name), m.Key, span(m))
}

// span says when what a member signs counts.
func span(m *material.Member) string {
	from, until := day(m.From), day(m.Until)
	switch {
	case from == "" && until == "":
		return "always"
	case until == "":
		return "from " + from
	case from == "":
		return "to " + until
	}
	return from + " to " + until
}

func (a *app) printCheck(output string, v *trustView) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(a.stderr, "assay: warning: %s\n", plain(w))
	}
	if v.Error != "" {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%s: version %s, %s\n", plain(v.Source), v.Version, v.age())
	return err
}

// age says how old the material is.
func (v *trustView) age() string {
	if v.AsOf.IsZero() {
		return "given, does not age"
	}
	age := "proved to be current " + v.AsOf.Format("2006-01-02 15:04")
	switch v.Kind {
	case material.KindEmbedded:
		age = "copy in the program, of " + day(v.AsOf)
	case material.KindKMS:
		age = "read " + v.AsOf.Format("2006-01-02 15:04")
	}
	if d := v.now.Sub(v.AsOf); d >= 48*time.Hour {
		age += fmt.Sprintf(", %d days ago", int(d/(24*time.Hour)))
	}
	return age
}
