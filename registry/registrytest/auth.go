package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Token makes a Server ask for bearer tokens, as in the token authentication of the CNCF distribution project.
type Token struct {
	Realm        string        // where clients are sent for a token; "" is the server's own "/token"
	Service      string        // what the challenge calls the server; "" is "registrytest"
	Username     string        // who gets a token; "" is everybody
	Password     string        //
	RefreshToken string        // also gets a token, by POST
	TTL          time.Duration // how long a token holds, which the answer tells; 0 is until RevokeTokens
}

// Account is somebody who may read some repositories.
type Account struct {
	Username     string
	Password     string
	Repositories []string
}

// tokenPath is where a Server issues tokens.
const tokenPath = "/token"

// authority admits requests, or not.
type authority struct {
	username, password string // of basic authentication
	accounts           []Account
	token              *Token
	realm, service     string

	mu     sync.Mutex
	issued map[string]grant // by token
}

type grant struct {
	scopes  []string
	expires time.Time // zero: never
}

func newAuthority(o Options, base string) *authority {
	a := &authority{username: o.Username, password: o.Password, accounts: o.Accounts, token: o.Token, issued: map[string]grant{}}
	if o.Token != nil {
		a.realm = o.Token.Realm
		if a.realm == "" {
			a.realm = base + tokenPath
		}
		if a.service = o.Token.Service; a.service == "" {
			a.service = "registrytest"
		}
	}
	return a
}

func (a *authority) revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.issued)
}

// admit reports whether r may go on; if not, it has been answered.
func (a *authority) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case a.token != nil && r.URL.Path == tokenPath:
		a.issue(w, r)
		return false
	case a.token != nil:
		return a.admitBearer(w, r)
	case a.username == "" && len(a.accounts) == 0:
		return true
	}
	user, password, ok := r.BasicAuth()
	if ok && a.username != "" && user == a.username && password == a.password {
		return true
	}
	if one, found := a.account(user, password); ok && found {
		_, repository, _ := strings.Cut(wantedScope(r), ":")
		repository, _, _ = strings.Cut(repository, ":")
		if slices.Contains(one.Repositories, repository) {
			return true
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"not yours"}]}`))
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
	refuse(w)
	return false
}

func (a *authority) account(username, password string) (Account, bool) {
	i := slices.IndexFunc(a.accounts, func(one Account) bool { return one.Username == username && one.Password == password })
	if i < 0 {
		return Account{}, false
	}
	return a.accounts[i], true
}

func (a *authority) admitBearer(w http.ResponseWriter, r *http.Request) bool {
	want := wantedScope(r)
	held, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if found {
		a.mu.Lock()
		g, known := a.issued[held]
		a.mu.Unlock()
		if known && (g.expires.IsZero() || time.Now().Before(g.expires)) && covers(g.scopes, want) {
			return true
		}
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service=%q,scope=%q`, a.realm, a.service, want))
	refuse(w)
	return false
}

func (a *authority) issue(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user, password, _ := r.BasicAuth()
	one, byAccount := a.account(user, password)
	byPassword := a.token.Username == "" && len(a.accounts) == 0 || a.token.Username != "" && user == a.token.Username && password == a.token.Password
	byRefresh := a.token.RefreshToken != "" && r.Method == http.MethodPost && r.Form.Get("refresh_token") == a.token.RefreshToken
	if !byPassword && !byRefresh && !byAccount {
		refuse(w)
		return
	}
	g := grant{scopes: strings.Fields(strings.Join(r.Form["scope"], " "))}
	if byAccount {
		g.scopes = slices.DeleteFunc(g.scopes, func(scope string) bool {
			return !slices.ContainsFunc(one.Repositories, func(name string) bool { return scope == "repository:"+name+":pull" })
		})
	}
	answer := map[string]any{"token": rand.Text()}
	if r.Method == http.MethodPost {
		answer = map[string]any{"access_token": rand.Text()}
	}
	if a.token.TTL > 0 {
		g.expires = time.Now().Add(a.token.TTL)
		answer["expires_in"] = int(a.token.TTL.Seconds())
	}
	for _, name := range []string{"token", "access_token"} {
		if token, ok := answer[name].(string); ok {
			a.mu.Lock()
			a.issued[token] = g
			a.mu.Unlock()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte(`{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`))
}

// wantedScope returns the scope that a request needs: "repository:prod/api:pull".
func wantedScope(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, route := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/", trustRoute} {
		if repository, _, found := strings.Cut(path, route); found {
			path = repository
			break
		}
	}
	actions := "pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		actions = "pull,push"
	}
	return "repository:" + path + ":" + actions
}

// covers reports whether one of the held scopes is the wanted one or the same with more actions.
func covers(held []string, want string) bool {
	for _, scope := range held {
		if scope == want || strings.HasPrefix(scope, want+",") {
			return true
		}
	}
	return false
}

func scheme(r *http.Request) string {
	name, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return name
}
