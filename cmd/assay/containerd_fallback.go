package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/atomicfile"
	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/policy"
)

// maxFallbackFiles is how many files of policies, and of settings of registries, containerd fallback copies.
const maxFallbackFiles = 1000

// defaultFallback is the folder of what containerd fallback puts onto a node.
const defaultFallback = "/opt/assay/fallback"

const containerdFallbackHelp = `Put onto this node what the image verifier of containerd goes by while no daemon
answers it, and have its configuration name that: this program, policies, and settings of
registries, each a copy, so that they are there whatever becomes of where they are now.

Policies and settings that cannot be used are refused, and what was there before stays. Files that
are there and not among the new ones are removed. Nobody but root may write to the
folders, and to those above them: what is there decides, and runs as root.

Exit codes: 0 if all is there; 1 if the folder is not fit for it; 64 if the policies
or the settings are wrong; 2 if it could not be put there.`

// containerdFallback are the flags of containerd fallback.
type containerdFallback struct {
	policies   string
	registries string
	folder     string
	config     string
	socket     string
}

// verifierConfig is the file that the verifier reads.
type verifierConfig struct {
	Socket   string   `json:"socket"`
	Fallback []string `json:"fallback"`
}

func (a *app) containerdFallbackCommand() *cobra.Command {
	o := &containerdFallback{}
	cmd := &cobra.Command{
		Use:   "fallback [flags]",
		Short: "Put onto this node what the image verifier decides by without a daemon",
		Long:  containerdFallbackHelp,
		Example: unwrapped(`
  # as root
  assay containerd fallback --policy policies/ --registries registries/registries.yaml`),
		Args: usageArgs(cobra.NoArgs),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.policies, "policy", "p", "", "`FOLDER` of *.yaml and *.yml policies, with the files that they name")
	f.StringVar(&o.registries, "registries", "", "YAML `FILE` with CAs, credentials and mirrors of registries; its whole folder is copied")
	f.StringVar(&o.folder, "to", defaultFallback, "`FOLDER` of the node in which all of it is kept")
	f.StringVar(&o.config, "verifier-config", ask.ConfigFile, "`FILE` of the verifier's configuration, which is replaced")
	f.StringVar(&o.socket, "socket", defaultNodeSocket, "`SOCKET` of the daemon, for that configuration")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err)
	}
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return refuseEmpty(cmd) }
	cmd.RunE = func(*cobra.Command, []string) error { return a.containerdFallback(o) }
	return cmd
}

func (o *containerdFallback) check() error {
	for _, one := range []struct{ flag, path string }{{"to", o.folder}, {"verifier-config", o.config}, {"socket", o.socket}} {
		if !filepath.IsAbs(one.path) {
			return usageError("--%s %q: want an absolute path", one.flag, one.path)
		}
	}
	return nil
}

func (a *app) containerdFallback(o *containerdFallback) error {
	if err := o.check(); err != nil {
		return err
	}
	policies, err := loadPolicies([]string{o.policies})
	if err != nil {
		return usageError("%w", err)
	}
	if err := a.usable(policies); err != nil {
		return err
	}
	if _, err := (&registryOptions{app: a, settings: o.registries}).client(); err != nil {
		return err
	}
	command := []string{filepath.Join(o.folder, "assay"), "verify", "--point", "containerd", "--policy", filepath.Join(o.folder, "policies"), "-o", "json"}
	if err := o.prepare(); err != nil {
		return err
	}
	err = errors.Join(o.program(), copyFolder(o.policies, filepath.Join(o.folder, "policies")))
	if o.registries != "" {
		copied := filepath.Join(o.folder, "registries")
		err = errors.Join(err, copyFolder(filepath.Dir(o.registries), copied))
		command = append(command, "--registries", filepath.Join(copied, filepath.Base(o.registries)))
	}
	if err != nil {
		return notPut(err)
	}
	// Last, so that it names what is there.
	config, err := json.MarshalIndent(verifierConfig{Socket: o.socket, Fallback: command}, "", "  ")
	if err == nil {
		err = replaceFile(o.config, append(config, '\n'), 0o644)
	}
	if err != nil {
		return notPut(err)
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", o.config, strings.Join(command, " "))
	return nil
}

// prepare makes the folders, and refuses those where others than root can write: what is in them runs as root, and decides.
func (o *containerdFallback) prepare() error {
	for _, folder := range []string{o.folder, filepath.Join(o.folder, "policies"), filepath.Join(o.folder, "registries"), filepath.Dir(o.config)} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return &exitError{code: exitCannotTell, err: err}
		}
		if runtime.GOOS == "windows" { // rights are others there, and there is no verifier
			continue
		}
		if err := aloneIn(folder); err != nil {
			return err
		}
	}
	return nil
}

// program copies this program, unless it is there already.
func (o *containerdFallback) program() error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	name := filepath.Join(o.folder, "assay")
	want, err := sumOf(own)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && ownAlone(info) {
		if there, err := sumOf(name); err == nil && there == want {
			return os.Chmod(name, 0o755)
		}
	}
	return copyProgram(own, name)
}

// sumOf is the SHA-256 of a file, which is not held in memory as a whole: it is a program.
func sumOf(name string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// copyProgram replaces a program by another one, as a whole.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	made, err := os.CreateTemp(filepath.Dir(to), filepath.Base(to)+".new*")
	if err != nil {
		return err
	}
	defer os.Remove(made.Name()) // of no effect after the rename
	_, err = io.Copy(made, in)
	if err == nil {
		err = errors.Join(made.Chmod(0o755), made.Sync())
	}
	if err := errors.Join(err, made.Close()); err != nil {
		return err
	}
	return os.Rename(made.Name(), to)
}

// copyFolder makes the files of a folder those of another one, not those below it. Hidden ones, as those by which Kubernetes changes many at once,
// are left out.
func copyFolder(from, to string) error {
	files, err := plainFiles(from)
	if err != nil {
		return err
	}
	if len(files) > maxFallbackFiles {
		return fmt.Errorf("%s: more than %d files", from, maxFallbackFiles)
	}
	for _, name := range files {
		content, err := readLimited(filepath.Join(from, name), policy.MaxFile)
		if err == nil && len(content) > policy.MaxFile {
			err = fmt.Errorf("%s: more than %d bytes", filepath.Join(from, name), policy.MaxFile)
		}
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(to, name), content, 0o600); err != nil {
			return err
		}
	}
	there, err := plainFiles(to)
	if err != nil {
		return err
	}
	for _, name := range there {
		if !slices.Contains(files, name) {
			err = errors.Join(err, os.Remove(filepath.Join(to, name)))
		}
	}
	return err
}

func plainFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(folder, e.Name())) // behind links, by which Kubernetes brings files
		switch {
		case strings.HasPrefix(e.Name(), "."), err == nil && info.IsDir():
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s: is no plain file", filepath.Join(folder, e.Name()))
		default:
			files = append(files, e.Name())
		}
	}
	return files, nil
}

// replaceFile replaces a file as a whole, in a folder that is made if it is not there.
func replaceFile(name string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteMode(name, content, mode, filepath.Dir(name))
}
