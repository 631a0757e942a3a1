package material

import (
	"fmt"

	"github.com/gofrs/flock"
)

// lock waits until no other process writes, which takes milliseconds.
func lock(path string) (unlock func(), err error) {
	l := flock.New(path, flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return func() { _ = l.Close() }, nil
}
