package node

import (
	"errors"
	"net"
	"syscall"
)

const supported = true

// credentials asks the kernel who is at the other end of a connection: who made it, or, at the end of whoever made it, who began to listen.
func credentials(conn net.Conn) (Peer, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, errors.New("no connection of a unix socket")
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var found *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		found, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if failed != nil {
		return Peer{}, failed
	}
	if !names(found.Uid) {
		return Peer{}, errors.New("a user of another namespace, whom nobody knows here")
	}
	return Peer{PID: found.Pid, UID: found.Uid, Known: true}, nil
}
