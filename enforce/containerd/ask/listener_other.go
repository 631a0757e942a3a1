//go:build !linux

package ask

import (
	"errors"
	"net"
)

// listener cannot tell on this system who listens.
func listener(net.Conn) (uid uint32, err error) {
	return 0, errors.New("it cannot be told on this system who listens at a socket")
}
