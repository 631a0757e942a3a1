package health

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

const (
	maxLine    = 4 << 10         // bytes of what the verifier says
	startGrace = 2 * time.Second // for the verifier to start and to end
)

// Verifier is Assay's verifier with its configuration.
type Verifier struct {
	Program string // that was installed
	Config  string // file; the verifier has defaults where it is absent

	deadline time.Duration
	fields   map[string]json.RawMessage
}

// Read reads the configuration, as the verifier does. There is a finding only where it cannot be used.
func (v *Verifier) Read(who uint32) []Finding {
	v.deadline, v.fields = ask.DefaultTimeout, map[string]json.RawMessage{}
	content, err := v.owned(who)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var timeout string
	var socket, fallback json.RawMessage
	if err == nil {
		err = ask.DecodeObject(content, map[string]any{"timeout": &timeout, "socket": &socket, "fallback": &fallback}, ask.Some)
	}
	if err == nil && timeout != "" {
		v.deadline, err = time.ParseDuration(timeout)
	}
	if err != nil {
		return []Finding{sayf("fallback", Doubtful, "%s: %v: every pull fails", v.Config, err)}
	}
	if timeout != "" {
		v.fields["timeout"] = json.RawMessage(fmt.Sprintf("%q", v.deadline.String()))
	}
	if fallback != nil {
		v.fields["fallback"] = fallback
	}
	return nil
}

// owned reads the file, which others must not be able to write.
func (v *Verifier) owned(who uint32) ([]byte, error) {
	info, err := os.Stat(v.Config)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no file")
	}
	if why := (Folder{Owner: who}).open(info); why != "" {
		return nil, errors.New(why)
	}
	file, err := os.Open(v.Config)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, ask.MaxConfig+1))
	if err == nil && len(content) > ask.MaxConfig {
		err = fmt.Errorf("more than %d bytes", ask.MaxConfig)
	}
	return content, err
}

// defaultFallback are the paths in the command that decides where nothing is configured.
var defaultFallback = []string{"/usr/local/bin/assay", "/etc/assay/policies"}

// Writers names what others than root, or who, can write of what the verifier goes by without a daemon: its configuration, and all that the command of the
// fallback names by its path and that is there. It is for after Read.
func (v *Verifier) Writers(who uint32) []Finding {
	const about = "fallback"
	paths := defaultFallback
	if command := v.fields["fallback"]; command != nil {
		paths = nil
		if err := json.Unmarshal(command, &paths); err != nil {
			return []Finding{sayf(about, Doubtful, "%s: fallback: %v: every pull fails", v.Config, err)}
		}
	}
	f := Folder{Owner: who}
	var found []Finding
	seen := map[string]bool{}
	for _, path := range append([]string{v.Config}, paths...) {
		if !filepath.IsAbs(path) {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // what is not there cannot be used
		}
		for _, up := range append(above(real), above(filepath.Dir(path))...) {
			info, err := os.Stat(up)
			if err != nil || seen[up] {
				continue
			}
			seen[up] = true
			if why := f.open(info); why != "" {
				found = append(found, sayf(about, Wrong, "%s %s: who can write there decides which images run without the node daemon", up, why).hinting("chown root:root and chmod go-w "+up))
			}
		}
	}
	return found
}

// Deadline is how long the verifier takes at most.
func (v *Verifier) Deadline() time.Duration { return v.deadline }

// Fallback runs the verifier as containerd does, about an image that nobody has, with a node daemon that is away, and says what becomes of the image.
func (v *Verifier) Fallback(ctx context.Context) Finding {
	const about = "fallback"
	folder, err := os.MkdirTemp("", "assay-doctor")
	if err != nil {
		return sayf(about, Unknown, "%v", err)
	}
	defer os.RemoveAll(folder)
	config, err := v.alone(folder)
	if err != nil {
		return sayf(about, Unknown, "%v", err)
	}
	said, code, err := v.run(ctx, config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return sayf(about, Unknown, "%v", err).hinting("--verifier names a copy of assay-containerd-verifier")
	case err != nil:
		return sayf(about, Doubtful, "%s: %v: without the node daemon every pull fails", v.Program, err)
	case code == 0:
		return sayf(about, Wrong, "without the node daemon an image may run that nobody can have vouched for: %s", said).
			hinting("do the policies of the fallback allow all images, or only warn or audit?")
	case code != 1:
		return sayf(about, Doubtful, "without the node daemon nothing can be told, and every pull fails: %s", said).
			hinting(v.Config + ` names the command that decides then ("fallback")`)
	}
	return sayf(about, Fine, "without the node daemon the verifier decides by itself: %s", said)
}

// alone writes a configuration with a daemon that nobody is.
func (v *Verifier) alone(folder string) (string, error) {
	fields := map[string]any{"socket": filepath.Join(folder, "nobody.sock")}
	for name, value := range v.fields {
		fields[name] = value
	}
	content, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	name := filepath.Join(folder, "verifier.json")
	return name, os.WriteFile(name, content, 0o600)
}

// run runs the verifier, and returns what it says and its exit code.
func (v *Verifier) run(ctx context.Context, config string) (said string, code int, err error) {
	ctx, cancel := context.WithTimeout(ctx, v.deadline+startGrace)
	defer cancel()
	q := Stranger()
	descriptor, err := json.Marshal(map[string]any{"mediaType": q.MediaType, "digest": q.Digest, "size": q.Size})
	if err != nil {
		return "", 0, err
	}
	out := &head{left: maxLine}
	cmd := exec.CommandContext(ctx, v.Program, "-name", q.Name, "-digest", q.Digest, "-stdin-media-type", ask.DescriptorType)
	cmd.Env = append(os.Environ(), ask.ConfigVariable+"="+config)
	cmd.Stdin, cmd.Stdout = bytes.NewReader(descriptor), out
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	said = strings.TrimPrefix(strings.TrimSpace(out.kept.String()), ours)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return said, exit.ExitCode(), nil
	}
	return said, 0, err
}

// head keeps the beginning of what is written.
type head struct {
	kept bytes.Buffer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.kept.Write(p[:n])
	h.left -= n
	return len(p), nil
}

// Stranger is a question about an image that nobody has and nobody can have vouched for: its registry cannot exist (RFC 6761), and its digest is made up.
func Stranger() ask.Question {
	var digest [32]byte
	_, _ = rand.Read(digest[:]) // it never fails
	return ask.Question{Name: "assay.invalid/signed-by-nobody:1", Digest: fmt.Sprintf("sha256:%x", digest), MediaType: manifestType, Size: 2}
}
