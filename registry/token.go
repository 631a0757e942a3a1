package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// bearer is a token and the time from which it is renewed; zero: when the registry refuses it.
type bearer struct {
	text    string
	expires time.Time
}

// fetchToken gets a token from the token service that a challenge names: with a refresh token by OAuth2, else by the distribution
// project's token request, with the user's name and password if there are any
// (https://distribution.github.io/distribution/spec/auth/token/ and …/oauth/).
func (s *session) fetchToken(ctx context.Context, ch challenge, cred auth.Credential) (bearer, error) {
	u, err := s.client.checkRealm(ch.realm, s.key.registry, s.endpoint)
	if err != nil {
		return bearer{}, err
	}
	r := request{method: http.MethodGet, path: u.Path, accept: "application/json", limit: maxTokenBody, stay: true}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bearer{}, fmt.Errorf("token service at %s: its address has a malformed query", u.Host)
	}
	authorization := ""
	switch {
	case cred.RefreshToken != "":
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {cred.RefreshToken}, "client_id": {s.client.config.UserAgent}}
		s.describe(form, ch)
		r.method, r.contentType, r.body = http.MethodPost, "application/x-www-form-urlencoded", []byte(form.Encode())
		r.secrets = []string{cred.RefreshToken, url.QueryEscape(cred.RefreshToken)}
	default:
		s.describe(query, ch)
		if cred.Username != "" {
			authorization = basicHeader(cred)
		}
	}
	r.query = query.Encode()
	// A redirect is not followed: which hosts may get credentials was decided for this one.
	a, err := s.client.persist(ctx, s.client.realmEndpoint(u, s.key.registry), r, authorization)
	if err != nil {
		return bearer{}, err
	}
	if a.status != http.StatusOK {
		e := statusError(a, false)
		e.notFound = false // a token service knows nothing about images
		return bearer{}, e
	}
	t, err := s.decodeToken(a.body)
	if err != nil {
		return bearer{}, fmt.Errorf("%s %s: %w", a.method, a.url, err)
	}
	return t, nil
}

// describe says what the token is for. The scope is our own, unless the registry names the same access in its own way: a challenge
// must not widen what a token can do.
func (s *session) describe(form url.Values, ch challenge) {
	if ch.service != "" {
		form.Set("service", ch.service)
	}
	form.Set("scope", s.scope())
	if modest(ch.scope, s.scope()) {
		form.Set("scope", ch.scope)
	}
}

// modest reports whether an asked scope has one repository and exactly the actions of our own.
func modest(asked, own string) bool {
	kind, rest, found := strings.Cut(asked, ":")
	i := strings.LastIndexByte(rest, ':')
	if !found || kind != "repository" || i <= 0 || strings.ContainsAny(asked, " *") {
		return false
	}
	return rest[i:] == own[strings.LastIndexByte(own, ':'):]
}

func (s *session) decodeToken(body []byte) (bearer, error) {
	var document struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return bearer{}, errors.New("the token service's answer is malformed") // the cause may quote the token
	}
	t := bearer{text: document.AccessToken}
	if t.text == "" {
		t.text = document.Token
	}
	switch {
	case t.text == "":
		return bearer{}, errors.New("the token service's answer has no token")
	case len(t.text) > maxToken:
		return bearer{}, fmt.Errorf("the token has %d bytes, at most %d are used", len(t.text), maxToken)
	case strings.ContainsFunc(t.text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return bearer{}, errors.New("the token is no text for a header")
	}
	// Without expires_in the specification assumes a minute; in practice such tokens live longer, and the registry says when one has
	// ended.
	if life := time.Duration(min(max(document.ExpiresIn, 0), 1<<31)) * time.Second; life > 0 {
		t.expires = s.client.now().Add(life - min(tokenLeeway, life/10))
	}
	return t, nil
}

func basicHeader(cred auth.Credential) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password))
}
