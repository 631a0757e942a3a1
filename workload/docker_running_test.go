package workload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/workload"
)

// fakeEngine is an engine that notes what it is asked.
type fakeEngine struct {
	host    string
	answer  http.HandlerFunc // containers and images
	version string           // "": it has no ping
	events  chan string      // nil: it has no events
	streams chan struct{}    // one for each stream that was begun

	mu    sync.Mutex
	asked []string
}

func (e *fakeEngine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	if !strings.HasSuffix(r.URL.Path, "/events") {
		e.asked = append(e.asked, r.Method+" "+r.URL.Path)
	}
	e.mu.Unlock()
	switch {
	case strings.HasSuffix(r.URL.Path, "/_ping") && e.version != "":
		w.Header().Set("Api-Version", e.version)
	case strings.HasSuffix(r.URL.Path, "/events") && e.events != nil:
		_ = http.NewResponseController(w).Flush()
		e.streams <- struct{}{}
		for {
			select {
			case text := <-e.events:
				if text == "" {
					return
				}
				_, _ = io.WriteString(w, text+"\n")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	case strings.HasSuffix(r.URL.Path, "/_ping"), strings.HasSuffix(r.URL.Path, "/events"):
		http.NotFound(w, r)
	default:
		e.answer(w, r)
	}
}

// requests returns what was asked, but for events.
func (e *fakeEngine) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

func (e *fakeEngine) start(t *testing.T) *fakeEngine {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: e}}
	s.Start()
	t.Cleanup(s.Close)
	e.host = "unix://" + socket
	e.streams = make(chan struct{}, 10)
	return e
}

// clock is a time that only moves when somebody sleeps or the test says so.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.slept = c.now.Add(d), append(c.slept, d)
	return context.Cause(ctx)
}

// open makes a client of an engine, with goroutines that end before the test does.
func open(t *testing.T, c workload.DockerConfig) *workload.Docker {
	t.Helper()
	var running sync.WaitGroup
	if c.Go == nil {
		c.Go = func(_ string, fn func()) { running.Go(fn) }
	}
	d, err := workload.OpenDocker(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); running.Wait() })
	return d
}

const runningJSON = `{"Id":"%s","Image":"sha256:11","Config":{"Labels":{"b":"2","a":"1"},"Env":["PATH=/bin","X"],"Image":"registry.example/app:1"}}`

func always(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func TestDOCKER7_Running(t *testing.T) {
	e := (&fakeEngine{version: "1.45", answer: always(fmt.Sprintf(runningJSON, idA))}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host})
	want := workload.RunningContainer{
		ID: idA, Image: "sha256:11", Named: "registry.example/app:1", Env: []string{"PATH=/bin", "X"}, Labels: map[string]string{"a": "1", "b": "2"},
	}
	for range 3 {
		if got, err := d.Running(t.Context(), idA); err != nil || !cmp.Equal(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	if got := e.requests(); !slices.Equal(got, []string{"HEAD /_ping", "GET /v1.45/containers/" + idA + "/json"}) {
		t.Errorf("asked %q", got)
	}
}

func TestVersions(t *testing.T) {
	for offered, want := range map[string]string{"1.41": "/v1.41", "1.55": "/v1.55", "1.60": "/v1.55", "1.40": "/v1.40", "1.39": "error", "2.0": "error", "x": "error"} {
		t.Run(offered, func(t *testing.T) {
			e := (&fakeEngine{version: offered, answer: always(fmt.Sprintf(runningJSON, idA))}).start(t)
			d := open(t, workload.DockerConfig{Host: e.host, Sleep: newClock().Sleep})
			_, err := d.Running(t.Context(), idA)
			last := e.requests()[len(e.requests())-1]
			if want == "error" {
				if err == nil || !strings.Contains(err.Error(), "1.40 to 1.55") || last != "HEAD /_ping" {
					t.Errorf("asked %q, %v", last, err)
				}
				return
			}
			if err != nil || last != "GET "+want+"/containers/"+idA+"/json" {
				t.Errorf("asked %q, %v", last, err)
			}
		})
	}
}

// An engine without a ping is asked in the oldest version, and pinged by GET after HEAD; a fixed version pings nobody.
func TestVersionsWithoutPing(t *testing.T) {
	e := (&fakeEngine{answer: always(fmt.Sprintf(runningJSON, idA))}).start(t)
	if _, err := open(t, workload.DockerConfig{Host: e.host}).Running(t.Context(), idA); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, workload.DockerConfig{Host: e.host, Version: "1.47"}).Running(t.Context(), idA); err != nil {
		t.Fatal(err)
	}
	// The stream of events may ask for the version, too.
	got := slices.DeleteFunc(e.requests(), func(s string) bool { return strings.HasSuffix(s, "/_ping") })
	if !slices.Equal(got, []string{"GET /v1.40/containers/" + idA + "/json", "GET /v1.47/containers/" + idA + "/json"}) || !slices.Contains(e.requests(), "GET /_ping") {
		t.Errorf("asked %q", e.requests())
	}
}

func TestOpenDocker(t *testing.T) {
	tests := []struct{ host, version, err string }{
		{"unix:///var/run/docker.sock", "", ""},
		{"tcp://127.0.0.1:2375", "1.40", ""},
		{"tcp://127.0.0.1:2375/prefix", "v1.55", ""},
		{"https://docker.example:2376", "1.45", ""},
		{"foo", "", "unable to parse docker host `foo`"},
		{"", "", "unable to parse docker host ``"},
		{"/var/run/docker.sock", "", "unable to parse docker host `/var/run/docker.sock`"},
		{"unix://", "", "unable to parse docker host `unix://`"},
		{"tcp://a b", "", "unable to parse docker host `tcp://a b`"},
		{"tcp://user@host:1", "", "unable to parse docker host `tcp://user@host:1`"},
		{"ssh://host", "", "docker host `ssh://host`: only unix, tcp, http, https and npipe are spoken"},
		{"npipe:////./pipe/docker_engine", "", "docker host `npipe:////./pipe/docker_engine`: named pipes are spoken on Windows only"},
		{"unix:///s", "abc", "invalid API version (abc): must be formatted <major>.<minor>"},
		{"unix:///s", "1", "invalid API version (1): must be formatted <major>.<minor>"},
		{"unix:///s", "1.4.5", "invalid API version (1.4.5): must be formatted <major>.<minor>"},
		{"unix:///s", "1.39", "invalid API version (1.39): 1.40 to 1.55 are spoken"},
		{"unix:///s", "1.56", "invalid API version (1.56): 1.40 to 1.55 are spoken"},
		{"unix:///s", "2.45", "invalid API version (2.45): 1.40 to 1.55 are spoken"},
	}
	for _, test := range tests {
		d, err := workload.OpenDocker(workload.DockerConfig{Host: test.host, Version: test.version})
		if (err != nil || test.err != "") && (err == nil || err.Error() != test.err) {
			t.Errorf("%q, %q: %v", test.host, test.version, err)
		}
		if err == nil {
			d.Close()
		}
	}
}

func TestTCP(t *testing.T) {
	e := &fakeEngine{version: "1.45", answer: always(fmt.Sprintf(runningJSON, idA)), streams: make(chan struct{}, 1)}
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	d := open(t, workload.DockerConfig{Host: strings.Replace(s.URL, "http://", "tcp://", 1) + "/below/"})
	if _, err := d.Running(t.Context(), idA); err != nil {
		t.Fatal(err)
	}
	if got := e.requests(); !slices.Contains(got, "GET /below/v1.45/containers/"+idA+"/json") {
		t.Errorf("asked %q", got)
	}
}

func TestDOCKER5_Absent(t *testing.T) {
	c := newClock()
	e := (&fakeEngine{version: "1.45", answer: func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"No such container: x"}`, http.StatusNotFound)
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Now: c.Now, Sleep: c.Sleep})
	ask := func(want int) {
		t.Helper()
		_, err := d.Running(t.Context(), idA)
		if !errors.Is(err, workload.ErrAbsent) || err.Error() != "No such container: x" {
			t.Errorf("got %v", err)
		}
		if got := e.requests(); len(got) != want {
			t.Errorf("asked %q, want %d", got, want)
		}
	}
	ask(1)
	ask(1)
	c.advance(999 * time.Millisecond)
	ask(1)
	c.advance(time.Millisecond)
	ask(2)
	if len(c.slept) > 0 {
		t.Errorf("slept %v", c.slept)
	}
}

func TestDOCKER5_Retries(t *testing.T) {
	c := newClock()
	e := (&fakeEngine{answer: func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"the disk is on fire"}`, http.StatusInternalServerError)
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Now: c.Now, Sleep: c.Sleep})
	for round := 1; round <= 2; round++ { // an outage is never remembered
		begin := c.Now()
		_, err := d.Running(t.Context(), idA)
		if err == nil || !strings.HasSuffix(err.Error(), "500 Internal Server Error: the disk is on fire") || errors.Is(err, workload.ErrAbsent) {
			t.Errorf("got %v", err)
		}
		if got := e.requests(); len(got) != 4*round {
			t.Errorf("asked %q", got)
		}
		if took := c.Now().Sub(begin); took != 700*time.Millisecond {
			t.Errorf("it took %v: %v", took, c.slept)
		}
	}
	if _, err := d.RunningImage(t.Context(), "sha256:11"); err == nil || len(e.requests()) != 9 {
		t.Errorf("an image is asked for once: %v, %q", err, e.requests())
	}
}

func TestDOCKER5_RecoversAndConnections(t *testing.T) {
	left := 3
	e := (&fakeEngine{answer: func(w http.ResponseWriter, r *http.Request) {
		left--
		switch left {
		case 2:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 nonsense\r\n\r\n") // no answer
			conn.Close()
		case 1:
			w.Header().Set("Content-Length", "100") // or in the middle of one
			_, _ = io.WriteString(w, `{"Id":`)
		default:
			_, _ = fmt.Fprintf(w, runningJSON, idA)
		}
	}}).start(t)
	c := newClock()
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Now: c.Now, Sleep: c.Sleep})
	if got, err := d.Running(t.Context(), idA); err != nil || got.ID != idA || len(c.slept) != 2 {
		t.Errorf("got %+v, %v after %v", got, err, c.slept)
	}
	c = newClock()
	d = open(t, workload.DockerConfig{Host: "unix://" + filepath.Join(t.TempDir(), "none"), Now: c.Now, Sleep: c.Sleep})
	if _, err := d.Running(t.Context(), idA); err == nil || errors.Is(err, workload.ErrAbsent) || len(c.slept) != 3 {
		t.Errorf("nobody listens: %v after %v", err, c.slept)
	}
	for _, status := range []int{http.StatusForbidden, http.StatusConflict, http.StatusFound, http.StatusBadRequest} {
		e := (&fakeEngine{answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}}).start(t)
		d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
		if _, err := d.Running(t.Context(), idA); err == nil || errors.Is(err, workload.ErrAbsent) || len(e.requests()) != 1 {
			t.Errorf("%d: %v, asked %q", status, err, e.requests())
		}
	}
}

func TestDOCKER5_Cancelled(t *testing.T) {
	e := (&fakeEngine{answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }}).start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Sleep: func(ctx context.Context, _ time.Duration) error {
		cancel() // the caller leaves while the request is to be tried again
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return context.Cause(ctx)
	}})
	if _, err := d.Running(ctx, idA); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended by %v", err)
	}
	if got := e.requests(); len(got) != 1 {
		t.Errorf("asked %q", got)
	}
}

// What is shared goes on for those who stay.
func TestSharedRequest(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	e := (&fakeEngine{answer: func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = fmt.Fprintf(w, runningJSON, idA)
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	leaving, leave := context.WithCancel(t.Context())
	var first, others sync.WaitGroup
	first.Go(func() {
		if _, err := d.Running(leaving, idA); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that leaves got %v", err)
		}
	})
	<-arrived
	joined := make(chan struct{}, 50)
	for range 50 {
		others.Go(func() {
			joined <- struct{}{}
			if got, err := d.Running(t.Context(), idA); err != nil || got.ID != idA {
				t.Errorf("one that stays got %+v, %v", got, err)
			}
		})
	}
	for range 50 {
		<-joined
	}
	for d.Waiting(idA) != 51 {
		time.Sleep(time.Millisecond) // until all of them wait
	}
	leave()
	first.Wait()
	close(release)
	others.Wait()
	if got := e.requests(); len(got) != 1 {
		t.Errorf("asked %q", got)
	}
}

// A thousand callers for fifty containers make fifty requests.
func TestExactCounts(t *testing.T) {
	e := (&fakeEngine{version: "1.45", events: make(chan string), answer: func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, runningJSON, strings.Split(r.URL.Path, "/")[3])
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host})
	var all sync.WaitGroup
	for i := range 1000 {
		id := fmt.Sprintf("%064x", i%50)
		all.Go(func() {
			if got, err := d.Running(t.Context(), id); err != nil || got.ID != id {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	all.Wait()
	got := e.requests()
	pings := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasSuffix(s, "_ping") }))
	if len(got)-pings != 50 || pings != 1 {
		t.Errorf("asked %d times, pinged %d times", len(got)-pings, pings)
	}
}

func TestKeptForAMinute(t *testing.T) {
	c := newClock()
	e := (&fakeEngine{answer: always(`{"Id":"x","RepoDigests":["a@sha256:1"]}`)}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Now: c.Now})
	for i, want := range []int{1, 1, 2} {
		got, err := d.RunningImage(t.Context(), "sha256:11")
		if err != nil || got.ID != "x" || !slices.Equal(got.Digests, []string{"a@sha256:1"}) || len(e.requests()) != want {
			t.Errorf("%d: got %+v, %v, asked %q", i, got, err, e.requests())
		}
		c.advance(30*time.Second + time.Duration(i)*time.Nanosecond)
	}
	if got := e.requests()[0]; got != "GET /v1.45/images/sha256:11/json" {
		t.Errorf("asked %q", got)
	}
}

// What the engine reports as over is asked for anew, and a stream that was lost, too.
func TestT52_Events(t *testing.T) {
	e := (&fakeEngine{events: make(chan string), answer: func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Id":%q}`, strings.Split(r.URL.Path, "/")[3])
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	lost := make(chan time.Duration, 1)
	d.PauseEvents(func(_ context.Context, wait time.Duration) error { lost <- wait; return nil })
	expect := func(what string, containers, images int) {
		t.Helper()
		for {
			c, i := d.Remembered()
			if c == containers && i == images {
				return
			}
			if t.Context().Err() != nil || c < containers || i < images {
				t.Fatalf("%s: %d containers and %d images are remembered", what, c, i)
			}
			time.Sleep(time.Millisecond) // it is on its way
		}
	}
	fill := func() {
		t.Helper()
		for _, id := range []string{idA, idT, "short"} {
			if _, err := d.Running(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"sha256:11", "sha256:12"} {
			if _, err := d.RunningImage(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		expect("filled", 3, 2)
	}
	fill()
	<-e.streams
	say := func(kind, action, id string) {
		e.events <- fmt.Sprintf(`{"Type":%q,"Action":%q,"Actor":{"ID":%q,"Attributes":{"a":"b"}}}`, kind, action, id)
	}
	say("container", "start", idA)
	say("container", "die", idOther)
	say("container", "die", idA)
	expect("die", 2, 2)
	say("container", "remove", idT)
	expect("remove, as Podman calls it", 1, 2)
	say("container", "destroy", "short")
	expect("destroy of one that was asked for by a name", 0, 2)
	for _, action := range []string{"untag", "delete", "pull"} {
		fill()
		say("image", action, "sha256:11")
		expect(action, 3, 0)
	}
	fill()
	e.events <- "" // the stream ends
	if wait := <-lost; wait != time.Second {
		t.Errorf("it waits %v", wait)
	}
	<-e.streams
	expect("a new stream", 0, 0)
	fill()
	e.events <- "garbage"
	<-lost
	<-e.streams
	expect("garbage", 0, 0)
}

// Without events the time alone holds, and who waits for them waits longer and longer.
func TestNoEvents(t *testing.T) {
	e := (&fakeEngine{answer: always(fmt.Sprintf(runningJSON, idA))}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	waits := make(chan time.Duration)
	d.PauseEvents(func(ctx context.Context, wait time.Duration) error {
		select {
		case waits <- wait:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if _, err := d.Running(t.Context(), idA); err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		want := min(time.Second<<i, time.Minute)
		if got := <-waits; got != want {
			t.Errorf("%d: it waits %v, want %v", i, got, want)
		}
	}
	if containers, _ := d.Remembered(); containers != 1 {
		t.Errorf("%d containers are remembered", containers)
	}
}

// An answer that was on its way when its container ended is given, and not kept.
func TestT52_AnswerOnItsWay(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	e := (&fakeEngine{events: make(chan string), answer: func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = fmt.Fprintf(w, runningJSON, idA)
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	var asking sync.WaitGroup
	asking.Go(func() {
		if got, err := d.Running(t.Context(), idA); err != nil || got.ID != idA {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	<-arrived
	<-e.streams
	e.events <- `{"Type":"container","Action":"die","Actor":{"ID":"` + idA + `"}}`
	e.events <- `{"Type":"container","Action":"die","Actor":{"ID":"other"}}` // taken when the one before it was dealt with, or nearly
	for !d.Stale(idA) {
		time.Sleep(time.Millisecond) // it is on its way
	}
	close(release)
	asking.Wait()
	if containers, _ := d.Remembered(); containers != 0 {
		t.Errorf("%d containers are remembered", containers)
	}
}

func TestDOCKER8_HostileReplies(t *testing.T) {
	tests := []struct {
		name, answer string
		want         workload.RunningContainer
		bad          bool
	}{
		{"nothing in it", `{}`, workload.RunningContainer{}, false},
		{"null", `null`, workload.RunningContainer{}, false},
		{"no Config", `{"Id":"` + idA + `","Image":"sha256:11"}`, workload.RunningContainer{ID: idA, Image: "sha256:11"}, false},
		{"Config is null", `{"Config":null,"Image":null,"Id":null}`, workload.RunningContainer{}, false},
		{"labels are null", `{"Config":{"Labels":null,"Env":null,"Image":null}}`, workload.RunningContainer{}, false},
		{"a label is null", `{"Config":{"Labels":{"a":null}}}`, workload.RunningContainer{Labels: map[string]string{"a": ""}}, false},
		{"an empty body", ``, workload.RunningContainer{}, true},
		{"half of it", `{"Id":`, workload.RunningContainer{}, true},
		{"a list", `[]`, workload.RunningContainer{}, true},
		{"Config is a number", `{"Config":5}`, workload.RunningContainer{}, true},
		{"labels are a list", `{"Config":{"Labels":["a"]}}`, workload.RunningContainer{}, true},
		{"environment is an object", `{"Config":{"Env":{"a":"b"}}}`, workload.RunningContainer{}, true},
		{"the image is a number", `{"Image":7}`, workload.RunningContainer{}, true},
		{"too deep", strings.Repeat("[", 100_000), workload.RunningContainer{}, true},
		{"odd bytes", "{\"Config\":{\"Image\":\"\xff\"}}", workload.RunningContainer{Named: "\ufffd"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := (&fakeEngine{answer: always(test.answer)}).start(t)
			d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45", Sleep: newClock().Sleep})
			got, err := d.Running(t.Context(), idA)
			if (err != nil) != test.bad || !cmp.Equal(got, test.want) || errors.Is(err, workload.ErrAbsent) {
				t.Errorf("got %+v, %v", got, err)
			}
			if test.bad && len(e.requests()) != 1 {
				t.Errorf("asked %q", e.requests())
			}
		})
	}
	for _, answer := range []string{`{}`, `null`, `{"RepoDigests":null}`} {
		e := (&fakeEngine{answer: always(answer)}).start(t)
		if got, err := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"}).RunningImage(t.Context(), "sha256:11"); err != nil || got.ID != "" || len(got.Digests) != 0 {
			t.Errorf("image %s: got %+v, %v", answer, got, err)
		}
	}
}

// A gigabyte of labels is not read to its end.
func TestDOCKER8_EndlessLabels(t *testing.T) {
	var sent int
	done := make(chan struct{})
	e := (&fakeEngine{answer: func(w http.ResponseWriter, _ *http.Request) {
		defer close(done)
		label := bytes.Repeat([]byte(`"a":"b",`), 1<<13)
		_, _ = io.WriteString(w, `{"Config":{"Labels":{`)
		for sent < 1<<30 {
			n, err := w.Write(label)
			sent += n
			if err != nil {
				return
			}
		}
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	if _, err := d.Running(t.Context(), idA); err == nil || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("got %v", err)
	}
	<-done
	if sent > 64<<20 || len(e.requests()) != 1 {
		t.Errorf("%d bytes were sent, asked %q", sent, e.requests())
	}
}

// What is remembered is bounded by its size.
func TestDOCKER8_Memory(t *testing.T) {
	big := strings.Repeat("x", 30<<10)
	e := (&fakeEngine{answer: func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"Id":%q,"Config":{"Env":[%q]}}`, strings.Split(r.URL.Path, "/")[3], big)
	}}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	if was := d.LimitMemory(640 << 10); was != 64<<20 {
		t.Errorf("%d bytes may be remembered", was)
	}
	id := func(i int) string { return fmt.Sprintf("%064x", i) }
	for i := range 30 {
		if _, err := d.Running(t.Context(), id(i)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Running(t.Context(), id(0)); err != nil { // used all the time
			t.Fatal(err)
		}
	}
	if containers, _ := d.Remembered(); containers != 21 || d.Held() > 640<<10 {
		t.Errorf("%d containers with %d bytes are remembered", containers, d.Held())
	}
	if got := len(e.requests()); got != 30 {
		t.Errorf("asked %d times", got)
	}
}

// An engine knows containers by names, too: one that is called like another's ID is not that one.
func TestT52_NameLikeAnID(t *testing.T) {
	e := (&fakeEngine{answer: always(fmt.Sprintf(runningJSON, idT))}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	if got, err := d.Running(t.Context(), idA); !errors.Is(err, workload.ErrAbsent) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := d.Running(t.Context(), "legacy"); err != nil || got.ID != idT {
		t.Errorf("an ID of legacy matchers is any text: %+v, %v", got, err)
	}
}

// IDs of legacy matchers are any text, and a path of the API is none.
func TestStrangeIDs(t *testing.T) {
	e := (&fakeEngine{answer: always(`{}`)}).start(t)
	d := open(t, workload.DockerConfig{Host: e.host, Version: "1.45"})
	for _, id := range []string{"", "..", ".", "../images/x", "a/b", "a?b", "a b", "a%2fb", strings.Repeat("a", 2000), "ü"} {
		if _, err := d.Running(t.Context(), id); !errors.Is(err, workload.ErrAbsent) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if got := e.requests(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
}

// A panic in what is shared is an error for all, and is not remembered.
func TestPanicInRequest(t *testing.T) {
	e := (&fakeEngine{answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) }}).start(t)
	recovered := make(chan any, 10)
	panics := true
	d := open(t, workload.DockerConfig{
		Host: e.host, Version: "1.45",
		Sleep: func(context.Context, time.Duration) error {
			if panics {
				panic("a bug")
			}
			return nil
		},
		Go: func(_ string, fn func()) {
			go func() {
				defer func() { recovered <- recover() }()
				fn()
			}()
		},
	})
	if _, err := d.Running(t.Context(), idA); err == nil || errors.Is(err, workload.ErrAbsent) || !strings.Contains(err.Error(), "panic") {
		t.Errorf("got %v", err)
	}
	if got := <-recovered; got != "a bug" {
		t.Errorf("recovered %v", got)
	}
	panics = false
	if _, err := d.Running(t.Context(), idA); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("after that: %v", err)
	}
	<-recovered
	d.Close()
	<-recovered // the events
}

func TestGuarded(t *testing.T) {
	done := make(chan struct{})
	workload.Guarded("test", func() { defer close(done); panic("a bug") })
	<-done
}
