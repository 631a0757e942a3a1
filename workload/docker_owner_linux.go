package workload

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// ownedFile makes sure that a socket belongs to a user.
func ownedFile(socket string, owner uint32) error {
	info, err := os.Stat(socket)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != owner {
		return fmt.Errorf("%s: does not belong to user %d", socket, owner)
	}
	return nil
}

// ownedPeer makes sure that a user listens at the other end.
func ownedPeer(conn net.Conn, owner uint32) error {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%s: no unix socket", conn.RemoteAddr())
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return err
	}
	var peer *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", conn.RemoteAddr(), failed)
	}
	if peer.Uid != owner {
		return fmt.Errorf("%s: user %d listens there, not user %d", conn.RemoteAddr(), peer.Uid, owner)
	}
	return nil
}
