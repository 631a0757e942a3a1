package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// Limits of Events.
const (
	eventEvery        = 5 * time.Minute // between two writes about one matter
	eventForgotten    = time.Hour       // after which a matter is a new one; API servers keep Events as long
	eventSweep        = time.Minute     // how often counts are looked at that wait to be written
	eventTimeout      = 5 * time.Second // for one write
	maxEventQueue     = 256             // Events that wait to be written
	maxEventMatters   = 4096            // matters that are remembered
	maxEventNamespace = 64              // of them in one namespace, so that one tenant takes no other's place
	maxEventNote      = 1 << 10         // bytes of an Event's text, as events.k8s.io has it
	maxObjectName     = 253             // bytes of an object's name
)

// What is counted of Events.
const (
	EventWritten = "written" // it is in the cluster, or its count was raised there
	EventFailed  = "failed"  // the API server did not take it
	EventDropped = "dropped" // too many came
)

// EventWriter writes Events (core/v1) into the cluster.
type EventWriter interface {
	// Create stores an Event, which is given as JSON.
	Create(ctx context.Context, namespace string, event []byte) error
	// Patch merges JSON into an Event (RFC 7396). ErrNoEvent: there is none of that name any more.
	Patch(ctx context.Context, namespace, name string, patch []byte) error
}

// ErrNoEvent says that an Event is not there any more.
var ErrNoEvent = errors.New("there is no such Event")

// Events tells those who look after a namespace what was refused in it, and what would have been: as Events of the object, or of the one
// that made it. Requests never wait for it. The same about the same is written once in a while, with a count.
type Events struct {
	writer  EventWriter
	counted func(result string)
	log     *slog.Logger
	now     func() time.Time
	queue   chan happening
	written map[matter]*eventState
	inSpace map[string]int // how many of written a namespace has
	failing bool           // it was logged that the API server takes none
}

// NewEvents makes Events that Run writes. counted is told what became of each: EventWritten, EventFailed or EventDropped.
func NewEvents(w EventWriter, counted func(result string), log *slog.Logger, now func() time.Time) *Events {
	return &Events{
		writer: w, counted: counted, log: log, now: now, queue: make(chan happening, maxEventQueue),
		written: map[matter]*eventState{}, inSpace: map[string]int{},
	}
}

// matter is what an Event is about. Two that are equal are one that happened twice.
type matter struct {
	namespace string
	object    objectRef
	reason    string
	image     string
	policy    string
}

// happening is a matter with its text, which is that of the first time: of what takes time, no two are alike.
type happening struct {
	matter
	note string
}

// objectRef names an object of the namespace.
type objectRef struct{ apiVersion, kind, name, uid string }

// eventState is what is known of a matter that was told.
type eventState struct {
	name        string // of the Event; "" if there is none
	note        string
	first, last time.Time
	count       int
	told        int       // of count that the Event says
	at          time.Time // of the last try to write
}

// tell has an Event written, some time. It never waits; nil tells nobody.
func (e *Events) tell(h happening) {
	if e == nil {
		return
	}
	select {
	case e.queue <- h:
	default:
		e.counted(EventDropped)
	}
}

// Run writes Events until ctx ends, and then those that are waiting.
func (e *Events) Run(ctx context.Context) {
	ticker := time.NewTicker(eventSweep)
	defer ticker.Stop()
	for {
		select {
		case h := <-e.queue:
			e.take(ctx, h)
		case <-ticker.C:
			e.sweep(ctx)
		case <-ctx.Done():
			e.finish(context.WithoutCancel(ctx))
			return
		}
	}
}

// finish writes what waits, for a moment.
func (e *Events) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case h := <-e.queue:
			e.take(ctx, h)
		default:
			return
		}
	}
}

// take counts a matter, and writes it if that was not done a moment ago.
func (e *Events) take(ctx context.Context, h happening) {
	m, now := h.matter, e.now()
	s := e.written[m]
	if s == nil {
		if len(e.written) >= maxEventMatters || e.inSpace[m.namespace] >= maxEventNamespace {
			e.forget(now)
		}
		if len(e.written) >= maxEventMatters || e.inSpace[m.namespace] >= maxEventNamespace {
			e.counted(EventDropped)
			return
		}
		s = &eventState{note: h.note, first: now}
		e.written[m] = s
		e.inSpace[m.namespace]++
	}
	s.count++
	s.last = now
	e.write(ctx, m, s, now)
}

// sweep writes counts that have waited long enough, and forgets what is over.
func (e *Events) sweep(ctx context.Context) {
	now := e.now()
	for m, s := range e.written {
		e.write(ctx, m, s, now)
	}
	e.forget(now)
}

func (e *Events) forget(now time.Time) {
	for m, s := range e.written {
		if s.told == s.count && now.Sub(s.last) >= eventForgotten || now.Sub(s.last) >= 2*eventForgotten {
			delete(e.written, m)
			if e.inSpace[m.namespace]--; e.inSpace[m.namespace] == 0 {
				delete(e.inSpace, m.namespace)
			}
		}
	}
}

// write brings the Event of a matter up to date, if there is something new and the last try was long enough ago.
func (e *Events) write(ctx context.Context, m matter, s *eventState, now time.Time) {
	if s.told == s.count || !s.at.IsZero() && now.Sub(s.at) < eventEvery {
		return
	}
	s.at = now
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	if err := e.store(ctx, m, s); err != nil {
		e.counted(EventFailed)
		if !e.failing { // once, until it works again: whoever can make Events fail must not fill the log
			e.log.Warn("an Event could not be written", "namespace", m.namespace, "error", cut(enforce.Plain(err.Error()), maxEventNote))
		}
		e.failing = true
		return
	}
	e.failing = false
	s.told = s.count
	e.counted(EventWritten)
}

func (e *Events) store(ctx context.Context, m matter, s *eventState) error {
	if s.name != "" {
		patch := toJSON(map[string]any{"count": s.count, "lastTimestamp": s.last.UTC().Format(time.RFC3339)})
		err := e.writer.Patch(ctx, m.namespace, s.name, patch)
		if !errors.Is(err, ErrNoEvent) {
			return err
		}
	}
	name := eventName(m, s.at)
	if err := e.writer.Create(ctx, m.namespace, m.event(name, s)); err != nil {
		return err
	}
	s.name = name
	return nil
}

// eventName is one that no other replica and no earlier Event has.
func eventName(m matter, at time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{m.namespace, m.object.apiVersion, m.object.kind, m.object.name, m.object.uid, m.reason, m.image, m.policy}))
	return "assay." + hex.EncodeToString(sum[:8]) + "." + strconv.FormatInt(at.UnixNano(), 36)
}

// component is who wrote an Event.
const component = "assay.dev/webhook"

func (m *matter) event(name string, s *eventState) []byte {
	object := map[string]any{"apiVersion": m.object.apiVersion, "kind": m.object.kind, "namespace": m.namespace, "name": m.object.name}
	if m.object.uid != "" {
		object["uid"] = m.object.uid
	}
	return toJSON(map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata":       map[string]any{"name": name, "namespace": m.namespace},
		"involvedObject": object,
		"type":           "Warning", "reason": m.reason, "message": s.note,
		"source":         map[string]any{"component": component},
		"firstTimestamp": s.first.UTC().Format(time.RFC3339), "lastTimestamp": s.last.UTC().Format(time.RFC3339), "count": s.count,
	})
}

func toJSON(value map[string]any) []byte {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	return content
}

// bounded makes a text of others fit for an Event.
func bounded(text string, limit int) string {
	return cut(enforce.Plain(strings.ToValidUTF8(text, "\uFFFD")), limit)
}
