package api

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// noRepository is the connector's text for an image that no rule speaks about; policies of OPA compare it.
const noRepository = "No repository matched"

// checked is the connector's answer where an image may run. Both fields are absent where nobody vouched and a rule allows it all the same.
type checked struct {
	SHA256 string `json:"sha256,omitempty"`
	Image  string `json:"image,omitempty"`
}

// checkImage answers POST /checkImage {"image": "…"} as container-signature-enforcer's connector does: 200 with the digest and the name to
// run, 200 {} where a rule allows without looking, 400 {"error": "…"} for everything that may not run. Other than the connector it never
// sends an error without a text.
func (p *Point) checkImage(q *request) answer {
	body, err := readBody(q)
	if err != nil {
		return p.malformed(err)
	}
	var asked struct {
		Image string `json:"image"`
	}
	// The connector ignores other fields.
	if err := json.Unmarshal(body, &asked); err != nil {
		return p.malformed(notObject(err))
	}
	if asked.Image == "" {
		return p.malformed(errNoRepository)
	}
	if f := p.admit(q, 1); f != nil {
		return answer{failure: f}
	}
	req := engine.Request{Image: asked.Image}
	req.Point = Name
	v := p.config.Point.DecideFor(q.Context(), q.occasion(), req)[0]
	return inConnectorsWords(&v)
}

type connectorError string

func (e connectorError) Error() string { return string(e) }

const errNoRepository = connectorError(noRepository)

// connectorFailure is the connector's body of an error; the request's id is in the header only.
func connectorFailure(f *failure, _ string) any {
	return struct {
		Error string `json:"error"`
	}{f.text}
}

// inConnectorsWords turns a verdict into the connector's answer.
func inConnectorsWords(v *engine.Verdict) answer {
	switch enforce.Of(v) {
	case enforce.Yes:
		c, err := pinned(v)
		if err != nil {
			return refused(http.StatusBadRequest, enforce.Plain(err.Error()))
		}
		return answer{status: http.StatusOK, body: c, images: 1}
	case enforce.CannotTell:
		return refused(http.StatusBadRequest, "could not tell, try again: "+enforce.Reason(v))
	case enforce.Bug:
		return refused(http.StatusInternalServerError, "bug in assay: "+enforce.Reason(v))
	}
	if v.Policy != "" && v.Rule == "" {
		return refused(http.StatusBadRequest, noRepository)
	}
	return refused(http.StatusBadRequest, enforce.Reason(v))
}

func refused(status int, text string) answer {
	return answer{images: 1, failure: &failure{status: status, text: text}}
}

// pinned returns the digest and the name to run. They are left out only where nobody vouched for a digest and none was decided about.
func pinned(v *engine.Verdict) (checked, error) {
	if v.Pin == "" && !vouched(v) {
		return checked{}, nil
	}
	name := v.Pin
	if name == "" {
		name = v.Canonical
	}
	ref, err := image.Parse(name)
	switch {
	case err != nil:
		return checked{}, fmt.Errorf("%s: the name to run: %w", v.Image, err)
	case v.Digest.IsZero() || v.Digest.Algorithm() != "sha256":
		return checked{}, fmt.Errorf("%s: its digest is no sha256, which is all that this answer can carry", v.Image)
	}
	tag := ref.Tag()
	if tag == "" {
		tag = "latest" // the connector's answer always has one; the digest decides
	}
	return checked{SHA256: v.Digest.Hex(), Image: ref.Name() + ":" + tag + "@" + v.Digest.String()}, nil
}

// vouched reports whether enforcing allows the image by somebody's word.
func vouched(v *engine.Verdict) bool {
	if v.Outcome != engine.Allowed {
		return false
	}
	if proved(&v.Decision) {
		return true
	}
	for i := range v.Also {
		if v.Also[i].Outcome == engine.Allowed && proved(&v.Also[i]) {
			return true
		}
	}
	return false
}

func proved(d *engine.Decision) bool {
	for i := range d.Authorities {
		if d.Authorities[i].Standing == engine.Proved {
			return true
		}
	}
	return false
}

// fine is the connector's /healthz.
func fine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "this is fine")
}

// noSuchPage is the connector's answer to other methods, with a text.
func (p *Point) noSuchPage() http.Handler {
	h := &handler{point: p, failed: connectorFailure}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Refuse(w, r, http.StatusNotFound, "POST /checkImage is all that there is")
	})
}
