package notaryv1

import (
	"context"
	"encoding/pem"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
	"github.com/assay-dev/assay/trust/trusttest"
)

const server = "https://notary.example:4443"

var (
	made  = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	now   = made.Add(24 * time.Hour)
	app   = image.MustParse("registry.example/team/app:1").Pinned(image.SHA256([]byte("app")))
	other = image.SHA256([]byte("other"))
)

// newRepository makes trust data for app in which targets/releases has signed its tag.
func newRepository() *notarytest.Repository { return newRepositoryFor(app) }

func newRepositoryFor(ref image.Ref) *notarytest.Repository {
	r := notarytest.New(ref.Name(), made)
	r.Delegate(notarytest.Releases)
	tag := ref.Tag()
	if tag == "" {
		tag = "1"
	}
	r.Sign(notarytest.Releases, tag, ref.Digest())
	return r
}

// pinned are options that trust a repository's current root.
func pinned(r *notarytest.Repository) Options {
	return Options{Server: server, Root: &RootOptions{Certificates: string(r.Roles[notarytest.Root].Keys[0].Public)}}
}

// world is a server, a clock and what one installation of the format knows.
type world struct {
	*trusttest.Source
	store   Store
	format  trust.Format
	clock   time.Time
	guns    map[string]map[string][]byte
	options Options
}

func newWorld(o Options) *world {
	w := &world{Source: new(trusttest.Source), store: new(Memory), clock: now, options: o, guns: map[string]map[string][]byte{}}
	w.restart()
	return w
}

// restart forgets all that is not in the store.
func (w *world) restart() {
	w.format = New(Config{Store: w.store, Now: func() time.Time { return w.clock }})
}

// serve has the server keep the files of a repository, and nothing else of it.
func (w *world) serve(r *notarytest.Repository) { w.serveFiles(r.GUN, r.Files()) }

func (w *world) serveFiles(gun string, files map[string][]byte) {
	for name := range w.guns[gun] {
		w.PutTrustData(server, gun, name, nil)
	}
	for name, content := range files {
		w.PutTrustData(server, gun, name, content)
	}
	w.guns[gun] = maps.Clone(files)
}

func (w *world) authority(t testing.TB) *authority {
	t.Helper()
	return w.authorityWith(t, w.options)
}

func (w *world) authorityWith(t testing.TB, o Options) *authority {
	t.Helper()
	a, err := w.format.(*format).compile(o, trusttest.Section{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// decide does what the engine does.
func (w *world) decide(t testing.TB, a *authority, ref image.Ref) ([]trust.Proof, error) {
	t.Helper()
	ctx := context.Background()
	ev, err := a.Find(ctx, w, ref)
	if err != nil {
		return nil, err
	}
	proofs, err := a.Check(ref, ev, w.clock)
	if err != nil && !trust.IsNo(err) {
		return nil, err
	}
	if failed := a.Remember(ctx, ref, ev, w.clock); failed != nil {
		return nil, failed
	}
	return proofs, err
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func is(err, target error) bool { return errors.Is(err, target) }
