package convert

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Bounds of the texts that examples are made of.
const (
	maxSamples   = 8
	sampleLength = 200
)

// samples returns texts that an expression matches, the simplest first. They are for examples in messages, which are tried before they are
// shown: some may not be matched after all.
func samples(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 {
			text = strings.ToLower(text)
		}
		return []string{text}
	case syntax.OpCharClass:
		return []string{string(simplest(re.Rune))}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []string{"."} // in names of hosts a dot is what is meant
	case syntax.OpCapture:
		return samples(re.Sub[0])
	case syntax.OpStar, syntax.OpQuest:
		return append([]string{""}, more(re)...)
	case syntax.OpPlus:
		return more(re)
	case syntax.OpRepeat:
		once := strings.Join(samples(re.Sub[0])[:1], "")
		return []string{strings.Repeat(once, min(re.Min, sampleLength)), strings.Repeat(once, min(re.Min+1, sampleLength))}
	case syntax.OpConcat:
		all := []string{""}
		for _, sub := range re.Sub {
			all = combined(all, samples(sub))
		}
		return all
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			all = append(all, samples(sub)...)
		}
		return all[:min(len(all), maxSamples)]
	}
	return []string{""}
}

// more returns samples of what stands under a repetition.
func more(re *syntax.Regexp) []string {
	if isAnyText(re, syntax.OpStar, syntax.OpPlus) {
		return []string{"app"}
	}
	return samples(re.Sub[0])
}

// combined returns each text followed by each other one, as far as they are few and short.
func combined(texts, others []string) []string {
	var all []string
	for _, other := range others {
		for _, text := range texts {
			if len(text)+len(other) <= sampleLength && len(all) < maxSamples {
				all = append(all, text+other)
			}
		}
	}
	return all
}

// simplest returns a character of a set, given as pairs of first and last, that can stand in a name if there is one.
func simplest(set []rune) rune {
	for _, r := range "ax0-./" {
		if contains(set, r) {
			return r
		}
	}
	return set[0]
}

// literals returns the texts that stand in an expression.
func literals(re *syntax.Regexp) []*syntax.Regexp {
	if re.Op == syntax.OpLiteral {
		return []*syntax.Regexp{re}
	}
	var all []*syntax.Regexp
	for _, sub := range re.Sub {
		all = append(all, literals(sub)...)
	}
	return all
}

// words returns the parts of repositories' names that stand in an expression, the first few of them.
func words(re *syntax.Regexp) []string {
	const most, longest = 4, 40
	var all []string
	for _, literal := range literals(re) {
		for _, word := range strings.FieldsFunc(string(literal.Rune), func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsLower(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
		}) {
			word = strings.Trim(word, "-_")
			if word != "" && len(word) <= longest && len(all) < most && !slices.Contains(all, word) && !slices.Contains([]string{"docker", "io", "library", "localhost"}, word) {
				all = append(all, word)
			}
		}
	}
	return all
}
