package registrytest

import (
	"bytes"
	"net/http"
	"strings"
)

// trustRoute is what stands in a path between a repository and the name of a file of its trust data.
const trustRoute = "/_trust/tuf/"

// noMetadata is what notary-server 0.7.0 answers for an unknown repository, an unknown role and an unknown hash alike.
const noMetadata = `{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist.","detail":{}}]}`

// PutTrustData stores a file of the trust data of a repository, such as "timestamp.json", which a Server with Options.Notary serves.
func (s *Server) PutTrustData(gun, name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trust == nil {
		s.trust = map[string][]byte{}
	}
	s.trust["/v2/"+gun+trustRoute+name] = bytes.Clone(content)
}

// trustData answers as notary-server does. Nothing is derived from what is stored: a name with a hash is a file of its own.
func (s *Server) trustData(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, found := s.trust[r.URL.Path]
	s.mu.Unlock()
	if !found || r.Method != http.MethodGet {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(noMetadata)) // the client is gone if this fails
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300, s-maxage=300, must-revalidate")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(content)
}

func isTrustData(r *http.Request) bool { return strings.Contains(r.URL.Path, trustRoute) }
