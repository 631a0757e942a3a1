package convert

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// place is where a text ends within "registry/repository": in the registry, or behind the first slash.
type place int

const (
	inHost place = iota
	inPath
)

// narrowing takes out of an expression whatever matches no name. Names have no colon behind their first slash, so that what matches one
// there matches a tag: imagesRegExp looks at "name:tag" as well, and whoever chooses the tag would choose the rule.
type narrowing struct {
	tags  bool // something was taken out that matches a tag
	short bool // what stands before the first slash must be no registry: names of Docker Hub as people write them
}

// narrow returns an expression that matches whole names as re does and nothing that has a tag, and whether that differs from re in what
// imagesRegExp makes of it; nil if re matches no name.
func narrow(re *syntax.Regexp) (names *syntax.Regexp, differs bool) {
	var n narrowing
	names = n.part(re, inHost, inPath)
	return names, names == nil || n.tags && !tagless(re)
}

// tagless reports whether re matches "name:tag" only where it matches the name, too: it ends in any text, and nothing before that can
// reach into a tag.
func tagless(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpCapture:
		return tagless(re.Sub[0])
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !tagless(sub) {
				return false
			}
		}
		return true
	}
	before := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		before = re.Sub
	}
	for len(before) > 0 && isEnd(before[len(before)-1]) {
		before = before[:len(before)-1]
	}
	if len(before) > 0 && isAnyText(before[len(before)-1], syntax.OpStar) {
		before = before[:len(before)-1]
	}
	var n narrowing
	n.concat(before, inHost, inPath)
	n.concat(before, inHost, inHost)
	return !n.tags
}

// isAnyText reports ".*", or ".+" where ops has it.
func isAnyText(re *syntax.Regexp, ops ...syntax.Op) bool {
	for _, op := range ops {
		if re.Op == op && (re.Sub[0].Op == syntax.OpAnyChar || re.Sub[0].Op == syntax.OpAnyCharNotNL) {
			return true
		}
	}
	return false
}

// unbegun returns re without what keeps it at the begin of a text.
func unbegun(re *syntax.Regexp) *syntax.Regexp {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	case syntax.OpCapture:
		return unbegun(re.Sub[0])
	case syntax.OpConcat:
		for i, sub := range re.Sub {
			if first := unbegun(sub); first.Op != syntax.OpEmptyMatch {
				return &syntax.Regexp{Op: syntax.OpConcat, Sub: append([]*syntax.Regexp{first}, re.Sub[i+1:]...)}
			}
		}
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	case syntax.OpAlternate:
		var all *syntax.Regexp
		for _, sub := range re.Sub {
			all = either(all, unbegun(sub))
		}
		return all
	}
	return re
}

// shortened returns an expression for the names of Docker Hub that re matches where they are written without their registry; nil if there
// are none.
func shortened(re *syntax.Regexp) *syntax.Regexp {
	n := narrowing{short: true}
	hub := &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune("docker.io/")}
	return chain(hub, n.part(unbegun(re), inHost, inPath))
}

func isBegin(re *syntax.Regexp) bool {
	return re.Op == syntax.OpBeginText || re.Op == syntax.OpBeginLine
}

func isEnd(re *syntax.Regexp) bool { return re.Op == syntax.OpEndText || re.Op == syntax.OpEndLine }

// part returns what of re leads from one place to another; nil if nothing does.
func (n *narrowing) part(re *syntax.Regexp, from, to place) *syntax.Regexp {
	if from > to {
		return nil
	}
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		if from == to {
			return re
		}
		return nil
	case syntax.OpLiteral:
		return n.literal(re, from, to)
	case syntax.OpCharClass:
		return n.class(re, re.Rune, from, to)
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL: // names have no line breaks
		return n.class(re, []rune{0, unicode.MaxRune}, from, to)
	case syntax.OpCapture:
		return n.part(re.Sub[0], from, to)
	case syntax.OpStar:
		return n.repeat(re, 0, -1, from, to)
	case syntax.OpPlus:
		return n.repeat(re, 1, -1, from, to)
	case syntax.OpQuest:
		return n.repeat(re, 0, 1, from, to)
	case syntax.OpRepeat:
		return n.repeat(re, re.Min, re.Max, from, to)
	case syntax.OpConcat:
		return n.concat(re.Sub, from, to)
	case syntax.OpAlternate:
		var all *syntax.Regexp
		for _, sub := range re.Sub {
			all = either(all, n.part(sub, from, to))
		}
		return all
	}
	return nil // syntax.OpNoMatch
}

func (n *narrowing) literal(re *syntax.Regexp, from, to place) *syntax.Regexp {
	at := from
	for _, r := range re.Rune {
		if re.Flags&syntax.FoldCase != 0 {
			r = unicode.ToLower(r)
		}
		switch {
		case at == inHost && r != '/' && n.short && !contains(inShort, r):
			return nil
		case at == inHost && r == '/':
			at = inPath
		case at == inPath && r == ':':
			n.tags = true
			return nil
		}
	}
	if at != to {
		return nil
	}
	return re
}

// class narrows a set of characters, given as pairs of first and last.
func (n *narrowing) class(re *syntax.Regexp, set []rune, from, to place) *syntax.Regexp {
	allowed := inNames
	switch {
	case from != to && !contains(set, '/'):
		return nil
	case from != to:
		return &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{'/'}}
	case from == inHost && n.short:
		allowed = inShort
	case from == inHost:
		allowed = inRegistry
	case contains(set, ':'):
		n.tags = true
	}
	rest := common(set, allowed)
	switch {
	case len(rest) == 0:
		return nil
	case re.Op == syntax.OpCharClass && slices.Equal(rest, set):
		return re
	}
	return &syntax.Regexp{Op: syntax.OpCharClass, Rune: rest}
}

// Sets of characters, as pairs of first and last.
var (
	inRegistry = []rune{0, '/' - 1, '/' + 1, unicode.MaxRune}
	inNames    = []rune{0, ':' - 1, ':' + 1, unicode.MaxRune}
	inShort    = []rune{'-', '-', '0', '9', '_', '_', 'a', 'z'}
)

// common returns the characters that are in both sets.
func common(a, b []rune) []rune {
	var both []rune
	for i := 0; i < len(a); i += 2 {
		for j := 0; j < len(b); j += 2 {
			if first, last := max(a[i], b[j]), min(a[i+1], b[j+1]); first <= last {
				both = append(both, first, last)
			}
		}
	}
	return both
}

func contains(set []rune, r rune) bool {
	for i := 0; i < len(set); i += 2 {
		if set[i] <= r && r <= set[i+1] {
			return true
		}
	}
	return false
}

func (n *narrowing) concat(subs []*syntax.Regexp, from, to place) *syntax.Regexp {
	var upTo [2]*syntax.Regexp // what leads from the beginning to each place
	upTo[from] = &syntax.Regexp{Op: syntax.OpEmptyMatch}
	for _, sub := range subs {
		upTo[inPath] = either(chain(upTo[inHost], n.reach(upTo[inHost], sub, inHost, inPath)), chain(upTo[inPath], n.reach(upTo[inPath], sub, inPath, inPath)))
		upTo[inHost] = chain(upTo[inHost], n.reach(upTo[inHost], sub, inHost, inHost))
	}
	return upTo[to]
}

// reach is part, for what stands behind something that leads there.
func (n *narrowing) reach(before, re *syntax.Regexp, from, to place) *syntax.Regexp {
	if before == nil {
		return nil
	}
	return n.part(re, from, to)
}

// repeat narrows from least to most times re.Sub[0]; most is -1 if there is no end.
func (n *narrowing) repeat(re *syntax.Regexp, least, most int, from, to place) *syntax.Regexp {
	sub := re.Sub[0]
	if from == to {
		return times(n.part(sub, from, to), least, most)
	}
	across := n.part(sub, inHost, inPath)
	if across == nil || most == 0 {
		return nil
	}
	host, path := n.part(sub, inHost, inHost), n.part(sub, inPath, inPath)
	// One of the times goes across; i of them stand before it.
	last := max(least-1, 0)
	if most > 0 {
		last = most - 1
	}
	var all *syntax.Regexp
	for i := 0; i <= last; i++ {
		before, after := times(host, i, i), -1
		switch {
		case most > 0:
			after = most - 1 - i
		case i == last:
			before = times(host, i, -1)
		}
		if before == nil {
			break
		}
		all = either(all, chain(before, chain(across, times(path, max(least-1-i, 0), after))))
	}
	return all
}

// times returns re from least to most times; most is -1 if there is no end.
func times(re *syntax.Regexp, least, most int) *syntax.Regexp {
	switch {
	case most == 0 || re == nil && least == 0:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	case re == nil || re.Op == syntax.OpEmptyMatch || least == 1 && most == 1:
		return re
	}
	again := &syntax.Regexp{Op: syntax.OpRepeat, Min: least, Max: most, Sub: []*syntax.Regexp{re}}
	switch {
	case least == 0 && most == -1:
		again.Op = syntax.OpStar
	case least == 1 && most == -1:
		again.Op = syntax.OpPlus
	case least == 0 && most == 1:
		again.Op = syntax.OpQuest
	}
	return again
}

// chain returns a followed by b; nil if one of them is.
func chain(a, b *syntax.Regexp) *syntax.Regexp {
	switch {
	case a == nil || b == nil:
		return nil
	case a.Op == syntax.OpEmptyMatch:
		return b
	case b.Op == syntax.OpEmptyMatch:
		return a
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Sub: append(parts(a, syntax.OpConcat), parts(b, syntax.OpConcat)...)}
}

// either returns a or b.
func either(a, b *syntax.Regexp) *syntax.Regexp {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &syntax.Regexp{Op: syntax.OpAlternate, Sub: append(parts(a, syntax.OpAlternate), parts(b, syntax.OpAlternate)...)}
}

func parts(re *syntax.Regexp, op syntax.Op) []*syntax.Regexp {
	if re.Op == op {
		return append([]*syntax.Regexp(nil), re.Sub...)
	}
	return []*syntax.Regexp{re}
}
