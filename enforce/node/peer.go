package node

import (
	"fmt"
	"os"
)

// Peer is who is at the other end of a connection, as the kernel says. It was true when the connection was made. The zero value is nobody.
type Peer struct {
	PID   int32 // 0 where the process is of another PID namespace
	UID   uint32
	Known bool
}

// Trusted reports whether a peer is root or the user that runs this process.
func (p Peer) Trusted() bool { return p.Known && (p.UID == 0 || p.UID == ownUser()) }

// ownUser is who runs this process.
func ownUser() uint32 { return uint32(os.Geteuid()) } // where there are users at all

// String names a peer for people.
func (p Peer) String() string {
	if !p.Known {
		return "somebody unknown"
	}
	return fmt.Sprintf("user %d", p.UID)
}
