package registrytest

import (
	"bytes"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/image"
)

// Fault answers a request in place of the registry, or changes what the registry, which is next, answers.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Slow waits before the registry answers.
func Slow(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		select {
		case <-time.After(d):
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Hang never answers; it ends when the client gives up or the server is closed.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }
}

// Status answers with a status, headers (nil: none) and a body.
func Status(code int, header http.Header, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		maps.Copy(w.Header(), header)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body)) // the client is gone if this fails
	}
}

// Times lets a fault happen n times; afterwards the registry answers.
func Times(n int, f Fault) Fault {
	var left atomic.Int64
	left.Store(int64(n))
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if left.Add(-1) >= 0 {
			f(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// WrongBytes changes one byte of the body and leaves the headers as they are.
func WrongBytes() Fault {
	return edit(func(a *recorder) {
		if body := a.body.Bytes(); len(body) > 0 {
			body[len(body)/2] ^= 1
		}
	})
}

// FalseDigestHeader says another digest than the one of the content. An empty text leaves the header out.
func FalseDigestHeader(digest string) Fault {
	return edit(func(a *recorder) {
		a.header.Set("Docker-Content-Digest", digest)
		if digest == "" {
			a.header.Del("Docker-Content-Digest")
		}
	})
}

// Header sets a header of the answer; an empty value leaves it out.
func Header(name, value string) Fault {
	return edit(func(a *recorder) {
		a.header.Set(name, value)
		if value == "" {
			a.header[http.CanonicalHeaderKey(name)] = nil
		}
	})
}

// Body answers with another body and the headers that belong to it.
func Body(content []byte) Fault {
	return edit(func(a *recorder) {
		a.header.Del("Docker-Content-Digest")
		a.header.Del("Content-Length")
		a.status = http.StatusOK
		a.body.Reset()
		a.body.Write(content)
	})
}

// Endless sends the real headers without a length, and then a body that never ends.
func Endless() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		maps.Copy(w.Header(), a.header)
		w.Header().Del("Content-Length")
		w.WriteHeader(http.StatusOK)
		chunk := []byte(strings.Repeat(" ", 64<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// CutConnection closes the connection without an answer.
func CutConnection() Fault {
	return func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }
}

// CutBody sends the headers and half of the body, then closes the connection.
func CutBody() Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		maps.Copy(w.Header(), a.header)
		w.WriteHeader(a.status)
		body := a.body.Bytes()
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	}
}

// Flip answers for one digest after the other, over and over, whatever the last part of the path says.
func Flip(digests ...image.Digest) Fault {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		turn := int(n.Add(1)-1) % len(digests)
		moved := r.Clone(r.Context())
		moved.URL.Path = r.URL.Path[:strings.LastIndexByte(r.URL.Path, '/')+1] + digests[turn].String()
		next.ServeHTTP(w, moved)
	}
}

// Redirect sends the client to the same path below another base address, such as another Server's URL.
func Redirect(base string) Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, base+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}
}

// OnManifests, OnBlobs, OnReferrers and OnToken match the routes of their names.
func OnManifests(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }

// OnBlobs matches requests for blobs, uploads among them.
func OnBlobs(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }

// OnReferrers matches requests to the referrers API.
func OnReferrers(r *http.Request) bool { return isReferrers(r) }

// OnToken matches requests for a token.
func OnToken(r *http.Request) bool { return r.URL.Path == tokenPath }

// OnPath returns a match for paths that contain a text.
func OnPath(part string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, part) }
}

func edit(change func(*recorder)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := record(r, next)
		change(a)
		a.replay(w)
	}
}

// recorder keeps an answer so that it can be changed before it is sent. It stands in for httptest's, which registers flags.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func record(r *http.Request, next http.Handler) *recorder {
	a := &recorder{header: http.Header{}, status: http.StatusOK}
	next.ServeHTTP(a, r)
	return a
}

func (a *recorder) Header() http.Header               { return a.header }
func (a *recorder) WriteHeader(status int)            { a.status = status }
func (a *recorder) Write(content []byte) (int, error) { return a.body.Write(content) }

func (a *recorder) replay(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client is gone if this fails
}
