package policy

import (
	"encoding"
	"testing"
)

func TestWordsAreReadAsTheyAreWritten(t *testing.T) {
	for _, m := range []Mode{Enforce, Warn, Audit} {
		readBack(t, m, new(Mode))
	}
	for _, u := range []Unmatched{DenyUnmatched, IgnoreUnmatched} {
		readBack(t, u, new(Unmatched))
	}
	for _, r := range []DigestRule{PinDigest, KeepDigest, RequireDigest, InsecureReplaceDigest} {
		readBack(t, r, new(DigestRule))
	}
}

func readBack[T interface {
	comparable
	encoding.TextMarshaler
}, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, value T, into P) {
	t.Helper()
	text, err := value.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if err := into.UnmarshalText(text); err != nil || *into != value {
		t.Errorf("%s: got %v (%v), want %v", text, *into, err, value)
	}
}
