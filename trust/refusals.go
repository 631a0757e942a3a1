package trust

import (
	"fmt"
	"strings"
	"unicode"
)

// maxReasons bounds how many different reasons a message tells.
const maxReasons = 3

// Refusals counts pieces of evidence that prove nothing, by reason, for one message about all of them. The zero value is of none.
type Refusals struct {
	total   int
	reasons []reason // in the order in which they were met
}

type reason struct {
	text  string
	item  string // the first that was refused for it
	count int
}

// Add counts a piece that was refused; item names it. The error's text is made harmless.
func (r *Refusals) Add(item string, err error) {
	r.total++
	text := Plain(err.Error())
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

// Total returns how many were refused.
func (r *Refusals) Total() int { return r.total }

// Text tells the reasons, of which there must be one: "none of 3 signatures counts: …", where what is "signature".
func (r *Refusals) Text(what string) string {
	if r.total == 1 {
		return fmt.Sprintf("%s %s: %s", what, r.reasons[0].item, r.reasons[0].text)
	}
	var told []string
	for i, one := range r.reasons {
		if i == maxReasons {
			told = append(told, "and more")
			break
		}
		if one.count > 1 {
			told = append(told, fmt.Sprintf("%s (%d of them)", one.text, one.count))
			continue
		}
		told = append(told, one.text)
	}
	return fmt.Sprintf("none of %d %ss counts: %s", r.total, what, strings.Join(told, "; "))
}

// Plain makes foreign text harmless: what is refused may hold line breaks and controls that pass for ours.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
