package sigstore

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/assay-dev/assay/image"
)

// maxPattern bounds a pattern or an expression of the policy, in bytes.
const maxPattern = 4 << 10

// matcher matches whole texts: one text exactly, a pattern with wildcards, or an expression. The zero matcher matches nothing.
type matcher struct {
	exact   string
	pattern *regexp.Regexp
	loose   bool   // pattern is of an expression, which may fit a part of what is refused
	text    string // as the policy writes it
}

// newGlob compiles a pattern in which "*" stands for any characters but those that end a part of a URL (slash, question mark, hash) or have no place in one and "**"
// for any characters.
func newGlob(s string) (matcher, error) {
	if len(s) > maxPattern {
		return matcher{}, fmt.Errorf("%d bytes, at most %d are allowed; write a shorter one", len(s), maxPattern)
	}
	m := matcher{exact: s, text: s}
	if !strings.Contains(s, "*") {
		return m, nil
	}
	if strings.Contains(s, "***") {
		return matcher{}, fmt.Errorf("%q: three stars mean nothing; write * or **", clip(s))
	}
	var b strings.Builder
	for i, part := range strings.Split(s, "**") {
		if i > 0 {
			b.WriteString(`(?s:.*)`)
		}
		for j, literal := range strings.Split(part, "*") {
			if j > 0 {
				b.WriteString(`[^/?#\\\s[:cntrl:]]*`)
			}
			b.WriteString(regexp.QuoteMeta(literal))
		}
	}
	re, err := anchored(b.String())
	m.pattern = re
	return m, err
}

// newRegExp compiles an expression (RE2), for the whole of a text.
func newRegExp(s string) (matcher, error) {
	if len(s) > maxPattern {
		return matcher{}, fmt.Errorf("%d bytes, at most %d are allowed; write a shorter one", len(s), maxPattern)
	}
	// Compiled alone first: "a)|(b" would break out of the group that anchors it.
	if _, err := image.CompileRegExp(s); err != nil {
		return matcher{}, err
	}
	re, err := anchored(s)
	if err != nil {
		return matcher{}, err
	}
	return matcher{pattern: re, loose: true, text: s}, nil
}

func anchored(s string) (*regexp.Regexp, error) { return regexp.Compile(`\A(?:` + s + `)\z`) }

// matches reports whether the whole of s fits. An empty text never does: what is absent satisfies nothing.
func (m *matcher) matches(s string) bool {
	if s == "" || m.text == "" {
		return false
	}
	return m.exact != "" && s == m.exact || m.pattern != nil && m.pattern.MatchString(s)
}

// unescapedDot finds a dot in an expression that looks like the dot of a host name: between letters or digits, neither escaped nor
// repeated. Such a dot matches any character.
var unescapedDot = regexp.MustCompile(`(^|[^\\])[A-Za-z0-9]\.[A-Za-z0-9]`)

// fitsAnything reports that every text fits a pattern or expression of the policy, as far as a reader sees at once.
func fitsAnything(glob, expression string) bool {
	bare := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(expression, "^"), `\A`), "$"), `\z`)
	return glob != "" && strings.Trim(glob, "*") == "" || bare == ".*" || bare == ".+"
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// fitsPart reports whether an expression fits a part of s. It is to explain a refusal, and not kept compiled for that.
func (m *matcher) fitsPart(s string) bool {
	if !m.loose {
		return false
	}
	re, err := regexp.Compile(m.text)
	return err == nil && re.MatchString(s)
}
