package material

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// delegate makes a role of targets below targets.json that has the target.
func (r *tufRepo) delegate(name string, content []byte) {
	key := r.signer[metadata.TARGETS]
	r.signer[name] = key
	role := metadata.Targets(now.Add(100 * day))
	if content != nil {
		role.Signed.Targets[target] = r.targetInfo(content)
	}
	r.roles[name] = role
	id := r.root.Signed.Roles[metadata.TARGETS].KeyIDs[0]
	r.extra = func(m *metadata.Metadata[metadata.TargetsType]) {
		m.Signed.Delegations = &metadata.Delegations{
			Keys:  map[string]*metadata.Key{id: r.root.Signed.Keys[id]},
			Roles: []metadata.DelegatedRole{{Name: name, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*"}}},
		}
	}
}

// Names of roles come from signed metadata, and still lead nowhere but into the cache.
func TestT29_Names(t *testing.T) {
	for _, name := range []string{"plain", "../../evil", "/etc/evil", "..", ".", "a/b", `..\evil`} {
		t.Run(name, func(t *testing.T) {
			repo := newTUFRepo(t)
			content := newWorld(t).json(t)
			repo.delegate(name, content)
			repo.publish(nil, now)
			parent := t.TempDir()
			folder := filepath.Join(parent, "a", "b", "cache")
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			k, _ := keeperAt(t, now, cachedIn(folder))
			source := tufSource(t, k, repo)
			refresh(t, k)
			if r := rootOf(t, source, now); string(r.JSON) != string(content) {
				t.Error("other material")
			}
			outside(t, parent, folder)
			again, _ := keeperAt(t, now, cachedIn(folder))
			rootOf(t, tufSource(t, again, repo), now)
		})
	}
}

// outside complains about files in parent that are not in folder.
func outside(t *testing.T, parent, folder string) {
	t.Helper()
	err := filepath.WalkDir(parent, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(path, folder+string(filepath.Separator)) {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A link in the cache does not lead out of it.
func TestT29_Links(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	parent := t.TempDir()
	folder, victim := filepath.Join(parent, "cache"), filepath.Join(parent, "victim")
	if err := os.MkdirAll(victim, 0o700); err != nil {
		t.Fatal(err)
	}
	k, _ := keeperAt(t, now, cachedIn(folder))
	source := tufSource(t, k, repo)
	own := source.(*aged).from.own.path
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(own, "targets")); err != nil {
		t.Fatal(err)
	}
	refresh(t, k)
	if s := source.Status(now); !strings.Contains(s.Warning, "cannot be kept on disk") {
		t.Errorf("got warning %q", s.Warning)
	}
	if found, _ := os.ReadDir(victim); len(found) > 0 {
		t.Errorf("%s was written through a link", found[0].Name())
	}
	rootOf(t, source, now)
}

func TestMirrorURL(t *testing.T) {
	rows := []struct{ url, want string }{
		{"", "is no http or https URL"},
		{"file:///etc", "is no http or https URL"},
		{"ftp://tuf.example", "is no http or https URL"},
		{"https://", "is no http or https URL"},
		{"https://user:secret@tuf.example", "credentials"},
		{"https://tuf.example?x=1", "query"},
		{"https://tuf.example/a/../b", "leaves itself"},
	}
	k, _ := keeperAt(t, now)
	for _, row := range rows {
		t.Run(row.url, func(t *testing.T) {
			_, err := k.TUF(TUF{Mirror: row.url, Root: []byte("{}")}, 0)
			wants(t, err, row.want)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error repeats a password: %v", err)
			}
		})
	}
	for name, content := range map[string]string{"missing": "", "junk": "junk", "no root": `{"signed":{"_type":"timestamp"}}`} {
		t.Run("first root "+name, func(t *testing.T) {
			if _, err := k.TUF(TUF{Mirror: "https://tuf.example", Root: []byte(content)}, 0); err == nil {
				t.Error("got no error")
			}
		})
	}
}

// Two URLs that have one name in cosign's layout do not share a folder.
func TestT29_NamesOfMirrors(t *testing.T) {
	first := newTUFRepo(t).first
	k, _ := keeperAt(t, now, cachedIn(t.TempDir()))
	paths := map[string]bool{}
	for _, url := range []string{"https://a/b", "https://a-b", "http://a-b", "https://A-B", "https://a-b/"} {
		s, err := k.TUF(TUF{Mirror: url, Root: first}, 0)
		if err != nil {
			t.Fatal(err)
		}
		paths[s.(*aged).from.own.path] = true
	}
	if len(paths) != 4 { // the last is the second
		t.Errorf("got %d folders: %v", len(paths), paths)
	}
}

func TestRedirects(t *testing.T) {
	repo := newTUFRepo(t)
	content := newWorld(t).json(t)
	repo.publish(content, now)
	rows := []struct{ name, to, want string }{
		{"to a file", "file:///etc/passwd", "redirect from http to file"},
		{"without end", repo.server.URL + "/timestamp.json", "more than 5 redirects"},
		{"with credentials", "http://user:secret@" + strings.TrimPrefix(repo.server.URL, "http://") + "/x", "redirect to a URL with credentials"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			repo.setFault("timestamp.json", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, row.to, http.StatusFound) })
			k, _ := keeperAt(t, now)
			tufSource(t, k, repo)
			wants(t, k.Refresh(context.Background()), row.want)
		})
	}
}

func TestT48_LinkLocal(t *testing.T) {
	for _, address := range []string{"169.254.169.254:80", "[fe80::1]:80", "[fd00:ec2::254]:80", "[::ffff:169.254.169.254]:80"} {
		if err := refuseLinkLocal(context.Background(), "tcp", address, nil); err == nil {
			t.Errorf("%s is dialled", address)
		}
	}
	if err := refuseLinkLocal(context.Background(), "tcp", "192.0.2.1:443", nil); err != nil {
		t.Error(err)
	}
}
