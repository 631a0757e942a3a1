package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/identity"
)

var (
	names = identity.Names("assay", "assay-system")
	life  = identity.DefaultLifetimes
	start = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
)

func always(*x509.Certificate) bool { return true }
func never(*x509.Certificate) bool  { return false }

// world is a Secret in time, and what its only replica shows.
type world struct {
	t    *testing.T
	now  time.Time
	data map[string][]byte
}

// step does what a replica does once. It fails unless what is shown is valid, and trusted by what stands in the Secret.
func (w *world) step(trusted func(*x509.Certificate) bool) (identity.State, bool) {
	w.t.Helper()
	state, _ := identity.Parse(w.data, names, life, w.now)
	next, changed, err := state.Advance(w.now, trusted)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.data, err = next.Data(); err != nil {
		w.t.Fatal(err)
	}
	again, err := identity.Parse(w.data, names, life, w.now)
	if err != nil {
		w.t.Fatalf("what was written cannot be read: %v", err)
	}
	w.verify(again, again.Server())
	return again, changed
}

// verify has an API server that trusts the Secret's bundle connect to what is shown.
func (w *world) verify(state identity.State, shown *tls.Certificate) {
	w.t.Helper()
	if shown == nil {
		return
	}
	roots := x509.NewCertPool()
	for _, cert := range state.Bundle() {
		roots.AddCert(cert)
	}
	for _, name := range names {
		if _, err := shown.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: w.now}); err != nil {
			w.t.Fatalf("%s: %s: %v", w.now, name, err)
		}
	}
}

func TestFirst(t *testing.T) {
	w := &world{t: t, now: start}
	state, changed := w.step(never)
	if !changed || state.Server() == nil || len(state.Bundle()) != 1 {
		t.Fatalf("got changed %v, server %v, %d authorities", changed, state.Server() != nil, len(state.Bundle()))
	}
	if got := state.Server().Leaf.NotAfter.Sub(start); got != life.Server {
		t.Errorf("what is shown is valid for %v", got)
	}
	if _, changed := w.step(never); changed {
		t.Error("nothing to do, and something was done")
	}
	if string(w.data[identity.ServerCertificate]) == "" || string(w.data[identity.AuthorityKey]) == "" {
		t.Errorf("the Secret has %v", keys(w.data))
	}
}

func keys(data map[string][]byte) []string {
	var all []string
	for key := range maps.Keys(data) {
		all = append(all, key)
	}
	return all
}

// In three years, day by day, what is shown is always valid and trusted, the authority changes, and none is trusted for nothing.
func TestYearsPass(t *testing.T) {
	w := &world{t: t, now: start}
	authorities, servers, most := map[string]bool{}, map[string]bool{}, 0
	for range 3 * 365 {
		state, _ := w.step(always)
		authorities[string(state.Authority().Raw)] = true
		servers[string(state.Server().Leaf.Raw)] = true
		most = max(most, len(state.Bundle()))
		if left := state.Server().Leaf.NotAfter.Sub(w.now); left < 9*24*time.Hour {
			t.Fatalf("%s: what is shown ends in %v", w.now, left)
		}
		w.now = w.now.Add(24 * time.Hour)
	}
	if len(authorities) != 5 || len(servers) < 50 || most != 2 {
		t.Errorf("got %d authorities, %d certificates of servers, at most %d authorities at once", len(authorities), len(servers), most)
	}
}

// The next authority issues nothing before it is trusted, and the old one is trusted until nothing of it can be valid.
func TestAuthorityRotatesWithOverlap(t *testing.T) {
	w := &world{t: t, now: start}
	first, _ := w.step(never)
	for w.now.Before(start.Add(250 * 24 * time.Hour)) {
		w.now = w.now.Add(24 * time.Hour)
		w.step(never)
	}
	for range 3 {
		state, _ := w.step(never)
		if !state.Authority().Equal(first.Authority()) || len(state.Bundle()) != 2 {
			t.Fatalf("not trusted yet: got authority %s of %d", state.Authority().Subject, len(state.Bundle()))
		}
	}
	before, _ := w.step(never)
	last, end := before.Server().Leaf, w.now.Add(life.Server) // it could have issued until now
	state, changed := w.step(always)
	if !changed || state.Authority().Equal(first.Authority()) || state.Server().Leaf.Equal(last) {
		t.Fatal("the next authority is trusted, and does not issue")
	}
	for w.now.Before(last.NotAfter) {
		if state, _ = w.step(always); !identity.Contains(state.Bundle(), first.Authority()) {
			t.Fatalf("%s: the old authority is not trusted any more, and what it issued is valid until %s", w.now, last.NotAfter)
		}
		w.now = w.now.Add(24 * time.Hour)
	}
	w.now = end
	if state, _ = w.step(always); identity.Contains(state.Bundle(), first.Authority()) {
		t.Error("the old authority is trusted for nothing")
	}
}

// Whatever of the Secret is lost or damaged: all is well in the end.
func TestDamageIsRepaired(t *testing.T) {
	other := &world{t: t, now: start}
	other.step(never)
	for _, row := range []struct {
		name   string
		damage func(data map[string][]byte)
		same   bool // the authority stays
	}{
		{"all is lost", func(data map[string][]byte) { clear(data) }, false},
		{"the authority is lost", func(data map[string][]byte) {
			delete(data, identity.AuthorityCertificate)
			delete(data, identity.AuthorityKey)
		}, false},
		{"its key is lost", func(data map[string][]byte) { delete(data, identity.AuthorityKey) }, false},
		{"its key is another's", func(data map[string][]byte) { data[identity.AuthorityKey] = other.data[identity.AuthorityKey] }, false},
		{"it is no PEM", func(data map[string][]byte) { data[identity.AuthorityCertificate] = []byte("x") }, false},
		{"it is endless", func(data map[string][]byte) {
			data[identity.AuthorityCertificate] = []byte(strings.Repeat(string(data[identity.AuthorityCertificate]), 1000))
		}, false},
		{"it is two", func(data map[string][]byte) {
			data[identity.AuthorityCertificate] = append(data[identity.AuthorityCertificate], other.data[identity.AuthorityCertificate]...)
		}, false},
		{"it is no authority", func(data map[string][]byte) {
			data[identity.AuthorityCertificate], data[identity.AuthorityKey] = data[identity.ServerCertificate], data[identity.ServerKey]
		}, false},
		{"what is shown is lost", func(data map[string][]byte) { data[identity.ServerCertificate] = nil }, true},
		{"what is shown is another's", func(data map[string][]byte) {
			data[identity.ServerCertificate], data[identity.ServerKey] = other.data[identity.ServerCertificate], other.data[identity.ServerKey]
		}, true},
		{"both keys are lost", func(data map[string][]byte) {
			delete(data, identity.AuthorityKey)
			delete(data, identity.ServerKey)
		}, false},
		{"what is old is damaged", func(data map[string][]byte) { data[identity.OldCertificates] = []byte("x") }, true},
		{"the next one has no key", func(data map[string][]byte) {
			data[identity.NextCertificate] = other.data[identity.AuthorityCertificate]
		}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := &world{t: t, now: start}
			before, _ := w.step(never)
			w.now = w.now.Add(time.Hour)
			row.damage(w.data)
			w.step(never)
			w.step(never)
			state, _ := w.step(always)
			if _, changed := w.step(always); changed {
				t.Error("there is no end to it")
			}
			if state.Server() == nil || state.Authority().Equal(before.Authority()) != row.same {
				t.Errorf("got a server %v, the same authority %v, want %v", state.Server() != nil, state.Authority().Equal(before.Authority()), row.same)
			}
		})
	}
}

// An authority of which a time is not known is trusted for a while, not for ever.
func TestOldWithoutAnEnd(t *testing.T) {
	other, w := &world{t: t, now: start}, &world{t: t, now: start}
	other.step(never)
	w.step(never)
	w.data[identity.OldCertificates], w.data[identity.OldUntil] = other.data[identity.AuthorityCertificate], []byte("x")
	state, err := identity.Parse(w.data, names, life, w.now)
	if err == nil || len(state.Bundle()) != 2 {
		t.Errorf("got %v and %d authorities", err, len(state.Bundle()))
	}
}

func TestErrorsHaveNoKeys(t *testing.T) {
	w := &world{t: t, now: start}
	w.step(never)
	key := string(w.data[identity.AuthorityKey])
	for name := range w.data {
		data := maps.Clone(w.data)
		data[name] = []byte(strings.ReplaceAll(key, "PRIVATE KEY", "CERTIFICATE"))
		_, err := identity.Parse(data, names, life, w.now)
		if err != nil && strings.Contains(err.Error(), strings.Split(key, "\n")[1][:20]) {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
}

func TestJoin(t *testing.T) {
	a, b := &world{t: t, now: start}, &world{t: t, now: start}
	stateA, _ := a.step(never)
	stateB, _ := b.step(never)
	mine, theirs := stateA.Bundle(), stateB.Bundle()
	if got := identity.Join(mine, append(theirs, mine...), start); len(got) != 2 || !got[0].Equal(mine[0]) {
		t.Errorf("got %d certificates", len(got))
	}
	if got := identity.Join(mine, theirs, start.Add(2*life.Authority)); len(got) != 1 {
		t.Errorf("what has expired is kept: %d certificates", len(got))
	}
	if got := identity.Join(mine, nil, start); len(got) != 1 {
		t.Errorf("got %d certificates", len(got))
	}
}
