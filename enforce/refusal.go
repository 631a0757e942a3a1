package enforce

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/assay-dev/assay/engine"
)

// Limits of the text of a refusal.
const (
	maxLine        = 400     // bytes of one line
	maxReason      = 1 << 10 // bytes of a reason that stands alone
	maxAuthorities = 4       // authorities that are named
)

// Refusal tells a person who has never heard of Assay why an image may not run, in a few lines: the image and the reason, the rule, what
// each authority said, and the next step. Texts of others in it are made harmless and cut. Of a verdict that allows it is "".
func Refusal(v *engine.Verdict) string {
	meaning := Of(v)
	if meaning == Yes {
		return ""
	}
	lines := []string{fmt.Sprintf("%s: %s: %s", named(v.Image), opening(meaning), reason(v))}
	if from := from(&v.Decision); from != "" {
		lines = append(lines, "rule: "+from)
	}
	lines = append(lines, heard(v)...)
	lines = append(lines, "next: "+Next(v))
	for i := range lines {
		lines[i] = cut(Plain(lines[i]), maxLine)
	}
	return strings.Join(lines, "\n")
}

// Reason tells in one line why an image may not run, for protocols with place for no more and whose clients name the image. It is made
// harmless and cut, and never empty.
func Reason(v *engine.Verdict) string {
	if v.Reason == "" {
		return cut(Plain(named(v.Image)+" may not run"), maxReason)
	}
	return cut(Plain(v.Reason), maxReason)
}

// Next is the next step for a person whose image may not run; of a verdict that allows it is "".
func Next(v *engine.Verdict) string {
	switch Of(v) {
	case Yes:
		return ""
	case CannotTell:
		return "try again when the cause is gone; this was no decision about the image, and nothing of it was remembered"
	case Bug:
		return "tell whoever runs Assay: this is a bug in it, and it says nothing about the image"
	}
	var missing []string
	for i := range v.Authorities {
		if at := &v.Authorities[i]; at.Standing == engine.Unsigned || at.Standing == engine.Untrusted {
			missing = append(missing, at.Authority)
		}
	}
	switch {
	case len(missing) > 0:
		return "have the image signed for " + several(missing) + ", or ask whoever keeps the policy"
	case v.Policy == "":
		return "correct the name of the image, or ask whoever keeps the policies to speak about it"
	case v.Rule == "":
		return "ask whoever keeps the policy " + v.Policy + " for a rule about this image"
	}
	return "use another image, or ask whoever keeps the policy " + v.Policy
}

func opening(m Meaning) string {
	switch m {
	case CannotTell:
		return "could not tell whether it may run"
	case Bug:
		return "may not run, because Assay broke down"
	}
	return "may not run"
}

func named(image string) string {
	if image == "" {
		return "an image without a name"
	}
	return image
}

func reason(v *engine.Verdict) string {
	if v.Reason == "" {
		return "no reason was given"
	}
	return v.Reason
}

// from names what decided.
func from(d *engine.Decision) string {
	switch {
	case d.Policy == "":
		return ""
	case d.Rule == "":
		return "none of policy " + d.Policy
	}
	return d.Rule + " of policy " + d.Policy
}

// heard tells what those authorities said that did not prove anything.
func heard(v *engine.Verdict) []string {
	var lines []string
	for i := range v.Authorities {
		at := &v.Authorities[i]
		if at.Standing == engine.Proved || at.Standing == engine.Unasked {
			continue
		}
		if len(lines) == maxAuthorities {
			return append(lines, "and further authorities")
		}
		line := at.Authority + " (" + at.Format + "): " + at.Standing.String()
		if at.Reason != "" {
			line += ": " + at.Reason
		}
		lines = append(lines, line)
	}
	return lines
}

func several(names []string) string {
	if len(names) > maxAuthorities {
		return strings.Join(names[:maxAuthorities], ", ") + " and others"
	}
	return strings.Join(names, ", ")
}

// cut ends a text that is too long, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Plain makes foreign text harmless for a terminal, a log and the reader: no controls, no line breaks that could pass for lines of ours,
// nothing that turns the direction of writing.
func Plain(s string) string {
	if printable(s) {
		return s
	}
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

// printable reports whether s is printable ASCII, as nearly all names are.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
