package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

const spireInstallHelp = `Copy this program into FOLDER, and print its checksum and where it is, as sha256sum
does. The image of Assay has nothing else that could copy it: an init container
brings the program into the container of a SPIRE agent in this way. A copy that
is there already is replaced at once, and goes on where it runs.

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
			program, err := os.Executable()
			if err == nil {
				target := filepath.Join(args[0], installedName())
				var sum string
				if sum, err = install(program, target); err == nil {
					_, err = fmt.Fprintf(a.stdout, "%s  %s\n", sum, target)
				}
			}
			if err != nil {
				return &exitError{code: exitCannotTell, err: err}
			}
			return nil
		},
	}
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
