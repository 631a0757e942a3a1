package cluster_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
	"github.com/assay-dev/assay/trust"
)

const serviceAccounts = "/api/v1/serviceaccounts"

func pullSecret(namespace, name, host, user string) string {
	config := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":"secret"}}}`, host, user)
	return typedSecret(namespace, name, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", config)
}

func typedSecret(namespace, name, kind, key, content string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","type":%q,"metadata":{"name":%q,"namespace":%q},"data":{%q:%q}}`,
		kind, name, namespace, key, base64.StdEncoding.EncodeToString([]byte(content)))
}

func account(namespace, name string, secrets ...string) string {
	var list []string
	for _, s := range secrets {
		list = append(list, fmt.Sprintf(`{"name":%q}`, s))
	}
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":%q,"namespace":%q},"imagePullSecrets":[%s]}`, name, namespace, strings.Join(list, ","))
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func pullSecrets(t *testing.T) (*clustertest.Server, *cluster.PullSecrets, *clock) {
	t.Helper()
	s := clustertest.New(t)
	p, err := open(t, s).PullSecrets()
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: time.Now()}
	p.SetNow(c.now)
	return s, p, c
}

func usersOf(l trust.Logins, host string) string {
	var names []string
	for _, one := range l.For(host, "app").List() {
		names = append(names, one.Username)
	}
	return strings.Join(names, " ")
}

func TestDIA35_PullSecretsOfAnObject(t *testing.T) {
	s, p, _ := pullSecrets(t)
	const host = "r.example"
	s.Put(secrets, pullSecret("shop", "one", host, "ann"))
	s.Put(secrets, pullSecret("shop", "two", host, "bob"))
	s.Put(secrets, typedSecret("shop", "legacy", "kubernetes.io/dockercfg", ".dockercfg", `{"r.example":{"username":"old","password":"x"}}`))
	s.Put(secrets, typedSecret("shop", "opaque", "Opaque", ".dockerconfigjson", `{"auths":{"r.example":{"username":"x","password":"x"}}}`))
	s.Put(secrets, typedSecret("shop", "broken", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", `secret-word`))
	s.Put(secrets, typedSecret("shop", "huge", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", `{"auths":{}}`+strings.Repeat(" ", 1<<20)))
	s.Put(secrets, pullSecret("other", "foreign", host, "eve"))
	s.Put(serviceAccounts, account("shop", "default", "one"))
	s.Put(serviceAccounts, account("shop", "builder", "two", "gone"))
	s.Put(serviceAccounts, account("shop", "bare"))
	s.Put(serviceAccounts, account("shop", "reaching", "foreign"))
	many := make([]string, cluster.MaxPullSecrets+1)
	for i := range many {
		many[i] = fmt.Sprint("none-", i)
	}
	tests := []struct {
		name              string
		accounts, secrets []string
		want, err         string
	}{
		{"the default account", nil, nil, "ann", ""},
		{"its own account", []string{"builder"}, nil, "bob", ""},
		{"its own secrets, and then not the account's", []string{"builder"}, []string{"one"}, "ann", ""},
		{"secrets in their order", nil, []string{"two", "one", "two"}, "bob ann", ""},
		{"an account without", []string{"bare"}, nil, "", ""},
		{"an account that is not there", []string{"absent"}, nil, "", ""},
		{"a secret that is not there", nil, []string{"gone", "one"}, "ann", ""},
		{"the old type", nil, []string{"legacy"}, "old", ""},
		{"another type", nil, []string{"opaque"}, "", ""},
		{"a secret of another namespace", []string{"reaching"}, nil, "", ""},
		{"a broken one", nil, []string{"broken"}, "", "secrets shop/broken: .dockerconfigjson is no docker config"},
		{"a large one", nil, []string{"huge"}, "", "more than the 1048576 bytes"},
		{"too many", nil, many, "", "at most 32 are read"},
		{"too many accounts", many[:9], nil, "", "at most 8 are read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := p.Logins(t.Context(), "shop", tt.accounts, tt.secrets)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret-word") {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if got := usersOf(l, host); err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	if n := s.Count(http.MethodGet, "watch"); n > 0 {
		t.Errorf("%d watches", n)
	}
	if n := s.Count(http.MethodGet, "/namespaces/other/"); n > 0 {
		t.Errorf("%d requests for another namespace", n)
	}
}

// 1 000 pods of one Deployment cost one look at their service account and their secret, however close they come.
func TestDIA35_ManyPodsOneRead(t *testing.T) {
	s, p, c := pullSecrets(t)
	s.Put(secrets, pullSecret("shop", "one", "r.example", "ann"))
	s.Put(serviceAccounts, account("shop", "default", "one"))
	ask := func() {
		var wait sync.WaitGroup
		keys := make([]string, 1000)
		for i := range keys {
			wait.Go(func() {
				l, err := p.Logins(t.Context(), "shop", nil, nil)
				if err != nil {
					t.Error(err)
				}
				keys[i] = l.Key()
			})
		}
		wait.Wait()
		for _, key := range keys {
			if key == "" || key != keys[0] {
				t.Fatal("not all have the same logins")
			}
		}
	}
	for want := 1; want <= 2; want++ {
		ask()
		ask()
		if accounts, all := s.Count(http.MethodGet, "/serviceaccounts/"), s.Count(http.MethodGet, "/secrets/"); accounts != want || all != want {
			t.Fatalf("%d reads of accounts and %d of secrets, want %d", accounts, all, want)
		}
		c.advance(61 * time.Second)
	}
}

// What the API server does not let Assay see is not "none", and is asked for again.
func TestPullSecretsThatCannotBeRead(t *testing.T) {
	s, p, c := pullSecrets(t)
	s.Put(secrets, pullSecret("shop", "one", "r.example", "ann"))
	s.Put(serviceAccounts, account("shop", "default", "one"))
	for _, tt := range []struct {
		path string
		code int
	}{{"/secrets/", 403}, {"/serviceaccounts/", 403}, {"/secrets/", 503}, {"/secrets/", 401}} {
		c.advance(2 * time.Minute)
		s.Fault(func(r *http.Request) int {
			if strings.Contains(r.URL.Path, tt.path) {
				return tt.code
			}
			return 0
		})
		if l, err := p.Logins(t.Context(), "shop", nil, nil); err == nil || !l.IsZero() {
			t.Errorf("%v: got %v, %v", tt, l, err)
		}
	}
	s.Fault(nil)
	if l, err := p.Logins(t.Context(), "shop", nil, nil); err != nil || l.IsZero() {
		t.Errorf("got %v, %v", l, err)
	}
	hang := make(chan struct{})
	s.Fault(func(r *http.Request) int { <-hang; return 503 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Logins(ctx, "shop", nil, []string{"another"}); err == nil {
		t.Error("no error though the API server hangs")
	}
	close(hang)
	if _, err := p.Logins(t.Context(), "shop", nil, []string{"another"}); err == nil { // the one under way, which ends now
		t.Error("no error though the API server is broken")
	}
}

// A secret that a registry refuses is read again, but not at once.
func TestRefusedPullSecretsAreReadAgain(t *testing.T) {
	s, p, c := pullSecrets(t)
	s.Put(secrets, pullSecret("shop", "one", "r.example", "ann"))
	s.Put(serviceAccounts, account("shop", "default", "one"))
	logins := func() trust.Logins {
		l, err := p.Logins(t.Context(), "shop", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	logins().For("r.example", "app").Refused()
	logins()
	if n := s.Count(http.MethodGet, "/secrets/"); n != 1 {
		t.Fatalf("%d reads, want 1: it was read a moment ago", n)
	}
	c.advance(6 * time.Second)
	s.Put(secrets, pullSecret("shop", "one", "r.example", "bob"))
	if got := usersOf(logins(), "r.example"); got != "ann" {
		t.Fatalf("got %s, want what is remembered", got)
	}
	logins().For("r.example", "app").Refused()
	if got := usersOf(logins(), "r.example"); got != "bob" {
		t.Errorf("got %s, want what is there now", got)
	}
}

// T43: tenants make secrets, and pods that name them: what is remembered of all is bounded in bytes, and what one object brings as well.
func TestT43_PullSecretsTakeBoundedMemory(t *testing.T) {
	s, p, _ := pullSecrets(t)
	const many = 40
	var names []string
	for i := range many {
		names = append(names, fmt.Sprint("s", i))
		config := fmt.Sprintf(`{"auths":{"registry.example":{"username":"a","password":%q}}}`, strings.Repeat("x", 900<<10))
		s.Put("/api/v1/secrets", typedSecret("team", names[i], "kubernetes.io/dockerconfigjson", ".dockerconfigjson", config))
	}
	for range 2 {
		for _, name := range names {
			if l, err := p.Logins(t.Context(), "team", nil, []string{name}); err != nil || usersOf(l, "registry.example") != "a" {
				t.Fatalf("%v, %v", l, err)
			}
		}
	}
	if n := s.Count("GET", "/secrets/"); n <= many {
		t.Errorf("%d secrets of 900 KiB are all remembered", many)
	}
	if _, err := p.Logins(t.Context(), "team", nil, names[:2]); err == nil || !strings.Contains(err.Error(), "more than the 1048576 bytes") {
		t.Errorf("an object with two of them: %v", err)
	}
	read := s.Count("GET", "/secrets/")
	if _, err := p.Logins(t.Context(), "team", nil, names[many-1:]); err != nil || s.Count("GET", "/secrets/") != read {
		t.Errorf("the latest is not remembered: %v", err)
	}
}
