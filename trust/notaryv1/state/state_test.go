package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/trust/notaryv1"
)

var key = notaryv1.Key{Server: "https://notary.example", GUN: "registry.example/app", Anchor: "a"}

func full() notaryv1.State {
	return notaryv1.State{
		Key: key, Floors: map[string]notaryv1.Floors{"root": {{Version: 3}}, "targets": {{Version: 7, Signers: "s"}, {Version: 9, Signers: "t"}}},
		Seen: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), Roots: [][]byte{[]byte("r")}, Files: map[string][]byte{"targets": []byte("t")},
	}
}

func set(s notaryv1.State) func(notaryv1.State) (notaryv1.State, error) {
	return func(notaryv1.State) (notaryv1.State, error) { return s, nil }
}

func TestWhatIsKeptOutlivesTheProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	f := Open(folder)
	if s, err := f.Load(t.Context(), key); err != nil || s.Server != "" {
		t.Fatalf("at first: %v, %v", s, err)
	}
	if err := f.Update(t.Context(), key, set(full())); err != nil {
		t.Fatal(err)
	}
	got, err := Open(folder).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got); diff != "" {
		t.Error(diff)
	}
	for _, other := range []notaryv1.Key{{Server: key.Server, GUN: key.GUN, Anchor: "b"}, {Server: "https://other", GUN: key.GUN, Anchor: "a"}, {Server: key.Server, GUN: "x", Anchor: "a"}} {
		if s, err := f.Load(t.Context(), other); err != nil || s.Server != "" {
			t.Errorf("%v is known: %v, %v", other, s, err)
		}
	}
	sibling := notaryv1.Key{Server: key.Server, GUN: key.GUN, Anchor: "b"}
	if all, err := f.Others(t.Context(), sibling); err != nil || len(all) != 1 || all[0].Key != key {
		t.Errorf("Others = %v, %v", all, err)
	}
	for _, stranger := range []notaryv1.Key{key, {Server: key.Server, GUN: "registry.example/ap", Anchor: "b"}} {
		if all, err := f.Others(t.Context(), stranger); err != nil || len(all) != 0 {
			t.Errorf("Others of %v = %v, %v", stranger, all, err)
		}
	}
	info, err := os.Stat(folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open to others: %v %v", info.Mode(), err)
	}
	if all, err := f.List(); err != nil || len(all) != 1 || all[0].Key != key {
		t.Errorf("List = %v, %v", all, err)
	}
	if err := f.Forget(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if all, err := f.List(); err != nil || len(all) != 0 {
		t.Errorf("after Forget, List = %v, %v", all, err)
	}
}

// T29: whatever a repository is called, files stay inside the folder.
func TestT29_NamesNeverLeaveTheFolder(t *testing.T) {
	root := t.TempDir()
	f := Open(filepath.Join(root, "state"))
	for i, gun := range []string{"../../evil", "/etc/passwd", "a/../../b", strings.Repeat("x", 5000), "a\x00b", "C:\\x"} {
		k := notaryv1.Key{Server: "https://../x", GUN: gun, Anchor: "../a"}
		if err := f.Update(t.Context(), k, set(full())); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the folder: %v, %v", entries, err)
	}
}

// T28: what cannot be read is never taken for "nothing was seen".
func TestT28_BrokenFilesAreErrors(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "cut": `{"Server":"https://notary.example","GUN":"registry.ex`, "null": "null", "an empty object": "{}", "a list": "[]",
		"another repository": `{"Server":"https://notary.example","GUN":"registry.example/other","Anchor":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := Open(t.TempDir())
			if err := os.WriteFile(f.file(key), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := f.Load(t.Context(), key); err == nil {
				t.Errorf("Load = %v, want an error", s)
			} else if !strings.Contains(err.Error(), f.file(key)) {
				t.Errorf("%v does not name the file", err)
			}
			if err := f.Update(t.Context(), key, set(full())); err == nil {
				t.Error("Update replaced it")
			}
			if name != "another repository" {
				if _, err := f.List(); err == nil {
					t.Error("List left it out")
				}
			}
		})
	}
}

func TestAFailedChangeWritesNothing(t *testing.T) {
	f := Open(t.TempDir())
	if err := f.Update(t.Context(), key, set(full())); err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("rollback")
	if err := f.Update(t.Context(), key, func(notaryv1.State) (notaryv1.State, error) { return notaryv1.State{}, wrong }); !errors.Is(err, wrong) {
		t.Errorf("error = %v", err)
	}
	if s, err := f.Load(t.Context(), key); err != nil || cmp.Diff(full(), s) != "" {
		t.Errorf("Load = %v, %v", s, err)
	}
}

// CSE-38: many writers, of several processes, leave every update in the file.
func TestCSE38_ConcurrentUpdates(t *testing.T) {
	folder := t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		f := Open(folder)
		for range 25 {
			wg.Go(func() {
				err := f.Update(context.Background(), key, func(s notaryv1.State) (notaryv1.State, error) {
					s.Floors = map[string]notaryv1.Floors{"root": {{Version: version(s) + 1}}}
					return s, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	s, err := Open(folder).Load(t.Context(), key)
	if err != nil || version(s) != 100 {
		t.Errorf("version %d, %v, want 100", version(s), err)
	}
	left, err := filepath.Glob(filepath.Join(folder, "*.new*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func version(s notaryv1.State) int {
	if len(s.Floors["root"]) == 0 {
		return 0
	}
	return s.Floors["root"][0].Version
}

func TestUpdateGivesUpWaiting(t *testing.T) {
	f := Open(t.TempDir())
	release, err := f.lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := f.Update(ctx, key, set(full())); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Open(file).Update(t.Context(), key, set(full())); err == nil {
		t.Error("no error")
	}
}

func BenchmarkLoad(b *testing.B) {
	f := Open(b.TempDir())
	s := full()
	for i := range 6 {
		s.Files[fmt.Sprint(i)] = make([]byte, 2000)
	}
	if err := f.Update(b.Context(), key, set(s)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := f.Load(b.Context(), key); err != nil {
			b.Fatal(err)
		}
	}
}
