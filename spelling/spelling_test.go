package spelling

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"images", "imagesRegExp", "require", "deny", "allow"}
	for word, want := range map[string]string{
		"imagess": "images", "IMAGES": "images", "imageRegexp": "imagesRegExp", "requires": "require", "dney": "deny", "deni": "deny", "x": "", "": "",
		"something": "", strings.Repeat("images", 100): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q): got %q, want %q", word, got, want)
		}
	}
}

func TestSlips(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "axc", 1}, {"abc", "ab", 1}, {"kitten", "sitting", 3},
	} {
		if got := Slips(row.a, row.b); got != row.want {
			t.Errorf("%q and %q: got %d, want %d", row.a, row.b, got, row.want)
		}
	}
}
