package material

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// logged is a log that tests read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// handled serves a repository without a network, so that time can be a test's own.
func handled(r *tufRepo) roundTripper {
	return func(request *http.Request) (*http.Response, error) {
		rec := newRecorder()
		r.ServeHTTP(rec, request)
		return rec.response(), nil
	}
}

func TestRun(t *testing.T) {
	repo := newTUFRepo(t)
	first, second := newWorld(t).json(t), newWorld(t).json(t)
	repo.timestampFor = 10000 * day
	synctest.Test(t, func(t *testing.T) {
		var log logged
		began := time.Now()
		repo.publish(first, began)
		k, err := New(Config{Transport: handled(repo), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { k.Run(ctx); close(ended) }()
		synctest.Wait()

		// A source that is added later is fetched at once.
		source := tufSource(t, k, repo)
		synctest.Wait()
		if r := rootOf(t, source, time.Now()); string(r.JSON) != string(first) {
			t.Error("other material at the start")
		}
		if n := len(repo.requests()); n != 5 {
			t.Errorf("%d requests at the start", n)
		}

		// A day later there is something new.
		repo.publish(second, began)
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if r := rootOf(t, source, time.Now()); string(r.JSON) != string(second) {
			t.Error("the new version was not fetched within a day")
		}

		// After an error it is tried again soon, and then less often.
		repo.setFault("", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		time.Sleep(25 * time.Hour)
		repo.requests()
		time.Sleep(10 * time.Hour)
		if n := len(repo.requests()); n < 8 || n > 25 {
			t.Errorf("%d attempts in ten hours", n)
		}
		if said := log.String(); !strings.Contains(said, "trust material could not be refreshed") || !strings.Contains(said, "500 Internal") {
			t.Errorf("logged: %s", said)
		}
		rootOf(t, source, time.Now())
		repo.setFault("", nil)
		time.Sleep(2 * time.Hour)
		if s := source.Status(time.Now()); s.LastError != nil || s.Age > 2*time.Hour {
			t.Errorf("got status %+v", s)
		}
		cancel()
		<-ended
	})
}

// Run ends while a mirror hangs.
func TestRunEnds(t *testing.T) {
	repo := newTUFRepo(t)
	began := make(chan struct{}, 1)
	k, _ := keeperAt(t, now, func(c *Config) {
		c.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case began <- struct{}{}:
			default:
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
	})
	source := tufSource(t, k, repo)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { k.Run(ctx); close(ended) }()
	<-began
	if _, err := source.Root(now); err == nil {
		t.Error("there is material")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("Run does not end")
	}
}

// A mirror that hangs keeps others neither from being refreshed nor from being used.
func TestHangingMirror(t *testing.T) {
	good, bad := newTUFRepo(t), newTUFRepo(t)
	good.publish(newWorld(t).json(t), now)
	bad.setFault("", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	k, _ := keeperAt(t, now)
	source, hanging := tufSource(t, k, good), tufSource(t, k, bad)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	wants(t, k.Refresh(ctx), bad.server.URL)
	rootOf(t, source, now)
	if s := hanging.Status(now); s.Err == nil || s.LastError == nil || !s.LastAttempt.Equal(now) {
		t.Errorf("got status %+v", s)
	}
}

// Equal repositories share one copy, whatever their bound of age.
func TestSharing(t *testing.T) {
	repo := newTUFRepo(t)
	repo.publish(newWorld(t).json(t), now)
	k, _ := keeperAt(t, now)
	one := tufSource(t, k, repo)
	two, err := k.TUF(TUF{Mirror: repo.server.URL + "/", Root: repo.first}, day)
	if err != nil {
		t.Fatal(err)
	}
	refresh(t, k)
	if n := len(repo.requests()); n != 5 {
		t.Errorf("%d requests for two equal repositories", n)
	}
	if rootOf(t, one, now) != rootOf(t, two, now) {
		t.Error("two copies")
	}
	if _, err := two.Root(now.Add(2 * day)); err == nil {
		t.Error("a bound of age is not kept")
	}
	rootOf(t, one, now.Add(2*day))
}

// recorder is an answer in memory.
type recorder struct {
	code   int
	header http.Header
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{code: http.StatusOK, header: http.Header{}} }

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *recorder) response() *http.Response {
	return &http.Response{StatusCode: r.code, Status: fmt.Sprintf("%d %s", r.code, http.StatusText(r.code)), Header: r.header, Body: io.NopCloser(&r.body)}
}
