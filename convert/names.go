package convert

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// Limits of expressions.
const (
	maxExpression = 1 << 10  // bytes of one in a trust file
	maxNarrowed   = 16 << 10 // bytes of one in a policy
)

// expression is what becomes of an expression over names. There it may match any part of a name, as somebody wrote that name, and never
// sees a tag; imagesRegExp matches the whole of a canonical name, or of "name:tag".
type expression struct {
	text string // for imagesRegExp; "" if there is no name that it could match
	// guards match names that it was about and that text does not match: a rule behind this one must not decide about them.
	guards  []string
	changes []change // of its meaning
}

// change is one difference between what was and what is.
type change struct {
	was, now, do string
	urgent       bool // see Note
}

// reading is an expression while it is read.
type reading struct {
	given string
	tree  *syntax.Regexp
	part  *regexp.Regexp // as it was: any part of a name
	whole *regexp.Regexp // the whole of a name, as somebody writes it
	final *regexp.Regexp // the same as the policy has it, for canonical names and kept from tags; nil: there is no name that it could match
}

// readExpression converts an expression. unanchored keeps its meaning where that is to match a part of a name; required says that the
// images need somebody's word.
func readExpression(given string, unanchored, required bool) (expression, error) {
	r, err := newReading(given)
	if err != nil {
		return expression{}, err
	}
	begins, ends := begins(r.tree), ends(r.tree)
	text := given
	if unanchored {
		text = wrapped(given, begins, ends)
	}
	var e expression
	if e.text, r.final, err = settle(text); err != nil {
		return expression{}, err
	}
	switch {
	case begins && ends:
	case unanchored:
		e.changes = append(e.changes, change{
			was: "it matched any part of a name", now: "the same, written " + text, urgent: true,
			do: "import without --insecure-unanchored, once it says the whole name",
		})
	default:
		e.changes = append(e.changes, r.anchored(begins))
	}
	e.changes = append(e.changes, r.hub(required)...)
	if r.final == nil {
		e.changes = append(e.changes, change{
			was: "a rule of its own", now: "left out, since it is the whole name of no image: names have a registry and no tag",
			do: "write the whole name, as in registry\\.example/app, or remove it",
		})
	}
	if required {
		e.guards, err = r.guards(begins, ends, unanchored)
	}
	return e, err
}

// otherNames are texts that stand in no canonical name, with what stands there in their place.
var otherNames = []struct {
	form *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`[A-Z]`), "names are in lower case; write it so, or (?i) before it"},
	{regexp.MustCompile(`:443(/|$)`), "the port 443 is no part of a name; leave it out"},
	{regexp.MustCompile(`^(index|registry-1)\.docker\.io|^registry\.hub\.docker\.com`), "Docker Hub has one name; write docker\\.io"},
}

func newReading(given string) (*reading, error) {
	switch {
	case len(given) > maxExpression:
		return nil, fmt.Errorf("%d bytes, at most %d are allowed; split it into several repositories", len(given), maxExpression)
	case strings.ContainsAny(given, "\r\n"):
		return nil, errors.New("has a line break, which no name of an image has; write it on one line")
	}
	r := &reading{given: given}
	var err error
	if r.part, err = regexp.Compile(given); err != nil {
		return nil, fmt.Errorf("%s; write RE2 syntax", strings.ReplaceAll(err.Error(), "; ", ", "))
	}
	if r.whole, err = regexp.Compile(`\A(?:` + given + `)\z`); err != nil {
		return nil, errTooComplex()
	}
	if r.tree, err = syntax.Parse(given, syntax.Perl); err != nil {
		return nil, errTooComplex()
	}
	for _, literal := range literals(r.tree) {
		for _, other := range otherNames {
			if text := string(literal.Rune); literal.Flags&syntax.FoldCase == 0 && other.form.MatchString(text) {
				return nil, fmt.Errorf("%s stands in no name of an image: %s", policy.Quote(text), other.hint)
			}
		}
	}
	return r, nil
}

// wrapped lets any text stand where an expression is not anchored.
func wrapped(given string, begins, ends bool) string {
	text := given
	if !begins || !ends {
		text = "(?:" + given + ")"
	}
	if !begins {
		text = ".*" + text
	}
	if !ends {
		text += ".*"
	}
	return text
}

func errTooComplex() error {
	return errors.New("too complex to be kept from looking at tags; split it into several repositories, or make it simpler")
}

// settle returns what a text that must match whole names is in a policy; "" and nil if it can match none.
func settle(text string) (string, *regexp.Regexp, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return "", nil, errTooComplex()
	}
	names, differs := narrow(tree)
	if names == nil {
		return "", nil, nil
	}
	if differs {
		short := false
		if text, short = written(names, maxNarrowed); !short {
			return "", nil, errTooComplex()
		}
	}
	if _, err := image.ParseRegExp(text); err != nil {
		return "", nil, errTooComplex()
	}
	compiled, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return "", nil, errTooComplex()
	}
	return text, compiled, nil
}

// guards returns expressions for the names that r matched and does not match any more: by a part of them, or without their registry.
func (r *reading) guards(begins, ends, unanchored bool) ([]string, error) {
	var texts []string
	if !unanchored && !(begins && ends) {
		texts = append(texts, wrapped(r.given, begins, ends))
	}
	if begins && !isAnyText(firstOf(r.tree), syntax.OpStar) {
		re := r.tree
		if !ends {
			re = chain(re, &syntax.Regexp{Op: syntax.OpStar, Sub: []*syntax.Regexp{{Op: syntax.OpAnyChar}}})
		}
		if hub := shortened(re); hub != nil {
			text, short := written(hub, maxNarrowed)
			if !short {
				return nil, errTooComplex()
			}
			texts = append(texts, text)
		}
	}
	var all []string
	for _, text := range texts {
		text, _, err := settle(text)
		if err != nil {
			return nil, err
		}
		if text != "" {
			all = append(all, text)
		}
	}
	return all, nil
}

// firstOf returns what an expression begins with.
func firstOf(re *syntax.Regexp) *syntax.Regexp {
	for re.Op == syntax.OpConcat || re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	return re
}

// matches reports whether the policy's expression matches a canonical name.
func (r *reading) matches(name string) bool { return r.final != nil && r.final.MatchString(name) }

// begins reports whether an expression that may match any part of a text always reaches its begin.
func begins(re *syntax.Regexp) bool {
	return isBegin(re) || isAnyText(re, syntax.OpStar, syntax.OpPlus) || inside(re, begins, 0)
}

// ends is begins for the end.
func ends(re *syntax.Regexp) bool {
	return isEnd(re) || isAnyText(re, syntax.OpStar, syntax.OpPlus) || inside(re, ends, len(re.Sub)-1)
}

// inside asks for what an expression consists of: each alternative, or the part of a sequence at an index.
func inside(re *syntax.Regexp, reaches func(*syntax.Regexp) bool, index int) bool {
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return reaches(re.Sub[0])
	case syntax.OpConcat:
		return reaches(re.Sub[index])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !reaches(sub) })
	}
	return false
}

// anchored says what it means that an expression must match whole names now.
func (r *reading) anchored(begins bool) change {
	c := change{
		was: "it matched any part of a name", now: "the meaning becomes stricter: it must match the whole name",
		do: "if that was meant, write ^ before it and $ behind it; else write .* where other text may stand, or import with --insecure-unanchored",
	}
	if name := r.lost(begins); name != "" {
		c.was += ", " + name + " too"
		c.now += ", and " + name + " is not matched"
	}
	return c
}

// lost returns a canonical name that was matched and is no longer, if one is found.
func (r *reading) lost(begins bool) string {
	around := [][2]string{{"", "-evil"}, {"", "/evil"}, {"evil.example/", ""}, {"evil.example/", "/app"}, {"evil.", ""}, {"evil.example/", "-evil"}, {"docker.io/library/", ""}}
	if !begins {
		around = append(around[2:], around[:2]...)
	}
	texts := samples(r.tree)
	for _, a := range around {
		for _, text := range texts {
			if name := a[0] + text + a[1]; isCanonical(name) && r.part.MatchString(name) && !r.matches(name) {
				return name
			}
		}
	}
	return ""
}

// isCanonical reports whether a text is "registry/repository" in canonical form.
func isCanonical(name string) bool {
	ref, err := image.Parse(name)
	return err == nil && ref.Name() == name
}

// hub says what it means that Docker Hub's names are completed: "alpine" was docker.io/library/alpine already, "org/name" stayed what it is.
func (r *reading) hub(required bool) []change {
	var less, more, moved string // names as they are written
	for _, name := range r.shortNames() {
		ref, err := image.Parse(name)
		if err != nil {
			continue
		}
		before, now := r.whole.MatchString(name), r.matches(ref.Name())
		switch {
		case before && !now && less == "":
			less = name
		case !r.part.MatchString(name) && now && more == "":
			more = name
		case before && now && moved == "":
			moved = name
		}
	}
	var all []change
	if less != "" {
		all = append(all, change{
			was: "an image written " + less + " had that name, which it matches",
			now: "its name is " + canonical(less) + ", which it does not match",
			do:  `write the name with docker\.io/ before it`,
		})
	}
	if more != "" {
		all = append(all, change{
			was: "an image written " + more + " had that name, which it does not match",
			now: "its name is " + canonical(more) + ", which it matches",
			do:  "nothing if that is meant",
		})
	}
	if moved != "" && required {
		all = append(all, change{
			was: "trust data of an image written " + moved + " were those of " + moved,
			now: "they are those of " + canonical(moved),
			do:  "sign under the name with its registry, as docker trust does",
		})
	}
	return all
}

func canonical(name string) string { return image.MustParse(name).Name() }

// shortNames returns names of Docker Hub as people write them that an expression may be about.
func (r *reading) shortNames() []string {
	firsts, lasts := append(words(r.tree), "org"), append(words(r.tree), "name")
	var all []string
	for _, first := range firsts {
		for _, last := range lasts {
			if first != last {
				all = append(all, first+"/"+last)
			}
		}
	}
	for _, last := range lasts {
		all = append(all, "docker.io/"+last)
	}
	return all
}
