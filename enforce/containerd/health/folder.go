package health

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// MaxVerifier is the limit of a verifier's size, in bytes. Assay's has less than 10 MB.
const MaxVerifier = 64 << 20

// Folder is a folder of verifiers, and what is expected in it.
type Folder struct {
	Path     string
	Verifier string // the file that Assay's verifier in the folder must be equal to; its base name is the verifier's name
	Max      int    // as Settings.Max
	Owner    uint32 // who may own what is there: root, but for tests
}

// Look returns what is found in the folder. Whoever can write to it, or to one above it, decides what runs as root and what is decided.
func (f Folder) Look() []Finding {
	const about = "folder"
	entries, err := os.ReadDir(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{sayf(about, Wrong, "%s does not exist: containerd allows every image", f.Path).hinting("assay containerd install makes it")}
	case err != nil:
		return []Finding{sayf(about, Unknown, "%v", err)}
	case len(entries) == 0:
		return []Finding{sayf(about, Wrong, "%s is empty: containerd allows every image", f.Path).hinting("assay containerd install puts the verifier there")}
	}
	found := f.Writers()
	if len(found) == 0 {
		found = append(found, sayf(about, Fine, "%s, and all folders above it, are root's alone", f.Path))
	}
	return append(append(found, f.verifiers(entries)...), f.count(entries)...)
}

// Writers returns what Look finds of the folder itself and those above it: those that somebody else can write to. Links on the way are followed,
// and where they lead is looked at as well.
func (f Folder) Writers() []Finding {
	const about = "folder"
	var found []Finding
	paths := above(f.Path)
	if real, err := filepath.EvalSymlinks(f.Path); err != nil {
		found = append(found, sayf(about, Unknown, "%v", err))
	} else if real != filepath.Clean(f.Path) {
		found = append(found, sayf(about, Doubtful, "%s is reached by a link: it is %s", f.Path, real))
		paths = append(paths, above(real)...)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			found = append(found, sayf(about, Unknown, "%v", err))
			continue
		}
		if why := f.open(info); why != "" {
			found = append(found, sayf(about, Wrong, "%s %s: who can write there decides which images run", path, why).hinting("chown root:root and chmod go-w "+path))
		}
	}
	return found
}

// above returns a folder and all above it.
func above(path string) []string {
	all := []string{filepath.Clean(path)}
	for {
		up := filepath.Dir(all[len(all)-1])
		if up == all[len(all)-1] {
			return all
		}
		all = append(all, up)
	}
}

// open says why others than the owner can change a file; "" if they cannot. In a sticky folder nobody can replace what is another's.
func (f Folder) open(info fs.FileInfo) string {
	uid, known := owner(info)
	switch {
	case !known:
		return "has an owner that is not known"
	case uid != f.Owner && uid != 0:
		return fmt.Sprintf("is owned by user %d", uid)
	case info.Mode().Perm()&0o022 != 0 && !(info.IsDir() && info.Mode()&fs.ModeSticky != 0):
		return fmt.Sprintf("can be written by others (%v)", info.Mode())
	}
	return ""
}

// verifiers looks at what containerd will run.
func (f Folder) verifiers(entries []fs.DirEntry) []Finding {
	const about = "verifier"
	name := filepath.Base(f.Verifier)
	var found []Finding
	here := false
	for i, e := range entries {
		path := filepath.Join(f.Path, e.Name())
		asked := f.Max < 0 || i < f.Max
		if e.Name() == name {
			here = true
			found = append(found, f.own(path, e, asked))
			continue
		}
		found = append(found, f.other(path, asked))
	}
	if !here {
		found = append(found, sayf(about, Wrong, "%s is not in %s", name, f.Path).hinting("assay containerd install puts it there"))
	}
	return found
}

// own looks at Assay's verifier.
func (f Folder) own(path string, e fs.DirEntry, asked bool) Finding {
	const about = "verifier"
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return sayf(about, Doubtful, "%v: every pull fails", err)
	case !asked:
		return sayf(about, Wrong, "%s is not asked: others come before it, and max_verifiers is %d", path, f.Max).hinting("remove the others, or raise max_verifiers")
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return sayf(about, Doubtful, "%s cannot be run (%v): every pull fails", path, info.Mode()).hinting("chmod 755 " + path)
	}
	if why := f.open(info); why != "" {
		return sayf(about, Wrong, "%s %s: who can write it decides which images run", path, why).hinting("chown root:root and chmod 755 " + path)
	}
	return f.compare(path, e)
}

// compare compares the verifier with the one that was installed.
func (f Folder) compare(path string, e fs.DirEntry) Finding {
	const about = "verifier"
	got, err := sum(path)
	if err != nil {
		return sayf(about, Unknown, "%v", err)
	}
	want, err := sum(f.Verifier)
	switch {
	case err != nil:
		return sayf(about, Unknown, "%s cannot be compared with the one that was installed: %v", path, err).hinting("--verifier names a copy of assay-containerd-verifier")
	case got != want:
		return sayf(about, Wrong, "%s is not %s: it has sha256 %x, and not %x", path, f.Verifier, got, want).
			hinting("after an update of Assay, assay containerd install replaces it")
	case e.Type()&fs.ModeSymlink != 0:
		return f.linked(path)
	}
	return sayf(about, Fine, "%s is the one that was installed (sha256 %x)", path, got[:8])
}

// linked looks at a verifier that is a link: whoever can change what it leads to changes the verifier.
func (f Folder) linked(path string) Finding {
	const about = "verifier"
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return sayf(about, Unknown, "%v", err)
	}
	for _, up := range above(filepath.Dir(real)) {
		info, err := os.Stat(up)
		if err != nil {
			return sayf(about, Unknown, "%v", err)
		}
		if why := f.open(info); why != "" {
			return sayf(about, Wrong, "%s is a link to %s, and %s %s", path, real, up, why)
		}
	}
	return sayf(about, Doubtful, "%s is a link to %s: it changes with that", path, real).hinting("assay containerd install makes a copy")
}

// other looks at what is not Assay's: containerd runs all that is in the folder, whatever it is.
func (f Folder) other(path string, asked bool) Finding {
	const about = "verifier"
	info, err := os.Stat(path)
	switch {
	case !asked:
		return sayf(about, Doubtful, "%s is there as well, and not asked: max_verifiers is %d", path, f.Max)
	case err != nil:
		return sayf(about, Doubtful, "%v: every pull fails", err).hinting("remove " + path)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return sayf(about, Doubtful, "%s cannot be run (%v): every pull fails", path, info.Mode()).hinting("remove " + path)
	}
	return sayf(about, Doubtful, "%s is there as well, and asked: all must allow", path)
}

// count says what the limit of verifiers means.
func (f Folder) count(entries []fs.DirEntry) []Finding {
	const about = "max_verifiers"
	switch {
	case f.Max == 0:
		return []Finding{sayf(about, Wrong, "max_verifiers is 0: containerd asks nobody and allows every image").hinting("max_verifiers = 10")}
	case f.Max > 0 && len(entries) > f.Max:
		return []Finding{sayf(about, Wrong, "%d files are in %s, and containerd asks the first %d by name", len(entries), f.Path, f.Max).
			hinting("remove what is not a verifier, or raise max_verifiers")}
	}
	return nil
}

// sum is the SHA-256 of a file.
func sum(path string) ([sha256.Size]byte, error) {
	var none [sha256.Size]byte
	if info, err := os.Stat(path); err != nil {
		return none, err
	} else if !info.Mode().IsRegular() { // a pipe would be waited for
		return none, fmt.Errorf("%s is no file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return none, err
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(file, MaxVerifier+1))
	if err == nil && n > MaxVerifier {
		err = fmt.Errorf("%s has more than %d bytes", path, MaxVerifier)
	}
	return [sha256.Size]byte(h.Sum(nil)), err
}
