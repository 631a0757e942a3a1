// Package kubernetes is the enforcement point of a cluster: an admission webhook that finds every image in an object before it is stored,
// and allows the object only if every image may run.
//
// There are two paths. /mutate decides and answers with a patch that pins tags to the digests that were decided about; /validate decides
// about the object as it is after all mutations, also those of others. A full defence needs both: without the first, a tag can move between
// the decision and the run; without the second, a webhook that comes later can add an image that nobody decided about.
//
// Nothing that whoever made the object can write is trusted: no label, annotation or owner. The labels of its namespace come from the
// cluster, not from the request.
package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// Limits of a review.
const (
	MaxReview      = 8 << 20                // bytes of a review: an object, the one before, and what stands around them
	MaxObject      = 3 << 20                // bytes of an object
	smallReview    = 256 << 10              // bytes that a review may have without waiting for others
	maxLarge       = 16                     // larger reviews that are read and decided about at once
	defaultTimeout = 10 * time.Second       // where the API server does not say how long it waits
	minMargin      = 250 * time.Millisecond // a decider that does not heed its deadline is waited for a moment more
	maxMargin      = 500 * time.Millisecond
	maxHead        = 4 << 10     // bytes of a review in which the uid of one that is refused unread is looked for
	headTimeout    = time.Second // for these bytes
)

// Pin says in which objects images are replaced by the digests that were decided about.
type Pin string

// What can be pinned. The zero value is PinPods.
const (
	PinPods  Pin = "pods"  // in pods only, so that nothing that people or tools compare with their sources is changed
	PinAll   Pin = "all"   // in every kind
	PinNever Pin = "never" // nowhere
)

// Namespaces knows the labels of namespaces.
type Namespaces interface {
	// Labels returns the labels of a namespace as the cluster has them now. An error means that it could not tell.
	Labels(ctx context.Context, namespace string) (map[string]string, error)
}

// Config is what a Handler is made of.
type Config struct {
	Point      *enforce.Point
	Namespaces Namespaces
	Pin        Pin
	Kinds      []Kind   // custom resources with images
	Exempt     []string // namespaces about whose objects nothing is decided: all is allowed
	// Logins knows what objects pull their images with, so that registries are asked with it. nil: Assay's own credentials alone are used.
	Logins Logins
	// InsecureAllowUnknownKinds allows objects of kinds of which nobody said where their images are.
	InsecureAllowUnknownKinds bool
	// Refused is told why an object was refused about whose images nobody was asked, or one that has an image unpinned that may run only
	// pinned: one of a few words. nil: nobody is told.
	Refused func(reason string)
	// Log is told of bugs. nil: nobody is told.
	Log *slog.Logger
	// Events are told of refusals. nil: there are none.
	Events *Events
	// DIA answers at DIA's paths as well: /verify is /validate with DIA's errors, and /echo says that somebody is there.
	DIA bool
	// SighupAnnotation sets the annotation of container-signature-enforcer on objects that are changed. It is never read.
	SighupAnnotation bool
}

// Handler answers the API server at /mutate and /validate. It is safe for concurrent use.
type Handler struct {
	config  Config
	decoder decoder
	bodies  sync.Pool
	large   chan struct{} // has an item for each large review under way
}

var _ http.Handler = (*Handler)(nil)

// New makes a Handler.
func New(c Config) (*Handler, error) {
	switch {
	case c.Point == nil || c.Point.Decider == nil:
		return nil, errors.New("kubernetes: somebody who decides is needed")
	case c.Namespaces == nil:
		return nil, errors.New("kubernetes: somebody who knows the labels of namespaces is needed")
	case c.Pin == "":
		c.Pin = PinPods
	case !slices.Contains([]Pin{PinPods, PinAll, PinNever}, c.Pin):
		return nil, fmt.Errorf("kubernetes: pin %q: want pods, all or never", c.Pin)
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	kinds := map[kindKey]kind{}
	for key, p := range builtin() {
		kinds[key] = kind{place: p}
	}
	for _, custom := range c.Kinds {
		key := kindKey{custom.Group, custom.Kind}
		if _, known := kinds[key]; known {
			return nil, fmt.Errorf("kubernetes: kind %v: its images are known already", key)
		}
		compiled, err := custom.compile()
		if err != nil {
			return nil, fmt.Errorf("kubernetes: kind %v: %w", key, err)
		}
		kinds[key] = compiled
	}
	return &Handler{
		config:  c,
		decoder: decoder{kinds: kinds, maxObject: MaxObject},
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
		large:   make(chan struct{}, maxLarge),
	}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var answer http.HandlerFunc
	switch path := r.URL.Path; {
	case path == "/validate":
		answer = func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, false, plainError) }
	case path == "/mutate":
		answer = func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, true, plainError) }
	case path == "/verify" && h.config.DIA:
		answer = func(w http.ResponseWriter, r *http.Request) { h.answer(w, r, false, diaError) }
	case path == "/echo" && h.config.DIA:
		answer = echo
	default:
		http.Error(w, "want /validate or /mutate", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "want POST", http.StatusMethodNotAllowed)
		return
	}
	answer(w, r)
}

// plainError says why there is no review in the answer, with status 400.
func plainError(w http.ResponseWriter, text string) { http.Error(w, text, http.StatusBadRequest) }

// answer reads, asks and answers. What cannot be read but has a uid is a denial, because the API server takes any other failure as
// failurePolicy says, and that may be to allow.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, pin bool, fail func(http.ResponseWriter, string)) {
	patience := patience(r)
	ctx, cancel := context.WithTimeoutCause(r.Context(), patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	body := h.bodies.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= smallReview {
			body.Reset()
			h.bodies.Put(body)
		}
	}()
	release, err := h.read(ctx, body, r.Body)
	defer release()
	if err != nil {
		h.partial(w, body.Bytes(), fail)
		return
	}
	var rev review
	var content []byte
	bug := enforce.Guard(func() {
		if a := h.decide(ctx, body.Bytes(), &rev, pin); rev.uid == "" {
			fail(w, "no admission review: "+enforce.Plain(a.message))
		} else {
			content = a.encode(&rev)
		}
	})
	switch {
	case bug == nil && content == nil:
	case bug == nil:
		send(w, content)
	default:
		h.config.Log.Error("bug", "requestId", enforce.RequestID(rev.uid), "error", bug.Error(), "stack", string(bug.Stack))
		h.config.Refused("bug")
		h.refuse(w, &rev, http.StatusInternalServerError, "Assay broke down, and says nothing about the images; tell whoever runs it", fail)
	}
}

func send(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(content) // whoever asked has left
}

// refuse answers a review about which nothing was decided, or says why there is no review in the answer.
func (h *Handler) refuse(w http.ResponseWriter, rev *review, status int, text string, fail func(http.ResponseWriter, string)) {
	if rev.uid == "" {
		fail(w, text)
		return
	}
	a := refusal(status, text)
	send(w, a.encode(rev))
}

// partial answers a review of which only the beginning was read. API servers put the uid there.
func (h *Handler) partial(w http.ResponseWriter, body []byte, fail func(http.ResponseWriter, string)) {
	h.config.Refused("unreadable")
	const text = "the review was not received whole, or too many large ones came at once\nnext: try again"
	rev := h.beginning(body)
	h.refuse(w, &rev, http.StatusServiceUnavailable, text, fail)
}

// beginning is what the first bytes of a review tell: the uid, if it can be told.
func (h *Handler) beginning(body []byte) (rev review) {
	if bug := enforce.Guard(func() { _ = h.decoder.decode(body, &rev) }); bug != nil {
		return review{}
	}
	return rev
}

// Refuse denies a request that does not come to ServeHTTP, with a status of its own in the review and a text for people: API servers take
// every other answer as failurePolicy says, and that may be to allow. Of the body no more is read than a uid needs, for a moment.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	fail := func(w http.ResponseWriter, text string) { http.Error(w, text, status) }
	if r.Method != http.MethodPost || !slices.Contains([]string{"/validate", "/mutate", "/verify"}, r.URL.Path) {
		fail(w, text)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(headTimeout)) // else it is no connection
	head, _ := io.ReadAll(io.LimitReader(r.Body, maxHead))                         // what has come must do
	rev := h.beginning(head)
	h.refuse(w, &rev, status, text, fail)
}

// read reads a review of at most one byte more than MaxReview. Few large ones are held at once: whoever can connect can send them, and memory
// ends sooner than connections do.
func (h *Handler) read(ctx context.Context, into *bytes.Buffer, from io.Reader) (release func(), err error) {
	release = func() {}
	if n, err := into.ReadFrom(io.LimitReader(from, smallReview)); err != nil || n < smallReview {
		return release, err
	}
	select {
	case h.large <- struct{}{}:
		release = func() { <-h.large }
	case <-ctx.Done():
		return release, context.Cause(ctx)
	}
	_, err = into.ReadFrom(io.LimitReader(from, MaxReview+1-smallReview))
	return release, err
}

// patience is how long the API server waits (its parameter timeout), less what the way back takes.
func patience(r *http.Request) time.Duration {
	timeout := defaultTimeout
	if given, err := time.ParseDuration(r.URL.Query().Get("timeout")); err == nil && given > 0 && given < time.Minute {
		timeout = given
	}
	return timeout - min(max(timeout/10, minMargin), maxMargin, timeout/2)
}
