package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
)

// decisions answers POST /v1/decisions, by which another Assay asks: with all that a verdict says, so that it can be used there as if it had
// been decided there.
func (p *Point) decisions(q *request) answer {
	asked, err := p.readDecisions(q)
	if err != nil {
		return p.malformed(err)
	}
	if f := p.admit(q, len(asked)); f != nil {
		return answer{failure: f}
	}
	verdicts := p.config.Point.DecideFor(q.Context(), q.occasion(), asked...)
	body, err := wire.EncodeEach(verdicts)
	if err != nil {
		p.config.Refused(Broken)
		p.config.Log.Error("bug", "requestId", q.id, "error", enforce.Plain(err.Error()))
		return answer{failure: &failure{status: http.StatusInternalServerError, text: broken}}
	}
	return answer{status: http.StatusOK, body: json.RawMessage(body), images: len(verdicts)}
}

func (p *Point) readDecisions(q *request) ([]engine.Request, error) {
	body, err := readBody(q)
	if err != nil {
		return nil, err
	}
	asked, err := wire.DecodeQuestions(body)
	if err != nil {
		return nil, err
	}
	for i := range asked {
		switch r := &asked[i]; {
		case !slices.Contains(p.config.Points, r.Point):
			return nil, fmt.Errorf("questions[%d].point: %.64q is none; there are %s", i, r.Point, strings.Join(p.config.Points, ", "))
		case len(r.Namespace) > maxNamespace:
			return nil, fmt.Errorf("questions[%d].namespace: a name of at most %d bytes", i, maxNamespace)
		}
	}
	return asked, nil
}
