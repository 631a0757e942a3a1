package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

const spireInstallHelp = `Copy this program into FOLDER, which has to be there, and print its checksum and
where it is, as sha256sum does. The image of Assay has nothing else that could
copy it: an init container brings the program into the container of a SPIRE agent
in this way. A copy that is there already is replaced at once, and goes on where
it runs.

Exit codes: 0 if the copy is there, 2 if it is not.`

func (a *app) spireInstallCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "install FOLDER",
		Short: "Copy this program to where a SPIRE agent finds it",
		Long:  spireInstallHelp,
		Example: unwrapped(`
  # the checksum is what plugin_checksum wants
  assay spire install /opt/assay`),
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			folder := args[0]
			if folder == "" { // a variable without a value; it would be the folder that one happens to be in
				return usageError("FOLDER is empty; say . for the folder that you are in")
			}
			target := filepath.Join(folder, installedName())
			if err := installable(folder, target); err != nil {
				return err
			}
			program, err := os.Executable()
			if err == nil {
				var sum string
				if sum, err = install(program, target); err == nil {
					_, err = fmt.Fprintf(a.stdout, "%s  %s\n", sum, target)
				}
			}
			if err != nil {
				return notInstalled(folder, err)
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
}

// installable says what is wrong with where a copy is to be. A folder that is not there is not made: it is mistyped, or was not mounted, and the
// copy would be where no agent looks for it.
func installable(folder, target string) error {
	there, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return withHint(&exitError{code: exitCannotTell, err: fmt.Errorf("%s: no such folder", folder)}, "make it, as whoever may change the program, or mount it: mkdir -p "+folder)
	case err != nil:
		return &exitError{code: exitCannotTell, err: err}
	case !there.IsDir():
		return withHint(&exitError{code: exitCannotTell, err: fmt.Errorf("%s: is no folder", folder)}, "name the folder, not the program in it")
	}
	if there, err = os.Lstat(target); err == nil && there.IsDir() {
		return withHint(&exitError{code: exitCannotTell, err: fmt.Errorf("%s: is a folder, where the program is to be", target)}, "remove it, or name another folder")
	}
	return nil
}

// notInstalled names the folder that an error is about, and not the file that would have become the copy.
func notInstalled(folder string, err error) error {
	var at *fs.PathError
	if errors.As(err, &at) && filepath.Dir(at.Path) == filepath.Clean(folder) {
		err = fmt.Errorf("%s: %w", folder, at.Err)
	}
	return &exitError{code: exitCannotTell, err: fmt.Errorf("nothing was installed: %w", err)}
}

// installedName is what the copy is called, whatever the program was.
func installedName() string {
	if runtime.GOOS == "windows" {
		return "assay.exe"
	}
	return "assay"
}

// install copies a program and returns the SHA-256 of what was copied. The copy appears whole, or not at all.
func install(program, target string) (sum string, err error) {
	from, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.CreateTemp(filepath.Dir(target), ".assay")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to.Name()))
		}
	}()
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, hash), from)
	if err = errors.Join(err, to.Chmod(0o755), to.Sync(), to.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(to.Name(), target); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
