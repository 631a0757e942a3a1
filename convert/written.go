package convert

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// Levels of what may stand somewhere in an expression without a group around it.
const (
	anything   = iota // alternatives too
	inSequence        // no alternatives
	repeated          // what a star behind it belongs to as a whole
)

// written returns an expression as text, and whether that is no longer than most. Unlike the method of package syntax, it takes
// expressions whose parts stand in several places, and is fast for sets of nearly all characters.
func written(re *syntax.Regexp, most int) (string, bool) {
	w := writer{most: most}
	w.write(re, anything)
	return w.String(), w.Len() <= most
}

// writer writes expressions. It stops somewhere behind the longest text that is wanted.
type writer struct {
	strings.Builder
	most int
}

func (w *writer) write(re *syntax.Regexp, level int) {
	if w.Len() > w.most {
		return
	}
	switch re.Op {
	case syntax.OpNoMatch:
		w.WriteString(`[^\x00-\x{10FFFF}]`)
	case syntax.OpEmptyMatch:
		w.WriteString(`(?:)`)
	case syntax.OpLiteral:
		w.literal(re, level)
	case syntax.OpCharClass:
		w.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		w.WriteString(`(?-s:.)`)
	case syntax.OpAnyChar:
		w.WriteString(`(?s:.)`)
	case syntax.OpBeginLine:
		w.WriteString(`(?m:^)`)
	case syntax.OpEndLine:
		w.WriteString(`(?m:$)`)
	case syntax.OpBeginText:
		w.WriteString(`\A`)
	case syntax.OpEndText:
		w.WriteString(`\z`)
	case syntax.OpWordBoundary:
		w.WriteString(`\b`)
	case syntax.OpNoWordBoundary:
		w.WriteString(`\B`)
	case syntax.OpCapture:
		w.write(re.Sub[0], level)
	case syntax.OpConcat:
		w.several(re.Sub, "", inSequence, level >= repeated)
	case syntax.OpAlternate:
		w.several(re.Sub, "|", inSequence, level >= inSequence)
	default:
		w.repetition(re, level)
	}
}

func (w *writer) literal(re *syntax.Regexp, level int) {
	text := regexp.QuoteMeta(string(re.Rune))
	switch {
	case re.Flags&syntax.FoldCase != 0:
		text = "(?i:" + text + ")"
	case level >= repeated && len(re.Rune) != 1:
		text = "(?:" + text + ")"
	}
	w.WriteString(text)
}

func (w *writer) several(subs []*syntax.Regexp, between string, level int, group bool) {
	if group {
		w.WriteString("(?:")
	}
	for i, sub := range subs {
		if i > 0 {
			w.WriteString(between)
		}
		w.write(sub, level)
	}
	if group {
		w.WriteString(")")
	}
}

func (w *writer) repetition(re *syntax.Regexp, level int) {
	if level >= repeated {
		w.WriteString("(?:")
	}
	w.write(re.Sub[0], repeated)
	switch re.Op {
	case syntax.OpStar:
		w.WriteString("*")
	case syntax.OpPlus:
		w.WriteString("+")
	case syntax.OpQuest:
		w.WriteString("?")
	default:
		switch re.Max {
		case re.Min:
			fmt.Fprintf(w, "{%d}", re.Min)
		case -1:
			fmt.Fprintf(w, "{%d,}", re.Min)
		default:
			fmt.Fprintf(w, "{%d,%d}", re.Min, re.Max)
		}
	}
	if level >= repeated {
		w.WriteString(")")
	}
}

// class writes a set of characters, given as pairs of first and last.
func (w *writer) class(set []rune) {
	w.WriteString("[")
	if len(set) > 2 && set[0] == 0 && set[len(set)-1] == unicode.MaxRune {
		w.WriteString("^")
		var rest []rune
		for i := 1; i+1 < len(set); i += 2 {
			rest = append(rest, set[i]+1, set[i+1]-1)
		}
		set = rest
	}
	for i := 0; i < len(set); i += 2 {
		w.character(set[i])
		if set[i] < set[i+1] {
			w.WriteString("-")
			w.character(set[i+1])
		}
	}
	w.WriteString("]")
}

func (w *writer) character(r rune) {
	switch {
	case strings.ContainsRune(`\]^-[`, r):
		w.WriteString(`\` + string(r))
	case r > ' ' && r <= unicode.MaxASCII && unicode.IsPrint(r):
		w.WriteRune(r)
	default:
		fmt.Fprintf(w, `\x{%X}`, r)
	}
}
