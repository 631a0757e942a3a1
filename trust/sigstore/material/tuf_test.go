package material

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func refresh(t testing.TB, k *Keeper) {
	t.Helper()
	if err := k.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func tufSource(t testing.TB, k *Keeper, r *tufRepo) Source {
	t.Helper()
	s, err := k.TUF(r.source(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wants(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got error %v, want one with %q", err, part)
	}
}

func TestTUF(t *testing.T) {
	repo, w := newTUFRepo(t), newWorld(t)
	first := w.json(t)
	repo.publish(first, now)
	folder := t.TempDir()
	k, clock := keeperAt(t, now, cachedIn(folder))
	source := tufSource(t, k, repo)
	_, err := source.Root(now)
	wants(t, err, "was never fetched; assay trust update")
	if asked := repo.requests(); len(asked) != 0 {
		t.Errorf("asked for %q before anybody wanted that", asked)
	}

	refresh(t, k)
	got := rootOf(t, source, now)
	if string(got.JSON) != string(first) || !got.AsOf.Equal(now) || len(got.Version) != 16 {
		t.Errorf("got version %q as of %v", got.Version, got.AsOf)
	}
	asked := repo.requests()
	if len(asked) != 5 {
		t.Errorf("asked for %q, want root, timestamp, snapshot, targets and the target", asked)
	}

	second := newWorld(t).json(t)
	repo.rotateRoot(metadata.TIMESTAMP)
	repo.publish(second, now.Add(day))
	clock.set(now.Add(day))
	refresh(t, k)
	if after := rootOf(t, source, now); string(after.JSON) != string(second) || after.Version == got.Version {
		t.Error("the new version is not in use")
	}
	if s := source.Status(now.Add(day)); s.Stale || s.Warning != "" || s.Kind != KindTUF || s.Err != nil {
		t.Errorf("got status %+v", s)
	}

	again, _ := keeperAt(t, now.Add(2*day), cachedIn(folder))
	repo.requests()
	if r := rootOf(t, tufSource(t, again, repo), now.Add(2*day)); string(r.JSON) != string(second) || !r.AsOf.Equal(now.Add(day)) {
		t.Errorf("the copy on disk gives version %s as of %s", r.Version, r.AsOf)
	}
	if asked := repo.requests(); len(asked) != 0 {
		t.Errorf("asked for %q although there is a copy", asked)
	}
}

// Material is parsed once for each version, and refreshing the same content changes its age only.
func TestRootIsParsedOnce(t *testing.T) {
	repo := newTUFRepo(t)
	content := newWorld(t).json(t)
	repo.publish(content, now)
	k, clock := keeperAt(t, now)
	source := tufSource(t, k, repo)
	refresh(t, k)
	before := rootOf(t, source, now)
	clock.set(now.Add(day))
	repo.publish(content, now.Add(day))
	refresh(t, k)
	after := rootOf(t, source, now.Add(day))
	if before.TrustedMaterial != after.TrustedMaterial || !after.AsOf.Equal(now.Add(day)) || !before.AsOf.Equal(now) {
		t.Error("the same content was parsed again, or its age is wrong")
	}
}

func TestT28_Rollback(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	older := map[string][]byte{}
	for name, content := range repo.files {
		older[name] = content
	}
	newest := newWorld(t).json(t)
	repo.publish(newest, now.Add(day))
	folder := t.TempDir()
	k, _ := keeperAt(t, now.Add(day), cachedIn(folder))
	refresh(t, func() *Keeper { tufSource(t, k, repo); return k }())

	rollBack := func() {
		for name, content := range older {
			repo.put(name, content)
		}
	}
	rollBack()
	check := func(t *testing.T, k *Keeper) {
		t.Helper()
		source := tufSource(t, k, repo)
		wants(t, k.Refresh(context.Background()), "version")
		if r := rootOf(t, source, now.Add(2*day)); string(r.JSON) != string(newest) {
			t.Error("older material took the place of newer")
		}
	}
	t.Run("in one process", func(t *testing.T) { check(t, k) })
	t.Run("after a restart", func(t *testing.T) {
		k, _ := keeperAt(t, now.Add(2*day), cachedIn(folder))
		check(t, k)
	})
	t.Run("older copy on disk", func(t *testing.T) {
		// Another process that never saw the newer version writes the older one into the same folder.
		other, _ := keeperAt(t, now.Add(2*day))
		source := tufSource(t, other, repo)
		refresh(t, other)
		m := source.(*aged).from
		p := &proved{files: m.seen}
		own := k.all()[0].(*mirror).own
		if err := own.save(p, now.Add(2*day)); err != nil {
			t.Fatal(err)
		}
		again, _ := keeperAt(t, now.Add(2*day), cachedIn(folder))
		if r := rootOf(t, tufSource(t, again, repo), now.Add(2*day)); string(r.JSON) != string(newest) {
			t.Error("an older copy was written over a newer one")
		}
	})
	t.Run("older copy on disk with a younger note", func(t *testing.T) {
		// Somebody puts an old copy, which was proved once, into the folder of a process that knows better.
		past := t.TempDir()
		folder := t.TempDir()
		repo := newTUFRepo(t)
		repo.publish(newWorld(t).json(t), now)
		kept(t, repo, past)
		repo.publish(newest, now.Add(day))
		k, _ := keeperAt(t, now.Add(day), cachedIn(folder))
		source := tufSource(t, k, repo)
		refresh(t, k)
		own := source.(*aged).from.own.path
		old, _ := filepath.Glob(filepath.Join(past, "*", "*.json"))
		for _, name := range old {
			write(t, filepath.Join(own, filepath.Base(name)), read(t, name))
		}
		target := filepath.Join("targets", target)
		write(t, filepath.Join(own, target), read(t, filepath.Join(filepath.Dir(old[0]), target)))
		write(t, own+".json", []byte(`{"lastTimestamp":"2026-09-03T00:00:00Z"}`))
		repo.setFault("", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		wants(t, k.Refresh(context.Background()), "500")
		if r := rootOf(t, source, now.Add(2*day)); string(r.JSON) != string(newest) {
			t.Error("an older copy took the place of what is in use")
		}
	})
	t.Run("root kept back", func(t *testing.T) {
		repo := newTUFRepo(t)
		repo.rotateRoot(metadata.TIMESTAMP)
		repo.publish(newest, now)
		k, _ := keeperAt(t, now)
		source := tufSource(t, k, repo)
		refresh(t, k)
		repo.drop("2.root.json")
		refresh(t, k) // version 2 is known, whatever the mirror says
		if s := source.Status(now); s.LastError != nil {
			t.Error(s.LastError)
		}
	})
}

func TestT28_Freeze(t *testing.T) {
	repo := newTUFRepo(t)
	content := newWorld(t).json(t)
	repo.publish(content, now)
	k, clock := keeperAt(t, now, cachedIn(t.TempDir()))
	source := tufSource(t, k, repo)
	refresh(t, k)
	later := now.Add(8 * day) // the timestamp ended after seven
	clock.set(later)
	wants(t, k.Refresh(context.Background()), "timestamp.json is expired")
	r := rootOf(t, source, later)
	s := source.Status(later)
	if !r.AsOf.Equal(now) || !s.Stale || !strings.Contains(s.Warning, "8 days ago") || !strings.Contains(s.Warning, "expired") || s.LastError == nil {
		t.Errorf("a frozen mirror: got status %+v", s)
	}
	if _, err := source.Root(now.Add(366 * day)); err == nil {
		t.Error("a frozen mirror is used for ever")
	}
}

func TestT28_FrozenAtFirst(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now.Add(-30*day))
	k, _ := keeperAt(t, now)
	source := tufSource(t, k, repo)
	wants(t, k.Prepare(context.Background()), "timestamp.json is expired")
	if _, err := source.Root(now); err == nil {
		t.Error("expired metadata were used")
	}
}

func TestTUFFaults(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		junk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	cut := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("{"))
	}
	var content []byte
	changed := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Replace(content, []byte("1970"), []byte("1971"), 1))
	}
	rows := []struct {
		name  string
		file  string // "target" is the target
		fault http.HandlerFunc
		want  string
	}{
		{"500 for the root", "2.root.json", status(500), "500 Internal Server Error"},
		{"403 for the root", "2.root.json", status(403), "403 Forbidden"},
		{"429 for the timestamp", "timestamp.json", status(429), "429 Too Many"},
		{"no timestamp", "timestamp.json", status(404), "no such file"},
		{"no content", "1.snapshot.json", status(204), "204 No Content"},
		{"endless root", "2.root.json", endless, "more than 1048576 bytes"},
		{"endless timestamp", "timestamp.json", endless, "more than 1048576 bytes"},
		{"endless snapshot", "1.snapshot.json", endless, "bytes"},
		{"endless targets", "1.targets.json", endless, "more than 5242880 bytes"},
		{"endless target", "target", endless, "more than"},
		{"cut snapshot", "1.snapshot.json", cut, "EOF"},
		{"hanging root", "2.root.json", hang, "deadline exceeded"},
		{"hanging target", "target", hang, "deadline exceeded"},
		{"junk timestamp", "timestamp.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, "timestamp.json"},
		{"junk root", "2.root.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("null")) }, "root.json, version 2"},
		{"other target", "target", changed, "hash verification failed"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			repo := newTUFRepo(t)
			content = newWorld(t).json(t)
			repo.publish(content, now)
			name := row.file
			if name == "target" {
				for file := range repo.files {
					if strings.HasPrefix(file, "targets/") {
						name = file
					}
				}
			}
			repo.setFault(name, row.fault)
			folder := t.TempDir()
			k, _ := keeperAt(t, now, cachedIn(folder))
			source := tufSource(t, k, repo)
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			err := k.Prepare(ctx)
			wants(t, err, row.want)
			wants(t, err, repo.server.URL)
			if _, err := source.Root(now); err == nil {
				t.Error("something is used")
			}
			if written, _ := filepath.Glob(filepath.Join(folder, "*", "*")); len(written) > 0 {
				t.Errorf("unproved files were kept: %q", written)
			}
			repo.setFault(name, nil)
			if err := k.Prepare(context.Background()); err != nil {
				t.Errorf("after the fault: %v", err)
			}
			rootOf(t, source, now)
		})
	}
}

func TestTUFForeignKeys(t *testing.T) {
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		t.Run(role, func(t *testing.T) {
			repo := newTUFRepo(t)
			repo.signer[role] = newTUFRepo(t).signer[role]
			if role == metadata.ROOT {
				repo.root.Signed.Version++
				repo.signRoot()
			}
			repo.publish(newWorld(t).json(t), now)
			k, _ := keeperAt(t, now)
			source := tufSource(t, k, repo)
			if err := k.Refresh(context.Background()); err == nil {
				t.Error("metadata of a foreign key were proved")
			}
			if _, err := source.Root(now); err == nil {
				t.Error("metadata of a foreign key are used")
			}
		})
	}
}

func TestTUFContent(t *testing.T) {
	rows := []struct {
		name    string
		content []byte
		want    string
	}{
		{"no target", nil, "has no target trusted_root.json"},
		{"no trusted root", []byte(`{"mediaType":"text/plain"}`), "its mediaType is not"},
		{"empty", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`), "neither an authority nor a log"},
		{"too long", make([]byte, maxTrustedRoot+1), "at most 1048576 are read"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			repo := newTUFRepo(t)
			repo.publish(row.content, now)
			k, _ := keeperAt(t, now)
			source := tufSource(t, k, repo)
			wants(t, k.Refresh(context.Background()), row.want)
			_, err := source.Root(now)
			wants(t, err, row.want)
		})
	}
}
