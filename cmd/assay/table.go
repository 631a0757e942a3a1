package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// colours reports whether colours may be written to w (https://no-color.org).
func (a *app) colours(w io.Writer) bool {
	return isTerminal(w) && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// width returns how many columns a table on w may have; 0 is no limit.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// printTable prints a row for each image, and below it the hints. Warnings that were told already are left out.
func (a *app) printTable(verdicts []engine.Verdict, told []string) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"image", "digest", "verdict", "who vouched, or why not"})
	most := 60
	if w := width(a.stdout); w > 0 {
		most = max(30, w-80)
	}
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: 44, WidthMaxEnforcer: text.WrapHard},
		{Number: 4, WidthMax: most, WidthMaxEnforcer: text.WrapSoft},
	})
	for i := range verdicts {
		v := &verdicts[i]
		t.AppendRow(table.Row{plain(v.Image), shortDigest(v.Digest), a.paint(v), because(v, told)})
	}
	if _, err := fmt.Fprintln(a.stdout, t.Render()); err != nil {
		return err
	}
	a.hints(verdicts)
	return nil
}

// plain makes foreign text harmless for a terminal and for the reader: no controls, no line breaks that could pass for lines of ours,
// nothing that turns the direction of writing.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '\uFFFD'
	}, s)
}

func shortDigest(d image.Digest) string {
	if d.IsZero() {
		return "-"
	}
	return d.Algorithm() + ":" + d.Hex()[:12]
}

func (a *app) paint(v *engine.Verdict) string {
	word, colour := verdictWord(v)
	if !a.colours(a.stdout) {
		return word
	}
	return colour.EscapeSeq() + word + text.Reset.EscapeSeq()
}

func verdictWord(v *engine.Verdict) (string, text.Color) {
	switch {
	case v.Allowed && v.Outcome == engine.Allowed:
		return "allowed", text.FgGreen
	case v.Allowed:
		return "allowed (" + v.Mode + ")", text.FgYellow
	case v.Outcome == engine.CouldNotTell:
		return "could not tell", text.FgYellow
	case v.Outcome == engine.Bug:
		return "bug", text.FgMagenta
	}
	return "denied", text.FgRed
}

// because says who vouched, or why the image may not run.
func because(v *engine.Verdict, told []string) string {
	var lines []string
	if v.Outcome == engine.Allowed {
		for i := range v.Authorities {
			if at := &v.Authorities[i]; at.Standing == engine.Proved {
				lines = append(lines, vouched(at))
			}
		}
	}
	if len(lines) == 0 || v.Outcome != engine.Allowed {
		lines = append(lines, v.Reason)
	}
	lines = append(lines, weakenedElsewhere(v.Also)...)
	for _, w := range v.Warnings {
		if !slices.Contains(told, w) {
			lines = append(lines, "warning: "+w)
		}
	}
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

func vouched(at *engine.Attestation) string {
	s := at.Authority + ": " + at.Signer
	if at.Issuer != "" {
		s += " by " + at.Issuer
	}
	if !at.SignedAt.IsZero() {
		s += " on " + at.SignedAt.UTC().Format("2006-01-02 15:04")
	}
	s += listed(", log index ", at.Log, func(l trust.LogEntry) string { return strconv.FormatInt(l.Index, 10) })
	s += listed(", attested ", at.Attested, func(t trust.Attested) string { return t.PredicateType })
	if len(at.Weakened) > 0 {
		s += " (weakened: " + strings.Join(at.Weakened, ", ") + ")"
	}
	return s
}

// listed writes what there are with a word before them, or nothing.
func listed[T any](word string, all []T, write func(T) string) string {
	if len(all) == 0 {
		return ""
	}
	texts := make([]string, len(all))
	for i := range all {
		texts[i] = write(all[i])
	}
	return word + strings.Join(texts, " and ")
}

// weakenedElsewhere shows what made the checks of further policies weaker: nobody should have to read JSON for that.
func weakenedElsewhere(also []engine.Decision) []string {
	var lines []string
	for i := range also {
		for j := range also[i].Authorities {
			if at := &also[i].Authorities[j]; at.Standing == engine.Proved && len(at.Weakened) > 0 {
				lines = append(lines, "policy "+also[i].Policy+": "+vouched(at))
			}
		}
	}
	return lines
}

// hints prints the next step for what went wrong, each once.
func (a *app) hints(verdicts []engine.Verdict) {
	said := map[string]bool{}
	for i := range verdicts {
		hint := hintFor(&verdicts[i])
		if hint == "" || said[hint] {
			continue
		}
		said[hint] = true
		fmt.Fprintf(a.stderr, "assay: hint: %s\n", hint)
	}
}

func hintFor(v *engine.Verdict) string {
	switch {
	case v.Outcome == engine.Allowed:
		return ""
	case v.Outcome == engine.CouldNotTell:
		return "could not tell is no denial: nothing was remembered, try again when the cause is gone"
	case v.Rule == "":
		return "assay policy explain IMAGE shows which rule would decide"
	}
	for i := range v.Authorities {
		switch at := &v.Authorities[i]; {
		case at.Standing == engine.Unsigned:
			return "unsigned images: assay sign attaches a certificate"
		case strings.Contains(at.Reason, "expired"):
			return "a certificate that was short-lived on purpose: the authority's field validity: issued accepts it"
		}
	}
	return ""
}

// progress shows on stderr how many images are done, if a person looks and there are many.
type progress struct {
	mu    sync.Mutex
	out   io.Writer // nil: shows nothing
	total int
	count int
	shown time.Time
}

func (a *app) newProgress(total int) *progress {
	p := &progress{total: total}
	if total > 10 && isTerminal(a.stderr) {
		p.out = a.stderr
	}
	return p
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if p.out == nil || time.Since(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.out, "\r%d of %d images", p.count, p.total)
}

func (p *progress) end() {
	if p.out != nil {
		fmt.Fprintf(p.out, "\r\033[K")
	}
}
