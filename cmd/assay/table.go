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

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notation"
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

// Columns of tables.
const (
	mostName     = 44  // of an image's name; longer ones are broken
	mostReasons  = 60  // of who vouched, or why not, if the width is not limited
	leastReasons = 30  // with less, the images are told one below the other
	leastTable   = 100 // of a terminal; a narrower one gets no table
)

// printTable prints what was decided about each image, and below it the hints. Warnings that were told already are left out.
func (a *app) printTable(verdicts []engine.Verdict, told []string) error {
	if _, err := fmt.Fprintln(a.stdout, a.layout(verdicts, told, width(a.stdout))); err != nil {
		return err
	}
	a.hints(verdicts)
	return nil
}

// layout returns a table, or text where a table would be wider than the terminal. 0 columns is no limit.
func (a *app) layout(verdicts []engine.Verdict, told []string, columns int) string {
	if columns == 0 {
		return a.table(verdicts, told, true, mostReasons)
	}
	digests := slices.ContainsFunc(verdicts, func(v engine.Verdict) bool { return !v.Digest.IsZero() && !pinned(&v) })
	left := columns - columnsBeforeReasons(verdicts, digests)
	if columns < leastTable || left < leastReasons {
		return a.blocks(verdicts, told, columns)
	}
	return a.table(verdicts, told, digests, left)
}

// columnsBeforeReasons is how wide a table is without the text of its last column.
func columnsBeforeReasons(verdicts []engine.Verdict, digests bool) int {
	name, digest, verdict := len("image"), len("digest"), len("verdict")
	for i := range verdicts {
		word, _ := verdictWord(&verdicts[i])
		name = max(name, min(mostName, text.StringWidth(plain(verdicts[i].Image))))
		digest = max(digest, len(digestCell(&verdicts[i])))
		verdict = max(verdict, len(word))
	}
	const frame = 3 // on the left of a column; one more closes the last
	if !digests {
		return name + verdict + 3*frame + 1
	}
	return name + digest + verdict + 4*frame + 1
}

func (a *app) table(verdicts []engine.Verdict, told []string, digests bool, reasons int) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	row := func(name, digest, verdict, why string) table.Row {
		if digests {
			return table.Row{name, digest, verdict, why}
		}
		return table.Row{name, verdict, why}
	}
	t.AppendHeader(row("image", "digest", "verdict", "who vouched, or why not"))
	t.SetColumnConfigs([]table.ColumnConfig{
		{Name: "image", WidthMax: mostName, WidthMaxEnforcer: wrap},
		{Name: "who vouched, or why not", WidthMax: reasons, WidthMaxEnforcer: wrap},
	})
	for i := range verdicts {
		v := &verdicts[i]
		t.AppendRow(row(plain(v.Image), digestCell(v), a.paint(v), because(v, told)))
	}
	return t.Render()
}

// blocks tells the images one below the other.
func (a *app) blocks(verdicts []engine.Verdict, told []string, columns int) string {
	all := make([]string, len(verdicts))
	for i := range verdicts {
		v := &verdicts[i]
		lines := []string{wrap(plain(v.Image), columns)}
		if !pinned(v) && !v.Digest.IsZero() {
			lines = append(lines, "  "+shortDigest(v.Digest))
		}
		lines = append(lines, "  "+a.paint(v))
		for line := range strings.SplitSeq(wrap(because(v, told), columns-4), "\n") {
			lines = append(lines, "    "+line)
		}
		all[i] = strings.Join(lines, "\n")
	}
	return strings.Join(all, "\n\n")
}

// wrap breaks text into lines of at most so many columns, between words where it can. The line breaks of the text stay.
func wrap(s string, columns int) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		for {
			end := fits(line, columns)
			lines = append(lines, strings.TrimRight(line[:end], " "))
			if line = strings.TrimLeft(line[end:], " "); line == "" {
				break
			}
		}
	}
	return strings.Join(lines, "\n")
}

// fits returns how many bytes at the beginning of a line make the next one: at least a character, if there is one.
func fits(line string, columns int) int {
	used, space := 0, 0
	for i, r := range line {
		if r == ' ' {
			space = i
		}
		if used += text.RuneWidth(r); used <= columns || i == 0 {
			continue
		}
		if space > 0 {
			return space
		}
		return i
	}
	return len(line)
}

// pinned reports whether the image's name carries the digest.
func pinned(v *engine.Verdict) bool {
	return !v.Digest.IsZero() && strings.HasSuffix(v.Image, "@"+v.Digest.String())
}

func digestCell(v *engine.Verdict) string {
	if pinned(v) {
		return "in the name"
	}
	return shortDigest(v.Digest)
}

// plain makes foreign text harmless for a terminal and for the reader.
func plain(s string) string { return enforce.Plain(s) }

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
	s := at.Authority + ": " + inRole(at.Signer, at.Role)
	for _, other := range at.Cosigners {
		if other.Role != "" {
			s += " and " + inRole(other.Signer, other.Role)
		}
	}
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

// inRole names a signer with the role, where the format has roles.
func inRole(signer, role string) string {
	if role == "" {
		return signer
	}
	return signer + " as " + role
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
	if hint := unsignedHint(v.Authorities); hint != "" {
		return hint
	}
	for i := range v.Authorities {
		// What expires in other formats is something else.
		if at := &v.Authorities[i]; at.Format == certificate.Name && strings.Contains(at.Reason, "expired") {
			return "a certificate that was short-lived on purpose: the authority's field validity: issued accepts it"
		}
	}
	return ""
}

// unsignedHint says how an image is signed in the formats in which it is not; "" if it is signed in all.
func unsignedHint(authorities []engine.Attestation) string {
	var ways []string
	for i := range authorities {
		if authorities[i].Standing != engine.Unsigned {
			continue
		}
		way := "assay sign attaches a certificate"
		switch authorities[i].Format {
		case oneShotFormat:
			way = "cosign sign IMAGE@DIGEST attaches a signature"
		case notaryv1.Name:
			way = "docker trust sign IMAGE:TAG signs at the Notary server"
		case notation.Name:
			way = "notation sign IMAGE@DIGEST attaches a signature"
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	if len(ways) == 0 {
		return ""
	}
	return "unsigned images: " + strings.Join(ways, "; ")
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
