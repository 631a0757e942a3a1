package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// socketOptions says where a unix socket is and who may use it.
type socketOptions struct {
	path  string
	mode  string
	group string
	taken bool // the place of somebody who still serves the socket is taken
}

// flags adds the flags of a server's own socket; path is where it is by default.
func (o *socketOptions) flags(f *pflag.FlagSet, path string) {
	f.StringVar(&o.path, "socket", path, "unix `SOCKET` to listen at; the one that systemd passes counts if there is one")
	f.StringVar(&o.mode, "socket-mode", "0600", "`MODE` of the socket, octal")
	f.StringVar(&o.group, "socket-group", "", "`GROUP` that the socket belongs to, by name or number")
}

// firstPassed is the number of the first file that systemd passes (sd_listen_fds(3)).
const firstPassed = 3

// passed returns the socket that systemd passed; nil: it passed none.
func (a *app) passed() (net.Listener, error) {
	count, err := strconv.Atoi(a.getenv("LISTEN_FDS"))
	if a.getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || err != nil || count < 1 {
		return nil, nil // they are for somebody else
	}
	if count != 1 {
		return nil, usageError("systemd passed %d sockets, want one", count)
	}
	file := os.NewFile(firstPassed, "LISTEN_FD_3")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, usageError("the socket that systemd passed: %w", err)
	}
	if _, ok := l.(*net.UnixListener); !ok {
		return nil, errors.Join(usageError("the socket that systemd passed is no unix socket (ListenStream=PATH)"), l.Close())
	}
	return l, nil
}

// maxSocketPath is the length of the longest path, in bytes, that clients can connect to (sun_path of unix(7)).
const maxSocketPath = 107

// listen makes the socket, in the place of one that nobody serves any more. It is there at once with its mode and group: whoever can connect
// before that could ask too.
func (o *socketOptions) listen() (net.Listener, error) {
	mode, err := strconv.ParseUint(o.mode, 8, 9)
	if err != nil {
		return nil, usageError("--socket-mode %q: want octal digits, such as 0600", o.mode)
	}
	group, err := groupID(o.group)
	if err != nil {
		return nil, err
	}
	switch {
	case o.path == "":
		return nil, usageError("names no socket")
	case len(o.path) > maxSocketPath:
		return nil, usageError("%s: nobody can connect to a path of more than %d bytes", o.path, maxSocketPath)
	}
	if err := o.vacant(); err != nil {
		return nil, err
	}
	parent := filepath.Dir(o.path)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, o.notMade(err)
	}
	hidden, err := os.MkdirTemp(parent, ".assay")
	if err != nil {
		return nil, o.notMade(err)
	}
	defer os.RemoveAll(hidden)
	made := filepath.Join(hidden, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(made, fs.FileMode(mode))
	if err == nil && group >= 0 {
		err = os.Chown(made, -1, group)
	}
	if err == nil {
		err = os.Rename(made, o.path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	own := &ownSocket{UnixListener: l, path: o.path}
	own.made, err = os.Lstat(o.path)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return own, nil
}

// notMade says of which socket an error is.
func (o *socketOptions) notMade(err error) error {
	err = fmt.Errorf("%s: cannot be made: %w", o.path, err)
	if errors.Is(err, fs.ErrPermission) {
		return withHint(err, "run it as root, or name a socket in a folder of this user's own")
	}
	return err
}

// vacant refuses a path that somebody serves, or that is no socket.
func (o *socketOptions) vacant() error {
	info, err := os.Lstat(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s: is there and no socket", o.path)
	}
	if o.taken {
		return nil
	}
	conn, err := net.DialTimeout("unix", o.path, time.Second)
	if err == nil {
		err = withHint(fmt.Errorf("%s: somebody listens there already", o.path), "is it another Assay? End it first, or have assay serve node follow it with --take-over")
		return errors.Join(err, conn.Close())
	}
	return nil
}

func groupID(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, usageError("--socket-group %s: %w", name, err)
	}
	return strconv.Atoi(g.Gid)
}

// ownSocket is removed when it is closed, unless another one has taken its place.
type ownSocket struct {
	*net.UnixListener
	path string
	made fs.FileInfo
	once sync.Once
}

// Addr implements net.Listener: where clients find it, and not where it was made.
func (s *ownSocket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close implements net.Listener.
func (s *ownSocket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
			_ = os.Remove(s.path) // else the next one makes it anew
		}
	})
	return s.UnixListener.Close()
}

// hostOptions are the flags of servers of one host: where they are asked, and where they can be looked at.
type hostOptions struct {
	socket  socketOptions
	metrics []string // addresses, and sockets as unix:PATH
}

func (o *hostOptions) metricsFlag(f *pflag.FlagSet) {
	f.StringArrayVar(&o.metrics, "listen-metrics", nil, "`ADDRESS` for /metrics, /healthz and /readyz, without TLS: host and port, or unix:SOCKET; may be repeated")
}

// open opens what is asked and what can be looked at. The socket that systemd passed counts if there is one.
func (o *hostOptions) open(a *app) (socket net.Listener, metrics []net.Listener, err error) {
	socket, err = a.passed()
	if err == nil && socket == nil {
		socket, err = o.socket.listen()
	}
	if err != nil {
		var usage *exitError
		if errors.As(err, &usage) {
			return nil, nil, err
		}
		return nil, nil, &exitError{code: exitCannotTell, err: err}
	}
	if metrics, err = o.lookedAt(); err != nil {
		_ = socket.Close() // nobody was answered
		return nil, nil, err
	}
	return socket, metrics, nil
}

// lookedAt opens what --listen-metrics names: addresses, and unix sockets with the mode and group of the other one.
func (o *hostOptions) lookedAt() ([]net.Listener, error) {
	var all []net.Listener
	for _, where := range o.metrics {
		var l net.Listener
		var err error
		if path, unix := strings.CutPrefix(where, "unix:"); unix {
			l, err = (&socketOptions{path: path, mode: o.socket.mode, group: o.socket.group}).listen()
		} else {
			l, err = net.Listen("tcp", where)
		}
		if err != nil {
			closeAll(all)
			return nil, notLookedAt(where, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// notLookedAt says what is wrong with an address of --listen-metrics.
func notLookedAt(where string, err error) error {
	code := exitCannotTell
	if usage := (*exitError)(nil); errors.As(err, &usage) {
		code = usage.code
	}
	err = &exitError{code: code, err: fmt.Errorf("--listen-metrics: %w", err)}
	if strings.HasPrefix(where, "/") {
		return withHint(err, "write HOST:PORT, or unix:"+where)
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // nobody has connected
	}
}

// runHost serves asked at a unix socket, and what others may look at at addresses of its own, until ctx ends. via stands between the socket and
// asked; nil: nothing does. beside goes on meanwhile.
func (s *server) runHost(ctx context.Context, asked *http.Server, o *hostOptions, via func(net.Listener) net.Listener, beside ...func(context.Context)) error {
	defer s.close()
	socket, metrics, err := o.open(s.app)
	if err != nil {
		return err
	}
	defer socket.Close()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	group.Go(func() { s.keepWatch(background) })
	group.Go(func() { s.keepMaterial(background) })
	for _, do := range beside {
		group.Go(func() { do(background) })
	}

	ended := make(chan error, 1+len(metrics))
	looked := s.plain(s.handler(nil))
	looked.IdleTimeout = idleClientTimeout // and none at the socket: an engine would lose the request that it sends meanwhile
	for i, listener := range metrics {
		s.log.Info("metrics", "address", listener.Addr().String(), "path", strings.TrimPrefix(o.metrics[i], "unix:"))
		group.Go(func() { ended <- looked.Serve(listener) })
	}
	defer looked.Close()
	s.log.Info("listening", "address", socket.Addr().String(), "path", o.socket.path, "version", versionText())
	served := socket
	if via != nil {
		served = via(socket)
	}
	group.Go(func() { ended <- asked.Serve(served) })
	select {
	case err := <-ended:
		return &exitError{code: exitCannotTell, err: errors.Join(err, asked.Close())}
	case <-ctx.Done():
	}
	return s.drain(asked)
}

// plain is a server without TLS for who is let in by other means. An engine's requests are not counted off against each other.
func (s *server) plain(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: defaultHeaderTimeout,
		MaxHeaderBytes:    maxRequestHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
