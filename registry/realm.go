package registry

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// checkRealm decides whether a token service may issue tokens for a registry or a Notary server, and so get its credentials. A registry that was
// broken into, or a stranger's, could name any address there.
//
// Allowed hosts are: the registry's own, on any port (GitLab's registry is another port of GitLab); the parent domain of a registry
// that is called "registry." something, on the default port (registry.gitlab.com and gitlab.com); auth.docker.io for Docker Hub and its
// Notary server; and the tokenRealms of the settings. The service must be reached over https, unless the registry itself is not, and then over http only
// where the settings say insecurePlainHTTP or the service's host is written as loopback.
//
// The check happens before the service's name is looked up.
func (c *Client) checkRealm(realm, registry string, e *endpoint) (*url.URL, error) {
	u, err := url.Parse(realm)
	switch {
	case realm == "":
		return nil, errors.New("the registry asks for a token but names no token service")
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("token service %q: is no address", clean(realm))
	case u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("token service at %s: its address has credentials or a fragment, which is refused", clean(u.Host))
	}
	u.Host = strings.ToLower(u.Host)
	u.Host = strings.TrimSuffix(u.Host, ":"+defaultPort(u.Scheme))
	if !c.mayIssue(u, registry) {
		return nil, fmt.Errorf("token service at %s: is not known to issue tokens for %s; add it to tokenRealms of that host if it does",
			clean(u.Host), registry)
	}
	switch {
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && e.scheme == "http" && (e.insecure || isLoopbackName(u.Hostname())):
		return u, nil
	}
	return nil, fmt.Errorf("token service at %s: would be reached over %q, want https", clean(u.Host), clean(u.Scheme))
}

func (c *Client) mayIssue(u *url.URL, registry string) bool {
	own := strings.Trim(hostname(registry), "[]")
	if u.Hostname() == own || (registry == dockerHub || registry == dockerHubNotary) && u.Host == dockerHubRealm {
		return true
	}
	parent, isRegistry := strings.CutPrefix(own, "registry.")
	if isRegistry && strings.Contains(parent, ".") && u.Host == parent {
		return true
	}
	h := c.settingsOf(registry)
	return h != nil && slices.Contains(h.TokenRealms, u.Host)
}
