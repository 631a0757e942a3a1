package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// frame is how many values of JSON stand around verdicts, but for a comma at each.
const frame = 8

// answers is the body that answers: a verdict for each question, in the order of the questions.
type answers struct {
	Form     int               `json:"form"`
	Verdicts []json.RawMessage `json:"verdicts"`
}

// verdict is an engine.Verdict, whole.
type verdict struct {
	Image      string        `json:"image,omitzero"`
	Canonical  string        `json:"canonical,omitzero"`
	Digest     image.Digest  `json:"digest,omitzero"`
	Pin        string        `json:"pin,omitzero"`
	Child      bool          `json:"child,omitzero"`
	Allowed    bool          `json:"allowed"`
	Decision   decision      `json:"decision"`
	Also       []decision    `json:"also,omitzero"`
	Warnings   []string      `json:"warnings,omitzero"`
	Cached     bool          `json:"cached,omitzero"`
	Total      time.Duration `json:"totalNs,omitzero"`
	Resolve    time.Duration `json:"resolveNs,omitzero"`
	Evidence   time.Duration `json:"evidenceNs,omitzero"`
	Chain      []link        `json:"chain,omitzero"`
	ChainError string        `json:"chainError,omitzero"`
	Basis      string        `json:"basis,omitzero"`
	Until      time.Time     `json:"until,omitzero"`
	Ends       time.Time     `json:"ends,omitzero"`
	Cause      *cause        `json:"cause,omitzero"`
}

type link struct {
	Platform string       `json:"platform,omitzero"`
	Index    image.Digest `json:"index,omitzero"`
	Manifest image.Digest `json:"manifest,omitzero"`
	Config   image.Digest `json:"config,omitzero"`
}

type decision struct {
	Policy      string         `json:"policy,omitzero"`
	Mode        string         `json:"mode,omitzero"`
	Rule        string         `json:"rule,omitzero"`
	Local       bool           `json:"local,omitzero"`
	Outcome     engine.Outcome `json:"outcome"`
	Reason      string         `json:"reason,omitzero"`
	Authorities []attestation  `json:"authorities,omitzero"`
}

// EncodeVerdicts writes verdicts. One that contradicts itself is an error.
func EncodeVerdicts(vs []engine.Verdict) ([]byte, error) {
	if len(vs) > MaxQuestions {
		return nil, fmt.Errorf("%d verdicts; at most %d", len(vs), MaxQuestions)
	}
	body := answers{Form: Form, Verdicts: make([]json.RawMessage, len(vs))}
	for i := range vs {
		if err := check(&vs[i]); err != nil {
			return nil, fmt.Errorf("verdict %d: %w", i, err)
		}
		text, err := written(newVerdict(&vs[i]), MaxVerdict)
		if err != nil {
			return nil, fmt.Errorf("verdict %d: %w", i, err)
		}
		body.Verdicts[i] = text
	}
	return written(body, MaxVerdictsBody)
}

// EncodeEach writes verdicts for whoever asked. One that cannot be written, because it contradicts itself or is too long, becomes a bug that says so
// and allows nothing; the others stay. It writes to vs.
func EncodeEach(vs []engine.Verdict) ([]byte, error) {
	body, err := EncodeVerdicts(vs)
	if err == nil {
		return body, nil
	}
	for i := range vs {
		if _, err := EncodeVerdicts(vs[i : i+1]); err != nil {
			reason := fmt.Sprintf("%s: a verdict that cannot be told: %v: %.500s", vs[i].Image, err, vs[i].Reason)
			vs[i] = engine.Verdict{Image: vs[i].Image, Decision: engine.Decision{Outcome: engine.Bug, Reason: reason}}
		}
	}
	return EncodeVerdicts(vs)
}

// DecodeVerdicts reads what EncodeVerdicts has written: exactly want verdicts. What any of them says is taken whole or not at all.
func DecodeVerdicts(body []byte, want int) ([]engine.Verdict, error) {
	var told answers
	if err := read(body, MaxVerdictsBody, want*(MaxValues+1)+frame, &told); err != nil {
		return nil, err
	}
	switch {
	case told.Form != Form:
		return nil, formError(told.Form)
	case len(told.Verdicts) != want:
		return nil, fmt.Errorf("%d verdicts for %d questions", len(told.Verdicts), want)
	}
	vs := make([]engine.Verdict, want)
	for i, text := range told.Verdicts {
		var v verdict
		if err := read(text, MaxVerdict, MaxValues, &v); err != nil {
			return nil, fmt.Errorf("verdict %d: %w", i, err)
		}
		vs[i] = v.verdict()
	}
	again, err := EncodeVerdicts(vs)
	if err == nil {
		err = same(body, again)
	}
	if err != nil {
		return nil, err
	}
	return vs, nil
}

func newVerdict(v *engine.Verdict) verdict {
	return verdict{
		Image: shown(v.Image), Canonical: shown(v.Canonical), Digest: v.Digest, Pin: shown(v.Pin), Child: v.Child, Allowed: v.Allowed,
		Decision: newDecision(&v.Decision), Also: turned(v.Also, newDecision), Warnings: each(v.Warnings, shown), Cached: v.Cached,
		Total: v.Duration.Total, Resolve: v.Duration.Resolve, Evidence: v.Duration.Evidence,
		Chain: turned(v.Chain, newLink), ChainError: shown(v.ChainError), Basis: shown(v.Basis), Until: v.Until, Ends: v.Ends, Cause: newCause(v),
	}
}

func (v *verdict) verdict() engine.Verdict {
	made := engine.Verdict{
		Image: meant(v.Image), Canonical: meant(v.Canonical), Digest: v.Digest, Pin: meant(v.Pin), Child: v.Child, Allowed: v.Allowed,
		Decision: v.Decision.decision(), Also: turned(v.Also, (*decision).decision), Warnings: each(v.Warnings, meant), Cached: v.Cached,
		Duration: engine.Duration{Total: v.Total, Resolve: v.Resolve, Evidence: v.Evidence},
		Chain:    turned(v.Chain, (*link).link), ChainError: meant(v.ChainError), Basis: meant(v.Basis), Until: v.Until, Ends: v.Ends,
	}
	if v.Cause != nil {
		made.SetErr(v.Cause.error())
	}
	return made
}

func newLink(l *engine.Link) link {
	return link{Platform: shown(l.Platform), Index: l.Index, Manifest: l.Manifest, Config: l.Config}
}

func (l *link) link() engine.Link {
	return engine.Link{Platform: meant(l.Platform), Index: l.Index, Manifest: l.Manifest, Config: l.Config}
}

func newDecision(d *engine.Decision) decision {
	return decision{
		Policy: shown(d.Policy), Mode: shown(d.Mode), Rule: shown(d.Rule), Local: d.Local, Outcome: d.Outcome, Reason: shown(d.Reason),
		Authorities: turned(d.Authorities, newAttestation),
	}
}

func (d *decision) decision() engine.Decision {
	return engine.Decision{
		Policy: meant(d.Policy), Mode: meant(d.Mode), Rule: meant(d.Rule), Local: d.Local, Outcome: d.Outcome, Reason: meant(d.Reason),
		Authorities: turned(d.Authorities, (*attestation).attestation),
	}
}

// cause is what Verdict.Err returns beside the reason: its text, and those errors that askers look for.
type cause struct {
	Text   string  `json:"text"`
	Bug    *string `json:"bug,omitzero"`    // the value of the panic
	Labels bool    `json:"labels,omitzero"` // engine.ErrNamespaceLabels
}

// newCause is nil where the reason says it all.
func newCause(v *engine.Verdict) *cause {
	err := v.Err()
	if err == nil {
		return nil
	}
	c := &cause{Text: shown(err.Error()), Labels: errors.Is(err, engine.ErrNamespaceLabels)}
	var bug *engine.BugError
	if errors.As(err, &bug) {
		value := shown(fmt.Sprint(bug.Value))
		c.Bug = &value
	}
	if c.Bug == nil && !c.Labels && err.Error() == v.Reason {
		return nil
	}
	return c
}

func (c *cause) error() error {
	f := &failure{text: meant(c.Text)}
	if c.Bug != nil {
		f.kinds = append(f.kinds, &engine.BugError{Value: meant(*c.Bug)})
	}
	if c.Labels {
		f.kinds = append(f.kinds, engine.ErrNamespaceLabels)
	}
	return f
}

// failure is a cause that happened in another process.
type failure struct {
	text  string
	kinds []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.kinds }
