// Package api is the enforcement point for programs that ask over HTTP and obey by themselves: POST /v1/verdicts; POST /v1/decisions, by
// which other processes of Assay ask; and, where it is switched on, POST /checkImage in the words of container-signature-enforcer for policies
// of OPA that call it, and POST /gatekeeper for Gatekeeper.
package api

import (
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine/wire"
)

// Name is the point's name in policies.
const Name = "api"

// Limits of a request.
const (
	maxBody      = 2 << 20 // bytes of a request
	maxNamespace = 253     // bytes of a namespace's name
)

// DefaultRate is how many images a client may ask about in a second, in the long run.
const DefaultRate = 500

// Reasons for which Config.Refused is called.
const (
	Unauthenticated = "unauthenticated"
	RateLimited     = "rate-limited"
	Malformed       = "malformed"
	Broken          = "bug"
	Forbidden       = "forbidden"     // a user that is known and may not ask
	Unreviewed      = "token-unknown" // it could not be told whose a token is
)

// Config is what the point is made of.
type Config struct {
	Point  *enforce.Point
	Points []string // names of points that a request may ask for

	// Tokens, TokenReview and ClientCertificates are the ways to be known; at least one is needed. ClientCertificates tells whether a chain that the TLS
	// layer has verified, leaf first, still counts: connections outlive the authorities by whose word they were made.
	Tokens             *Tokens
	TokenReview        *TokenReview
	ClientCertificates func(chain []*x509.Certificate) bool
	// InsecureNoAuth answers everybody but pages in browsers.
	InsecureNoAuth bool

	Rate       int  // images a second and client; 0 is DefaultRate
	Connector  bool // serve /checkImage, and /healthz in its words
	Gatekeeper bool // serve /gatekeeper

	Log     *slog.Logger        // is told of each request of a known client; nil: nobody is told
	Refused func(reason string) // is told of each request that is not answered with verdicts; nil: nobody is
	Now     func() time.Time    // the clock; nil: time.Now
}

// Point answers requests. It is safe for concurrent use.
type Point struct {
	config  Config
	limit   *limiter
	reviews *reviews // nil: tokens are sent to nobody
}

// New checks a configuration. One that leaves open who may ask is an error.
func New(c Config) (*Point, error) {
	switch {
	case c.Point == nil:
		return nil, errors.New("api: nothing to decide with")
	case c.Tokens == nil && c.TokenReview == nil && c.ClientCertificates == nil && !c.InsecureNoAuth:
		return nil, errors.New("api: nobody could ask: give tokens or client certificates, or say that everybody may")
	case c.Rate < 0:
		return nil, fmt.Errorf("api: a rate of %d images a second", c.Rate)
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Point{config: c, limit: newLimiter(c.Rate, c.Now)}
	if c.TokenReview != nil {
		if err := c.TokenReview.check(); err != nil {
			return nil, err
		}
		p.reviews = newReviews(*c.TokenReview, c.Now)
	}
	return p, nil
}

//go:embed openapi.json
var openAPI []byte

// Routes returns what the point serves, by patterns of http.ServeMux.
func (p *Point) Routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		"POST /v1/verdicts":    p.answering(p.verdicts, plainError),
		"POST " + wire.Path:    p.answering(p.decisions, plainError),
		"GET /v1/openapi.json": http.HandlerFunc(serveOpenAPI),
	}
	if p.config.Gatekeeper {
		routes["POST /gatekeeper"] = p.answering(p.gatekeeper, gatekeeperFailure)
	}
	if p.config.Connector {
		routes["POST /checkImage"] = p.answering(p.checkImage, connectorFailure)
		routes["/checkImage"] = p.noSuchPage()
		routes["GET /healthz"] = http.HandlerFunc(fine)
	}
	return routes
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openAPI)
}

// request is one question under way.
type request struct {
	*http.Request
	w      http.ResponseWriter
	id     string
	client string
}

func (q *request) occasion() *enforce.Occasion {
	return &enforce.Occasion{RequestID: q.id, User: q.client}
}

// failure is an answer without verdicts.
type failure struct {
	status int
	text   string
	retry  time.Duration // after which it may be tried again; 0: nothing is said
	reason string        // why nobody was asked, for the count; "" if it was counted
	cause  error         // for the log alone
}

// answer is what a handler comes to: a body to send with a status, or a failure.
type answer struct {
	status int
	body   any
	images int // that were decided about, for the log
	*failure
}

// answering makes the handler of one kind of questions; failed makes the bodies of its failures.
func (p *Point) answering(handle func(*request) answer, failed func(*failure, string) any) http.Handler {
	return &handler{point: p, handle: handle, failed: failed}
}

// handler does what is the same for all questions: the request's id, who asks, what becomes of panics, and the log.
type handler struct {
	point  *Point
	handle func(*request) answer
	failed func(*failure, string) any
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := h.point
	start := p.config.Now()
	q := &request{Request: r, w: w, id: enforce.RequestID(r.Header.Get("X-Request-ID"))}
	w.Header().Set("X-Request-ID", q.id)
	a := p.answer(q, h.handle)
	if a.failure != nil {
		a.status, a.body = a.failure.status, h.failed(a.failure, q.id)
		if a.retry > 0 {
			w.Header().Set("Retry-After", seconds(a.retry))
		}
	}
	content, err := encode(a.body)
	if err != nil {
		p.config.Refused(Broken)
		p.config.Log.Error("bug", "requestId", q.id, "error", err.Error())
		a = answer{status: http.StatusInternalServerError}
		content, _ = encode(h.failed(&failure{text: broken}, q.id))
	}
	if err := write(w, a.status, content); err != nil {
		p.config.Log.Warn("the answer could not be sent", "requestId", q.id, "error", err.Error())
	}
	if q.client != "" {
		p.config.Log.Info("request", "requestId", q.id, "client", q.client, "path", r.URL.Path, "status", a.status, "images", a.images,
			"durationMs", float64(p.config.Now().Sub(start).Microseconds())/1000)
	}
}

// Refuse answers a request that the server does not let in, or at which it broke down: in the words of whoever asks, since not all clients
// look at the status.
func (h *handler) Refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	id := enforce.RequestID(r.Header.Get("X-Request-ID"))
	w.Header().Set("X-Request-ID", id)
	content, err := encode(h.failed(&failure{text: text}, id))
	if err == nil {
		err = write(w, status, content)
	}
	if err != nil {
		h.point.config.Log.Warn("the answer could not be sent", "requestId", id, "error", err.Error())
	}
}

// broken is what is said of bugs.
const broken = "bug: assay broke down; nothing is allowed by this"

// answer lets handle answer those who may ask. A panic is a failure as well.
func (p *Point) answer(q *request, handle func(*request) answer) (a answer) {
	bug := enforce.Guard(func() {
		var f *failure
		if q.client, f = p.who(q.Request); f != nil {
			q.client = ""
			a = p.turnedAway(q, f)
			return
		}
		if q.client == "" {
			p.config.Refused(Unauthenticated)
			q.w.Header().Set("WWW-Authenticate", `Bearer realm="assay"`)
			a = answer{failure: &failure{status: http.StatusUnauthorized, text: p.wanted()}}
			return
		}
		a = handle(q)
	})
	if bug != nil {
		p.config.Refused(Broken)
		p.config.Log.Error("bug", "requestId", q.id, "error", bug.Error(), "stack", string(bug.Stack))
		a = answer{failure: &failure{status: http.StatusInternalServerError, text: broken}}
	}
	return a
}

// turnedAway is the answer to somebody who may not ask, or of whom it could not be told.
func (p *Point) turnedAway(q *request, f *failure) answer {
	p.config.Refused(f.reason)
	if f.cause != nil && !p.reviews.failing.Swap(true) { // once, until it works again: anybody can ask
		p.config.Log.Warn("could not tell who asks", "requestId", q.id, "error", enforce.Plain(f.cause.Error()))
	}
	return answer{failure: f}
}

// wanted says how to be known.
func (p *Point) wanted() string {
	if p.config.InsecureNoAuth {
		return "a page in a browser is not answered: the request has an Origin"
	}
	var ways []string
	if p.config.ClientCertificates != nil {
		ways = append(ways, "a client certificate")
	}
	if p.config.Tokens != nil || p.reviews != nil {
		ways = append(ways, "a bearer token")
	}
	return "who asks? " + strings.Join(ways, " or ") + " is needed"
}

// admit takes as many images off a client's allowance, or fails.
func (p *Point) admit(q *request, images int) *failure {
	wait := p.limit.take(q.client, images)
	if wait == 0 {
		return nil
	}
	p.config.Refused(RateLimited)
	return &failure{
		status: http.StatusTooManyRequests, retry: wait,
		text: fmt.Sprintf("too many images: %d a second are decided about for each client; try again", p.config.Rate),
	}
}

// malformed is a failure that says what is wrong with a request.
func (p *Point) malformed(err error) answer {
	p.config.Refused(Malformed)
	status := http.StatusBadRequest
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		status, err = http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", large.Limit)
	}
	return answer{failure: &failure{status: status, text: enforce.Plain(err.Error())}}
}

// errorBody is the answer where there are no verdicts.
type errorBody struct {
	Error     string `json:"error"`
	RequestID string `json:"requestId"`
}

func plainError(f *failure, id string) any { return errorBody{Error: f.text, RequestID: id} }
