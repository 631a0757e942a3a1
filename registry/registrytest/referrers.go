package registrytest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func isReferrers(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") }

// referrers answers from the store in a stable order, and in pages if the options say so. The store's own order is that of a Go map.
func (s *Server) referrers(w http.ResponseWriter, r *http.Request) {
	a := record(r, s.store)
	var index struct {
		SchemaVersion int               `json:"schemaVersion"`
		MediaType     string            `json:"mediaType"`
		Manifests     []json.RawMessage `json:"manifests"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body.Bytes(), &index) != nil {
		a.replay(w)
		return
	}
	slices.SortFunc(index.Manifests, func(x, y json.RawMessage) int { return cmp.Compare(digestOf(x), digestOf(y)) })
	if page := s.options.ReferrerPage; page > 0 {
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		from = min(max(from, 0), len(index.Manifests))
		to := min(from+page, len(index.Manifests))
		if to < len(index.Manifests) {
			a.header.Set("Link", fmt.Sprintf(`<%s?from=%d>; rel="next"`, r.URL.Path, to))
		}
		index.Manifests = index.Manifests[from:to]
	}
	a.header.Del("Content-Length")
	a.body.Reset()
	_ = json.NewEncoder(&a.body).Encode(index) // made of what was decoded before
	a.replay(w)
}

func digestOf(descriptor json.RawMessage) string {
	var d struct {
		Digest string `json:"digest"`
	}
	_ = json.Unmarshal(descriptor, &d) // made by the store
	return d.Digest
}
