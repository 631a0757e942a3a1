package image

import (
	"strings"
	"testing"
)

// T47: a short expression can stand for a program that fills the memory, and whoever writes a policy of a namespace chooses expressions.
func TestT47_ExpressionsThatGrow(t *testing.T) {
	for _, text := range []string{
		"(?:" + strings.Repeat("a", 3000) + "){1000}",
		`(?:` + strings.Repeat(`\pL`, 1200) + `){500}`,
		strings.Repeat(`\pL`, 1200),
		"(?i:" + strings.Repeat("a", 100) + "){500}",
		"(?:ab|(?:b?){100}c){10}",
		"a{700}",
	} {
		if _, err := CompileRegExp(text); err == nil || !strings.Contains(err.Error(), "times its length") {
			t.Errorf("%.40s: %v", text, err)
		}
		if _, err := ParseRegExp(text); err == nil {
			t.Errorf("%.40s: is an expression for images", text)
		}
	}
	for _, text := range []string{
		`.*`, ``, `^https://github\.com/acme/[a-z0-9-]{1,63}/\.github/workflows/.*@refs/tags/v[0-9]+$`, `[\pL\pN_-]+@acme\.example`, `.{1,255}`,
		`(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,3}example`, strings.Repeat("a|b", 1000),
	} {
		if _, err := CompileRegExp(text); err != nil {
			t.Errorf("%.40s: %v", text, err)
		}
	}
}
