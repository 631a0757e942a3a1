package node

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// Decisions is what the decisions route is made of.
type Decisions struct {
	Point  *enforce.Point
	Points []string // names of points that may be asked for
	// Via returns what stands before a handler, such as what gives it a time; nil: nothing does.
	Via func(pattern string, h http.Handler) http.Handler
}

// maxUserQuestions is how many questions a user can ask in one request: verdicts can be long, and memory is everybody's.
const maxUserQuestions = 16

// userPoints are the points in whose name those may ask who are neither root nor the own user: programs that obey by themselves, for that user.
// The others speak for a whole host, and what is logged and counted of them is what their own daemons have asked.
var userPoints = [...]string{"cli", "spire"}

// decisions answers questions of other processes of Assay with verdicts.
type decisions struct {
	server *Server
	Decisions
}

func (d *decisions) route() Route {
	r := Route{Pattern: http.MethodPost + " " + wire.Path, Handler: d, Allow: d.server.Allowed}
	if d.Via != nil {
		r.Handler = d.Via(r.Pattern, d)
	}
	return r
}

// failure is an answer without verdicts.
type failure struct {
	status int
	reason string
	text   string
}

// ServeHTTP implements http.Handler.
func (d *decisions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, failed := d.answer(w, r)
	if failed != nil {
		d.server.tell(failed.reason, r)
		plainRefusal(w, failed.status, enforce.Plain(failed.text))
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body) // whoever asked has left
}

func (d *decisions) answer(w http.ResponseWriter, r *http.Request) ([]byte, *failure) {
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxQuestionsBody))
	if err != nil {
		return nil, unreadable(err)
	}
	asked, err := wire.DecodeQuestions(content)
	if err != nil {
		return nil, unreadable(err)
	}
	peer := peerOf(r.Context())
	if failed := d.mayAsk(peer, asked); failed != nil {
		return nil, failed
	}
	id := enforce.RequestID(r.Header.Get("X-Request-ID"))
	w.Header().Set("X-Request-ID", id)
	verdicts := d.Point.DecideFor(r.Context(), &enforce.Occasion{RequestID: id, User: peer.String()}, asked...)
	body, err := wire.EncodeEach(verdicts)
	if err != nil {
		return nil, &failure{http.StatusInternalServerError, Broken, "bug: " + err.Error()}
	}
	return body, nil
}

func unreadable(err error) *failure {
	status := http.StatusBadRequest
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		status, err = http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", large.Limit)
	}
	return &failure{status, Malformed, err.Error()}
}

// mayAsk says no unless a peer may ask so much, and in the names of all points that questions have.
func (d *decisions) mayAsk(p Peer, asked []engine.Request) *failure {
	if !p.Trusted() && len(asked) > maxUserQuestions {
		return &failure{http.StatusRequestEntityTooLarge, Malformed, fmt.Sprintf("%d questions; at most %d at once", len(asked), maxUserQuestions)}
	}
	for i := range asked {
		point := asked[i].Point
		switch {
		case !slices.Contains(d.Points, point):
			return &failure{http.StatusBadRequest, Malformed, fmt.Sprintf("point: %.64q is none; there are %s", point, strings.Join(d.Points, ", "))}
		case !p.Trusted() && !slices.Contains(userPoints[:], point):
			return &failure{http.StatusForbidden, Forbidden, fmt.Sprintf("%v may not ask in the name of %s; only of %s", p, point, strings.Join(userPoints[:], " and "))}
		}
	}
	return nil
}
