package cluster_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	trustPolicies     = "/apis/assay.dev/v1/trustpolicies"
	namespacePolicies = "/apis/assay.dev/v1/namespacetrustpolicies"
	secrets           = "/api/v1/secrets"
	configMaps        = "/api/v1/configmaps"
)

func trustPolicy(name, mode string) string {
	return fmt.Sprintf(`{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":%q,"labels":{"a":"b"}},"spec":{"mode":%q}}`, name, mode)
}

func secret(namespace, name, key, content string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":%q,"namespace":%q},"data":{%q:%q}}`,
		name, namespace, key, base64.StdEncoding.EncodeToString([]byte(content)))
}

func open(t *testing.T, s *clustertest.Server) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Open(s.Kubeconfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// runs runs something until the test ends, and waits for its end.
func runs(t *testing.T, run func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("it does not end")
		}
	})
}

func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !yes(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func policies(t *testing.T, s *clustertest.Server) *cluster.Policies {
	t.Helper()
	p, err := open(t, s).Policies()
	if err != nil {
		t.Fatal(err)
	}
	runs(t, p.Run)
	return p
}

func names(p *cluster.Policies) string {
	all, complete := p.List()
	text := ""
	for i := range all {
		text += all[i].ID() + fmt.Sprint(" ", all[i].Generation, "; ")
	}
	if !complete {
		text += "…"
	}
	return text
}

func TestPoliciesAreWatched(t *testing.T) {
	s := clustertest.New(t)
	s.Put(trustPolicies, trustPolicy("shop", "enforce"))
	p := policies(t, s)
	eventually(t, "the first list", func() bool { return names(p) == "TrustPolicy/shop 1; " })
	all, _ := p.List()
	if got, want := string(all[0].JSON), `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"shop"},"spec":{"mode":"enforce"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.Put(trustPolicies, trustPolicy("shop", "audit"))
	eventually(t, "the edit", func() bool { return names(p) == "TrustPolicy/shop 2; " })
	s.Put(namespacePolicies, `{"apiVersion":"assay.dev/v1","kind":"NamespaceTrustPolicy","metadata":{"name":"own","namespace":"team"},"spec":{}}`)
	eventually(t, "a namespace's policy", func() bool { return strings.Contains(names(p), "NamespaceTrustPolicy/team/own 1") })
	s.Delete(trustPolicies, "", "shop")
	eventually(t, "the deletion", func() bool { return names(p) == "NamespaceTrustPolicy/team/own 1; " })
	if p.Silence() != 0 {
		t.Errorf("silence %v while the watches stand", p.Silence())
	}
}

// Half of the kinds is not all of the policies.
func TestPoliciesAreNotCompleteBeforeBothKindsWereListed(t *testing.T) {
	s := clustertest.New(t)
	var forbidden atomic.Bool
	forbidden.Store(true)
	s.Fault(func(r *http.Request) int {
		if forbidden.Load() && strings.Contains(r.URL.Path, "namespacetrustpolicies") {
			return http.StatusForbidden
		}
		return 0
	})
	s.Put(trustPolicies, trustPolicy("shop", "enforce"))
	p := policies(t, s)
	eventually(t, "one kind", func() bool { return names(p) == "TrustPolicy/shop 1; …" })
	eventually(t, "silence", func() bool { return p.Silence() > 0 })
	forbidden.Store(false)
	eventually(t, "both kinds", func() bool { return names(p) == "TrustPolicy/shop 1; " })
	eventually(t, "no silence", func() bool { return p.Silence() == 0 })
}

// What happened while nobody watched, and cannot be told any more (410 Gone), is seen by a new list.
func TestPoliciesSurviveAGoneWatch(t *testing.T) {
	s := clustertest.New(t)
	s.Put(trustPolicies, trustPolicy("shop", "enforce"))
	s.Put(trustPolicies, trustPolicy("old", "enforce"))
	p := policies(t, s)
	eventually(t, "the first list", func() bool { return strings.Count(names(p), ";") == 2 })
	var down atomic.Bool
	s.Fault(func(*http.Request) int {
		if down.Load() {
			return http.StatusInternalServerError
		}
		return 0
	})
	down.Store(true)
	s.CutWatches()
	eventually(t, "silence", func() bool { return p.Silence() > 0 })
	s.Put(trustPolicies, trustPolicy("shop", "audit"))
	s.Delete(trustPolicies, "", "old")
	s.Expire()
	if got := names(p); strings.Count(got, ";") != 2 {
		t.Errorf("during the outage: %s", got)
	}
	down.Store(false)
	eventually(t, "the news", func() bool { return names(p) == "TrustPolicy/shop 2; " })
	eventually(t, "no silence", func() bool { return p.Silence() == 0 })
}

func TestNamespacesKnowTheirSilence(t *testing.T) {
	s := clustertest.New(t)
	s.Put("/api/v1/namespaces", `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":"shop","labels":{"team":"a"}}}`)
	n, err := open(t, s).Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	runs(t, n.Run)
	eventually(t, "the first list", n.Ready)
	if labels, err := n.Labels(context.Background(), "shop"); err != nil || labels["team"] != "a" {
		t.Errorf("got %v, %v", labels, err)
	}
	eventually(t, "the watch", func() bool { return n.Silence() == 0 })
	s.Fault(func(*http.Request) int { return http.StatusServiceUnavailable })
	s.CutWatches()
	eventually(t, "silence", func() bool { return n.Silence() > 0 })
	if labels, err := n.Labels(context.Background(), "shop"); err != nil || labels["team"] != "a" || !n.Ready() {
		t.Errorf("what was known is gone: %v, %v", labels, err)
	}
	s.Fault(nil)
	eventually(t, "no silence", func() bool { return n.Silence() == 0 })
}

// Many namespaces are made at once, with pods in them, before the watch has told of any: each is asked for, and none waits for the others.
func TestT36_ManyNewNamespaces(t *testing.T) {
	s := clustertest.New(t)
	s.Fault(func(r *http.Request) int {
		if q := r.URL.Query(); q.Get("watch") != "" && q.Get("sendInitialEvents") == "" {
			<-r.Context().Done() // the watch tells nothing
		}
		return 0
	})
	n, err := open(t, s).Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	runs(t, n.Run)
	eventually(t, "the first list", n.Ready)
	const many = 30 // the usual rate lets 20 through before time is up
	failed := make(chan error, many)
	for i := range many {
		name := fmt.Sprintf("new-%d", i)
		s.Put("/api/v1/namespaces", fmt.Sprintf(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata","metadata":{"name":%q,"labels":{"team":"a"}}}`, name))
		go func() {
			labels, err := n.Labels(context.Background(), name)
			if err == nil && labels["team"] != "a" {
				err = fmt.Errorf("%s: got labels %v", name, labels)
			}
			failed <- err
		}()
	}
	for range many {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

func files(t *testing.T, s *clustertest.Server) *cluster.Files {
	t.Helper()
	f, err := open(t, s).Files("assay")
	if err != nil {
		t.Fatal(err)
	}
	runs(t, f.Run)
	return f
}

func read(t *testing.T, f *cluster.Files, o cluster.FileObject, key string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	content, version, err := f.Read(ctx, o, key)
	if err == nil && !strings.HasPrefix(version, "version ") {
		t.Errorf("read version %q", version)
	}
	return string(content), err
}

func TestFilesAreWatchedByName(t *testing.T) {
	s := clustertest.New(t)
	s.Put(secrets, secret("assay", "keys", "ci.pub", "one"))
	s.Put(secrets, secret("assay", "other", "ci.pub", "other"))
	s.Put(configMaps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"roots","namespace":"assay"},"data":{"a":"b"},"binaryData":{"c":"ZA=="}}`)
	f := files(t, s)
	keys, roots := cluster.FileObject{Namespace: "assay", Kind: "secret", Name: "keys"}, cluster.FileObject{Namespace: "assay", Kind: "configmap", Name: "roots"}
	for _, row := range []struct {
		object     cluster.FileObject
		key, want  string
		wantInText string
	}{
		{keys, "ci.pub", "one", ""},
		{roots, "a", "b", ""},
		{roots, "c", "d", ""},
		{keys, "qa.pub", "", "secret keys of namespace assay: it has no key qa.pub"},
		{cluster.FileObject{Namespace: "assay", Kind: "secret", Name: "none"}, "a", "", "secret none of namespace assay: there is none"},
		{cluster.FileObject{Kind: "secret", Name: "keys"}, "ci.pub", "", "no such file"},
		{cluster.FileObject{Namespace: "assay", Kind: "pod", Name: "keys"}, "ci.pub", "", "no such file"},
	} {
		got, err := read(t, f, row.object, row.key)
		if got != row.want || (err == nil) != (row.wantInText == "") || err != nil && !strings.Contains(err.Error(), row.wantInText) {
			t.Errorf("%v, %s: got %q, %v", row.object, row.key, got, err)
		}
	}
	if all, named := s.Count("GET", "/secrets?"), s.Count("GET", "/namespaces/assay/secrets?"); all != named || s.Count("GET", "fieldSelector=metadata.name%3Dkeys") == 0 {
		t.Errorf("%d requests for secrets, of which %d in the own namespace", all, named)
	}
	if s.Count("GET", "name%3Dother") > 0 || s.Count("GET", "/secrets") != s.Count("GET", "/secrets?") {
		t.Error("it asked for what nobody named")
	}
	before := f.Version(keys)
	for len(f.Changed()) > 0 {
		<-f.Changed()
	}
	s.Put(secrets, secret("assay", "keys", "ci.pub", "two"))
	select {
	case <-f.Changed():
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told of the change")
	}
	if got, err := read(t, f, keys, "ci.pub"); got != "two" || err != nil || f.Version(keys) == before {
		t.Errorf("after the change: %q, %v, version %s", got, err, f.Version(keys))
	}
	s.Delete(secrets, "assay", "keys")
	eventually(t, "the deletion", func() bool { return f.Version(keys) == "absent" })
	f.Keep(map[cluster.FileObject]bool{roots: true})
	if f.Version(keys) != "not watched" || f.Version(roots) == "not watched" {
		t.Errorf("versions %s, %s", f.Version(keys), f.Version(roots))
	}
}

// T38: a tenant's Secret is read only if the tenant's namespace says so, and then soon.
func TestT38_ATenantsSecretNeedsARoleBinding(t *testing.T) {
	s := clustertest.New(t)
	s.Put(secrets, secret("team", "keys", "ci.pub", "one"))
	var bound atomic.Bool
	s.Fault(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "/namespaces/team/") && !bound.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	f := files(t, s)
	keys := cluster.FileObject{Namespace: "team", Kind: "secret", Name: "keys"}
	_, err := read(t, f, keys, "ci.pub")
	if err == nil {
		t.Fatal("it was read")
	}
	for _, want := range []string{
		"kubectl create role assay-secret-keys -n team --verb get,list,watch --resource secrets --resource-name keys",
		"kubectl create rolebinding assay-secret-keys -n team --role assay-secret-keys --user " + clustertest.User,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %s", err, want)
		}
	}
	if f.Silence() != 0 {
		t.Error("a tenant makes the watches of the own namespace look broken")
	}
	bound.Store(true)
	eventually(t, "the content", func() bool { got, _ := read(t, f, keys, "ci.pub"); return got == "one" })
}

func TestFilesAreBounded(t *testing.T) {
	s := clustertest.New(t)
	f, err := open(t, s).Files("assay") // which does not run, so that nothing is asked
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range cluster.MaxFileObjects {
		if _, _, err := f.Read(ended, cluster.FileObject{Namespace: "team", Kind: "secret", Name: fmt.Sprint("s", i)}, "a"); !strings.Contains(err.Error(), "has not answered yet") {
			t.Fatal(err)
		}
	}
	if _, _, err := f.Read(ended, cluster.FileObject{Namespace: "team", Kind: "secret", Name: "more"}, "a"); !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
	if _, _, err := f.Read(ended, cluster.FileObject{Namespace: "other", Kind: "secret", Name: "more"}, "a"); !strings.Contains(err.Error(), "has not answered yet") {
		t.Error("a tenant's files count against another's:", err)
	}
}

// T47: watches of what tenants name do not hold up those of Assay's own namespace.
func TestT47_FilesOfTenantsHoldUpNoOthers(t *testing.T) {
	s := clustertest.New(t)
	s.Put("/api/v1/secrets", `{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"assay","name":"keys"},"data":{"a":"b25l"}}`)
	f := files(t, s)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 5 * cluster.MaxFileObjects {
		o := cluster.FileObject{Namespace: fmt.Sprint("team", i%5), Kind: "secret", Name: fmt.Sprint("s", i)}
		if _, _, err := f.Read(ended, o, "a"); err == nil {
			t.Fatal("there is nothing to read")
		}
	}
	eventually(t, "all that may begin at once have begun", func() bool { return s.Count("GET", "/namespaces/team") >= 100 })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // all of them take more than 15 s
	defer cancel()
	if got, _, err := f.Read(ctx, cluster.FileObject{Namespace: "assay", Kind: "secret", Name: "keys"}, "a"); string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
}

// An API server that takes a request and says nothing holds up whoever asks for as long as they want to wait.
func TestFilesOfASlowServer(t *testing.T) {
	s := clustertest.New(t)
	stop := make(chan struct{})
	s.Fault(func(r *http.Request) int {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})
	t.Cleanup(func() { close(stop) })
	f := files(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	// The server answers only when the test has ended.
	if _, _, err := f.Read(ctx, cluster.FileObject{Namespace: "assay", Kind: "secret", Name: "keys"}, "a"); err == nil || ctx.Err() == nil {
		t.Errorf("got %v while the deadline has passed: %v", err, ctx.Err() != nil)
	}
}

func accepted(generation int64, yes bool, message string) []cluster.Condition {
	status := map[bool]string{true: cluster.True, false: cluster.False}[yes]
	return []cluster.Condition{{Type: "Accepted", Status: status, Reason: "Tested", Message: message, ObservedGeneration: generation}}
}

func TestSetStatus(t *testing.T) {
	s := clustertest.New(t)
	s.Put(trustPolicies, trustPolicy("shop", "enforce"))
	p := policies(t, s)
	current := func() *cluster.Policy {
		all, _ := p.List()
		if len(all) != 1 {
			return nil
		}
		return &all[0]
	}
	eventually(t, "the first list", func() bool { return current() != nil })
	first := current()
	now := time.Now().Truncate(time.Second)
	if err := p.SetStatus(t.Context(), first, accepted(1, true, "in force"), now); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status", func() bool { return current().Has(accepted(1, true, "in force")) })
	if c, _ := current().Condition("Accepted"); !c.Since.Equal(now) {
		t.Errorf("since %v, want %v", c.Since, now)
	}
	if string(current().JSON) != string(first.JSON) || current().Generation != 1 {
		t.Error("a status changes the policy")
	}
	// Who is behind does not write over it.
	if err := p.SetStatus(t.Context(), first, accepted(1, false, "late"), now); !errors.Is(err, cluster.ErrChanged) {
		t.Errorf("got %v", err)
	}
	// What is there already is not written.
	before := s.Count("PATCH", "")
	if err := p.SetStatus(t.Context(), current(), accepted(1, true, "in force"), now.Add(time.Hour)); err != nil || s.Count("PATCH", "") != before {
		t.Errorf("got %v and %d requests", err, s.Count("PATCH", "")-before)
	}
	// The time changes with the status only.
	if err := p.SetStatus(t.Context(), current(), accepted(2, true, "in force"), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the generation", func() bool { return current().Has(accepted(2, true, "in force")) })
	if c, _ := current().Condition("Accepted"); !c.Since.Equal(now) {
		t.Errorf("since %v, want %v", c.Since, now)
	}
	long := accepted(2, false, strings.Repeat("ä", 10<<10))
	if err := p.SetStatus(t.Context(), current(), long, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other status", func() bool { return current().Has(long) })
	if c, _ := current().Condition("Accepted"); !c.Since.Equal(now.Add(time.Hour)) || len(c.Message) > 4<<10 {
		t.Errorf("since %v, %d bytes", c.Since, len(c.Message))
	}
	s.Delete(trustPolicies, "", "shop")
	if err := p.SetStatus(t.Context(), first, accepted(1, true, "gone"), now); !errors.Is(err, cluster.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// T27: after a backup of the cluster was restored, another content can have the version of one that was read before.
func TestT27_VersionsOfFilesAreOfTheirContent(t *testing.T) {
	file := func(kind, version, member, key, text string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"kind": kind, "metadata": map[string]any{"resourceVersion": version}, member: map[string]any{key: text},
		}}
	}
	first := cluster.VersionOfFile(file("ConfigMap", "7", "data", "ca.pem", "one"))
	for name, other := range map[string]*unstructured.Unstructured{
		"another content": file("ConfigMap", "7", "data", "ca.pem", "two"),
		"another key":     file("ConfigMap", "7", "data", "ca.pe", "mone"),
	} {
		if cluster.VersionOfFile(other) == first {
			t.Errorf("%s has the same version", name)
		}
	}
	if cluster.VersionOfFile(file("ConfigMap", "8", "binaryData", "ca.pem", "b25l")) != first {
		t.Error("the same content has another version")
	}
}

// T43: what tenants have policies read stays in memory.
func TestT43_FilesOfTenantsAreSmall(t *testing.T) {
	s := clustertest.New(t)
	for _, namespace := range []string{"assay", "team"} {
		s.Put("/api/v1/secrets", fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":%q,"name":"keys"},"data":{"a":"b25l","b":%q}}`,
			namespace, base64.StdEncoding.EncodeToString(make([]byte, 300<<10))))
	}
	f := files(t, s)
	if got, err := read(t, f, cluster.FileObject{Namespace: "assay", Kind: "secret", Name: "keys"}, "a"); got != "one" {
		t.Errorf("Assay's own: %q, %v", got, err)
	}
	if got, err := read(t, f, cluster.FileObject{Namespace: "team", Kind: "secret", Name: "keys"}, "a"); err == nil || !strings.Contains(err.Error(), "more than 262144 bytes") {
		t.Errorf("a tenant's: %q, %v", got, err)
	}
}
