//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockWait is how long one run waits for another one on this host.
const lockWait = 5 * time.Minute

// lockHost keeps two runs on one host from starting the stack at once: the time-stamp server serves its metrics at a port that cannot be
// chosen. The lock ends with the process.
func lockHost() (*os.File, error) {
	name := filepath.Join(os.TempDir(), "assay-e2e-sigstore.lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	for started := time.Now(); ; time.Sleep(time.Second) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f, nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, errors.Join(err, f.Close())
		case time.Since(started) > lockWait:
			return nil, errors.Join(fmt.Errorf("%s: another run on this host has the Sigstore stack", name), f.Close())
		}
	}
}

// closer closes a file as a server is closed.
type closer struct{ file *os.File }

// Close releases the lock.
func (c closer) Close() { _ = c.file.Close() }
