package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// Limits of what the fallback writes.
const (
	maxVerdict = 1 << 20  // bytes of a verdict
	maxNotes   = 16 << 10 // bytes of what it says beside it
)

// lingering is how long what the fallback started may hold its output after it has ended, or was killed.
const lingering = 100 * time.Millisecond

// fallback runs a command that decides about the image as assay verify does, and reads its verdict. All that it started has ended with ctx.
func (v *verifier) fallback(ctx context.Context, command []string, q ask.Question, away error) ask.Answer {
	verdict, notes := &limited{most: maxVerdict}, &limited{most: maxNotes}
	code, err := runCommand(ctx, slices.Concat(command, []string{q.Image()}), verdict, notes)
	for line := range strings.Lines(notes.kept.String()) {
		fmt.Fprintln(v.stderr, ask.Line("fallback: "+strings.TrimPrefix(line, "assay: ")))
	}
	if ctx.Err() != nil {
		err = errors.New("it did not answer in time")
	}
	if err != nil {
		return ask.No(ask.CouldNotTell, fmt.Sprintf("%s: could not tell: %v; without it: %s: %v", q.Image(), away, command[0], err))
	}
	a := judge(code, verdict, &q)
	if a.Meaning == ask.CouldNotTell && verdict.kept.Len() == 0 {
		a.Reason += ": " + strings.TrimSpace(notes.kept.String())
	}
	if !a.Allowed {
		a.Reason += " (decided without the node daemon)"
	}
	return a
}

// runCommand runs a command and returns its exit code. An error says that it has none.
func runCommand(ctx context.Context, command []string, stdout, stderr *limited) (int, error) {
	// The kernel is asked to kill the command with the thread that started it, which must therefore live as long as this program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = lingering
	isolate(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = cmd.Cancel() // those whom it left behind
		return 0, errors.New("it left somebody behind who holds its output")
	}
	var exited *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exited) && exited.Exited():
		return exited.ExitCode(), nil
	}
	return 0, bare(err)
}

// judge makes an answer of what the fallback wrote and its exit code, which must agree. A verdict that allows must be about the very image and
// digest.
func judge(code int, out *limited, q *ask.Question) ask.Answer {
	var v struct {
		image, digest, pin, reason string
		allowed, child             bool
		warnings                   []string
	}
	fields := map[string]any{
		"image": &v.image, "digest": &v.digest, "pin": &v.pin, "reason": &v.reason,
		"allowed": &v.allowed, "child": &v.child, "warnings": &v.warnings,
	}
	err := ask.DecodeObject(out.kept.Bytes(), fields, ask.Among)
	if out.full {
		err = fmt.Errorf("has more than %d bytes", maxVerdict)
	}
	switch {
	case err != nil && code == exitAllowed:
		return ask.No(ask.Bug, fmt.Sprintf("%s: bug: what the fallback wrote %v", q.Image(), err))
	case err != nil:
		return ask.No(meaningOf(code), fmt.Sprintf("%s: could not tell: the fallback ended with exit code %d", q.Image(), code))
	case v.image != q.Image():
		return ask.No(ask.Bug, fmt.Sprintf("%s: bug: the fallback's verdict is about %s", q.Image(), v.image))
	case v.allowed != (code == exitAllowed):
		return ask.No(ask.Bug, fmt.Sprintf("%s: bug: the fallback's verdict and its exit code %d say two things", q.Image(), code))
	case !v.allowed:
		return ask.No(meaningOf(code), fmt.Sprintf("%s: %s: %s", q.Image(), openings[meaningOf(code)], v.reason))
	case v.child:
		return ask.No(ask.Denied, fmt.Sprintf("%s: may not run: only %s in it is vouched for", q.Image(), v.digest))
	case v.digest != q.Digest && v.pin != "": // by a rule with insecureReplace
		return ask.No(ask.Denied, fmt.Sprintf("%s: may not run: %s is to run in its place, and containerd pulls what it asked about", q.Image(), v.digest))
	case v.digest != q.Digest:
		return ask.No(ask.Bug, fmt.Sprintf("%s: bug: the fallback's verdict is about %s", q.Image(), v.digest))
	}
	reason := q.Image() + ": allowed (without the node daemon)"
	for _, w := range v.warnings {
		reason += "; warning: " + w
	}
	return ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: ask.Line(reason)}
}

// openings are the words for people.
var openings = map[string]string{
	ask.Denied: "may not run", ask.CouldNotTell: "could not tell whether it may run", ask.Bug: "may not run, because Assay broke down",
}

// meaningOf is what an exit code of assay verify says of an image that may not run.
func meaningOf(code int) string {
	switch code {
	case exitDenied:
		return ask.Denied
	case exitBug:
		return ask.Bug
	}
	return ask.CouldNotTell
}

// limited keeps the beginning of what is written.
type limited struct {
	kept bytes.Buffer
	most int
	full bool // there was more
}

// Write implements io.Writer. It takes everything, so that whoever writes does not break.
func (l *limited) Write(p []byte) (int, error) {
	room := l.most - l.kept.Len()
	l.full = l.full || len(p) > room
	l.kept.Write(p[:min(len(p), room)])
	return len(p), nil
}
