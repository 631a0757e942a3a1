// Package docker is the enforcement point at a Docker Engine: an authorization plugin (API v1, "authz") that the daemon asks before it obeys
// a request.
//
// Reading requests (GET, HEAD) are allowed at once, without a lock and without asking anybody: the point's own questions to the daemon come
// back to it. All others are found in one table of routes. What names an image is decided: at a pull its reference, and where a container
// is made or started the content of the image that the host has. What only makes an image, touches a running container or changes the
// daemon has a switch. A route that is not in the table is denied.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/workload"
)

// Name is the point's name in policies.
const Name = "docker"

// MediaType is what the protocol's answers are.
const MediaType = "application/vnd.docker.plugins.v1.1+json"

// Limits of a request.
const (
	// maxQuestion is how much is read of what the daemon asks, in bytes: it shows bodies of 4 MiB at most, in base64, beside headers of 1 MiB.
	maxQuestion = 8 << 20
	// maxTold is how much is read of what the daemon tells after the fact, which is looked at only while somebody makes an image.
	maxTold     = 16 << 20
	maxDeciding = 256 // requests with images at once; more are denied, and reading ones are none of them
)

// Reasons for which Config.Refused is called: there is no verdict about an image, and no.
const (
	SwitchedOff  = "route-denied"
	UnknownRoute = "unknown-route"
	Malformed    = "malformed"
	NameMoves    = "name-moves"
	Absent       = "absent" // the container that is to be started
	Overloaded   = "overloaded"
	Broken       = "bug"
)

// Daemon is what the point asks the engine at whose door it stands; *workload.Docker is one. It is safe for concurrent use. An error that is
// workload.ErrAbsent says that there is no such thing; any other, that it could not be told.
type Daemon interface {
	Image(ctx context.Context, name string) (workload.DockerImage, error)
	Container(ctx context.Context, name string) (workload.DockerContainer, error)
	Engine(ctx context.Context) (workload.DockerEngine, error)
}

var _ Daemon = (*workload.Docker)(nil)

// Config is what the point is made of.
type Config struct {
	Point  *enforce.Point
	Daemon Daemon

	// Routes says what becomes of switches (see Switches), by their names; those that are not in it have their defaults.
	Routes map[string]Action
	// RequireContentChain denies where the registry could not be asked for the content of what was vouched for. Without it the digest counts
	// that the daemon itself recorded when it pulled the image from the same repository.
	RequireContentChain bool
	// Memory remembers what was allowed for times when it cannot be told; nil: nothing is remembered.
	Memory Memory
	// Local says what the policies in force ask about images that were made on this host: whether rules are about them at all, and whether about
	// who had them built. nil: nothing, and then no such rule matches.
	Local func() (rules, builders bool)
	// Builders remembers who had images built; nil: nobody ever knows. The Daemon must be a Lister too, or nobody has anything built.
	Builders Builders

	Log     *slog.Logger        // is told of each request that is refused without a verdict; nil: nobody is told
	Refused func(reason string) // the same, for the count, with one of a few words
	Now     func() time.Time    // the clock; nil: time.Now
}

// Handler serves the protocol. It is safe for concurrent use.
type Handler struct {
	config   Config
	actions  map[string]Action
	engine   *engineKind
	builds   *builds
	deciding chan struct{}
	names    *names
	mux      *http.ServeMux
}

var _ http.Handler = (*Handler)(nil)

// New checks a configuration. A switch that nobody knows is an error.
func New(c Config) (*Handler, error) {
	switch {
	case c.Point == nil:
		return nil, errors.New("docker: nothing to decide with")
	case c.Daemon == nil:
		return nil, errors.New("docker: no daemon to ask what is behind a name")
	}
	actions, err := withDefaults(c.Routes)
	if err != nil {
		return nil, err
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
	h := &Handler{
		config: c, actions: actions, engine: &engineKind{daemon: c.Daemon, now: c.Now},
		deciding: make(chan struct{}, maxDeciding), names: &names{now: c.Now}, mux: http.NewServeMux(),
	}
	h.builds = &builds{daemon: c.Daemon, builders: c.Builders, wanted: h.wantsBuilders, log: c.Log}
	for pattern, served := range h.Routes() {
		h.mux.Handle(pattern, served)
	}
	return h, nil
}

// Routes returns what the handler serves, by patterns of http.ServeMux, for servers that serve other things beside it.
func (h *Handler) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"POST /Plugin.Activate":      http.HandlerFunc(h.activate),
		"POST /AuthZPlugin.AuthZReq": http.HandlerFunc(h.before),
		"POST /AuthZPlugin.AuthZRes": http.HandlerFunc(h.after),
	}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// answer is the protocol's answer. The zero value denies.
type answer struct {
	Allow bool
	Msg   string `json:",omitempty"`
	Err   string `json:",omitempty"`
}

func write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", MediaType)
	_ = json.NewEncoder(w).Encode(body) // the daemon has left: it allows nothing by itself
}

// activate answers what a daemon asks when it has just started: what an earlier one was told to do has ended with it.
func (h *Handler) activate(w http.ResponseWriter, _ *http.Request) {
	h.builds.reset()
	write(w, map[string][]string{"Implements": {"authz"}})
}

// after is told what the daemon answered, which matters where a name was held for it, or where that ends the making of an image.
func (h *Handler) after(w http.ResponseWriter, r *http.Request) {
	body := io.LimitReader(r.Body, maxTold)
	if !h.names.none() || !h.builds.idle() {
		if bug := enforce.Guard(func() { h.obeyed(r.Context(), body) }); bug != nil {
			h.config.Log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
		}
	}
	_, _ = io.Copy(io.Discard, body) // so that the connection can be used again
	write(w, answer{Allow: true})
}

// obeyed takes note of a request that the daemon is done with.
func (h *Handler) obeyed(ctx context.Context, body io.Reader) {
	var t told
	if err := json.NewDecoder(body).Decode(&t); err != nil {
		return
	}
	h.names.end(t.id())
	h.builds.told(ctx, &t)
}

// request is what the daemon says of a request that it has not obeyed yet.
type request struct {
	User            string
	UserAuthNMethod string
	RequestMethod   string
	RequestURI      string `json:"RequestUri"`
	RequestBody     []byte
	RequestHeaders  map[string]string
}

// who names the user, where the daemon knows one.
func (r *request) who() string {
	if r.User == "" {
		return ""
	}
	return enforce.Plain(r.User)
}

// before answers whether the daemon may obey.
func (h *Handler) before(w http.ResponseWriter, r *http.Request) {
	var a answer
	if bug := enforce.Guard(func() { a = h.read(r) }); bug != nil {
		h.config.Refused(Broken)
		h.config.Log.Error("bug", "error", bug.Error(), "stack", string(bug.Stack))
		a = answer{Msg: "bug: assay broke down; nothing is allowed by this\nnext: tell whoever runs Assay: this is a bug in it"}
	}
	write(w, a)
}

func (h *Handler) read(r *http.Request) answer {
	content, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxQuestion))
	if err != nil {
		return h.refuse(r.Context(), &request{}, Malformed, fmt.Sprintf("what the daemon asks cannot be read: %v", err))
	}
	var asked request
	if err := json.Unmarshal(content, &asked); err != nil {
		return h.refuse(r.Context(), &request{}, Malformed, fmt.Sprintf("what the daemon asks is not what authorization plugins are asked: %v", err))
	}
	return h.authorize(r.Context(), &asked)
}

// refuse denies without a verdict about an image. The first line of the text says what is wrong.
func (h *Handler) refuse(ctx context.Context, r *request, reason, text string) answer {
	h.config.Refused(reason)
	h.tell(ctx, slog.LevelWarn, "denied", r, reason, text)
	return answer{Msg: clean(text)}
}

func (h *Handler) tell(ctx context.Context, level slog.Level, what string, r *request, reason, text string) {
	h.config.Log.LogAttrs(ctx, level, "request", slog.String("outcome", what), slog.String("user", clip(r.User)),
		slog.String("method", clip(r.RequestMethod)), slog.String("uri", cut(enforce.Plain(r.RequestURI), maxLine)),
		slog.String("why", reason), slog.String("reason", clean(text)))
}
