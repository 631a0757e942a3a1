package atomicfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/assay-dev/assay/atomicfile"
)

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "state.json")
	for _, content := range []string{"one", "", "a longer one"} {
		if err := atomicfile.Write(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != content {
			t.Errorf("got %q, %v", got, err)
		}
	}
	info, err := os.Stat(name)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	left(t, folder, 1)
}

// Only what is whole is seen in the file's own folder.
func TestWriteMode(t *testing.T) {
	folder, scratch := t.TempDir(), t.TempDir()
	name := filepath.Join(folder, "program")
	for _, content := range []string{"one", "two"} {
		if err := atomicfile.WriteMode(name, []byte(content), 0o755, scratch); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		got, _ := os.ReadFile(name)
		if err != nil || string(got) != content || runtime.GOOS != "windows" && info.Mode().Perm() != 0o755 {
			t.Errorf("got %q, %v, %v", got, info, err)
		}
	}
	left(t, folder, 1)
	left(t, scratch, 0)
	if err := atomicfile.WriteMode(filepath.Join(folder, "none", "program"), nil, 0o755, scratch); err == nil {
		t.Error("a folder that is not there")
	}
	left(t, scratch, 0)
}

// What cannot be written leaves what was there, and nothing beside it.
func TestWriteFails(t *testing.T) {
	folder := t.TempDir()
	if err := atomicfile.Write(filepath.Join(folder, "none", "state.json"), nil); err == nil {
		t.Error("a folder that is not there")
	}
	taken := filepath.Join(folder, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(taken, []byte("x")); err == nil {
		t.Error("in the place of a folder")
	}
	left(t, folder, 1)
}

// Nobody ever reads half of it.
func TestReadersSeeTheWhole(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "state")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<17)}
	if err := atomicfile.Write(name, contents[0]); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, content := range contents {
		group.Go(func() {
			for range 20 {
				if err := atomicfile.Write(name, content); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		got, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	group.Wait()
	left(t, folder, 1)
}

// left checks how many files are in a folder.
func left(t *testing.T, folder string, want int) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != want {
		t.Errorf("got %v, %v", entries, err)
	}
}
