package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// question is the body of POST /v1/verdicts.
type question struct {
	images    []string
	point     string
	namespace *string
}

// verdicts answers POST /v1/verdicts: with one verdict for each image, in the order of the images. What a verdict says is no matter of the
// status, so that nobody takes a status for a verdict.
func (p *Point) verdicts(q *request) answer {
	asked, err := p.readQuestion(q)
	if err != nil {
		return p.malformed(err)
	}
	if f := p.admit(q, len(asked.images)); f != nil {
		return answer{failure: f}
	}
	verdicts := p.config.Point.DecideFor(q.Context(), q.occasion(), asked.requests()...)
	return answer{status: http.StatusOK, body: verdicts, images: len(verdicts)}
}

func (p *Point) readQuestion(q *request) (*question, error) {
	body, err := readBody(q)
	if err != nil {
		return nil, err
	}
	asked := &question{point: Name}
	if err := decode(body, map[string]any{"images": &asked.images, "point": &asked.point, "namespace": &asked.namespace}); err != nil {
		return nil, err
	}
	switch {
	case len(asked.images) == 0:
		return nil, errors.New(`images: name at least one: {"images": ["registry.example/app:1"]}`)
	case len(asked.images) > enforce.MaxImages:
		return nil, fmt.Errorf("images: there are %d; at most %d are decided about in one request", len(asked.images), enforce.MaxImages)
	case !slices.Contains(p.config.Points, asked.point):
		return nil, fmt.Errorf("point: %.64q is none; there are %s", asked.point, strings.Join(p.config.Points, ", "))
	case asked.namespace != nil && (*asked.namespace == "" || len(*asked.namespace) > maxNamespace):
		return nil, fmt.Errorf("namespace: a name of 1 to %d bytes; leave it out where there is none", maxNamespace)
	}
	return asked, nil
}

func (a *question) requests() []engine.Request {
	all := make([]engine.Request, len(a.images))
	for i, name := range a.images {
		all[i].Image = name
		all[i].Point = a.point
		if a.namespace != nil {
			all[i].Namespace, all[i].HasNamespace = *a.namespace, true
		}
	}
	return all
}
