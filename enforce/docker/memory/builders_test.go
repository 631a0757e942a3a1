package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/docker/memory"
	"github.com/assay-dev/assay/image"
)

// yard is a folder with a memory of builders in it.
type yard struct {
	*testing.T
	folder string
	now    time.Time
	log    bytes.Buffer
	*memory.Builders
}

func newYard(t *testing.T) *yard {
	y := &yard{T: t, folder: filepath.Join(t.TempDir(), "docker"), now: start}
	y.restart()
	return y
}

func (y *yard) restart() {
	y.log.Reset()
	y.Builders = memory.OpenBuilders(y.folder, memory.Options{Now: func() time.Time { return y.now }, Log: slog.New(slog.NewTextHandler(&y.log, nil))})
}

func (y *yard) file() string { return filepath.Join(y.folder, "built.json") }

func (y *yard) built(user string, names ...string) {
	y.Helper()
	var ids []image.Digest
	for _, n := range names {
		ids = append(ids, image.SHA256([]byte(n)))
	}
	if err := y.Built(context.Background(), user, ids...); err != nil {
		y.Fatal(err)
	}
}

func (y *yard) want(what, name, user string) {
	y.Helper()
	if got := y.Builder(image.SHA256([]byte(name))); got != user {
		y.Errorf("%s: got %q, want %q", what, got, user)
	}
}

func TestT50_LocalBuildersOutliveTheProcess(t *testing.T) {
	y := newYard(t)
	y.want("nothing yet", "a", "")
	y.built("ci-1", "a", "b")
	y.built("ci-2", "c")
	for range 2 {
		y.want("a", "a", "ci-1")
		y.want("b", "b", "ci-1")
		y.want("c", "c", "ci-2")
		y.want("another", "d", "")
		y.restart()
	}
	y.built("eve", "a")
	y.want("built again", "a", "eve")
	if y.log.Len() > 0 {
		t.Errorf("got %s", y.log.String())
	}
	if y.Built(context.Background(), "", image.SHA256(nil)) == nil || y.Built(context.Background(), "x", image.Digest{}) == nil || y.Built(context.Background(), strings.Repeat("x", 2000), image.SHA256(nil)) == nil {
		t.Error("nobody, nothing or too much is kept")
	}
	info, err := os.Stat(y.file())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestT50_LocalBuildersOfSeveralProcesses(t *testing.T) {
	y := newYard(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			b := memory.OpenBuilders(y.folder, memory.Options{})
			if err := b.Built(context.Background(), fmt.Sprint("ci-", i), image.SHA256(fmt.Append(nil, i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	y.restart()
	for i := range 8 {
		y.want("each", fmt.Sprint(i), fmt.Sprint("ci-", i))
	}
}

// A file that is not as it was written, or that somebody else could have written, knows nobody.
func TestT50_LocalBuildersInAFileThatCannotBeUsed(t *testing.T) {
	y := newYard(t)
	y.built("ci-1", "a")
	good, err := os.ReadFile(y.file())
	if err != nil {
		t.Fatal(err)
	}
	entry := string(good[bytes.IndexByte(good, '[')+1 : bytes.LastIndexByte(good, ']')])
	for name, content := range map[string]string{
		"cut":           string(good[:len(good)-2]),
		"more behind":   string(good) + "{}",
		"a new member":  strings.Replace(string(good), `{"version"`, `{"more":1,"version"`, 1),
		"a new version": strings.Replace(string(good), `"version":1`, `"version":2`, 1),
		"twice":         strings.Replace(string(good), entry, entry+","+entry, 1),
		"nobody":        strings.Replace(string(good), "ci-1", "", 1),
		"no image":      strings.Replace(string(good), image.SHA256([]byte("a")).String(), "", 1),
		"no time":       strings.Replace(string(good), start.Format(time.RFC3339), "0001-01-01T00:00:00Z", 1),
		"empty":         "",
	} {
		if content == string(good) {
			t.Fatalf("%s: nothing is changed", name)
		}
		if err := os.WriteFile(y.file(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		y.restart()
		y.want(name, "a", "")
		if !strings.Contains(y.log.String(), "is not remembered") {
			t.Errorf("%s: got %q", name, y.log.String())
		}
	}
	if err := os.WriteFile(y.file(), good, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(y.file(), 0o666); err != nil {
		t.Fatal(err)
	}
	y.restart()
	y.want("others may write to it", "a", "")
	y.built("ci-2", "b") // makes it anew
	y.restart()
	y.want("made anew", "b", "ci-2")
	y.want("made anew, without what it had", "a", "")
}

func TestT47_BuildersAreBounded(t *testing.T) {
	y := newYard(t)
	y.built("ci-old", "first")
	y.now = y.now.Add(time.Minute)
	var names []string
	for i := range memory.MaxBuilt {
		names = append(names, fmt.Sprint(i))
	}
	y.built("ci-new", names...)
	y.restart()
	y.want("the oldest", "first", "")
	y.want("the others", "0", "ci-new")
}

// What cannot be written is not known: after a restart nobody would know it either.
func TestT50_LocalBuildersThatCannotBeKept(t *testing.T) {
	y := newYard(t)
	y.built("ci-1", "a")
	if err := os.Mkdir(y.file()+".lock.d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(y.file() + ".lock"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(y.file()+".lock.d", y.file()+".lock"); err != nil {
		t.Fatal(err)
	}
	if err := y.Built(context.Background(), "eve", image.SHA256([]byte("a"))); err == nil {
		t.Error("no error")
	}
	y.want("somebody else built it since", "a", "")
}
