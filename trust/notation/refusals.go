package notation

import (
	"fmt"
	"strings"
	"unicode"
)

// maxReasons bounds how many different reasons a message tells.
const maxReasons = 3

// refusals counts what proves nothing, by reason.
type refusals struct {
	total   int
	reasons []reason // in the order in which they were met
}

type reason struct {
	text  string
	item  string // the first that was refused for it
	count int
}

func (r *refusals) add(item string, err error) {
	r.total++
	text := clean(err.Error())
	for i := range r.reasons {
		if r.reasons[i].text == text {
			r.reasons[i].count++
			return
		}
	}
	if len(r.reasons) <= maxReasons {
		r.reasons = append(r.reasons, reason{text: text, item: item, count: 1})
	}
}

// String tells the reasons: "none of 3 signatures counts: …".
func (r *refusals) String() string {
	if r.total == 1 {
		return fmt.Sprintf("signature %s: %s", r.reasons[0].item, r.reasons[0].text)
	}
	var told []string
	for i, one := range r.reasons {
		if i == maxReasons {
			told = append(told, "and more")
			break
		}
		text := one.text
		if one.count > 1 {
			text = fmt.Sprintf("%s (%d of them)", one.text, one.count)
		}
		told = append(told, text)
	}
	return fmt.Sprintf("none of %d signatures counts: %s", r.total, strings.Join(told, "; "))
}

// clean makes foreign text harmless: what is refused may hold line breaks and controls that pass for ours.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
