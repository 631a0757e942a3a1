package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// gatekeeperVersion is the version of Gatekeeper's external data that is spoken.
const gatekeeperVersion = "externaldata.gatekeeper.sh/v1beta1"

// providerRequest is what Gatekeeper asks: each key is an image.
type providerRequest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    struct {
		Keys []string `json:"keys"`
	} `json:"request"`
}

// providerResponse is the answer: an item for each key, and an error about all of them where there is something else to say.
type providerResponse struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Response   providerResult `json:"response"`
}

type providerResult struct {
	Idempotent  bool           `json:"idempotent"`
	Items       []providerItem `json:"items"`
	SystemError string         `json:"systemError,omitempty"`
}

// providerItem is what is said of one image. Value is there only if it may run; Error only if it may not.
type providerItem struct {
	Key   string         `json:"key"`
	Value *providerValue `json:"value,omitempty"`
	Error string         `json:"error,omitempty"`
}

// providerValue is the explicit yes that a template must ask for, with the name to run.
type providerValue struct {
	Allowed bool   `json:"allowed"`
	Image   string `json:"image"`
}

// gatekeeper answers POST /gatekeeper, as a provider of external data for Gatekeeper.
func (p *Point) gatekeeper(q *request) answer {
	body, err := readBody(q)
	if err != nil {
		return p.malformed(err)
	}
	var asked providerRequest
	if err := json.Unmarshal(body, &asked); err != nil {
		return p.malformed(notObject(err))
	}
	keys := asked.Request.Keys
	switch {
	case asked.APIVersion != gatekeeperVersion || asked.Kind != "ProviderRequest":
		return p.malformed(fmt.Errorf("%.64q %.64q: want %s ProviderRequest", asked.APIVersion, asked.Kind, gatekeeperVersion))
	case len(keys) > enforce.MaxImages:
		return p.malformed(fmt.Errorf("request.keys: there are %d; at most %d are decided about in one request", len(keys), enforce.MaxImages))
	}
	if f := p.admit(q, len(keys)); f != nil {
		return answer{failure: f}
	}
	requests := make([]engine.Request, len(keys))
	for i := range keys {
		requests[i].Image, requests[i].Point = keys[i], Name
	}
	verdicts := p.config.Point.DecideFor(q.Context(), q.occasion(), requests...)
	return answer{status: http.StatusOK, body: provided(resultOf(keys, verdicts)), images: len(keys)}
}

// maxUntold is how many images are named of which nothing could be told.
const maxUntold = 3

// resultOf has an item for each image that was decided about. Gatekeeper remembers items, errors as well as values, for minutes; what could
// not be told must be asked again, and so has none: it is an error of the whole answer, of which nothing is remembered.
func resultOf(keys []string, verdicts []engine.Verdict) providerResult {
	var r providerResult
	var untold []string
	for i := range keys {
		switch v := &verdicts[i]; enforce.Of(v) {
		case enforce.Yes:
			r.Items = append(r.Items, providerItem{Key: keys[i], Value: &providerValue{Allowed: true, Image: cmp.Or(v.Pin, keys[i])}})
		case enforce.CannotTell:
			untold = append(untold, "could not tell, try again: "+enforce.Reason(v))
		case enforce.Bug:
			untold = append(untold, "bug in assay: "+enforce.Reason(v))
		default:
			r.Items = append(r.Items, providerItem{Key: keys[i], Error: enforce.Reason(v)})
		}
	}
	if more := len(untold) - maxUntold; more > 0 {
		untold = append(untold[:maxUntold], fmt.Sprintf("and %d more images", more))
	}
	r.SystemError = strings.Join(untold, "; ")
	return r
}

// provided is a whole answer. The same question can have another answer a moment later, so it is never called idempotent.
func provided(r providerResult) providerResponse {
	if r.Items == nil {
		r.Items = []providerItem{}
	}
	return providerResponse{APIVersion: gatekeeperVersion, Kind: "ProviderResponse", Response: r}
}

// gatekeeperFailure is an answer about no image.
func gatekeeperFailure(f *failure, id string) any {
	return provided(providerResult{SystemError: f.text + " (request " + id + ")"})
}
