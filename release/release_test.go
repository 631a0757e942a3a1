package release_test

import (
	"testing"

	"github.com/assay-dev/assay/release"
)

func TestNumbers(t *testing.T) {
	for text, want := range map[string]release.Number{
		"29.3.1": {29, 3, 1}, "v2.4.2": {2, 4, 2}, "20.10.24+dfsg1": {20, 10, 24}, "1.7.24~ds1": {1, 7, 24}, "2.1.4-k3s1": {2, 1, 4},
		"2.3.2-rc.1": {2, 3, 1}, "2.4.0-beta.0": {2, 4, -1},
	} {
		if got, err := release.Parse(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "dev", "2.4", "2.4.x", "12345.0.0", "2.4.2 x"} {
		if got, err := release.Parse(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestBefore(t *testing.T) {
	inOrder := []string{"1.7.24", "2.0.0-rc.1", "2.0.0", "2.0.10", "2.1.0", "10.0.0"}
	for i, one := range inOrder {
		for j, other := range inOrder {
			if got, want := release.Must(one).Before(release.Must(other)), i < j; got != want {
				t.Errorf("%s before %s: got %v", one, other, got)
			}
		}
	}
}
