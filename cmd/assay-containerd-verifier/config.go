package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

const (
	defaultSocket = "/run/assay/node.sock"
	minTimeout    = 100 * time.Millisecond
	maxTimeout    = 10 * time.Minute
)

// defaultFallback is a command without the image, which comes last.
var defaultFallback = []string{"/usr/local/bin/assay", "verify", "--point", "containerd", "--policy", "/etc/assay/policies", "-o", "json"}

// config says whom to ask.
type config struct {
	socket   string   // of the daemon
	timeout  duration // for everything together
	fallback []string // the command that decides where there is no daemon, without the image; empty: then nothing may be pulled
}

// duration is read from a text like "9s".
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = duration(parsed)
	return err
}

// forDaemon is the time for the daemon. It must begin to decide within half of what there is, so that the fallback has the other half where it
// does not. One that has begun has all of it: how long it takes then is in the hands of whoever serves the image, who must not choose by
// that who decides.
func (c *config) forDaemon(ctx context.Context) (context.Context, context.CancelFunc) {
	asking, cancel := context.WithCancel(ctx)
	deadline, ok := ctx.Deadline()
	if !ok || len(c.fallback) == 0 {
		return asking, cancel
	}
	half := time.AfterFunc(time.Until(deadline)/2, cancel)
	return ask.OnBegun(asking, func() { half.Stop() }), func() { half.Stop(); cancel() }
}

// readConfig reads the file, or another one that is named by name. Only where none is named may it be absent.
func readConfig(file, name string) (config, error) {
	c := config{socket: defaultSocket, timeout: duration(ask.DefaultTimeout), fallback: slices.Clone(defaultFallback)}
	if name != "" {
		file = name
	}
	content, err := readOwned(file)
	if errors.Is(err, fs.ErrNotExist) && name == "" {
		return c, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("%.300s: %w", file, err)
	}
	fields := map[string]any{"socket": &c.socket, "timeout": &c.timeout, "fallback": &c.fallback}
	err = ask.DecodeObject(content, fields, ask.Some)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return config{}, fmt.Errorf("%.300s: %w", file, err)
	}
	return c, nil
}

func (c *config) check() error {
	timeout := time.Duration(c.timeout)
	switch {
	case !filepath.IsAbs(c.socket):
		return fmt.Errorf("socket: %.200q is no absolute path", c.socket)
	case timeout < minTimeout || timeout > maxTimeout:
		return fmt.Errorf("timeout: %v; %v to %v can be", timeout, minTimeout, maxTimeout)
	case len(c.fallback) > 0 && !filepath.IsAbs(c.fallback[0]):
		return fmt.Errorf("fallback: %.200q is no absolute path", c.fallback[0])
	case slices.ContainsFunc(c.fallback, func(word string) bool { return strings.ContainsRune(word, 0) }):
		return errors.New("fallback: has a word that no command line can have")
	}
	return nil
}

// readOwned reads a file that nobody but root and the user of this process can have written.
func readOwned(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|nonBlocking, 0) // a pipe in its place must not hold the program up
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	uid, err := owner(info)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is no file")
	case uid != 0 && int64(uid) != int64(os.Geteuid()):
		return nil, fmt.Errorf("belongs to user %d, and must belong to root or to whom containerd runs as", uid)
	case info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("can be written by others (mode %#o); chmod go-w", info.Mode().Perm())
	}
	content, err := io.ReadAll(io.LimitReader(f, ask.MaxConfig+1))
	switch {
	case err != nil:
		return nil, bare(err)
	case len(content) > ask.MaxConfig:
		return nil, fmt.Errorf("has more than %d bytes", ask.MaxConfig)
	}
	return content, nil
}

// bare is an error of a file without the file's name, which its reader adds.
func bare(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
