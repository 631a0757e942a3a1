package spire

import (
	"fmt"
	"slices"
	"strings"

	"github.com/assay-dev/assay/spelling"
)

// Limits of a text about unknown keys.
const (
	maxUnknown    = 50 // keys that are named
	maxUnknownKey = 64 // bytes of a key that are shown
)

// unknownText is what is said about unknown keys: their bare names, then hints. moved has the hints for keys that belong elsewhere.
func unknownText(unknown []unknownKey, moved map[string]string) string {
	var names, hints []string
	for _, key := range unknown {
		names = append(names, shorten(key.name))
		hints = append(hints, key.hint(moved))
	}
	hints = slices.DeleteFunc(sorted(hints), func(hint string) bool { return hint == "" })
	text := "unknown configurations detected: " + strings.Join(sorted(names), ",")
	if len(hints) == 0 {
		return text
	}
	return text + " (" + strings.Join(hints, "; ") + ")"
}

// knownKeys says which keys there are in the blocks below the top that have unknown ones. Those of the top are too many, and on a page.
func knownKeys(unknown []unknownKey) []string {
	var texts []string
	for _, key := range unknown {
		if len(key.within) > 0 && len(key.beside) > 0 {
			texts = append(texts, strings.Join(key.within, ".")+": the keys there are "+strings.Join(sorted(slices.Clone(key.beside)), ", "))
		}
	}
	return texts
}

// sorted returns each text once, and not too many.
func sorted(texts []string) []string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	return texts[:min(len(texts), maxUnknown)]
}

func shorten(key string) string {
	if len(key) <= maxUnknownKey {
		return key
	}
	return strings.ToValidUTF8(key[:maxUnknownKey], "") + "…"
}

// hint says what to write instead of an unknown key, or nothing.
func (k unknownKey) hint(moved map[string]string) string {
	name := strings.ToLower(k.name)
	if hint := moved[name]; hint != "" {
		return hint
	}
	if near := spelling.Nearest(name, k.beside); near != "" {
		return fmt.Sprintf("did you mean %s instead of %s?", near, shorten(k.name))
	}
	return ""
}
