package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

var _ trust.TrustServer = (*Client)(nil)

// trustRoute is what stands in a path between a repository and the name of a file of its trust data.
const trustRoute = "_trust"

// codeMetadataNotFound is how a Notary server says that it does not have a file: for a repository, a role, a version and a hash alike.
const codeMetadataNotFound = "METADATA_NOT_FOUND"

// TrustData implements trust.TrustServer, by one request. The server is reached by the settings of its own host, and its tokens are used
// for nothing else, not even for a registry at the same host. Mirrors are not asked.
//
// A page of somebody who stands between is no metadata: nobody can tell. Where the wait ended because ctx did, the error is neither "not found" nor "unavailable".
func (c *Client) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	n, err := c.notary(server)
	if err != nil {
		return nil, err
	}
	path, err := n.pathOf(gun, name)
	if err != nil {
		return nil, fmt.Errorf("trust data of %q at %s: %w", clean(gun), n.base(), err)
	}
	logins := trust.LoginsOf(ctx).For(n.registry, "")
	s := c.sessionAt(c.notaryEndpoint(n), sessionKey{registry: n.registry, repository: gun, server: n.base()}, logins)
	a, err := s.send(ctx, request{method: http.MethodGet, path: path, limit: limit, spelled: true})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, trustDataError(a)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(a.body, " \t\r\n"), []byte("{")) {
		return nil, fmt.Errorf("%s %s: the answer is no metadata, which begin with {; is that a Notary server?", a.method, a.url)
	}
	return a.body, nil
}

// trustDataError makes an error of a Notary server's answer. Only a server that speaks as one knows what it does not have: a 404 comes
// from every web server and from every registry, too, which have errors of their own.
func trustDataError(a answer) *StatusError {
	errs := decodeErrors(a.body)
	for i := range errs {
		if detail, ok := errs[i].Detail.(map[string]any); ok && len(detail) == 0 {
			errs[i].Detail = nil // it always comes with this code, and says nothing
		}
	}
	e := newStatusError(a, errs, false)
	if a.status != http.StatusNotFound {
		return e
	}
	e.notFound = slices.ContainsFunc(errs, func(e errcode.Error) bool { return e.Code == codeMetadataNotFound })
	if !e.notFound {
		e.reason += notFoundHint
	}
	return e
}

// notary is the address of a Notary server, in canonical form.
type notary struct {
	scheme   string
	hostname string // without port: "notary.example", "[::1]"
	address  string // as in a URL: "notary.example:4443"
	registry string // the name of its settings
	prefix   string // path before "/v2", without a slash at its end: "", "/notary"
}

// base returns the server's URL.
func (n notary) base() string { return n.scheme + "://" + n.address + n.prefix }

// notary reads the URL of a Notary server. Plain HTTP needs the word of whoever runs this program, as with registries; unlike there, the
// scheme is never guessed.
func (c *Client) notary(server string) (notary, error) {
	u, err := url.Parse(server)
	const form = "write https://HOST, https://HOST:PORT or https://HOST:PORT/PATH"
	switch {
	case err != nil || u.Opaque != "" || u.Host == "":
		return notary{}, fmt.Errorf("notary server %q: is no address; %s", shownServer(server), form)
	case u.User != nil:
		return notary{}, fmt.Errorf("notary server %q: its address has credentials, which is refused; give them to %s in the settings of registries",
			shownServer(server), clean(u.Host))
	case strings.ContainsAny(server, "?#"):
		return notary{}, fmt.Errorf("notary server %q: its address has a query or a fragment; %s", shownServer(server), form)
	case u.Scheme != "https" && u.Scheme != "http":
		return notary{}, fmt.Errorf("notary server %q: the scheme %q is refused; %s", shownServer(server), clean(u.Scheme), form)
	}
	n := notary{scheme: u.Scheme, prefix: u.Path}
	if err := n.readHost(u); err != nil {
		return notary{}, fmt.Errorf("notary server %q: %w", shownServer(server), err)
	}
	if n.prefix != "" {
		if strings.Contains(server, "%") {
			err = errors.New("has an escaped character")
		} else {
			err = checkPath(n.prefix[1:], "~")
		}
		if err != nil {
			return notary{}, fmt.Errorf("notary server %q: its path %w; %s", shownServer(server), err, form)
		}
	}
	n.registry = n.address
	if full := n.hostname + ":" + defaultPort(n.scheme); n.address == n.hostname && c.settingsOf(full) != nil {
		n.registry = full // port 80 is not the default one of settings
	}
	if n.scheme == "http" && !c.mayUseHTTP(n) {
		return notary{}, fmt.Errorf("notary server %q: would be reached over plain HTTP, which is refused; write https, or set insecurePlainHTTP for %s in the settings of registries if that is meant",
			shownServer(server), n.registry)
	}
	return n, nil
}

// readHost brings the host into the one form that settings and references have, too.
func (n *notary) readHost(u *url.URL) error {
	name, port := u.Hostname(), u.Port()
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	// A port that is nobody's default keeps names without a dot apart from parts of Docker Hub's names.
	ref, err := image.Parse(name + ":1/x/x")
	if err != nil {
		return errors.New("its host is malformed; write a name, an IPv4 address or an IPv6 address in brackets, and no dot at the end")
	}
	n.hostname = strings.TrimSuffix(ref.Registry(), ":1")
	n.address = n.hostname
	if number, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || number == 0 || port[0] == '0') || strings.HasSuffix(u.Host, ":") {
		return errors.New("its port is malformed; write a number from 1 to 65535")
	}
	if port != "" && port != defaultPort(n.scheme) {
		n.address += ":" + port
		return nil
	}
	if hub, err := image.Parse(n.hostname + ":443/x/x"); err == nil && hub.Registry() == dockerHub {
		return fmt.Errorf("is Docker Hub's registry; its Notary server is https://%s", dockerHubNotary)
	}
	return nil
}

// mayUseHTTP reports whether a server may be reached without TLS: where the settings say so, or at a host that is written as loopback,
// as with registries.
func (c *Client) mayUseHTTP(n notary) bool {
	h := c.settingsOf(n.registry)
	return h != nil && h.InsecurePlainHTTP || c.config.LoopbackHTTP && isLoopbackName(n.hostname) && (h == nil || !h.speaksTLS())
}

// shownServer makes a server's URL fit for a message: without what may be a password, of which a malformed URL does not tell where it
// ends.
func shownServer(server string) string {
	if i := strings.LastIndexByte(server, '@'); i >= 0 {
		server = "…" + server[i:]
	}
	return clean(server)
}

// pathOf returns the path of a file of a repository's trust data. Names of repositories come from images and names of files from signed
// metadata, so from strangers: nothing in them may lead to another path.
func (n notary) pathOf(gun, name string) (string, error) {
	host, rest, found := strings.Cut(gun, "/")
	err := checkPath(host, ":[]") // elsewhere a colon could end the name in the scope of a token
	if err == nil && found {
		err = checkPath(rest, "")
	}
	if err != nil {
		return "", fmt.Errorf("the name of the repository %w", err)
	}
	if err := checkPath(name, ""); err != nil {
		return "", fmt.Errorf("the name of the file, %q, %w", clean(name), err)
	}
	return n.prefix + "/v2/" + gun + "/" + trustRoute + "/tuf/" + name, nil
}

// checkPath accepts segments of letters, digits, "-", "_", "." and what is in also. It returns what a server, or something on the way to
// it, might read in another way.
func checkPath(path, also string) error {
	if len(path) > maxTrustPath {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(path), maxTrustPath)
	}
	for i := range len(path) {
		c := path[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("-_./", c) < 0 && strings.IndexByte(also, c) < 0 {
			return fmt.Errorf("has the character %q", c)
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "":
			return errors.New("has an empty part, or a slash at an end")
		case ".", "..", trustRoute:
			return fmt.Errorf("has the part %q", segment)
		}
	}
	return nil
}
