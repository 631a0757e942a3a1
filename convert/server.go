package convert

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"github.com/assay-dev/assay/image"
)

// server is a Notary server.
type server struct {
	url  string // scheme, host and perhaps a path, without a slash at its end
	host string // with its port unless that is 443
	tls  bool
	// guessed says that the scheme was not written.
	guessed bool
	// named says that settings of registries can name the host.
	named bool
}

// readServer reads the URL of a Notary server. Errors have nothing of it, since it may hold a password.
func readServer(text string) (server, error) {
	const want = "; write it as in https://notary.example:4443"
	s := server{guessed: !strings.Contains(text, "://")}
	if s.guessed {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return server{}, errors.New("is no URL" + want)
	case u.User != nil || strings.Contains(u.Host, "@"):
		return server{}, errors.New("holds a user name or a password; write them into auth")
	case u.Scheme != "https" && u.Scheme != "http":
		return server{}, errors.New("is neither https:// nor http://" + want)
	case u.Hostname() == "":
		return server{}, errors.New("has no host" + want)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return server{}, errors.New("has a query or a fragment, which a Notary server's has not" + want)
	case u.RawPath != "":
		return server{}, errors.New("has a path with escapes, which a Notary server's has not" + want)
	}
	s.tls = u.Scheme == "https"
	s.host = strings.ToLower(u.Host)
	ref, err := image.Parse(s.host + "/x/x")
	switch {
	case err == nil && ref.Repository() == "x/x":
		// Docker Hub's aliases are servers of their own here; and without TLS, to leave out the port 443 would mean another one.
		if s.tls && ref.Registry() != "docker.io" {
			s.host = ref.Registry()
		}
		s.named = ref.Registry() == s.host
	case !plainHost.MatchString(s.host):
		return server{}, errors.New("has a malformed host" + want)
	}
	s.url = u.Scheme + "://" + s.host + strings.TrimRight(u.Path, "/")
	return s, nil
}

// plainHost is a host that names of images cannot have: without a dot and without a port.
var plainHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$`)
