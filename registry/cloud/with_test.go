//go:build cloudkeychains

package cloud

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// hosts are of each cloud, and of nobody's.
var hosts = map[string][]string{
	"ecr": {"123456789012.dkr.ecr.eu-central-1.amazonaws.com", "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "public.ecr.aws"},
	"gcr": {"gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"},
	"acr": {"shop.azurecr.io", "shop.azurecr.cn"},
	"": {
		"registry.example", "docker.io", "amazonaws.com", "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example", "evil.example.gcr.io.example",
		"evilgcr.io", "pkg.dev.example", "evilpkg.dev", "azurecr.io", "a.shop.azurecr.io", "shop.azurecr.io.example", "shopazurecr.io", "shop.azurecr.io:8443", "169.254.169.254", "metadata.google.internal",
	},
}

func TestT48_KeychainsAskForTheirOwnHostsOnly(t *testing.T) {
	for name, mine := range map[string]func(string) bool{"ecr": isECR, "gcr": isGCR, "acr": isACR} {
		asked := ""
		k := &keychain{name: name, mine: mine, now: time.Now, login: func(_ context.Context, host string) (string, string, error) {
			asked = host
			return "user", "password", nil
		}}
		for owner, all := range hosts {
			for _, host := range all {
				asked = ""
				_, _, got, err := k.Login(t.Context(), host)
				if err != nil || got != (owner == name) || (asked == host) != (owner == name) {
					t.Errorf("%s: %s is its own: %v, asked %q, %v", name, host, got, asked, err)
				}
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, names := range [][]string{{"ecr", "ecr"}, {"docker"}, {""}} {
		if _, err := Open(names...); err == nil {
			t.Errorf("%q: no error", names)
		}
	}
	all, err := Open(Names...)
	if err != nil || len(all) != len(Names) {
		t.Errorf("got %v, %v", all, err)
	}
}

// metadata is Google's metadata server, as far as tokens are concerned.
func metadata(t *testing.T, broken *atomic.Bool) *atomic.Int64 {
	t.Helper()
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Metadata-Flavor", "Google")
		switch {
		case broken.Load() || r.Header.Get("Metadata-Flavor") != "Google":
			http.Error(w, "broken", http.StatusForbidden)
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"of-the-machine","expires_in":3600,"token_type":"Bearer"}`)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(s.URL, "http://"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("NO_PROXY", "127.0.0.1")
	return asked
}

func TestGCRByAMetadataServer(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	asked := metadata(t, &broken)
	all, err := Open("gcr")
	if err != nil {
		t.Fatal(err)
	}
	k := all[0]
	if _, _, mine, err := k.Login(t.Context(), "registry.example"); mine || err != nil || asked.Load() != 0 {
		t.Errorf("another host: %v, %v, asked %d times", mine, err, asked.Load())
	}
	// A cloud that fails is an error and not "none", and is asked again.
	if _, _, mine, err := k.Login(t.Context(), "eu.gcr.io"); err == nil || mine {
		t.Errorf("broken: %v, %v", mine, err)
	}
	broken.Store(false)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			user, password, mine, err := k.Login(t.Context(), "eu.gcr.io")
			if user != "_token" && user != "oauth2accesstoken" || password != "of-the-machine" || !mine || err != nil {
				t.Errorf("got %q, %q, %v, %v", user, password, mine, err)
			}
		})
	}
	wait.Wait()
}

// aws is ECR's API, as far as tokens are concerned.
func TestECRByAnAPI(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		token := base64.StdEncoding.EncodeToString([]byte("AWS:of-the-role"))
		fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d,"proxyEndpoint":"https://123456789012.dkr.ecr.eu-central-1.amazonaws.com"}]}`,
			token, time.Now().Add(12*time.Hour).Unix())
	}))
	defer s.Close()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_ECR": s.URL, "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ECR_DISABLE_CACHE": "1", "HOME": t.TempDir(), "NO_PROXY": "127.0.0.1",
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	all, err := Open("ecr")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		user, password, mine, err := all[0].Login(t.Context(), "123456789012.dkr.ecr.eu-central-1.amazonaws.com")
		if user != "AWS" || password != "of-the-role" || !mine || err != nil {
			t.Fatalf("got %q, %q, %v, %v", user, password, mine, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times, want 1: the login is remembered", asked.Load())
	}
}

type tokenOf string

func (t tokenOf) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t) + " for " + strings.Join(o.Scopes, " "), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestACRExchangesAToken(t *testing.T) {
	status, body := http.StatusOK, `{"refresh_token":"of-the-registry"}`
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/oauth2/exchange" || r.FormValue("service") != "shop.azurecr.io" || r.FormValue("access_token") != "of-the-pod for "+acrScope {
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		w.Header().Set("Location", "https://evil.example/")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer s.Close()
	client := s.Client()
	client.Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // that of the test server's certificate
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Transport = to{client.Transport, s.Listener.Addr().String()}
	a := &azure{credential: tokenOf("of-the-pod"), client: client}
	user, password, err := a.login(t.Context(), "shop.azurecr.io")
	if user != acrUser || password != "of-the-registry" || err != nil {
		t.Errorf("got %q, %q, %v", user, password, err)
	}
	for _, bad := range []struct {
		status int
		body   string
	}{{401, body}, {302, body}, {200, `{}`}, {200, `{"refresh_token":`}} {
		status, body = bad.status, bad.body
		if _, _, err := a.login(t.Context(), "shop.azurecr.io"); err == nil || strings.Contains(err.Error(), "of-the") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// to sends requests for all hosts to one address.
type to struct {
	http.RoundTripper
	address string
}

func (t to) RoundTrip(r *http.Request) (*http.Response, error) {
	clone := r.Clone(r.Context())
	clone.URL.Host = t.address
	return t.RoundTripper.RoundTrip(clone)
}
