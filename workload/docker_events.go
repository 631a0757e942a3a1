package workload

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Limits of the stream of events.
const (
	maxEvent     = 4 << 20 // bytes of one: it tells the labels of a container
	minReconnect = time.Second
	maxReconnect = time.Minute
)

// eventFilters are the events that make what is remembered wrong. Podman calls some of them died and remove where they are asked for.
const eventFilters = `{"type":["container","image"],"event":["die","destroy","died","remove","untag","delete","pull"]}`

// events follows what an engine reports, from the first question on. Without it answers are forgotten by their age alone.
type events struct {
	docker *Docker
	pause  func(context.Context, time.Duration) error

	mu     sync.Mutex
	cancel context.CancelFunc // nil: nothing is followed
	closed bool
}

// follow starts to follow, if that is not done already.
func (e *events) follow() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	since := e.docker.config.Now()
	e.docker.config.Go("docker events", func() {
		defer e.ended(cancel) // also where it panics: the next question starts it anew
		e.run(ctx, since)
	})
}

func (e *events) ended(cancel context.CancelFunc) {
	cancel()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cancel = nil
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.cancel != nil {
		e.cancel()
	}
}

// run follows one stream after another. What was missed between two of them is unknown, so that the second one begins with nothing.
func (e *events) run(ctx context.Context, since time.Time) {
	wait := minReconnect
	missed := false
	for {
		connected, err := e.stream(ctx, since, missed)
		if ctx.Err() != nil {
			return
		}
		if connected {
			wait, missed = minReconnect, true
		}
		e.docker.config.Log.Debug("Events of the engine are not followed", "error", err, "retry_interval", wait.String())
		if e.pause(ctx, wait) != nil {
			return
		}
		wait = min(2*wait, maxReconnect)
		if missed {
			since = e.docker.config.Now()
		}
	}
}

func (e *events) stream(ctx context.Context, since time.Time, missed bool) (connected bool, err error) {
	d := e.docker
	prefix, err := d.prefix(ctx)
	if err != nil {
		return false, err
	}
	query := url.Values{"since": {strconv.FormatInt(since.Unix(), 10)}, "filters": {eventFilters}}
	resp, err := d.do(ctx, d.stream, http.MethodGet, prefix+"/events", query, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false, &statusError{d.socket, resp.StatusCode, said(resp.Body)}
	}
	if missed {
		d.containers.forget(anyContainer)
		d.images.forget(anyImage)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		if err := e.happened(lines.Bytes()); err != nil {
			return true, err
		}
	}
	return true, lines.Err()
}

// ofContainer is true of a container, and of what may be it: an engine knows containers by names and by the beginning of their ID, too.
func ofContainer(id string) func(string, RunningContainer) bool {
	return func(key string, c RunningContainer) bool {
		return key == id || c.ID == id || c.ID == "" && len(key) != idLength
	}
}

func anyContainer(string, RunningContainer) bool { return true }

func anyImage(string, RunningImage) bool { return true }

// happened forgets what an event makes wrong. Image events are rare: all images are asked for anew.
func (e *events) happened(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	var event struct {
		Type   string
		Action string
		Actor  struct{ ID string }
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return err
	}
	switch event.Type {
	case "container":
		switch event.Action {
		case "die", "destroy", "died", "remove":
			e.docker.containers.forget(ofContainer(event.Actor.ID))
		}
	case "image":
		e.docker.images.forget(anyImage)
	}
	return nil
}
