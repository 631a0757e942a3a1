package trust

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/assay-dev/assay/image"
)

// MaxLogins is the most logins that one asker can have.
const MaxLogins = 256

// Login is a name and a password for registries whose host fits a pattern, and there for repositories whose path begins as it says. A
// pattern means what it means to the kubelet (https://kubernetes.io/docs/concepts/containers/images/#config-json): "*" and "?" stay
// inside one label of a host, ports are equal, and a path is a prefix, byte by byte.
type Login struct {
	Username string
	Password string

	host, port, path string // port is "" for that of https
	fallback         bool   // for Docker Hub where nothing else fits
	id               string
}

// String names what the login is for. It keeps the name and the password out of logs.
func (l Login) String() string { return "login for " + l.pattern() }

// GoString keeps the name and the password out of %#v.
func (l Login) GoString() string { return l.String() }

func (l Login) pattern() string {
	if l.port == "" {
		return l.host + l.path
	}
	return l.host + ":" + l.port + l.path
}

// Logins are the logins of one asker, such as the pull secrets of a pod, in the order in which they are tried. The zero value has none.
// A Logins does not change.
//
// Whoever keeps what a registry said keeps it under Key of the logins that could have been used for it: what opens for one asker must not
// be another's answer, neither a yes nor a no.
type Logins struct {
	list    []Login
	refused func()
}

// NewLogins puts logins in order: a longer pattern before its beginning, as the kubelet does, and equal ones as they come. refused is
// called when a registry takes none of those that fit, by any goroutine; nil: nobody is told.
func NewLogins(refused func(), logins ...Login) (Logins, error) {
	if len(logins) > MaxLogins {
		return Logins{}, fmt.Errorf("%d logins; at most %d are used", len(logins), MaxLogins)
	}
	if len(logins) == 0 {
		return Logins{}, nil
	}
	sorted := slices.Clone(logins)
	slices.SortStableFunc(sorted, func(a, b Login) int { return strings.Compare(b.pattern(), a.pattern()) })
	return Logins{list: sorted, refused: refused}, nil
}

// IsZero reports whether there are none.
func (l Logins) IsZero() bool { return len(l.list) == 0 }

// List returns the logins in their order. It must not be written to.
func (l Logins) List() []Login { return l.list }

// Key names the logins. Equal logins have equal keys within this process, and nothing can be told from a key.
func (l Logins) Key() string {
	if len(l.list) == 1 {
		return l.list[0].id
	}
	var b strings.Builder
	for i := range l.list {
		b.WriteString(l.list[i].id)
	}
	return b.String()
}

// Refused tells whoever made the logins that a registry takes none of them.
func (l Logins) Refused() {
	if l.refused != nil {
		l.refused()
	}
}

// String says how many there are.
func (l Logins) String() string { return fmt.Sprintf("%d logins", len(l.list)) }

// GoString keeps names and passwords out of %#v.
func (l Logins) GoString() string { return l.String() }

// For returns the logins that fit a repository of a registry, both in canonical form. repository is "" for a host that is no registry: then
// a login with a path does not fit.
func (l Logins) For(registry, repository string) Logins {
	if len(l.list) == 0 {
		return Logins{}
	}
	return l.filter(func(one *Login) bool { return one.fits(registry, repository) })
}

// With returns the logins that are in l or in other, where both were taken out of the same ones.
func (l Logins) With(other Logins) Logins {
	if l.IsZero() || other.IsZero() {
		if l.IsZero() {
			return other
		}
		return l
	}
	all := Logins{list: slices.Clone(l.list), refused: l.refused}
	for _, one := range other.list {
		if !slices.ContainsFunc(all.list, func(known Login) bool { return known.id == one.id }) {
			all.list = append(all.list, one)
		}
	}
	slices.SortStableFunc(all.list, func(a, b Login) int { return strings.Compare(b.pattern(), a.pattern()) })
	return all
}

func (l Logins) filter(keep func(*Login) bool) Logins {
	var some, fallbacks []Login
	for i := range l.list {
		one := &l.list[i]
		switch {
		case !keep(one):
		case one.fallback:
			fallbacks = append(fallbacks, *one)
		default:
			some = append(some, *one)
		}
	}
	if len(some) == 0 {
		some = fallbacks
	}
	if len(some) == 0 {
		return Logins{}
	}
	return Logins{list: some, refused: l.refused}
}

func (l *Login) fits(registry, repository string) bool {
	host, port := splitHost(registry)
	return l.port == port && fitsHost(l.host, host) && (l.path == "" || repository != "" && strings.HasPrefix("/"+repository, l.path))
}

// fitsHost compares label by label.
func fitsHost(pattern, host string) bool {
	for {
		p, morePattern, some := strings.Cut(pattern, ".")
		h, moreHost, others := strings.Cut(host, ".")
		if some != others {
			return false
		}
		if matched, err := path.Match(p, h); err != nil || !matched {
			return false
		}
		if !some {
			return true
		}
		pattern, host = morePattern, moreHost
	}
}

// splitHost splits the port off, which is "" for that of https.
func splitHost(registry string) (host, port string) {
	host, port, err := net.SplitHostPort(registry)
	switch {
	case err != nil:
		return registry, ""
	case port == "443":
		return host, ""
	}
	return host, port
}

// The hosts for which a docker config's entry of Docker Hub stands. By the first, docker and the kubelet mean all that has no host.
const (
	dockerHubEntry = "index.docker.io"
	dockerHub      = "docker.io"
)

// newLogin reads the name of an entry of a docker config, with or without a scheme; not ok if it names no host. "/v1/" and "/v2/" at
// the beginning of its path mean the whole host.
func newLogin(entry, username, password string) (l Login, ok bool) {
	if !strings.HasPrefix(entry, "https://") && !strings.HasPrefix(entry, "http://") {
		entry = "https://" + entry
	}
	u, err := url.Parse(entry)
	if err != nil || u.Host == "" {
		return Login{}, false
	}
	where := u.Path
	if strings.HasPrefix(where, "/v1/") || strings.HasPrefix(where, "/v2/") {
		where = where[len("/v1"):]
	}
	l = Login{Username: username, Password: password, path: strings.TrimSuffix(where, "/")}
	if l.path != "" {
		l.path = where
	}
	l.host, l.port = splitHost(strings.ToLower(u.Host))
	l.fallback = l.host == dockerHubEntry && l.path == ""
	if ref, err := image.Parse(l.host + "/x/x"); err == nil && l.port == "" && ref.Registry() == dockerHub {
		l.host = dockerHub
	}
	l.id = identify(l.pattern(), username, password)
	return l, true
}

// secret is what keys of logins are made with. It ends with the process.
var secret = sync.OnceValue(func() []byte {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return key
})

func identify(texts ...string) string {
	mac := hmac.New(sha256.New, secret())
	for _, text := range texts {
		fmt.Fprintf(mac, "%d:%s", len(text), text)
	}
	return string(mac.Sum(nil)[:16])
}

// ReadDockerConfig reads the logins in a docker config.json, which is the content of a secret of the type kubernetes.io/dockerconfigjson.
// Credential helpers in it are not run, and identity tokens are not used: the kubelet does neither.
func ReadDockerConfig(content []byte) ([]Login, error) {
	var config struct {
		Auths map[string]dockerEntry `json:"auths"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return nil, errNoDockerConfig
	}
	return readEntries(config.Auths)
}

// ReadDockerCfg reads the older form, which is the content of a secret of the type kubernetes.io/dockercfg.
func ReadDockerCfg(content []byte) ([]Login, error) {
	var entries map[string]dockerEntry
	if err := json.Unmarshal(content, &entries); err != nil {
		return nil, errNoDockerConfig
	}
	return readEntries(entries)
}

// errNoDockerConfig does not quote what cannot be read: that may be a password.
var errNoDockerConfig = errors.New("is no docker config")

type dockerEntry struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

// readEntries reads entries in the order of their names, so that two readers of one config have equal logins. An entry without name and
// password is none.
func readEntries(entries map[string]dockerEntry) ([]Login, error) {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	var logins []Login
	for _, name := range names {
		username, password, err := entries[name].open()
		if err != nil {
			return nil, fmt.Errorf("is a docker config whose entry %q %w", name, err)
		}
		if l, ok := newLogin(name, username, password); ok && (username != "" || password != "") {
			logins = append(logins, l)
		}
	}
	return logins, nil
}

// open returns name and password: of auth where it is there, which is base64 of NAME:PASSWORD with or without padding.
func (e dockerEntry) open() (username, password string, err error) {
	if e.Auth == "" {
		return e.Username, e.Password, nil
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(e.Auth), "="))
	username, password, found := strings.Cut(string(decoded), ":")
	if err != nil || !found {
		return "", "", errors.New("has an auth that is not base64 of NAME:PASSWORD")
	}
	return username, password, nil
}

type loginsKey struct{}

// WithLogins returns a context in which registries are asked with logins of whoever asks. It is the one value that a context carries here:
// formats stand between who has logins and who uses them, and must not see them.
func WithLogins(ctx context.Context, l Logins) context.Context {
	if l.IsZero() && LoginsOf(ctx).IsZero() {
		return ctx
	}
	return context.WithValue(ctx, loginsKey{}, l)
}

// LoginsOf returns the logins of a context.
func LoginsOf(ctx context.Context) Logins {
	l, _ := ctx.Value(loginsKey{}).(Logins)
	return l
}
