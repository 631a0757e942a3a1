package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// ErrTooManyReferrers says that a list of referrers is longer than MaxReferrers or has too many pages.
var ErrTooManyReferrers = errors.New("too many referrers")

// Referrers implements trust.Source, in the order in which the registry lists them. It asks the referrers API, and where the
// registry says, by 404 or by not understanding the request, that it has none, the fallback tag (OCI distribution specification 1.1, "Listing
// Referrers"). The list is not filtered by the registry: filters are optional there, and one list serves all formats. Entries
// without a proper digest are left out, since nothing can be fetched by them. An image without referrers has an empty list.
//
// Anybody who may push can make the list long. Beyond MaxReferrers the error is ErrTooManyReferrers, and the list comes with it as
// far as it was read: what is proved by an entry stays proved, but that something is missing cannot be told.
func (c *Client) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	if ref.Digest().IsZero() {
		return nil, fmt.Errorf("referrers of %q: no digest", ref)
	}
	s := c.session(ctx, ref, false)
	if s.lacksReferrers() {
		return s.fallback(ctx, ref.Digest())
	}
	list, err := s.referrers(ctx, ref.Digest())
	if errors.Is(err, errNoReferrersAPI) {
		return s.fallback(ctx, ref.Digest())
	}
	return list, err
}

// errNoReferrersAPI says that the registry has no list under the API, definitively.
var errNoReferrersAPI = errors.New("no referrers API")

// referrers asks the API. Pages are followed on the same route only: the link is the registry's text.
func (s *session) referrers(ctx context.Context, d image.Digest) ([]trust.Descriptor, error) {
	r := request{method: http.MethodGet, path: s.path("referrers", d.String()), accept: mediaTypeIndex, limit: trust.MaxManifest}
	list := []trust.Descriptor{}
	for page := 0; ; page++ {
		if page == maxReferrerPages {
			return list, fmt.Errorf("referrers of %s: %w: more than %d pages", d, ErrTooManyReferrers, maxReferrerPages)
		}
		a, err := s.send(ctx, r)
		if err != nil {
			return nil, err
		}
		if a.status != http.StatusOK {
			return nil, s.referrersError(a, page)
		}
		more, err := readReferrers(a)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.method, a.url, err)
		}
		list = append(list, more...)
		if len(list) > MaxReferrers {
			return list[:MaxReferrers], fmt.Errorf("referrers of %s: %w: more than %d", d, ErrTooManyReferrers, MaxReferrers)
		}
		next, err := nextPage(a.header.Values("Link"), s.endpoint, r)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", a.method, a.url, err)
		}
		if next == "" {
			return list, nil
		}
		r.query = next
	}
}

// lacksAPI reports whether a status can mean that a registry does not know the API: registries that do not answer 404 say that they do
// not understand the request. Statuses of access, of too many requests and of failures are none of them.
func lacksAPI(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		return true
	}
	return false
}

// referrersError makes an error of an answer that is no list. Only the answer to the first page can mean that there is no API: not one
// that speaks of access, nor one of a third party without an error document. The session remembers it, except where the name or the
// manifest is unknown, since those may come into being.
func (s *session) referrersError(a answer, page int) error {
	e := statusError(a, false)
	errs := decodeErrors(a.body)
	if !lacksAPI(a.status) || page > 0 || a.foreign && len(errs) == 0 {
		e.notFound = false
		return e
	}
	remember := true
	for _, reported := range errs {
		switch reported.Code {
		case errcode.ErrorCodeUnauthorized, errcode.ErrorCodeDenied, codeTooManyRequests:
			e.notFound = false
			return e
		case errcode.ErrorCodeNameUnknown, errcode.ErrorCodeManifestUnknown:
			remember = false
		}
	}
	if remember {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.noReferrers = s.client.now().Add(noReferrersFor)
	}
	return fmt.Errorf("%w: %w", errNoReferrersAPI, e)
}

// codeTooManyRequests is an error code of the specification that oras-go has no name for.
const codeTooManyRequests = "TOOMANYREQUESTS"

func (s *session) lacksReferrers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.now().Before(s.noReferrers)
}

// fallback reads the index that clients keep under a tag where a registry has no API.
func (s *session) fallback(ctx context.Context, d image.Digest) ([]trust.Descriptor, error) {
	m, err := s.manifest(ctx, fallbackTag(d), image.Digest{})
	if errors.Is(err, trust.ErrNotFound) {
		return []trust.Descriptor{}, nil
	}
	if err != nil {
		return nil, err
	}
	if m.Digest == d {
		// Some tools that copy images tag the copy with its own digest, in the same words. An image does not refer to itself.
		return []trust.Descriptor{}, nil
	}
	if m.MediaType != mediaTypeIndex {
		return nil, fmt.Errorf("%s/%s:%s: %w: is %q, not the index of the referrers", s.key.registry, s.key.repository, fallbackTag(d), trust.ErrMalformed, clean(m.MediaType))
	}
	list, err := decodeReferrers(m.Bytes)
	if err == nil && len(list) > MaxReferrers {
		return list[:MaxReferrers], fmt.Errorf("referrers of %s: %w: more than %d", d, ErrTooManyReferrers, MaxReferrers)
	}
	return list, err
}

// fallbackTag is the tag scheme of the specification, with its limit of 64 digits ("Referrers Tag Schema").
func fallbackTag(d image.Digest) string {
	return d.Algorithm() + "-" + d.Hex()[:min(len(d.Hex()), 64)]
}

func readReferrers(a answer) ([]trust.Descriptor, error) {
	mediaType, err := sniff(contentType(a.header), a.body)
	if err != nil {
		return nil, err
	}
	if mediaType != mediaTypeIndex {
		return nil, fmt.Errorf("the list of referrers was served as %q", clean(mediaType))
	}
	return decodeReferrers(a.body)
}

// referrer is an entry of a list of referrers.
type referrer struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations"`
}

// decodeReferrers reads a list, of which anybody who may push can write an entry: one that cannot be read is left out.
func decodeReferrers(content []byte) ([]trust.Descriptor, error) {
	var index struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(content, &index); err != nil {
		return nil, errors.New("the list of referrers is malformed")
	}
	list := make([]trust.Descriptor, 0, len(index.Manifests))
	for _, raw := range index.Manifests {
		var m referrer
		if json.Unmarshal(raw, &m) != nil {
			continue
		}
		d, err := image.ParseDigest(m.Digest)
		if err != nil || m.Size < 0 {
			continue
		}
		list = append(list, trust.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: d, Size: m.Size, Annotations: m.Annotations})
	}
	return list, nil
}

// nextPage returns the query of the next page, or "" if there is none. The link must lead to the same route of the same registry, and
// forward: to the query that was just asked it would lead for ever.
func nextPage(links []string, e *endpoint, r request) (query string, err error) {
	target, found := nextLink(links)
	if !found {
		return "", nil
	}
	base := &url.URL{Scheme: e.scheme, Host: e.host, Path: r.path, RawQuery: r.query}
	u, err := base.Parse(target)
	switch {
	case err != nil:
		return "", errors.New("the link to the next page is malformed")
	case !sameOrigin(base, u) || u.Path != base.Path || u.User != nil:
		return "", errors.New("the link to the next page leads elsewhere")
	case u.RawQuery == base.RawQuery:
		return "", errors.New("the link to the next page leads to the same page")
	}
	return u.RawQuery, nil
}
