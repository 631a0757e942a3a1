package kubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// Limits of an answer. Those of warnings are the API server's own, past which it cuts them.
const (
	maxRefused    = 20       // images that a denial tells about
	maxWarning    = 256      // bytes of one warning
	maxWarnings   = 4 << 10  // bytes of all warnings
	maxAnnotation = 4 << 10  // bytes of an audit annotation
	maxMessage    = 16 << 10 // bytes of a denial
	moreWarnings  = "further warnings are left out"
)

// answer is what the API server is told. The zero value denies.
type answer struct {
	allowed  bool
	code     int
	message  string
	patch    []byte
	warnings []string
	audit    map[string]string
}

// denied is an image that may not run.
type denied struct {
	image   Image
	verdict *engine.Verdict
}

func refusal(code int, message string) answer { return answer{code: code, message: message} }

// refuse makes a the denial of an object because of its images.
func (a *answer) refuse(images []denied) {
	worst := enforce.Yes
	var lines []string
	for i, d := range images {
		if m := enforce.Of(d.verdict); worst == enforce.Yes || m == enforce.No || m == enforce.Bug && worst == enforce.CannotTell {
			worst = m
		}
		if i < maxRefused {
			lines = append(lines, d.text())
		}
	}
	if more := len(images) - maxRefused; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more images", more))
	}
	a.allowed, a.patch = false, nil
	a.code, a.message = code(worst), cut(strings.Join(lines, "\n"), maxMessage)
}

// code is the HTTP status of a meaning, as clients of the API server see it.
func code(m enforce.Meaning) int {
	switch m {
	case enforce.CannotTell:
		return http.StatusServiceUnavailable
	case enforce.Bug:
		return http.StatusInternalServerError
	}
	return http.StatusForbidden
}

// text tells a person about an image that may not run, with the words of container-signature-enforcer at its beginning.
func (d *denied) text() string {
	text := enforce.Plain(d.image.Text)
	first, rest, _ := strings.Cut(enforce.Refusal(d.verdict), "\n")
	first = strings.TrimPrefix(first, text+": ")
	lines := "Container image " + text + " invalid: " + first + "\n  in " + d.image.where()
	for line := range strings.Lines(rest) {
		if line = strings.TrimSuffix(line, "\n"); !repeats(first, line) {
			lines += "\n  " + line
		}
	}
	return lines
}

// repeats reports whether what an authority said, "NAME (FORMAT): WORDS", is the reason already. Long words are cut.
func repeats(reason, line string) bool {
	const enough = 100
	_, words, found := strings.Cut(line, "): ")
	return found && strings.Contains(reason, words[:min(len(words), enough)])
}

func (i *Image) where() string {
	if i.Container == "" {
		return enforce.Plain(i.Path)
	}
	what := "container"
	if strings.HasSuffix(i.Path, "/image/reference") {
		what = "volume"
	}
	return fmt.Sprintf("%s %q, %s", what, enforce.Plain(i.Container), enforce.Plain(i.Path))
}

// tell notes what policies say that do not enforce: warnings, in the engine's words, for whoever asked, and audit annotations for the log.
func (a *answer) tell(i Image, v *engine.Verdict) {
	text := enforce.Plain(i.Text)
	for _, w := range v.Warnings {
		a.warn(text + ": " + enforce.Plain(w))
	}
	a.audited(text, &v.Decision)
	for i := range v.Also {
		a.audited(text, &v.Also[i])
	}
}

func (a *answer) audited(text string, d *engine.Decision) {
	if d.Mode == "audit" && d.Outcome != engine.Allowed && d.Outcome != engine.NoOpinion {
		a.note("would-refuse", fmt.Sprintf("%s: policy %s: %v: %s", text, d.Policy, d.Outcome, enforce.Plain(d.Reason)))
	}
}

func (a *answer) warn(line string) {
	line = cut(line, maxWarning)
	used := 0
	for _, w := range a.warnings {
		if w == line || w == moreWarnings {
			return
		}
		used += len(w)
	}
	if used+len(line)+len(moreWarnings) > maxWarnings {
		line = moreWarnings
	}
	a.warnings = append(a.warnings, line)
}

func (a *answer) note(key, line string) {
	if a.audit == nil {
		a.audit = map[string]string{}
	}
	if before := a.audit[key]; before != "" {
		line = before + "\n" + line
	}
	a.audit[key] = cut(line, maxAnnotation)
}

// cut ends a text that is too long, between characters.
func cut(s string, limit int) string {
	const mark = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// wire is an AdmissionReview with a response (admission.k8s.io/v1, and v1beta1, which has the same shape).
type wire struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Response   response `json:"response"`
}

type response struct {
	UID              string            `json:"uid"`
	Allowed          bool              `json:"allowed"`
	Status           *status           `json:"status,omitempty"`
	PatchType        string            `json:"patchType,omitempty"`
	Patch            []byte            `json:"patch,omitempty"`
	AuditAnnotations map[string]string `json:"auditAnnotations,omitempty"`
	Warnings         []string          `json:"warnings,omitempty"`
}

type status struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"`
	Code    int    `json:"code"`
}

// reasons are Kubernetes' words for the codes.
var reasons = map[int]string{
	http.StatusBadRequest:            "BadRequest",
	http.StatusUnauthorized:          "Unauthorized",
	http.StatusForbidden:             "Forbidden",
	http.StatusRequestEntityTooLarge: "RequestEntityTooLarge",
	http.StatusInternalServerError:   "InternalError",
	http.StatusServiceUnavailable:    "ServiceUnavailable",
}

// encode writes the answer in the version that was asked.
func (a *answer) encode(r *review) []byte {
	out := wire{APIVersion: r.apiVersion, Kind: "AdmissionReview"}
	if out.APIVersion != reviewV1beta1 {
		out.APIVersion = reviewV1
	}
	out.Response = response{UID: r.uid, Allowed: a.allowed, Warnings: a.warnings, AuditAnnotations: a.audit}
	switch {
	case !a.allowed:
		out.Response.Status = &status{Status: "Failure", Message: a.message, Reason: reasons[a.code], Code: a.code}
	case len(a.patch) > 0:
		out.Response.PatchType, out.Response.Patch = "JSONPatch", a.patch
	}
	content, err := json.Marshal(&out)
	if err != nil {
		panic(err) // strings, numbers and bytes can be written
	}
	return content
}
