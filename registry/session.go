package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/assay-dev/assay/trust"
)

// sessionKey names a session. A Client has one credential of its own for a host, so that it is part of the key by way of the host; those of
// whoever asks are part of it by their key.
type sessionKey struct {
	registry   string // canonical, of a reference; of a Notary server: the name of its settings
	repository string
	push       bool
	server     string // the URL of a Notary server, which may share its host with a registry; "" is a registry
	logins     string // key of the logins of whoever asks; "": the client's own credential
}

// session is what is known of one repository of one registry: how to authenticate there, and whether it has the referrers API. Its
// connections are its endpoint's, which other repositories of the same host use as well.
type session struct {
	client   *Client
	endpoint *endpoint
	key      sessionKey
	logins   trust.Logins // of whoever asks; none: the client's own credential

	// turn is held while somebody finds out how to authenticate; the others wait. So a login costs its requests once, however many
	// requests start at the same time. It is a channel so that waiting ends with a context.
	turn chan struct{}

	mu          sync.Mutex
	login       login
	at          int       // of the logins, which one is used
	noReferrers time.Time // until then the registry is believed to lack the referrers API
}

// login is what a session knows about authentication.
type login struct {
	known     bool      // the registry has answered once; an empty header means that it wants none
	header    string    // value of Authorization
	expires   time.Time // of header; zero: not known
	challenge challenge // that led to header
}

func newSession(c *Client, e *endpoint, key sessionKey, logins trust.Logins) *session {
	return &session{client: c, endpoint: e, key: key, logins: logins, turn: make(chan struct{}, 1)}
}

// scope returns the access that the session needs, and never more: the token goes to the registry with every request.
func (s *session) scope() string {
	if s.key.push {
		return auth.ScopeRepository(s.key.repository, auth.ActionPull, auth.ActionPush)
	}
	return auth.ScopeRepository(s.key.repository, auth.ActionPull)
}

// send asks the registry, authenticated as far as it wants that. An answer with status 401 means that no login did help.
func (s *session) send(ctx context.Context, r request) (answer, error) {
	if s.logins.IsZero() {
		return s.ask(ctx, r)
	}
	all := min(len(s.logins.List()), maxLogins)
	for tries := 1; ; tries++ {
		at := s.current()
		a, err := s.ask(ctx, r)
		if !isRefused(a, err) {
			return a, err
		}
		s.pass(at)
		if tries >= all {
			trust.LoginsOf(ctx).Refused() // of this asker: the session may be older than what they hold
			return a, err
		}
	}
}

// isRefused reports whether a registry, or its token service, does not take a login: another one may help.
func isRefused(a answer, err error) bool {
	status := a.status
	var e *StatusError
	switch {
	case errors.As(err, &e):
		status = e.StatusCode
	case err != nil || a.foreign:
		return false
	}
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// current returns which login is used.
func (s *session) current() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// pass goes on to the login after a refused one, unless somebody else has done so.
func (s *session) pass(refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := len(s.logins.List()); all > 1 && s.at == refused {
		s.at, s.login = (refused+1)%all, login{}
	}
}

// credential returns what the session logs in with. Whoever has a login of its own is never helped out with the client's: what that would
// open is not for them.
func (s *session) credential(ctx context.Context) (auth.Credential, error) {
	if s.logins.IsZero() {
		return s.client.credential(ctx, s.key.registry)
	}
	l := s.logins.List()[s.current()]
	return auth.Credential{Username: l.Username, Password: l.Password}, nil
}

// ask asks with one login.
func (s *session) ask(ctx context.Context, r request) (answer, error) {
	l := s.load()
	fresh := !l.usable(s.client.now())
	if fresh {
		var a answer
		var done bool
		var err error
		if l, a, done, err = s.begin(ctx, r); done || err != nil {
			return a, err
		}
	}
	a, err := s.client.persist(ctx, s.endpoint, r, l.header)
	if err != nil || a.status != http.StatusUnauthorized || a.foreign || fresh {
		return a, err
	}
	header, err := s.renew(ctx, l.header, a)
	if err != nil || header == "" {
		return a, err
	}
	return s.client.persist(ctx, s.endpoint, r, header)
}

// begin is for a session without a usable login: it asks without one, or renews a token that has expired. If the registry answers r
// itself, done says so.
func (s *session) begin(ctx context.Context, r request) (l login, a answer, done bool, err error) {
	if err := s.take(ctx); err != nil {
		return login{}, answer{}, false, err
	}
	defer s.give()
	l = s.load()
	if l.usable(s.client.now()) {
		return l, answer{}, false, nil
	}
	if l.known {
		l, err = s.authenticate(ctx, l.challenge, answer{})
		return l, answer{}, false, err
	}
	a, err = s.client.persist(ctx, s.endpoint, r, "")
	if err != nil {
		return login{}, a, true, err
	}
	if a.status != http.StatusUnauthorized || a.foreign {
		s.save(login{known: true})
		return login{}, a, true, nil
	}
	l, err = s.challenged(ctx, a)
	return l, a, l.header == "", err
}

// renew is for a login that the registry no longer takes, as a said. It returns "" if the registry does not say what it wants.
func (s *session) renew(ctx context.Context, refused string, a answer) (string, error) {
	if err := s.take(ctx); err != nil {
		return "", err
	}
	defer s.give()
	if l := s.load(); l.header != refused && l.usable(s.client.now()) {
		return l.header, nil // somebody else was faster
	}
	l, err := s.challenged(ctx, a)
	return l.header, err
}

// challenged answers a registry's challenge. A zero login without an error means that there is none that could be answered.
func (s *session) challenged(ctx context.Context, a answer) (login, error) {
	ch, ok := parseChallenges(a.header.Values("WWW-Authenticate"))
	if !ok {
		return login{}, nil
	}
	return s.authenticate(ctx, ch, a)
}

// authenticate gets a login and keeps it. a is the registry's refusal that led here, if there was one.
func (s *session) authenticate(ctx context.Context, ch challenge, a answer) (login, error) {
	cred, err := s.credential(ctx)
	if err != nil {
		return login{}, err
	}
	l := login{known: true, challenge: ch}
	switch {
	case ch.scheme == "basic" && (cred.Username == "" || cred.Password == ""):
		s.save(login{})
		return login{}, fmt.Errorf("%w; there is no user name and password for %s", statusError(a, false), s.key.registry)
	case ch.scheme == "basic":
		l.header = basicHeader(cred)
	case cred.AccessToken != "":
		l.header = "Bearer " + cred.AccessToken
	default:
		t, err := s.fetchToken(ctx, ch, cred)
		if err != nil {
			return login{}, fmt.Errorf("token for %s/%s: %w", s.key.registry, s.key.repository, err)
		}
		l.header, l.expires = "Bearer "+t.text, t.expires
	}
	s.save(l)
	return l, nil
}

func (l login) usable(now time.Time) bool {
	return l.known && (l.expires.IsZero() || now.Before(l.expires))
}

func (s *session) load() login {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.login
}

func (s *session) save(l login) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login = l
}

func (s *session) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting to log in to %s: %w", s.key.registry, context.Cause(ctx))
	}
}

func (s *session) give() { <-s.turn }

// path returns the path of a route below the repository: "/v2/prod/api/manifests/1.0".
func (s *session) path(route, target string) string {
	return "/v2/" + s.key.repository + "/" + route + "/" + target
}
