package workload

import (
	"context"
	"errors"
)

// RunningContainer is what an engine says of a container that runs, as it was made. Callers must not change it: others see it too.
type RunningContainer struct {
	ID     string
	Labels map[string]string
	Env    []string
	Named  string // how its image was called when it was made
	Image  string // the ID of its image; may be ""
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
	return RunningContainer{}, errors.New("not yet")
}

// RunningImage returns the image with an ID. It is asked for once. ErrAbsent: the engine has none. What is found is kept until an image loses a
// name, is removed or pulled, for a minute at most.
func (d *Docker) RunningImage(ctx context.Context, id string) (RunningImage, error) {
	return RunningImage{}, errors.New("not yet")
}
