package trust_test

import (
	"errors"
	"testing"

	"github.com/assay-dev/assay/trust"
)

// Many refusals make one message, which tells each reason once, of three at most, and no foreign line.
func TestRefusals(t *testing.T) {
	for want, reasons := range map[string][]string{
		"signature a: late": {"late"},
		"none of 3 signatures counts: late (2 of them); odd\uFFFDallowed": {"late", "late", "odd\nallowed"},
		"none of 5 signatures counts: 1; 2; 3; and more":                  {"1", "2", "3", "4", "5"},
	} {
		var r trust.Refusals
		for _, reason := range reasons {
			r.Add("a", errors.New(reason))
		}
		if got := r.Text("signature"); got != want || r.Total() != len(reasons) {
			t.Errorf("got %q of %d, want %q", got, r.Total(), want)
		}
	}
}
