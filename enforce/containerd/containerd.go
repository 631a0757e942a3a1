// Package containerd is the enforcement point at containerd: its image verifier, which is a program that containerd starts before it pulls an
// image, asks what is served here. What is asked and answered is in the package ask.
//
// The question is about the name and the digest that containerd resolved it to, so that the verdict is about the bytes that are fetched and
// no name is resolved a second time.
package containerd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/engine"
)

// Name is the point's name in policies.
const Name = "containerd"

// Reasons for which Config.Refused is called: there is no verdict about an image, and no.
const (
	Malformed = "malformed"
	Broken    = "bug"
)

// Config is what the point is made of.
type Config struct {
	Point   *enforce.Point
	Log     *slog.Logger        // is told of each question that is refused without a verdict; nil: nobody is
	Refused func(reason string) // the same, for the count, with one of a few words; nil: nobody is told
}

// Point answers questions. It is safe for concurrent use.
type Point struct{ config Config }

// New checks a configuration.
func New(c Config) (*Point, error) {
	if c.Point == nil {
		return nil, errors.New("containerd: nothing to decide with")
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	return &Point{config: c}, nil
}

// Routes returns what the point serves, by patterns of http.ServeMux. Who may ask is for the server to know: only the user of containerd should.
func (p *Point) Routes() map[string]http.Handler {
	return map[string]http.Handler{"POST " + ask.Path: handler{p}}
}

// handler serves questions.
type handler struct{ point *Point }

// ServeHTTP implements http.Handler. Every answer has the status 200, also a refusal: another status would say that the daemon does not answer.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := enforce.RequestID(r.Header.Get("X-Request-ID"))
	w.Header().Set("X-Request-ID", id)
	var a ask.Answer
	if bug := enforce.Guard(func() { a = h.point.answer(w, r, id) }); bug != nil {
		h.point.config.Refused(Broken)
		h.point.config.Log.Error("bug", "requestId", id, "error", bug.Error(), "stack", string(bug.Stack))
		a = ask.No(ask.Bug, "bug: assay broke down; nothing is allowed by this")
	}
	h.write(w, id, http.StatusOK, a)
}

// Refuse answers a request that the server does not let in, or at which it broke down, with an answer that allows nothing. The server counts it.
func (h handler) Refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	id := enforce.RequestID(r.Header.Get("X-Request-ID"))
	w.Header().Set("X-Request-ID", id)
	h.write(w, id, status, ask.No(ask.CouldNotTell, "could not tell: "+text))
}

func (h handler) write(w http.ResponseWriter, id string, status int, a ask.Answer) {
	w.Header().Set("Content-Type", ask.MediaType)
	w.WriteHeader(status)
	if _, err := w.Write(a.Encode()); err != nil {
		h.point.config.Log.Warn("the answer could not be sent", "requestId", id, "error", err.Error())
	}
}

// answer reads a question and decides.
func (p *Point) answer(w http.ResponseWriter, r *http.Request, id string) ask.Answer {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ask.MaxQuestion))
	if err != nil {
		return p.malformed(id, fmt.Errorf("cannot be read: %w", err))
	}
	q, err := ask.DecodeQuestion(body)
	if err != nil {
		return p.malformed(id, err)
	}
	req := engine.Request{Image: q.Image()}
	req.Point = Name
	w.WriteHeader(ask.Begun) // so that nobody else is asked because the image's registry is slow
	verdicts := p.config.Point.DecideFor(r.Context(), &enforce.Occasion{RequestID: id, Operation: "pull"}, req)
	return toAnswer(&q, &verdicts[0])
}

func (p *Point) malformed(id string, err error) ask.Answer {
	text := enforce.Plain(err.Error())
	p.config.Refused(Malformed)
	p.config.Log.Warn("request", "requestId", id, "outcome", "denied", "why", Malformed, "reason", text)
	return ask.No(ask.Denied, "may not be pulled: the question about it "+text)
}

// toAnswer turns a verdict into the protocol. containerd pulls the very digest that it asked about, so that a verdict about another one, as
// the child of an index, allows nothing here.
func toAnswer(q *ask.Question, v *engine.Verdict) ask.Answer {
	meaning := enforce.Of(v)
	switch {
	case meaning != enforce.Yes:
		return ask.No(meaning.String(), strings.ReplaceAll(enforce.Refusal(v), "\n", "; "))
	case v.Child:
		return ask.No(ask.Denied, fmt.Sprintf("%s: may not run: only %s in it is vouched for; next: pull that by its digest, or have the whole signed", v.Image, v.Digest))
	case !v.Digest.IsZero() && v.Digest.String() != q.Digest && v.Pin != "": // by a rule with insecureReplace
		return ask.No(ask.Denied, fmt.Sprintf("%s: may not run: %s is to run in its place, and containerd pulls what it asked about; next: pull %s", v.Image, v.Digest, v.Pin))
	case !v.Digest.IsZero() && v.Digest.String() != q.Digest:
		return ask.No(ask.Bug, fmt.Sprintf("%s: bug: the verdict is about %s", v.Image, v.Digest))
	}
	return ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: ask.Line(allowedBy(v))}
}

// allowedBy says why an image may be pulled, warnings first: the line is cut at its end.
func allowedBy(v *engine.Verdict) string {
	text := v.Image + ": " + ask.Allowed
	for _, w := range v.Warnings {
		text += "; warning: " + w
	}
	if v.Policy != "" && v.Outcome == engine.Allowed {
		text += "; policy " + v.Policy
	}
	return text
}
