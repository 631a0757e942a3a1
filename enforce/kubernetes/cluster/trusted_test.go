package cluster

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/identity"
)

// authorityOf is the authority of an own identity that has nothing to do with the world of the test.
func authorityOf(t *testing.T) []*x509.Certificate {
	t.Helper()
	f := newWorld(t)
	r := f.add()
	f.until("it is ready", 0, f.ready)
	certs, err := identity.ParseBundle(f.api.trusts(mutating, 0)[0])
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	return certs
}

// trusts runs a Trusted beside the replicas of a fleet until the test ends.
func (f *fleet) trusts(bundle []*x509.Certificate) {
	f.t.Helper()
	trusted, err := f.api.cluster(slog.New(slog.NewJSONHandler(f.log, nil))).Trusted("assay", func() []*x509.Certificate { return bundle }, f.time)
	if err != nil {
		f.t.Fatal(err)
	}
	trusted.every = 2 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); trusted.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-ended })
}

// Replicas with a certificate that is given take over from such with an own one, one after another: meanwhile both are trusted, and the two
// do not undo each other's work.
func TestTrustedBesideIdentity(t *testing.T) {
	given := authorityOf(t)
	f := newWorld(t)
	r := f.add()
	f.until("it is ready", 0, f.ready)
	f.trusts(given)
	both := func() bool {
		for _, text := range append(f.api.trusts(mutating, 0), f.api.trusts(validating, 0)...) {
			if certs, err := identity.ParseBundle(text); err != nil || len(certs) != 2 || !identity.Contains(certs, given[0]) {
				return false
			}
		}
		return true
	}
	f.until("both are trusted", time.Second, both)
	before, until := f.api.Count(http.MethodPatch, mutating), f.time().Add(30*time.Second)
	f.until("time passes", time.Second, func() bool { return f.time().After(until) })
	if got := f.api.Count(http.MethodPatch, mutating) - before; got != 0 || !both() {
		t.Errorf("written %d times while nothing changed, both trusted: %v", got, both())
	}
	r.stop()
	f.replicas = nil
	f.until("only what is given is trusted", 10*time.Second, func() bool {
		certs, err := identity.ParseBundle(f.api.trusts(mutating, 0)[0])
		return err == nil && len(certs) == 1 && certs[0].Equal(given[0])
	})
}

// A missing right is told once.
func TestTrustedWithoutRights(t *testing.T) {
	given := authorityOf(t)
	f := newWorld(t)
	f.api.forbid(http.MethodPatch)
	f.trusts(given)
	f.until("it is told", time.Second, func() bool { return strings.Contains(f.log.String(), "the webhook's authority is not trusted") })
	until := f.time().Add(10 * time.Second)
	f.until("time passes", time.Second, func() bool { return f.time().After(until) })
	if got := strings.Count(f.log.String(), "is not trusted"); got != 1 {
		t.Errorf("it was told %d times", got)
	}
}
