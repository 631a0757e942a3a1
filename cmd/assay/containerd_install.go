package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/enforce/containerd/health"
)

const containerdInstallHelp = `Put Assay's image verifier into the folder where containerd looks for verifiers, and
print the settings by which containerd asks it.

The folder is made, as root's alone, with mode 0755. It, and all folders above it, must
be such that nobody else can write there, and nothing else may be in it: containerd
runs all that is in the folder, and under a limit (max_verifiers) perhaps not this one.
The verifier is replaced at once, and what it was is compared with what is there then.

Exit codes: 0 if the verifier is there, and nothing is wrong; 1 if the folder is not
fit for it; 2 if it could not be put there.`

// verifierPackage is what the verifier is built of, which stands in it.
const verifierPackage = "github.com/assay-dev/assay/cmd/assay-containerd-verifier"

// containerdInstall are the flags of containerd install.
type containerdInstall struct {
	folder string
	from   string
	beside bool
	output string
}

// installed is what containerd install tells.
type installed struct {
	Verifier string             `json:"verifier"` // path
	SHA256   string             `json:"sha256"`
	Changed  bool               `json:"changed"` // it was not there, or was another one
	Others   []string           `json:"others,omitempty"`
	Findings []installedFinding `json:"findings,omitempty"` // all that is not as it should be
	Settings string             `json:"settings"`           // of containerd, TOML
}

type installedFinding struct {
	State string `json:"state"`
	Text  string `json:"text"`
}

func (a *app) containerdInstallCommand() *cobra.Command {
	o := &containerdInstall{}
	cmd := &cobra.Command{
		Use:   "install [flags]",
		Short: "Put the image verifier where containerd finds it, and print containerd's settings",
		Long:  containerdInstallHelp,
		Example: unwrapped(`
  # as root; then give containerd what is printed, and start it again
  assay containerd install
  systemctl restart containerd && assay doctor containerd

  # beside verifiers of others, all of which must allow
  assay containerd install --bin-dir /opt/containerd/image-verifier/bin --beside`),
		Args: usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.folder, "bin-dir", defaultVerifiers, "`FOLDER` of verifiers")
	f.StringVar(&o.from, "from", "", "the verifier, a `FILE` (default "+verifierName+" beside this program)")
	f.BoolVar(&o.beside, "beside", false, "also where other verifiers are in the folder: containerd asks all of them")
	f.StringVarP(&o.output, "output", "o", "toml", "toml: the settings, and the rest on stderr; or json: all of it")
	registerWords(cmd, "output", "toml", "json")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	cmd.RunE = func(*cobra.Command, []string) error { return a.containerdInstall(o) }
	return cmd
}

func (a *app) containerdInstall(o *containerdInstall) error {
	if o.output != "toml" && o.output != "json" {
		return usageError("--output %q: want toml or json", o.output)
	}
	if err := checkVerifiers(o.folder); err != nil {
		return err
	}
	o.folder = filepath.Clean(o.folder)
	if o.from == "" {
		o.from = beside(verifierName)
	}
	content, err := readVerifier(o.from)
	if err != nil {
		return err
	}
	done := installed{Verifier: filepath.Join(o.folder, verifierName), Settings: containerdSettings(o.folder)}
	sum := sha256.Sum256(content)
	done.SHA256 = hex.EncodeToString(sum[:])
	if done.Others, err = prepareVerifiers(o.folder, o.beside); err != nil {
		return err
	}
	if done.Changed, err = putVerifier(done.Verifier, content); err != nil {
		return notPut(fmt.Errorf("%s: %w", o.folder, err))
	}
	worst := done.look(o.folder)
	if err := a.printInstalled(o, &done); err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	return worst
}

// readVerifier reads the program that is to be installed. Another program in its place would refuse all images, or allow them.
func readVerifier(name string) ([]byte, error) {
	content, err := readLimited(name, health.MaxVerifier)
	if err == nil && len(content) > health.MaxVerifier {
		err = fmt.Errorf("%s: more than %d bytes", name, health.MaxVerifier)
	}
	if err != nil {
		return nil, withHint(&exitError{code: exitCannotTell, err: err}, "--from names assay-containerd-verifier; make build makes it, and the image of Assay has it")
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil || info.Path != verifierPackage {
		return nil, withHint(&exitError{code: exitDenied, err: fmt.Errorf("%s: is not Assay's verifier", name)}, "--from names assay-containerd-verifier")
	}
	for _, s := range info.Settings {
		if s.Key == "GOOS" && s.Value != runtime.GOOS || s.Key == "GOARCH" && s.Value != runtime.GOARCH {
			return nil, &exitError{code: exitDenied, err: fmt.Errorf("%s: is built for %s, and this is %s/%s", name, s.Value, runtime.GOOS, runtime.GOARCH)}
		}
	}
	return content, nil
}

// prepareVerifiers makes the folder, as it must be, and returns what else is in it.
func prepareVerifiers(folder string, others bool) ([]string, error) {
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return nil, notPut(err)
	}
	info, err := os.Lstat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err = os.Mkdir(folder, 0o755); err != nil {
			return nil, notPut(err)
		}
	case err != nil:
		return nil, notPut(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, withHint(&exitError{code: exitDenied, err: fmt.Errorf("%s: is a link, and whoever can change it decides what containerd runs", folder)}, "give the folder that it leads to")
	case !info.IsDir():
		return nil, &exitError{code: exitDenied, err: fmt.Errorf("%s: is no folder", folder)}
	}
	// What follows touches what is there, which stays the same where nobody else writes.
	if err := aloneIn(filepath.Dir(folder)); err != nil {
		return nil, err
	}
	beside, err := otherVerifiers(folder)
	if err != nil {
		return nil, &exitError{code: exitCannotTell, err: err}
	}
	if len(beside) > 0 && !others {
		return nil, withHint(&exitError{code: exitDenied, err: fmt.Errorf("%s: there is also %s: containerd runs all that is in the folder", folder, strings.Join(beside, ", "))},
			"remove what is no verifier, or give --beside if all of it is to be asked")
	}
	// The owner first: who owns a folder can change its mode.
	if err := errors.Join(giveToRoot(folder), os.Chmod(folder, 0o755)); err != nil {
		return nil, notPut(err)
	}
	return beside, aloneIn(folder)
}

// aloneIn refuses a folder where somebody else can write, or above which somebody else can: containerd runs what is in it.
func aloneIn(folder string) error {
	for _, f := range verifiersIn(folder).Writers() {
		if f.State != health.Doubtful {
			return withHint(&exitError{code: exitDenied, err: errors.New(plain(f.Text))}, f.Hint)
		}
	}
	return nil
}

// notPut is the error where files of the host could not be changed: mostly because only root may.
func notPut(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != root {
		return withHint(&exitError{code: exitCannotTell, err: err}, "run it as root")
	}
	return &exitError{code: exitCannotTell, err: err}
}

// verifiersIn is what doctor looks at, under the settings that install prints.
func verifiersIn(folder string) health.Folder {
	return health.Folder{Path: folder, Max: -1, Owner: uint32(os.Geteuid())}
}

// otherVerifiers lists what else containerd would run. What an earlier install has left that was ended in the middle is removed.
func otherVerifiers(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var others []string
	for _, e := range entries {
		switch {
		case e.Name() == verifierName:
		case strings.HasPrefix(e.Name(), verifierName+".new") && e.Type().IsRegular():
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return nil, err
			}
		default:
			others = append(others, plain(e.Name()))
		}
	}
	return others, nil
}

// giveToRoot makes a file root's, where root asks for it. Nobody else can give files away; what is not theirs is found afterwards.
func giveToRoot(name string) error {
	if os.Geteuid() != root {
		return nil
	}
	return os.Chown(name, root, root)
}

// ownAlone reports whether a file is plain, of the user of this process, and written by nobody else. What others could write is replaced even if
// it is as it should be: who has it open can write to it whatever becomes of its rights.
func ownAlone(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && ownFile(info) == nil && info.Mode().Perm()&0o022 == 0
}

// putVerifier replaces the verifier, if it is another one. What is not whole yet stands beside the folder, where containerd does not look, unless
// the folder is a file system of its own.
func putVerifier(name string, content []byte) (changed bool, err error) {
	before, err := os.Lstat(name)
	if err == nil && ownAlone(before) {
		var there []byte
		if there, err = readLimited(name, health.MaxVerifier); err == nil && bytes.Equal(there, content) {
			return false, os.Chmod(name, 0o755)
		}
	}
	folder := filepath.Dir(name)
	err = atomicfile.WriteMode(name, content, 0o755, filepath.Dir(folder))
	if errors.Is(err, syscall.EXDEV) {
		err = atomicfile.WriteMode(name, content, 0o755, folder)
	}
	if err = errors.Join(err, giveToRoot(name)); err != nil {
		return true, err
	}
	there, err := readLimited(name, health.MaxVerifier)
	if err == nil && !bytes.Equal(there, content) {
		err = errors.New("what was written is not what is there: somebody else writes in this folder")
	}
	return true, err
}

// look looks at what is there now as doctor does, and returns the error that the program ends with.
func (i *installed) look(folder string) error {
	f := verifiersIn(folder)
	f.Verifier = i.Verifier
	worst := health.Fine
	for _, found := range f.Look() {
		worst = min(worst, found.State)
		if found.State != health.Fine {
			i.Findings = append(i.Findings, installedFinding{State: diagnosis(found.State).String(), Text: plain(found.Text)})
		}
	}
	switch worst {
	case health.Wrong:
		return &exitError{code: exitDenied}
	case health.Unknown:
		return &exitError{code: exitCannotTell}
	}
	return nil
}

func (a *app) printInstalled(o *containerdInstall, done *installed) error {
	if o.output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(done)
	}
	word := "installed"
	if !done.Changed {
		word = "there already:"
	}
	fmt.Fprintf(a.stderr, "assay: %s %s, sha256 %s\n", word, done.Verifier, done.SHA256)
	for _, f := range done.Findings {
		fmt.Fprintf(a.stderr, "assay: %s: %s\n", f.State, f.Text)
	}
	fmt.Fprintln(a.stderr, "assay: hint: give containerd the settings on standard output, start it again, and see with assay doctor containerd whether it asks")
	_, err := fmt.Fprint(a.stdout, done.Settings)
	return err
}
