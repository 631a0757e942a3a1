package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// RunningContainer is what an engine says of a container that runs, as it was made. Callers must not change it: others see it too.
type RunningContainer struct {
	ID     string
	Labels map[string]string
	Env    []string
	Named  string // how its image was called when it was made
	Image  string // the ID of its image; may be ""

	// First is the number of its first process, as the engine sees it; 0: it does not run. Nil: the engine does not say.
	First *int32
}

// RunningImage is what an engine says of the image of a container. Callers must not change it: others see it too.
type RunningImage struct {
	ID      string
	Digests []string // "registry.example/app@sha256:…"
}

// Running returns the container with an ID. Connections that fail and errors of the engine (5xx) are tried again after 100, 200 and 400 ms.
// ErrAbsent: the engine has none, which is remembered for a second. What is found is kept until the engine reports the end of the container,
// for a minute at most; callers at once share one request, which goes on until the last one has left.
func (d *Docker) Running(ctx context.Context, id string) (RunningContainer, error) {
	d.events.follow()
	return d.containers.get(ctx, id)
}

// RunningImage returns the image with an ID. It is asked for once. ErrAbsent: the engine has none. What is found is kept until an image loses a
// name, is removed or pulled, for a minute at most.
func (d *Docker) RunningImage(ctx context.Context, id string) (RunningImage, error) {
	d.events.follow()
	return d.images.get(ctx, id)
}

func (d *Docker) inspectContainer(ctx context.Context, id string) (RunningContainer, error) {
	if !plain(id) || strings.Contains(id, "/") {
		return RunningContainer{}, absent("no name that an engine could know")
	}
	var answer struct {
		ID     string `json:"Id"`
		Image  string
		Config struct {
			Labels map[string]string
			Env    []string
			Image  string
		}
		State struct{ Pid *int32 }
	}
	if err := d.again(ctx, func() error { return d.fetch(ctx, "/containers/"+id+"/json", &answer) }); err != nil {
		return RunningContainer{}, err
	}
	// An engine takes names too, and a container may be called like the ID of another one.
	if answer.ID != "" && answer.ID != id && len(id) == idLength && isHex(id) {
		return RunningContainer{}, absent("No such container: " + id)
	}
	return RunningContainer{
		ID: answer.ID, Image: answer.Image, Labels: answer.Config.Labels, Env: answer.Config.Env, Named: answer.Config.Image, First: answer.State.Pid,
	}, nil
}

// Forget drops what is kept of a container: it was found to be wrong.
func (d *Docker) Forget(id string) { d.containers.forget(ofContainer(id)) }

func (d *Docker) inspectImage(ctx context.Context, id string) (RunningImage, error) {
	if !plain(id) {
		return RunningImage{}, absent("no name that an engine could know")
	}
	var answer struct {
		ID          string `json:"Id"`
		RepoDigests []string
	}
	if err := d.fetch(ctx, "/images/"+id+"/json", &answer); err != nil {
		return RunningImage{}, err
	}
	return RunningImage{ID: answer.ID, Digests: answer.RepoDigests}, nil
}

func containerSize(c RunningContainer) int {
	size := len(c.ID) + len(c.Named) + len(c.Image)
	for key, value := range c.Labels {
		size += len(key) + len(value) + 48
	}
	for _, e := range c.Env {
		size += len(e) + 16
	}
	return size
}

func imageSize(i RunningImage) int {
	size := len(i.ID)
	for _, digest := range i.Digests {
		size += len(digest) + 16
	}
	return size
}

// again asks up to four times.
func (d *Docker) again(ctx context.Context, ask func() error) error {
	for _, pause := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		err := ask()
		if !passing(err) || ctx.Err() != nil || d.config.Sleep(ctx, pause) != nil {
			return err
		}
	}
	return ask()
}

// passing reports whether an error may be gone a moment later: the engine was not reached, or says that it is not well.
func passing(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.code >= 500
	}
	var connection *connectionError
	return errors.As(err, &connection)
}

// connectionError says that no whole answer came.
type connectionError struct {
	socket string
	err    error
}

func (e *connectionError) Error() string { return e.socket + ": " + e.err.Error() }
func (e *connectionError) Unwrap() error { return e.err }

// statusError is an answer of the engine that is none.
type statusError struct {
	socket string
	code   int
	text   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.socket, e.code, http.StatusText(e.code), e.text)
}

// absent is ErrAbsent in the engine's words.
func absent(text string) error { return &absentError{text} }

type absentError struct{ text string }

func (e *absentError) Error() string { return e.text }
func (e *absentError) Unwrap() error { return ErrAbsent }

// fetch reads what the engine says at a path of its API, in a version that both sides speak.
func (d *Docker) fetch(ctx context.Context, path string, into any) error {
	prefix, err := d.prefix(ctx)
	if err != nil {
		return err
	}
	err = d.ask(ctx, prefix+path, nil, into)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusBadRequest {
		d.renegotiate()
	}
	return err
}
