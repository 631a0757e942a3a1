package sigstore

import (
	"context"
	"crypto/elliptic"
	"errors"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// brittle is a source that panics.
type brittle struct{ *trusttest.Source }

func (brittle) Manifest(context.Context, image.Ref) (trust.Manifest, error) { panic("hostile manifest") }

// A panic while evidence is looked for side by side is that of whoever looks, whose guard makes a bug of it.
func TestPLUGIN10_PanicsOfASearchAreTheCallers(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyed(bare(ecKey(elliptic.P256()))))
	defer func() {
		if got := recover(); got != "hostile manifest" {
			t.Errorf("got %v", got)
		}
	}()
	_, err := a.Search(t.Context(), brittle{new(trusttest.Source)}, app, func(trust.Evidence) bool { return false })
	t.Errorf("no panic, and %v", err)
}

// The others end with a panic, and an error is the first one.
func TestSideBySide(t *testing.T) {
	fault := errors.New("fault")
	group, ctx := newSideBySide(t.Context())
	group.Go(func() error { <-ctx.Done(); return ctx.Err() })
	group.Go(func() error { return fault })
	if err := group.Wait(); !errors.Is(err, fault) {
		t.Errorf("got %v", err)
	}
	group, ctx = newSideBySide(t.Context())
	group.Go(func() error { <-ctx.Done(); return ctx.Err() })
	group.Go(func() error { panic("bug") })
	defer func() {
		if got := recover(); got != "bug" {
			t.Errorf("got %v", got)
		}
	}()
	t.Errorf("no panic, and %v", group.Wait())
}
