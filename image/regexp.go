package image

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// What an expression may grow to. An instruction takes about 40 bytes; Go itself would go up to 3 million for each expression, and the
// policy of a namespace can have thousands of expressions.
const (
	freeGrowth   = 512 // instructions that every expression may have
	growthFactor = 8   // instructions for each byte beyond that
)

// CompileRegExp compiles an expression (RE2) of whoever writes policies. One that repeats so much that its program is many times its length
// is an error.
func CompileRegExp(text string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if most := freeGrowth + growthFactor*len(text); instructions(tree, most) > most {
		return nil, fmt.Errorf("its repetitions make it many times its length: more than %d instructions", most)
	}
	return regexp.Compile(text)
}

// instructions estimates from above how long the program of an expression is, with the ranges of its classes. What is more than most need
// not be right.
func instructions(tree *syntax.Regexp, most int) int {
	n := 1 + len(tree.Rune)/8
	if len(tree.Sub) > 0 && tree.Op != syntax.OpRepeat {
		n = 1 + len(tree.Sub) // the ends of a group, or the ways of a choice
	}
	if tree.Op == syntax.OpLiteral {
		n = 1 + len(tree.Rune)
		if tree.Flags&syntax.FoldCase != 0 {
			n = 1 + 2*len(tree.Rune)
		}
	}
	for _, sub := range tree.Sub {
		if n += instructions(sub, most); n > most {
			return n
		}
	}
	if tree.Op == syntax.OpRepeat {
		n = (n-1)*max(tree.Min, tree.Max, 1) + max(tree.Max-tree.Min, 0)
	}
	return n
}
