package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/assay-dev/assay/engine"
)

// event is an Event as the API server gets it.
type event struct {
	Metadata       struct{ Name, Namespace string }
	InvolvedObject struct{ APIVersion, Kind, Namespace, Name, UID string }
	Type           string
	Reason         string
	Message        string
	Count          int
	FirstTimestamp time.Time
	LastTimestamp  time.Time
}

// cluster keeps Events, as an API server does.
type cluster struct {
	events  map[string]event
	order   []string
	down    error
	patched int
}

func (c *cluster) Create(_ context.Context, namespace string, content []byte) error {
	if c.down != nil {
		return c.down
	}
	var e event
	if err := json.Unmarshal(content, &e); err != nil {
		return err
	}
	if c.events == nil {
		c.events = map[string]event{}
	}
	if _, found := c.events[e.Metadata.Name]; found || e.Metadata.Namespace != namespace || e.InvolvedObject.Namespace != namespace {
		return fmt.Errorf("cannot be stored: %s", content)
	}
	c.events[e.Metadata.Name] = e
	c.order = append(c.order, e.Metadata.Name)
	return nil
}

func (c *cluster) Patch(_ context.Context, _, name string, patch []byte) error {
	e, found := c.events[name]
	if !found {
		return fmt.Errorf("%w: %s", ErrNoEvent, name)
	}
	c.patched++
	err := json.Unmarshal(patch, &e)
	c.events[name] = e
	return err
}

// eventLab is a Handler that writes Events into a cluster when it is told to, at a time that stands still.
type eventLab struct {
	lab
	*cluster
	events  *Events
	time    time.Time
	counted map[string]int
	log     bytes.Buffer
}

func newEventLab(t *testing.T, say func(engine.Request) engine.Verdict) *eventLab {
	t.Helper()
	l := &eventLab{cluster: &cluster{}, time: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC), counted: map[string]int{}}
	l.events = NewEvents(l.cluster, func(result string) { l.counted[result]++ }, slog.New(slog.NewTextHandler(&l.log, nil)), func() time.Time { return l.time })
	l.lab = newLab(t, func(c *Config) { c.Events = l.events })
	l.lab.say = say
	return l
}

// written writes what waits, and returns all Events.
func (l *eventLab) written() []event {
	l.events.finish(context.Background())
	var all []event
	for _, name := range l.order {
		all = append(all, l.cluster.events[name])
	}
	return all
}

// ruled says of every image what a policy of a mode does that knows nobody for it.
func ruled(mode string, allowed bool) func(engine.Request) engine.Verdict {
	return func(req engine.Request) engine.Verdict {
		return engine.Verdict{Image: req.Image, Allowed: allowed, Decision: engine.Decision{
			Policy: "production", Mode: mode, Rule: "rules[0] (line 9)", Outcome: engine.Denied, Reason: "release: unsigned: nothing is signed",
		}}
	}
}

const controller = "system:serviceaccount:kube-system:replicaset-controller"

// owned is a pod as a controller makes it.
func owned(references string) string {
	return `{"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"web-1-","name":"web-1-abc","namespace":"shop","uid":"pod-uid","ownerReferences":` + references +
		`},"spec":{"containers":[{"name":"web","image":"r.example/bad:1"}]}}`
}

const replicaSet = `[{"apiVersion":"example.org/v1","kind":"Other","name":"other","uid":"o"},{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1","uid":"rs-uid","controller":true}]`

func asUser(review []byte, name string) []byte {
	return bytes.Replace(review, []byte(`"username":"admin"`), fmt.Appendf(nil, `"username":%q`, name), 1)
}

func TestEventsOfWhatWouldBeRefused(t *testing.T) {
	for _, mode := range []string{"warn", "audit"} {
		t.Run(mode, func(t *testing.T) {
			l := newEventLab(t, ruled(mode, true))
			body := asUser(reviewOf(change{object: owned(replicaSet)}), controller)
			l.post(t, "/mutate", body) // the object has no uid yet, and /validate comes
			if got := l.written(); len(got) != 0 {
				t.Fatalf("at /mutate: got %+v, want none", got)
			}
			l.post(t, "/validate", body)
			got := l.written()
			if len(got) != 1 {
				t.Fatalf("got %+v, want one", got)
			}
			e := got[0]
			if o := e.InvolvedObject; o.APIVersion != "apps/v1" || o.Kind != "ReplicaSet" || o.Name != "web-1" || o.UID != "rs-uid" || o.Namespace != "shop" {
				t.Errorf("got %+v, want the ReplicaSet", o)
			}
			want := "Container image r.example/bad:1 (web) would be denied by policy production (" + mode + "): release: unsigned: nothing is signed"
			if e.Type != "Warning" || e.Reason != "ImageWouldBeDenied" || e.Message != want || e.Count != 1 || !e.FirstTimestamp.Equal(l.time) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestEventsOfDenials(t *testing.T) {
	tests := []struct {
		outcome engine.Outcome
		want    string
	}{{engine.Denied, "ImageDenied"}, {engine.CouldNotTell, "ImageNotDecided"}, {engine.Bug, "ImageNotDecided"}}
	for _, test := range tests {
		l := newEventLab(t, func(req engine.Request) engine.Verdict {
			v := ruled("enforce", false)(req)
			v.Outcome = test.outcome
			return v
		})
		l.post(t, "/mutate", reviewOf(change{object: pod("r.example/bad:1")}))
		got := l.written()
		if len(got) != 1 || got[0].Reason != test.want || got[0].InvolvedObject.Kind != "Pod" || got[0].InvolvedObject.Name != "x" {
			t.Errorf("%v: got %+v, want %s of the pod", test.outcome, got, test.want)
		}
	}
}

// T33: whoever makes a pod can name any owner in it. Events are written under a name that others use only if a controller of Kubernetes said so,
// and never in another namespace.
func TestT33_ForgedOwnersGetNoEvents(t *testing.T) {
	tests := []struct{ name, user, references string }{
		{"a tenant's owner", "jane", replicaSet},
		{"a service account of a tenant", "system:serviceaccount:shop:replicaset-controller", replicaSet},
		{"a user whose name only begins so", "system:kube-controller-manager2", replicaSet},
		{"an owner that is no workload", controller, `[{"apiVersion":"v1","kind":"Node","name":"n","uid":"u","controller":true}]`},
		{"an owner of another group", controller, `[{"apiVersion":"evil.example/v1","kind":"ReplicaSet","name":"n","uid":"u","controller":true}]`},
		{"an owner that is no controller", controller, strings.Replace(replicaSet, "true", "false", 1)},
		{"an owner without a uid", controller, strings.Replace(replicaSet, "rs-uid", "", 1)},
		{"an owner with an endless name", controller, strings.Replace(replicaSet, "web-1", strings.Repeat("x", 254), 1)},
		{"owners that cannot be read", controller, `7`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newEventLab(t, ruled("audit", true))
			l.post(t, "/validate", asUser(reviewOf(change{object: owned(test.references)}), test.user))
			got := l.written()
			if len(got) != 1 || got[0].InvolvedObject.Kind != "Pod" || got[0].InvolvedObject.Namespace != "shop" || got[0].InvolvedObject.Name != "web-1-abc" {
				t.Errorf("got %+v, want one of the pod", got)
			}
		})
	}
}

func TestNoEvents(t *testing.T) {
	audit := ruled("audit", true)
	tests := []struct {
		name string
		say  func(engine.Request) engine.Verdict
		body []byte
	}{
		{"a dry run", audit, bytes.Replace(reviewOf(change{object: pod("r.example/bad:1")}), []byte(`"dryRun":false`), []byte(`"dryRun":true`), 1)},
		{"a denied dry run", ruled("enforce", false), bytes.Replace(reviewOf(change{object: pod("r.example/bad:1")}), []byte(`"dryRun":false`), []byte(`"dryRun":true`), 1)},
		{"what is allowed", nil, reviewOf(change{object: pod("r.example/good:1")})},
		{"an object of no namespace", audit, reviewOf(change{namespace: "-", object: pod("r.example/bad:1")})},
	}
	for _, test := range tests {
		l := newEventLab(t, test.say)
		l.post(t, "/validate", test.body)
		if got := l.written(); len(got) != 0 {
			t.Errorf("%s: got %+v, want none", test.name, got)
		}
	}
}

// A crash loop is one Event with a count, which is written at most once in five minutes.
func TestEventsAreCounted(t *testing.T) {
	l := newEventLab(t, ruled("audit", true))
	again := func(n int) {
		for range n {
			l.post(t, "/validate", asUser(reviewOf(change{object: owned(replicaSet)}), controller))
		}
		l.written()
	}
	again(20)
	if got := l.written(); len(got) != 1 || got[0].Count != 1 || l.patched != 0 {
		t.Fatalf("at once: got %+v, %d patches", got, l.patched)
	}
	l.time = l.time.Add(eventEvery)
	l.events.sweep(t.Context())
	if got := l.written(); len(got) != 1 || got[0].Count != 20 || l.patched != 1 {
		t.Errorf("after a while: got %+v, %d patches", got, l.patched)
	}
	l.events.sweep(t.Context())
	if l.patched != 1 {
		t.Errorf("nothing new: got %d patches", l.patched)
	}
	// The API server has forgotten it.
	clear(l.cluster.events)
	l.time = l.time.Add(eventEvery)
	again(1)
	if len(l.cluster.events) != 1 {
		t.Errorf("an Event that is gone was not written anew: %+v", l.cluster.events)
	}
	l.time = l.time.Add(eventForgotten)
	l.events.sweep(t.Context())
	if len(l.events.written) != 0 || len(l.events.inSpace) != 0 {
		t.Errorf("got %d matters after an hour, want none", len(l.events.written))
	}
}

// T47: images and namespaces without end take no memory without end, and one namespace takes no other's place.
func TestT47_EventsAreBounded(t *testing.T) {
	l := newEventLab(t, nil)
	for i := range maxEventNamespace + 10 {
		l.events.tell(happening{matter: matter{namespace: "a", image: fmt.Sprint(i)}})
		l.written()
	}
	if got := len(l.events.written); got != maxEventNamespace || l.counted[EventDropped] != 10 {
		t.Errorf("one namespace: got %d matters and %v", got, l.counted)
	}
	for i := range maxEventMatters {
		l.events.tell(happening{matter: matter{namespace: fmt.Sprint(i)}})
		l.written()
	}
	if got := len(l.events.written); got != maxEventMatters {
		t.Errorf("many namespaces: got %d matters, want %d", got, maxEventMatters)
	}
	dropped := l.counted[EventDropped]
	for range maxEventQueue + 7 { // nobody writes
		l.events.tell(happening{})
	}
	if got := l.counted[EventDropped] - dropped; got != 7 {
		t.Errorf("a full queue: got %d dropped, want 7", got)
	}
}

func TestEventsThatCannotBeWritten(t *testing.T) {
	l := newEventLab(t, ruled("audit", true))
	l.down = errors.New("events is forbidden\nforged=line")
	for range 5 {
		l.post(t, "/validate", reviewOf(change{object: pod("r.example/bad:1")}))
		l.time = l.time.Add(eventEvery)
		l.written()
	}
	if l.counted[EventFailed] != 5 || strings.Count(l.log.String(), "could not be written") != 1 || strings.Contains(l.log.String(), "\nforged") {
		t.Errorf("got %v and the log %s", l.counted, &l.log)
	}
	l.down, l.time = nil, l.time.Add(eventEvery)
	l.events.sweep(t.Context())
	if got := l.written(); len(got) != 1 || got[0].Count != 5 {
		t.Errorf("when it is up again: got %+v, want a count of 5", got)
	}
}

// Texts of others are made harmless, and short enough for the API server.
func TestTextsOfEvents(t *testing.T) {
	l := newEventLab(t, func(req engine.Request) engine.Verdict {
		v := ruled("audit", true)(req)
		v.Reason = "evil\x1b[31m\nline\u202e" + strings.Repeat("é", 2000)
		return v
	})
	l.post(t, "/validate", reviewOf(change{object: pod("r.example/\u202ebad:1")}))
	got := l.written()
	if len(got) != 1 {
		t.Fatalf("got %+v, want one", got)
	}
	if m := got[0].Message; len(m) > maxEventNote || !utf8.ValidString(m) || strings.ContainsAny(m, "\x1b\n\u202e") {
		t.Errorf("got %d bytes: %q", len(m), m)
	}
}

func TestEventsEndWithTheServer(t *testing.T) {
	l := newEventLab(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	l.events.tell(happening{matter: matter{namespace: "shop", reason: reasonDenied}})
	stop()
	go func() { l.events.Run(ctx); close(ended) }()
	<-ended
	if len(l.order) != 1 {
		t.Errorf("got %d Events, want the one that waited", len(l.order))
	}
}
