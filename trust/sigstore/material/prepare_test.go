package material

import (
	"context"
	"crypto/elliptic"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What was fetched more than a day ago is fetched again before programs decide; if it cannot be, it stays in use.
func TestPrepareRenews(t *testing.T) {
	repo := newTUFRepo(t)
	repo.timestampFor = 90 * day
	repo.publish(newWorld(t).json(t), now)
	keys := map[string]http.HandlerFunc{"": answerKey("ecdsa-p256", string(publicPEM(t, curveKey(t, elliptic.P256()))))}
	asked := 0
	vault := transit(t, func(w http.ResponseWriter, r *http.Request) { asked++; keys[""](w, r) })
	cache := t.TempDir()
	prepare := func(after int) (repository, keysAsked int, k *Keeper, err error) {
		k, _ = keeperAt(t, now.AddDate(0, 0, after), cachedIn(cache), vaultAt(vault.URL))
		tufSource(t, k, repo)
		if _, err := k.KMS("hashivault://release"); err != nil {
			t.Fatal(err)
		}
		repo.requests()
		asked = 0
		err = k.Prepare(context.Background())
		return len(repo.requests()), asked, k, err
	}
	for _, row := range []struct {
		name  string
		after int // days
		want  bool
	}{{"first use", 0, true}, {"the same day", 0, false}, {"a day later", 1, false}, {"two days later", 2, true}, {"then the same day", 2, false}} {
		t.Run(row.name, func(t *testing.T) {
			r, n, _, err := prepare(row.after)
			if err != nil || (r > 0) != row.want || (n > 0) != row.want {
				t.Errorf("got %d requests for the repository and %d for the key, %v; want any: %v", r, n, err, row.want)
			}
		})
	}
	repo.setFault("", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	keys[""] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	_, _, k, err := prepare(5)
	wants(t, err, "502")
	for _, s := range k.Statuses(now.AddDate(0, 0, 5)) {
		if s.Err != nil || s.Stale || s.Warning != "" || s.LastError == nil {
			t.Errorf("three days old and not to be renewed: got status %+v", s)
		}
	}
	for _, s := range k.Statuses(now.AddDate(0, 0, 12)) {
		if s.Err != nil || !s.Stale || !strings.Contains(s.Warning, "the last attempt: ") {
			t.Errorf("ten days old and not to be renewed: got status %+v", s)
		}
	}
}

// A copy of the public good instance that was fetched is renewed; the one in the program connects to nothing.
func TestPrepareAirGap(t *testing.T) {
	k, _ := keeperAt(t, now, dead(t))
	k.PublicGood(0)
	if err := k.Prepare(context.Background()); err != nil {
		t.Error(err)
	}
	m := k.PublicGood(0).(*aged).from
	h := *m.held.Load()
	h.kind, h.root = KindTUF, h.root.asOf(now.Add(-2*day))
	m.held.Store(&h)
	if !m.due(now) || m.due(now.Add(-day)) {
		t.Error("a copy that was fetched is not renewed after a day")
	}
}

// The next step that people are told is one that fetches what is missing.
func TestNextSteps(t *testing.T) {
	repo := newTUFRepo(t)
	own := Default{Mirror: repo.server.URL, FirstRoot: File{"root.json", repo.first}}
	parts := newWorld(t).given(t)
	parts.RootFile = File{}
	rows := []struct {
		name   string
		given  Default
		source func(k *Keeper) (Source, error)
		want   string
	}{
		{"the installation's", own, func(k *Keeper) (Source, error) { return k.Default(0) }, "; assay trust update fetches it"},
		{"the public one by default", Default{}, func(k *Keeper) (Source, error) { return k.Default(0) }, "; assay trust update fetches it"},
		{"the public one, which is the default", Default{}, func(k *Keeper) (Source, error) { return k.PublicGood(0), nil }, "; assay trust update fetches it"},
		{"the public one beside a default", own, func(k *Keeper) (Source, error) { return k.PublicGood(0), nil }, "; assay trust update --policy FILE fetches it"},
		{"a policy's", Default{}, func(k *Keeper) (Source, error) { return k.TUF(repo.source(), 0) }, "; assay trust update --policy FILE fetches it"},
		{"parts", parts, func(k *Keeper) (Source, error) { return k.Default(0) }, "; nothing is fetched where files give parts"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			at := now.Add(1000 * day)
			k, _ := keeperAt(t, at, cachedIn(t.TempDir()), func(c *Config) { c.Default = row.given })
			source, err := row.source(k)
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.Root(at)
			wants(t, err, row.want)
		})
	}
	k, _ := keeperAt(t, now, vaultAt("http://127.0.0.1:1"))
	key, err := k.KMS("hashivault://release")
	if err != nil {
		t.Fatal(err)
	}
	_, err = key.Key(now)
	wants(t, err, "; assay trust update --key hashivault://release fetches it")
}

// What is fetched is told of by the strictest bound, and with what is in it.
func TestFetched(t *testing.T) {
	repo := newTUFRepo(t)
	repo.timestampFor = 90 * day
	content := newWorld(t).json(t)
	repo.publish(content, now)
	server := transit(t, answerKey("ecdsa-p256", string(publicPEM(t, ecKey(t)))))
	k, _ := keeperAt(t, now, vaultAt(server.URL), cachedIn(filepath.Join(t.TempDir(), "cache")))
	for _, bound := range []int{1000, 3, 20} {
		if _, err := k.TUF(repo.source(), time.Duration(bound)*day); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.KMS("hashivault://release"); err != nil {
		t.Fatal(err)
	}
	refresh(t, k)
	all := k.Fetched()
	if len(all) != 2 {
		t.Fatalf("got %d", len(all))
	}
	if m := all[0].Members(now); len(m) != 1 || m[0].Kind != "key" || m[0].Type != "ECDSA P-256" {
		t.Errorf("got members %+v of the key", m)
	}
	if m := all[1].Members(now); len(m) != len(rootOf(t, all[1].(*aged), now).Members()) || len(m) == 0 {
		t.Errorf("got members %+v of the repository", m)
	}
	if s := all[1].Status(now.Add(4 * day)); s.Err == nil || s.MaxStale != 3*day || len(all[1].Members(now.Add(4*day))) > 0 {
		t.Errorf("got status %+v", s)
	}
}

// Where nobody answers, what can be used as it is keeps no start waiting for as long as a fetch may take.
func TestPrepareDoesNotWaitForRenewals(t *testing.T) {
	repo := newTUFRepo(t)
	repo.timestampFor = 90 * day
	repo.publish(newWorld(t).json(t), now)
	cache := t.TempDir()
	k, _ := keeperAt(t, now, cachedIn(cache))
	tufSource(t, k, repo)
	refresh(t, k)
	later := now.Add(2 * day)
	k, _ = keeperAt(t, later, cachedIn(cache))
	source := tufSource(t, k, repo)
	repo.setFault("", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	began := time.Now()
	if err := k.Prepare(context.Background()); err == nil {
		t.Error("a repository that does not answer was fetched")
	}
	if took := time.Since(began); took > 2*renewWait {
		t.Errorf("waited %v", took)
	}
	rootOf(t, source, later)
}
