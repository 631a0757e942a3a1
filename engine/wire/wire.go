// Package wire writes questions and verdicts as bytes between two processes of Assay, and reads them.
//
// Reading is strict: the bytes must say what the same code would write, so that no field is dropped, doubled or guessed at, and a verdict
// that contradicts itself is an error. Two processes of different forms do not understand each other, and know it. Where something
// cannot be read there is no verdict, which allows nothing.
package wire

import (
	"errors"
	"fmt"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// Path is where questions are posted to.
const Path = "/v1/decisions"

// Form is the form of what is written; another one is refused.
const Form = 1

// Limits of what is written and read; they stand in docs/reference/limits.md.
const (
	MaxQuestions     = 1000     // questions in one body
	MaxQuestionsBody = 2 << 20  // bytes of a body of questions
	MaxVerdict       = 1 << 20  // bytes of one verdict
	MaxVerdictsBody  = 64 << 20 // bytes of a body of verdicts
	MaxValues        = 1 << 16  // values of JSON in one body of questions, and in one verdict
)

// questions is the body that asks.
type questions struct {
	Form      int        `json:"form"`
	Questions []question `json:"questions"`
}

// question is an engine.Request without what belongs to whoever asks alone: logins, and what is known of an image on a host.
type question struct {
	Image           string            `json:"image"`
	Point           string            `json:"point"`
	Namespace       string            `json:"namespace,omitzero"`
	NamespaceLabels map[string]string `json:"namespaceLabels,omitzero"` // absent: nobody knows them
	HasNamespace    bool              `json:"hasNamespace,omitzero"`
	Content         bool              `json:"content,omitzero"`
	Rests           bool              `json:"rests,omitzero"`
	Signed          bool              `json:"signed,omitzero"`
	Every           bool              `json:"every,omitzero"`
	Platform        string            `json:"platform,omitzero"`
}

// EncodeQuestions writes questions. One that has logins, or is about an image that was made on a host, is an error: it is for nobody else.
func EncodeQuestions(reqs []engine.Request) ([]byte, error) {
	if len(reqs) == 0 || len(reqs) > MaxQuestions {
		return nil, fmt.Errorf("%d questions; want 1 to %d", len(reqs), MaxQuestions)
	}
	body := questions{Form: Form, Questions: make([]question, len(reqs))}
	for i := range reqs {
		q, err := newQuestion(&reqs[i])
		if err != nil {
			return nil, err
		}
		body.Questions[i] = q
	}
	return written(body, MaxQuestionsBody)
}

func newQuestion(r *engine.Request) (question, error) {
	switch {
	case !r.Logins.IsZero():
		return question{}, errors.New("a question with logins is sent to nobody")
	case r.Local != nil:
		return question{}, errors.New("a question about an image that was made on this host is sent to nobody")
	}
	return question{
		Image: shown(r.Image), Point: shown(r.Point), Namespace: shown(r.Namespace), NamespaceLabels: eachLabel(r.NamespaceLabels, shown),
		HasNamespace: r.HasNamespace, Content: r.Content, Rests: r.Rests, Signed: r.Signed, Every: r.Every, Platform: shown(r.Platform),
	}, nil
}

// DecodeQuestions reads what EncodeQuestions has written.
func DecodeQuestions(body []byte) ([]engine.Request, error) {
	var asked questions
	if err := read(body, MaxQuestionsBody, MaxValues, &asked); err != nil {
		return nil, err
	}
	switch {
	case asked.Form != Form:
		return nil, formError(asked.Form)
	case len(asked.Questions) == 0 || len(asked.Questions) > MaxQuestions:
		return nil, fmt.Errorf("%d questions; want 1 to %d", len(asked.Questions), MaxQuestions)
	}
	reqs := make([]engine.Request, len(asked.Questions))
	for i := range asked.Questions {
		reqs[i] = asked.Questions[i].request()
	}
	again, err := EncodeQuestions(reqs)
	if err != nil {
		return nil, err
	}
	return reqs, same(body, again)
}

func (q *question) request() engine.Request {
	return engine.Request{
		Image: meant(q.Image), Content: q.Content, Rests: q.Rests, Signed: q.Signed, Every: q.Every, Platform: meant(q.Platform),
		Request: policy.Request{
			Point: meant(q.Point), Namespace: meant(q.Namespace), NamespaceLabels: eachLabel(q.NamespaceLabels, meant), HasNamespace: q.HasNamespace,
		},
	}
}

// eachLabel keeps nil apart from empty: labels that nobody knows are not none.
func eachLabel(labels map[string]string, turn func(string) string) map[string]string {
	if labels == nil {
		return nil
	}
	turned := make(map[string]string, len(labels))
	for key, value := range labels {
		turned[turn(key)] = turn(value)
	}
	return turned
}

func formError(form int) error {
	return fmt.Errorf("form %d; this Assay reads form %d", form, Form)
}
