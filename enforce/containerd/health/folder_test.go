//go:build unix

package health

import (
	"os"
	"path/filepath"
	"testing"
)

// installation is a folder of verifiers as it should be, and the verifier that was installed.
type installation struct {
	Folder
	t *testing.T
}

func installed(t *testing.T) *installation {
	t.Helper()
	// The folder of the tests is somebody's own, below one that is everybody's.
	root := t.TempDir()
	i := &installation{Folder: Folder{Path: filepath.Join(root, "verifiers"), Verifier: filepath.Join(root, "assay-containerd-verifier"), Max: 1, Owner: uint32(os.Getuid())}, t: t}
	for up := root; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		i.check(os.Chmod(up, 0o755))
	}
	i.check(os.Mkdir(i.Path, 0o755))
	i.put(i.Verifier, "the verifier", 0o755)
	i.put(i.file(""), "the verifier", 0o755)
	return i
}

func (i *installation) check(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// file is a file in the folder; "": the verifier's.
func (i *installation) file(name string) string {
	if name == "" {
		name = filepath.Base(i.Verifier)
	}
	return filepath.Join(i.Path, name)
}

func (i *installation) put(path, text string, mode os.FileMode) {
	i.t.Helper()
	i.check(os.WriteFile(path, []byte(text), mode))
	i.check(os.Chmod(path, mode))
}

func TestT51_Folder(t *testing.T) {
	for _, row := range []struct {
		name  string
		do    func(*installation)
		about string
		state State
		words []string
		worst State
	}{
		{name: "as it should be", do: func(*installation) {}, about: "verifier", state: Fine, words: []string{"is the one that was installed"}, worst: Fine},
		{name: "unlimited", do: func(i *installation) { i.Max = -1 }, about: "folder", state: Fine, worst: Fine},
		{name: "no folder", do: func(i *installation) { i.check(os.RemoveAll(i.Path)) }, about: "folder", state: Wrong, words: []string{"does not exist", "allows every image"}, worst: Wrong},
		{name: "an empty folder", do: func(i *installation) { i.check(os.Remove(i.file(""))) }, about: "folder", state: Wrong, words: []string{"is empty", "allows every image"}, worst: Wrong},
		{name: "a file in its place", do: func(i *installation) { i.check(os.RemoveAll(i.Path)); i.put(i.Path, "", 0o755) }, about: "folder", state: Unknown, worst: Unknown},
		{name: "others alone", do: func(i *installation) { i.check(os.Rename(i.file(""), i.file("other"))) }, about: "verifier", state: Wrong, words: []string{"is not in"}, worst: Wrong},
		{name: "none is asked", do: func(i *installation) { i.Max = 0 }, about: "max_verifiers", state: Wrong, words: []string{"asks nobody"}, worst: Wrong},
		{name: "too many verifiers, and Assay's is not asked", do: func(i *installation) { i.put(i.file("aaa"), "", 0o755) }, about: "verifier", state: Wrong, words: []string{"is not asked"}, worst: Wrong},
		{name: "too many verifiers, and Assay's is asked", do: func(i *installation) { i.put(i.file("zzz"), "", 0o755) }, about: "max_verifiers", state: Wrong, words: []string{"2 files"}, worst: Wrong},
		{name: "another one that is asked", do: func(i *installation) { i.Max = 2; i.put(i.file("zzz"), "", 0o755) }, about: "verifier", state: Doubtful, words: []string{"zzz", "all must allow"}, worst: Doubtful},
		{name: "a note that makes pulls fail", do: func(i *installation) { i.Max = 2; i.put(i.file("README"), "", 0o644) }, about: "verifier", state: Doubtful, words: []string{"README", "every pull fails"}, worst: Doubtful},
		{name: "a folder that makes pulls fail", do: func(i *installation) { i.Max = 2; i.check(os.Mkdir(i.file("old"), 0o755)) }, about: "verifier", state: Doubtful, words: []string{"old", "every pull fails"}, worst: Doubtful},
		{name: "a link to nothing", do: func(i *installation) { i.Max = 2; i.check(os.Symlink("nowhere", i.file("link"))) }, about: "verifier", state: Doubtful, words: []string{"every pull fails"}, worst: Doubtful},
		{name: "not to be run", do: func(i *installation) { i.check(os.Chmod(i.file(""), 0o644)) }, about: "verifier", state: Doubtful, words: []string{"every pull fails"}, worst: Doubtful},
		{name: "a verifier that anybody can write", do: func(i *installation) { i.check(os.Chmod(i.file(""), 0o757)) }, about: "verifier", state: Wrong, words: []string{"can be written by others"}, worst: Wrong},
		{name: "another verifier", do: func(i *installation) { i.put(i.file(""), "#!/bin/true", 0o755) }, about: "verifier", state: Wrong, words: []string{"is not", "sha256"}, worst: Wrong},
		{name: "nothing to compare with", do: func(i *installation) { i.check(os.Remove(i.Verifier)) }, about: "verifier", state: Unknown, words: []string{"--verifier"}, worst: Unknown},
		{name: "a folder to compare with", do: func(i *installation) { i.check(os.Remove(i.Verifier)); i.check(os.Mkdir(i.Verifier, 0o755)) }, about: "verifier", state: Unknown, words: []string{"no file"}, worst: Unknown},
		{name: "a link to the one that was installed", do: func(i *installation) { i.check(os.Remove(i.file(""))); i.check(os.Symlink(i.Verifier, i.file(""))) }, about: "verifier", state: Doubtful, words: []string{"is a link to"}, worst: Doubtful},
		{name: "a link into a folder that anybody can write", do: func(i *installation) {
			i.check(os.Remove(i.file("")))
			open := filepath.Join(filepath.Dir(i.Path), "open")
			i.check(os.Mkdir(open, 0o755))
			i.put(filepath.Join(open, "verifier"), "the verifier", 0o755)
			i.check(os.Chmod(open, 0o777))
			i.check(os.Symlink(filepath.Join(open, "verifier"), i.file("")))
		}, about: "verifier", state: Wrong, words: []string{"is a link to"}, worst: Wrong},
		{name: "a folder that anybody can write", do: func(i *installation) { i.check(os.Chmod(i.Path, 0o777)) }, about: "folder", state: Wrong, words: []string{"can be written by others"}, worst: Wrong},
		{name: "a folder that a group can write", do: func(i *installation) { i.check(os.Chmod(i.Path, 0o775)) }, about: "folder", state: Wrong, worst: Wrong},
		{name: "a folder above that anybody can write", do: func(i *installation) { i.check(os.Chmod(filepath.Dir(i.Path), 0o777)) }, about: "folder", state: Wrong, worst: Wrong},
		{name: "a link to a folder that anybody can write", do: func(i *installation) {
			real := filepath.Join(filepath.Dir(i.Path), "real")
			i.check(os.Rename(i.Path, real))
			i.check(os.Chmod(real, 0o777))
			i.check(os.Symlink(real, i.Path))
		}, about: "folder", state: Wrong, worst: Wrong},
		{name: "a link into a folder above that anybody can write", do: func(i *installation) {
			above := filepath.Join(filepath.Dir(i.Path), "above")
			i.check(os.Mkdir(above, 0o755))
			i.check(os.Chmod(above, 0o777))
			i.check(os.Rename(i.Path, filepath.Join(above, "real")))
			i.check(os.Symlink(filepath.Join(above, "real"), i.Path))
		}, about: "folder", state: Wrong, words: []string{"above can be written by others"}, worst: Wrong},
		{name: "a link to a folder", do: func(i *installation) {
			real := filepath.Join(filepath.Dir(i.Path), "real")
			i.check(os.Rename(i.Path, real))
			i.check(os.Symlink(real, i.Path))
		}, about: "folder", state: Doubtful, words: []string{"is reached by a link"}, worst: Doubtful},
		{name: "somebody else's", do: func(i *installation) {
			if os.Getuid() != 0 {
				i.t.Skip("only root can give files away")
			}
			i.check(os.Chown(i.Path, 65534, 65534))
		}, about: "folder", state: Wrong, words: []string{"is owned by user 65534"}, worst: Wrong},
		{name: "somebody else's verifier", do: func(i *installation) {
			if os.Getuid() != 0 {
				i.t.Skip("only root can give files away")
			}
			i.check(os.Chown(i.file(""), 65534, 65534))
		}, about: "verifier", state: Wrong, words: []string{"is owned by user 65534"}, worst: Wrong},
	} {
		t.Run(row.name, func(t *testing.T) {
			i := installed(t)
			row.do(i)
			found := i.Look()
			if !has(found, row.about, row.state, row.words...) || worst(found) != row.worst {
				t.Errorf("nothing about %s in state %d with %q, or the worst is not %d: %+v", row.about, row.state, row.words, row.worst, found)
			}
		})
	}
}
