package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// apiServer answers requests by "METHOD URL" until the test ends, and counts them.
type apiServer struct {
	t       *testing.T
	mu      sync.Mutex
	answers map[string]string
	asked   map[string]int
	bodies  []string
	api     *KubeAPI
	folder  string
}

func newAPIServer(t *testing.T, c KubeAPIConfig, answers map[string]string) *apiServer {
	t.Helper()
	s := &apiServer{t: t, answers: answers, asked: map[string]int{}, folder: t.TempDir()}
	a := newAuthority(t)
	write(t, filepath.Join(s.folder, "ca.crt"), a.pem())
	write(t, filepath.Join(s.folder, "token"), []byte("secret\n"))
	p := fakeKubelet(t, a.server("10.96.0.1"), s.serve)
	c.Host, c.ServiceAccount, c.dial = "10.96.0.1", []string{s.folder}, p.dial
	s.api = NewKubeAPI(c)
	t.Cleanup(s.api.Close)
	return s
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := r.Method + " " + r.URL.String()
	s.mu.Lock()
	s.asked[key]++
	if len(body) > 0 {
		s.bodies = append(s.bodies, string(body))
	}
	answer, known := s.answers[key]
	s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer secret" {
		s.t.Errorf("%s: %v", key, r.Header)
	}
	switch {
	case !known:
		http.Error(w, `{"kind":"Status","message":"not there"}`, http.StatusNotFound)
	case strings.HasPrefix(answer, "500 "):
		http.Error(w, answer[4:], http.StatusInternalServerError)
	case answer == "hang":
		<-r.Context().Done()
	default:
		_, _ = io.WriteString(w, answer)
	}
}

func (s *apiServer) set(key, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[key] = answer
}

func (s *apiServer) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key]
}

func TestKubeAPIObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pod = `{"metadata":{"uid":"u","name":"p","namespace":"ns"},"spec":{"nodeName":"n"},"status":{"phase":"Failed","containerStatuses":[{"name":"c"}]}}`
		s := newAPIServer(t, KubeAPIConfig{}, map[string]string{
			"GET /api/v1/namespaces/ns":                   `{"metadata":{"uid":"1","name":"ns","labels":{"team":"a"}}}`,
			"GET /api/v1/namespaces/bare":                 `{"metadata":{"uid":"2","name":"bare"}}`,
			"GET /api/v1/namespaces/bad":                  `{"metadata":{"uid":"1","labels":[]}}`,
			"GET /api/v1/namespaces/none":                 `{"metadata":{}}`,
			"GET /api/v1/namespaces/list":                 `[]`,
			"GET /api/v1/namespaces/half":                 `{"metadata":{`,
			"GET /api/v1/namespaces/big":                  `{"metadata":{"uid":"1","annotations":{"a":"` + strings.Repeat("x", 5<<20) + `"}}}`,
			"GET /api/v1/namespaces/down":                 `500 {"kind":"Status","message":"etcd is on fire"}`,
			"GET /api/v1/namespaces/slow":                 `hang`,
			"GET /api/v1/namespaces/ns/pods/p":            pod,
			"GET /api/v1/pods?limit=500":                  `{"metadata":{"continue":"more&"},"items":[{"metadata":{"uid":"a"}}]}`,
			"GET /api/v1/pods?continue=more%26&limit=500": `{"metadata":{},"items":[` + pod + `]}`,
			"GET /apis/apps/v1/namespaces/ns/deployments/d": `{"metadata":{"uid":"d","name":"d","namespace":"ns","ownerReferences":[
				{"apiVersion":"example.com/v1","kind":"App","name":"o","uid":"ou","controller":true},{"apiVersion":"v1","kind":"Node","name":"n","uid":"nu"}]}}`,
			"GET /apis/apps/v1/deployments?limit=500": `{"metadata":{},"items":[{"metadata":{"uid":"d","name":"d","namespace":"ns"}}]}`,
		})
		ctx := t.Context()
		if got, err := s.api.NamespaceLabels(ctx, "ns"); err != nil || got["team"] != "a" {
			t.Errorf("labels: %v, %v", got, err)
		}
		if got, err := s.api.NamespaceLabels(ctx, "bare"); err != nil || got == nil || len(got) > 0 {
			t.Errorf("a namespace without labels: %#v, %v; want an empty map, for nil is a namespace of which nobody knows them", got, err)
		}
		for name, want := range map[string]string{
			"absent": "not found", "bad": "metadata.labels: expected an object", "none": "an object without a UID", "list": "expected an object",
			"half": "it ends in the middle", "big": "it ends in the middle", "down": "500 Internal Server Error: etcd is on fire",
			"slow": "context deadline exceeded", "../../secrets": "no name of Kubernetes", "a?b": "no name of Kubernetes", "": "no name of Kubernetes",
			"..": "no name of Kubernetes",
		} {
			if _, err := s.api.NamespaceLabels(ctx, name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("namespace %q: got %v, want %q", name, err, want)
			}
		}
		for how, ask := range map[string]func() (*Pod, error){
			"name": func() (*Pod, error) { return s.api.Pod(ctx, "ns", "p") },
			"UID":  func() (*Pod, error) { return s.api.PodByUID(ctx, "u") },
		} {
			if p, err := ask(); err != nil || p.Name != "p" || p.Node != "n" || len(p.Containers) != 1 {
				t.Errorf("pod by %s: %+v, %v", how, p, err)
			}
		}
		if _, err := s.api.PodByUID(ctx, "other"); !errors.Is(err, ErrNoObject) {
			t.Errorf("an unknown UID: %v", err)
		}
		deployments := Kind{Plural: "deployments", Group: "apps", Version: "v1", Kind: "Deployment", Namespaced: true}
		o, err := s.api.Object(ctx, deployments, "ns", "d")
		want := []Owner{{APIVersion: "example.com/v1", Kind: "App", Name: "o", UID: "ou", Controller: true}, {APIVersion: "v1", Kind: "Node", Name: "n", UID: "nu"}}
		if diff := cmp.Diff(want, o.Owners); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if o, err := s.api.ObjectByUID(ctx, deployments, "d"); err != nil || o.Name != "d" {
			t.Errorf("by UID: %v, %v", o, err)
		}
		if _, err := s.api.Object(ctx, deployments, "", "d"); err == nil {
			t.Error("an object of no namespace was asked for")
		}
	})
}

func TestKubeAPIKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t, KubeAPIConfig{}, map[string]string{
			"GET /api/v1":              `{"resources":[{"name":"pods","kind":"Pod","namespaced":true},{"name":"pods/status","kind":"Pod"},{"name":"nodes","kind":"Node"}]}`,
			"GET /apis/example.com":    `{"preferredVersion":{"version":"v2"},"versions":[{"version":"v2"},{"version":"v1"}]}`,
			"GET /apis/example.com/v2": `{"resources":[{"name":"apps","kind":"App","namespaced":true}]}`,
			"GET /apis/example.com/v1": `{"resources":[{"name":"apps","kind":"App","namespaced":true},{"name":"olds","kind":"Old"}]}`,
			"GET /apis/evil.com":       `{"preferredVersion":{"version":"../../api/v1"}}`,
			"GET /apis/down.com":       `500 no`,
			"GET /apis/strange.com":    `{"preferredVersion":7}`,
		})
		for name, row := range map[string]struct {
			want   Kind
			failed string
		}{
			"pods.core":        {Kind{"pods", "core", "v1", "Pod", true}, ""},
			"nodes.core":       {Kind{"nodes", "core", "v1", "Node", false}, ""},
			"apps.example.com": {Kind{"apps", "example.com", "v2", "App", true}, ""},
			"olds.example.com": {Kind{"olds", "example.com", "v1", "Old", false}, ""},
			"none.example.com": {Kind{}, "no such resource"},
			"pods.none.com":    {Kind{}, "no such resource"},
			"pods.evil.com":    {Kind{}, "no name of Kubernetes"},
			"pods.down.com":    {Kind{}, "500 Internal Server Error: no"},
			"pods.strange.com": {Kind{}, "cannot unmarshal"},
			"pods/status.core": {Kind{}, "no such resource"},
		} {
			plural, group, _ := strings.Cut(name, ".")
			got, err := s.api.Kind(t.Context(), plural, group)
			if got != row.want || (err != nil) != (row.failed != "") || err != nil && !strings.Contains(err.Error(), row.failed) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			if strings.Contains(row.failed, "no such") != errors.Is(err, ErrNoKind) {
				t.Errorf("%s: %v is ErrNoKind: %v", name, err, errors.Is(err, ErrNoKind))
			}
		}
		before := s.count("GET /api/v1")
		_, _ = s.api.Kind(t.Context(), "pods", "core")
		if s.count("GET /api/v1") != before {
			t.Error("a known kind was asked for again")
		}
		time.Sleep(kubeAPIKindTTL)
		_, _ = s.api.Kind(t.Context(), "pods", "core")
		if s.count("GET /api/v1") != before+1 {
			t.Error("a kind is remembered for ever")
		}
	})
}

func TestK8S18_AReviewAsksForTheObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const path = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
		s := newAPIServer(t, KubeAPIConfig{}, map[string]string{})
		review := Review{User: "spiffe://example.org/broker", Verb: "impersonate-via-spire", Kind: podKind, Namespace: "ns", Name: "p"}
		for answer, row := range map[string]struct {
			allowed bool
			failed  string
		}{
			`{"status":{"allowed":true}}`:               {true, ""},
			`{"status":{"allowed":true,"denied":true}}`: {false, ""},
			`{"status":{"allowed":false}}`:              {false, ""},
			`{"status":{}}`:                             {false, ""},
			`{}`:                                        {false, "gave no answer"},
			`{"status":{"allowed":"yes"}}`:              {false, "cannot unmarshal"},
			`500 broken`:                                {false, "500 Internal Server Error: broken"},
			`hang`:                                      {false, "context deadline exceeded"},
			`{"x":"` + strings.Repeat("x", 5<<20) + `"}`: {false, "longer than 4194304 bytes"},
		} {
			s.set(path, answer)
			got, err := s.api.Allowed(t.Context(), review)
			if got != row.allowed || (err != nil) != (row.failed != "") || err != nil && !strings.Contains(err.Error(), row.failed) {
				t.Errorf("%.40s: %v, %v", answer, got, err)
			}
		}
		var asked struct {
			APIVersion, Kind string
			Spec             struct {
				User               string
				ResourceAttributes map[string]string
			}
		}
		if err := json.Unmarshal([]byte(s.bodies[0]), &asked); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"verb": "impersonate-via-spire", "group": "", "resource": "pods", "namespace": "ns", "name": "p"}
		if diff := cmp.Diff(want, asked.Spec.ResourceAttributes); diff != "" || asked.Spec.User != review.User || asked.Kind != "SubjectAccessReview" {
			t.Errorf("%+v %s", asked, diff)
		}
	})
}

func TestKubeAPIFiles(t *testing.T) {
	none := NewKubeAPI(KubeAPIConfig{})
	defer none.Close()
	if _, err := none.NamespaceLabels(t.Context(), "ns"); err == nil || err.Error() != "not in a cluster: KUBERNETES_SERVICE_HOST is not set" {
		t.Errorf("outside: %v", err)
	}
	bare := NewKubeAPI(KubeAPIConfig{Host: "10.96.0.1", ServiceAccount: []string{t.TempDir()}})
	defer bare.Close()
	if _, err := bare.NamespaceLabels(t.Context(), "ns"); err == nil || !strings.HasPrefix(err.Error(), "unable to load API server CA: open ") {
		t.Errorf("without files: %v", err)
	}
}

func TestWatchedObjectsAreAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			get   = "GET /api/v1/namespaces/ns"
			watch = "GET /api/v1/namespaces?fieldSelector=metadata.name%3Dns&resourceVersion=7&timeoutSeconds=300&watch=true"
		)
		s := newAPIServer(t, KubeAPIConfig{Watch: true}, map[string]string{get: `{"metadata":{"uid":"1","resourceVersion":"7","labels":{"team":"a"}}}`})
		change, ended := make(chan string), make(chan struct{}, 1)
		s.api.files.config.dial = fakeKubeletOf(t, s, func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("watch") == "" {
				return false
			}
			s.mu.Lock()
			s.asked[r.Method+" "+r.URL.String()]++
			s.mu.Unlock()
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			select {
			case text := <-change:
				_, _ = io.WriteString(w, text)
			case <-r.Context().Done():
				ended <- struct{}{}
			}
			return true
		})
		labels := func(want string, gets, watches int) {
			t.Helper()
			got, err := s.api.NamespaceLabels(t.Context(), "ns")
			synctest.Wait()
			if err != nil || got["team"] != want || s.count(get) != gets || s.count(watch) != watches {
				t.Errorf("%v, %v after %d requests and %d watches, want %q after %d and %d", got, err, s.count(get), s.count(watch), want, gets, watches)
			}
		}
		labels("a", 1, 1)
		labels("a", 1, 1)
		s.set(get, `{"metadata":{"uid":"1","resourceVersion":"7","labels":{"team":"b"}}}`)
		change <- `{"type":"MODIFIED"}`
		synctest.Wait()
		labels("b", 2, 2)
		labels("b", 2, 2)
		time.Sleep(watchedTTL) // a silent server
		<-ended
		synctest.Wait()
		labels("b", 3, 3)
		s.set(get, `500 down`)
		change <- ``
		synctest.Wait()
		if _, err := s.api.NamespaceLabels(t.Context(), "ns"); err == nil {
			t.Error("an old answer stands for a server that is down")
		}
	})
}

// fakeKubeletOf is the way to a server with s's files, which answers what special leaves to it as s does.
func fakeKubeletOf(t *testing.T, s *apiServer, special func(http.ResponseWriter, *http.Request) bool) dialFunc {
	t.Helper()
	a := newAuthority(t)
	write(t, filepath.Join(s.folder, "ca.crt"), a.pem())
	return fakeKubelet(t, a.server("10.96.0.1"), func(w http.ResponseWriter, r *http.Request) {
		if !special(w, r) {
			s.serve(w, r)
		}
	}).dial
}

func TestAFewObjectsAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := map[string]string{}
		for i := range maxWatched + 10 {
			name := fmt.Sprintf("ns%d", i)
			answers["GET /api/v1/namespaces/"+name] = `{"metadata":{"uid":"1","resourceVersion":"7"}}`
			answers["GET /api/v1/namespaces?fieldSelector=metadata.name%3D"+name+"&resourceVersion=7&timeoutSeconds=300&watch=true"] = "hang"
		}
		s := newAPIServer(t, KubeAPIConfig{Watch: true}, answers)
		for i := range maxWatched + 10 {
			if _, err := s.api.NamespaceLabels(t.Context(), fmt.Sprintf("ns%d", i)); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		s.api.mu.Lock()
		if n := len(s.api.watched); n != maxWatched {
			t.Errorf("%d objects are watched, want %d", n, maxWatched)
		}
		s.api.mu.Unlock()
		// A watch that does not begin is given up, and its object asked for again.
		_, _ = s.api.NamespaceLabels(t.Context(), "ns0")
		if n := s.count("GET /api/v1/namespaces/ns0"); n != 2 {
			t.Errorf("asked %d times, want 2: the watch has not begun", n)
		}
		time.Sleep(watchBegins)
		synctest.Wait()
		s.api.mu.Lock()
		defer s.api.mu.Unlock()
		if n := len(s.api.watched); n != 0 {
			t.Errorf("%d watches that never began are left", n)
		}
	})
}

func TestKubeAPICancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer(t, KubeAPIConfig{}, map[string]string{"GET /api/v1/namespaces/slow": "hang"})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		if _, err := s.api.NamespaceLabels(ctx, "slow"); !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
