package material

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// kept fetches a repository into a folder and returns the folder of its copy.
func kept(t testing.TB, repo *tufRepo, cache string) string {
	t.Helper()
	k, _ := keeperAt(t, now, cachedIn(cache))
	source := tufSource(t, k, repo)
	refresh(t, k)
	return source.(*aged).from.own.path
}

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A copy on disk that was tampered with is refused, whatever was changed, and fetched anew.
func TestT28_TamperedCopy(t *testing.T) {
	foreign := newTUFRepo(t)
	foreign.publish(newWorld(t).json(t), now)
	foreignFolder := kept(t, foreign, t.TempDir())
	rows := []struct {
		name, file string
		content    func(old []byte) []byte
	}{
		{"another target", "targets/" + target, func([]byte) []byte { return newWorld(t).json(t) }},
		{"a longer target", "targets/" + target, func(old []byte) []byte { return append(old, ' ') }},
		{"an endless target", "targets/" + target, func([]byte) []byte { return make([]byte, maxTrustedRoot+1) }},
		{"targets of a stranger", "targets.json", func([]byte) []byte { return read(t, filepath.Join(foreignFolder, "targets.json")) }},
		{"snapshot of a stranger", "snapshot.json", func([]byte) []byte { return read(t, filepath.Join(foreignFolder, "snapshot.json")) }},
		{"timestamp of a stranger", "timestamp.json", func([]byte) []byte { return read(t, filepath.Join(foreignFolder, "timestamp.json")) }},
		{"timestamp that ends later", "timestamp.json", func(old []byte) []byte {
			return bytes.Replace(old, []byte(`"expires":"2026`), []byte(`"expires":"2036`), 1)
		}},
		{"root of a stranger", rootHistory + "/2.root.json", func([]byte) []byte { return foreign.first }},
		{"junk", "snapshot.json", func([]byte) []byte { return []byte("junk") }},
		{"an empty file", "timestamp.json", func([]byte) []byte { return nil }},
		{"an endless file", "timestamp.json", func([]byte) []byte { return make([]byte, maxTimestamp+1) }},
		{"a note that is junk", "../NOTE", func([]byte) []byte { return []byte("junk") }},
		{"a note of tomorrow and a day", "../NOTE", func([]byte) []byte { return []byte(`{"lastTimestamp":"2026-09-03T12:00:01Z"}`) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			repo := newTUFRepo(t)
			repo.rotateRoot(metadata.SNAPSHOT)
			content := newWorld(t).json(t)
			repo.publish(content, now)
			cache := t.TempDir()
			folder := kept(t, repo, cache)
			name := filepath.Join(folder, filepath.FromSlash(row.file))
			if row.file == "../NOTE" {
				name = folder + ".json"
			}
			write(t, name, row.content(read(t, name)))
			k, _ := keeperAt(t, now, cachedIn(cache))
			source := tufSource(t, k, repo)
			_, err := source.Root(now)
			wants(t, err, folder)
			wants(t, err, "assay trust update --policy FILE fetches it")
			if s := source.Status(now); s.Err == nil || s.Warning == "" {
				t.Errorf("got status %+v", s)
			}
			refresh(t, k)
			if r := rootOf(t, source, now); string(r.JSON) != string(content) {
				t.Error("other material")
			}
			again, _ := keeperAt(t, now, cachedIn(cache))
			rootOf(t, tufSource(t, again, repo), now)
		})
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The age of a copy is what its note says, but never less than its signed timestamp allows.
func TestAgeOfCopy(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	cache := t.TempDir()
	folder := kept(t, repo, cache)
	end := now.Add(7 * day)
	rows := []struct {
		name string
		note string // empty: none
		want time.Time
	}{
		{"as noted", `{"lastTimestamp":"2026-09-02T00:00:00Z"}`, now.Add(12 * time.Hour)},
		{"after the timestamp ended", `{"lastTimestamp":"2026-10-01T00:00:00Z"}`, end},
		{"no note, copied later", "", end},
		{"empty note, copied later", "{}", end},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if err := os.Remove(folder + ".json"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if row.note != "" {
				write(t, folder+".json", []byte(row.note))
			}
			if err := os.Chtimes(filepath.Join(folder, "timestamp.json"), now.Add(20*day), now.Add(20*day)); err != nil {
				t.Fatal(err)
			}
			k, _ := keeperAt(t, now.Add(60*day), cachedIn(cache))
			if r := rootOf(t, tufSource(t, k, repo), now.Add(60*day)); !r.AsOf.Equal(row.want) {
				t.Errorf("got %v, want %v", r.AsOf, row.want)
			}
		})
	}
}

func TestAges(t *testing.T) {
	repo := newTUFRepo(t)
	repo.timestampFor = 30 * day
	repo.publish(newWorld(t).json(t), now)
	k, _ := keeperAt(t, now)
	source, err := k.TUF(repo.source(), 20*day)
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, k)
	rows := []struct {
		name  string
		after time.Duration
		stale bool
		want  string // of the error; empty: none
	}{
		{"at once", 0, false, ""},
		{"after a week", 7 * day, false, ""},
		{"after more than a week", 7*day + 1, true, ""},
		{"at the end", 20 * day, true, ""},
		{"after the end", 20*day + 1, true, "last proved to be current 20 days ago, at most 20 days are allowed; assay trust update --policy FILE fetches it"},
		{"clock a day behind", -day, false, ""},
		{"clock set back", -day - 1, false, "the clock says 2026-08-31T11:59:59Z; set the clock"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			at := now.Add(row.after)
			_, err := source.Root(at)
			s := source.Status(at)
			if row.want == "" {
				if err != nil || s.Err != nil {
					t.Errorf("got %v", err)
				}
			} else {
				wants(t, err, row.want)
				wants(t, s.Err, repo.server.URL)
			}
			if s.Stale != row.stale || (s.Warning != "") != (row.stale || row.want != "") || s.Age != row.after || s.MaxStale != 20*day {
				t.Errorf("got status %+v", s)
			}
		})
	}
}

// What cosign wrote is read, and what is written has cosign's layout.
func TestLayoutOfCosign(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	cache := t.TempDir()
	k, _ := keeperAt(t, now, cachedIn(cache))
	if _, err := k.Init(context.Background(), repo.source()); err != nil {
		t.Fatal(err)
	}
	var remote map[string]string
	if err := json.Unmarshal(read(t, filepath.Join(cache, "remote.json")), &remote); err != nil || remote["mirror"] != repo.server.URL {
		t.Errorf("got remote.json %v, %v", remote, err)
	}
	host := strings.ReplaceAll(strings.TrimPrefix(repo.server.URL, "http://"), ":", "-")
	var got []string
	_ = filepath.WalkDir(cache, func(path string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			rel, _ := filepath.Rel(cache, path)
			got = append(got, strings.ReplaceAll(rel, host, "HOST"))
		}
		return nil
	})
	want := []string{
		"HOST/root.json", "HOST/snapshot.json", "HOST/targets/trusted_root.json", "HOST/targets.json", "HOST/timestamp.json",
		"HOST.json", "HOST.lock", "remote.json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Several processes write the same folder, and whoever reads it meanwhile finds a whole copy.
func TestSharedCache(t *testing.T) {
	repo := newTUFRepo(t)
	contents := [][]byte{newWorld(t).json(t), newWorld(t).json(t)}
	repo.publish(contents[0], now)
	cache := t.TempDir()
	kept(t, repo, cache)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			k, _ := keeperAt(t, now, cachedIn(cache))
			_, _ = k.TUF(repo.source(), 0)
			for range 10 {
				_ = k.Refresh(context.Background())
			}
		})
	}
	group.Go(func() {
		for i := range 10 {
			repo.publish(contents[i%2], now)
		}
	})
	for range 20 {
		k, _ := keeperAt(t, now, cachedIn(cache))
		source, err := k.TUF(repo.source(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Root(now); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	refresh(t, func() *Keeper { k, _ := keeperAt(t, now, cachedIn(cache)); tufSource(t, k, repo); return k }())
}

// A folder that cannot be written is a warning.
func TestReadOnlyCache(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	cache := filepath.Join(t.TempDir(), "file")
	write(t, cache, []byte("no folder"))
	k, _ := keeperAt(t, now, cachedIn(cache))
	source := tufSource(t, k, repo)
	refresh(t, k)
	rootOf(t, source, now)
	if s := source.Status(now); !strings.Contains(s.Warning, "cannot be kept on disk") || s.Unsaved == nil {
		t.Errorf("got status %+v", s)
	}
}
