// Package atomicfile replaces files whole: whoever reads one, and whoever finds it after a crash, has the old content or the new one.
//
// It is a package of its own because several keep state on disk that must not be torn, and because what there is to have does not
// build for all systems (renameio) or does not make the folder last (natefinch/atomic).
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// Write replaces the content of a file, or makes it, with mode 0600. Where it returns no error, the new content outlives a power cut. The
// folder must be there. Content is not limited: whoever makes it has a bound for it.
func Write(name string, content []byte) error {
	return WriteMode(name, content, 0o600, filepath.Dir(name))
}

// WriteMode is Write with a mode, and with the folder where content stands until it is whole, for folders in which nothing else may be seen. That
// folder must be on the same file system, or the error is EXDEV.
func WriteMode(name string, content []byte, mode os.FileMode, scratch string) error {
	temporary, err := os.CreateTemp(scratch, filepath.Base(name)+".new*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // of no effect after the rename
	_, err = temporary.Write(content)
	if err == nil && mode != 0o600 {
		err = temporary.Chmod(mode)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err := errors.Join(err, temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), name); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes a rename last. Systems where folders cannot be synced do that themselves.
func syncFolder(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
