package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
	"github.com/assay-dev/assay/policy"
)

const (
	trustPolicies     = "/apis/assay.dev/v1/trustpolicies"
	namespacePolicies = "/apis/assay.dev/v1/namespacetrustpolicies"
	secretObjects     = "/api/v1/secrets"
	shopImage         = "registry.example/shop/app:1"
)

// newCluster is an API server with the namespaces shop and bank.
func newCluster(t *testing.T) *clustertest.Server {
	t.Helper()
	s := clustertest.New(t)
	for _, name := range []string{"shop", "bank", "team"} {
		putNamespace(s, name, name)
	}
	return s
}

// serveResources starts a server with the policies of a cluster.
func serveResources(t *testing.T, s *clustertest.Server, args ...string) *running {
	t.Helper()
	return serveResourcesAt(t, testPace, s, args...)
}

// serveResourcesAt does so at a pace.
func serveResourcesAt(t *testing.T, at pace, s *clustertest.Server, args ...string) *running {
	t.Helper()
	return serveAt(t, at, nil, "kubernetes", append([]string{"--policy-resources", "--own-namespace", "assay", "--insecure-plain-http", "--kubeconfig", s.Kubeconfig()}, args...)...)
}

func (r *running) untilReady() *running {
	r.t.Helper()
	r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusOK })
	return r
}

func putPolicy(s *clustertest.Server, name, spec string) {
	s.Put(trustPolicies, fmt.Sprintf(`{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":%q},"spec":%s}`, name, spec))
}

func putNamespacePolicy(s *clustertest.Server, namespace, name, spec string) {
	s.Put(namespacePolicies, fmt.Sprintf(`{"apiVersion":"assay.dev/v1","kind":"NamespaceTrustPolicy","metadata":{"namespace":%q,"name":%q},"spec":%s}`, namespace, name, spec))
}

func putSecret(s *clustertest.Server, namespace, name, key string, content []byte) {
	s.Put(secretObjects, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":%q,"name":%q},"data":{%q:%q}}`,
		namespace, name, key, base64.StdEncoding.EncodeToString(content)))
}

const (
	allowShop = `{"rules":[{"images":["registry.example/shop/**"],"allow":"for the test"}]}`
	denyShop  = `{"rules":[{"images":["registry.example/shop/**"],"deny":"closed"}]}`
	broken    = `{"rules":[{"images":["registry.example/shop/**"],"alow":"for the test"}]}`
)

// condition is a condition of an object, as "Status Reason GENERATION: message"; "" where there is none.
func condition(s *clustertest.Server, collection, namespace, name, kind string) string {
	text, err := json.Marshal(s.Get(collection, namespace, name))
	if err != nil {
		return err.Error()
	}
	var o struct {
		Status struct {
			Conditions []struct {
				Type, Status, Reason, Message string
				ObservedGeneration            int
			}
		}
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return err.Error()
	}
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return fmt.Sprintf("%s %s %d: %s", c.Status, c.Reason, c.ObservedGeneration, c.Message)
		}
	}
	return ""
}

func accepted(s *clustertest.Server, name string) string {
	return condition(s, trustPolicies, "", name, "Accepted")
}

// decides waits until the server says something about an image in a namespace.
func (r *running) decides(what, namespace string, allowed bool, text string) {
	r.t.Helper()
	r.until(what, func() bool {
		ok, message := r.admitted(namespace, shopImage)
		return ok == allowed && strings.Contains(message, text)
	})
}

func TestT34_PolicyResourcesDecide(t *testing.T) {
	s := newCluster(t)
	r := serveResources(t, s).untilReady()
	if ok, text := r.admitted("shop", shopImage); ok || !strings.Contains(text, "a TrustPolicy has to be applied") || strings.Contains(text, "could not tell") {
		t.Errorf("without any policy: allowed %v: %s", ok, text)
	}
	putPolicy(s, "shop", allowShop)
	r.decides("the policy is in force", "shop", true, "")
	r.until("its status says so", func() bool { return accepted(s, "shop") == "True Accepted 1: in force" })
	putPolicy(s, "shop", denyShop)
	r.decides("the edit is in force", "shop", false, "closed")
	putPolicy(s, "shop", allowShop)
	r.decides("the edit is taken back", "shop", true, "")

	putPolicy(s, "shop", broken)
	r.until("the bad edit is shown", func() bool { return strings.HasPrefix(accepted(s, "shop"), "False Invalid 4: ") })
	if got := accepted(s, "shop"); !strings.Contains(got, "TrustPolicy/shop: spec.rules[0].alow: ") || !strings.Contains(got, "goes on deciding") {
		t.Errorf("the condition says %s", got)
	}
	if got := condition(s, trustPolicies, "", "shop", "TrustMaterialFresh"); !strings.HasPrefix(got, "Unknown NotAccepted 4: ") {
		t.Errorf("the other condition says %s", got)
	}
	if ok, text := r.admitted("shop", shopImage); !ok {
		t.Errorf("the version before does not go on deciding: %s", text)
	}
	if !r.metric(`assay_policies{kind="TrustPolicy",state="last-good"} 1`) || !r.metric(`assay_policies{kind="TrustPolicy",state="unusable"} 0`) {
		t.Error("metrics do not tell")
	}
	if line := r.log.find("policy cannot be used"); line == nil || line["before"] != "what was in force of it stays" {
		t.Errorf("the log tells %v", line)
	}

	// What is made under the same name after a deletion is another policy, of which nothing good is known.
	s.Delete(trustPolicies, "", "shop")
	putPolicy(s, "shop", broken)
	r.decides("the other policy stands in", "shop", false, "could not tell")
	s.Delete(trustPolicies, "", "shop")
	r.decides("the deletion is in force", "shop", false, "a TrustPolicy has to be applied")
	if r.log.find("policy no longer in force") == nil {
		t.Error("the log does not tell of the deletion")
	}
}

// T34: what stands in the status of an object decides nothing, whoever wrote it.
func TestT34_StatusIsOutputOnly(t *testing.T) {
	s := newCluster(t)
	s.Put(trustPolicies, `{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"shop","annotations":{"lastAccepted":"x"}},"spec":`+broken+`,`+
		`"status":{"conditions":[{"type":"Accepted","status":"True","reason":"Accepted","message":"in force","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`)
	r := serveResources(t, s).untilReady()
	r.decides("it is not taken at its word", "shop", false, "could not tell")
	r.until("the status is put right", func() bool { return strings.HasPrefix(accepted(s, "shop"), "False Invalid 1: ") })
}

// T36: before the first list of policies there is no "no policy".
func TestT36_PoliciesThatAreNotKnownYet(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	var down atomic.Bool
	down.Store(true)
	s.Fault(func(r *http.Request) int {
		if down.Load() && strings.Contains(r.URL.Path, "trustpolicies") {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	files := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, files, fmt.Sprintf(allowOnly, "files", "shop"))
	r := serveResources(t, s, "--policy", files)
	r.until("namespaces are known", func() bool {
		status, _, body := r.ask("/readyz", "")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "the policies of the cluster are not known yet")
	})
	// The watches have tried again, which takes longer than it takes to look at what they know.
	r.until("the watches try again", func() bool {
		return s.Count("GET", "/trustpolicies?") > 1 && s.Count("GET", "/namespacetrustpolicies?") > 1
	})
	if ok, text := r.admitted("shop", shopImage); ok || !strings.Contains(text, "could not tell") || !strings.Contains(text, "not known yet") {
		t.Errorf("got allowed %v: %s", ok, text)
	}
	down.Store(false)
	r.untilReady()
	if ok, text := r.admitted("shop", shopImage); !ok {
		t.Error(text)
	}
}

// A server that starts and finds only a bad version denies what that policy speaks about, and nothing else.
func TestUnusablePolicyAfterAStart(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "everywhere", allowShop)
	putPolicy(s, "shop", `{"scope":{"namespaces":{"names":["shop"]}},`+broken[1:])
	r := serveResources(t, s).untilReady()
	if ok, text := r.admitted("shop", shopImage); ok || !strings.Contains(text, "could not tell") || !strings.Contains(text, "spec.rules[0].alow") {
		t.Errorf("shop: allowed %v: %s", ok, text)
	}
	if ok, text := r.admitted("bank", shopImage); !ok {
		t.Errorf("bank: %s", text)
	}
	if !r.metric(`assay_policies{kind="TrustPolicy",state="unusable"} 1`) {
		t.Error("metrics do not tell")
	}
	putPolicy(s, "shop", `{"scope":{"namespaces":{"names":["shop"]}},`+allowShop[1:])
	r.decides("it was mended", "shop", true, "")
}

// T38: a namespace's policy can only tighten, and reads only what its namespace lets it.
func TestT38_NamespacePolicies(t *testing.T) {
	s := newCluster(t)
	putNamespacePolicy(s, "team", "open", allowShop)
	r := serveResources(t, s).untilReady()
	if ok, text := r.admitted("team", shopImage); ok || !strings.Contains(text, "can only tighten") {
		t.Errorf("a tenant's word alone: allowed %v: %s", ok, text)
	}
	putPolicy(s, "all", allowShop)
	r.decides("the cluster allows", "team", true, "")
	putNamespacePolicy(s, "team", "closed", denyShop)
	r.decides("the tenant denies", "team", false, "closed")
	if ok, text := r.admitted("bank", shopImage); !ok {
		t.Errorf("another namespace: %s", text)
	}
	s.Delete(namespacePolicies, "team", "closed")
	r.decides("the tenant's denial is gone", "team", true, "")

	putSecret(s, "bank", "keys", "ca.pem", newAuthority(t, "bank").pem)
	for name, want := range map[string]string{
		"secret:bank/keys/ca.pem": "other namespaces cannot be named",
		"bank/keys":               "write secret:NAME/KEY",
		"/etc/passwd":             "write secret:NAME/KEY",
		"secret:keys/ca.pem":      "secret keys of namespace team: there is none",
	} {
		putNamespacePolicy(s, "team", "foreign", rootsIn(name))
		r.until(name, func() bool {
			got := condition(s, namespacePolicies, "team", "foreign", "Accepted")
			return strings.HasPrefix(got, "False ") && strings.Contains(got, want) && strings.Contains(got, "spec.authorities.ci.certificate.rootsFiles[0]")
		})
		if ok, text := r.admitted("team", shopImage); ok || !strings.Contains(text, "could not tell") {
			t.Errorf("%s: allowed %v: %s", name, ok, text)
		}
		s.Delete(namespacePolicies, "team", "foreign")
		r.decides("it is gone", "team", true, "")
	}
	if n := s.Count("GET", "/namespaces/bank/"); n > 0 {
		t.Errorf("%d requests for what is in another namespace", n)
	}
}

// rootsIn is a policy whose one authority has its roots in a file.
func rootsIn(file string) string {
	return `{"authorities":{"ci":{"certificate":{"rootsFiles":["` + file + `"],"san":"required"}}},"rules":[{"images":["registry.example/shop/**"],"require":"ci"}]}`
}

// T38: Assay reads a tenant's Secret only where the tenant says so.
func TestT38_ATenantsSecretIsOptIn(t *testing.T) {
	s := newCluster(t)
	putSecret(s, "team", "keys", "ca.pem", newAuthority(t, "team").pem)
	var bound atomic.Bool
	s.Fault(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "/namespaces/team/secrets") && !bound.Load() {
			return http.StatusForbidden
		}
		return 0
	})
	putNamespacePolicy(s, "team", "own", rootsIn("secret:keys/ca.pem"))
	r := serveResources(t, s).untilReady()
	own := func() string { return condition(s, namespacePolicies, "team", "own", "Accepted") }
	r.until("it says what to do", func() bool {
		return strings.HasPrefix(own(), "False FileUnavailable ") && strings.Contains(own(), "kubectl create rolebinding assay-secret-keys -n team")
	})
	bound.Store(true)
	r.until("it is accepted", func() bool { return own() == "True Accepted 1: in force" })
}

var hashLine = regexp.MustCompile(`"policy":"shop","mode":"enforce","hash":"([0-9a-f]+)"`)

// hashes are those of the versions of shop that came into force, one after the other.
func (r *running) hashes() []string {
	var all []string
	for _, m := range hashLine.FindAllStringSubmatch(r.log.String(), -1) {
		all = append(all, m[1])
	}
	return all
}

// T27: the key of every remembered verdict has the policy's hash in it, which has the content of its files.
func TestT27_AKeyThatChangesIsAnotherPolicy(t *testing.T) {
	s := newCluster(t)
	putSecret(s, "assay", "keys", "ca.pem", newAuthority(t, "one").pem)
	putPolicy(s, "shop", rootsIn("secret:keys/ca.pem"))
	r := serveResources(t, s).untilReady()
	r.until("it is in force", func() bool { return accepted(s, "shop") == "True Accepted 1: in force" })
	putSecret(s, "assay", "keys", "ca.pem", newAuthority(t, "two").pem)
	r.until("another key is in force", func() bool { h := r.hashes(); return len(h) == 2 && h[0] != h[1] })
	// A key that cannot be read, or is gone, leaves the one before.
	putSecret(s, "assay", "keys", "ca.pem", []byte("no certificate"))
	r.until("the bad key is shown", func() bool { return strings.HasPrefix(accepted(s, "shop"), "False Invalid 1: ") })
	s.Delete(secretObjects, "assay", "keys")
	r.until("that it is gone is shown", func() bool {
		return strings.HasPrefix(accepted(s, "shop"), "False FileUnavailable 1: ") && strings.Contains(accepted(s, "shop"), "there is none")
	})
	if !r.metric(`assay_policies{kind="TrustPolicy",state="last-good"} 1`) || len(r.hashes()) != 2 {
		t.Errorf("the version before does not go on deciding: %v", r.hashes())
	}
	if all, own := s.Count("GET", "/secrets?"), s.Count("GET", "/namespaces/assay/secrets?"); all == 0 || all != own || s.Count("GET", "fieldSelector=metadata.name%3Dkeys") != all {
		t.Errorf("%d requests for Secrets, %d of them in the own namespace", all, own)
	}
}

// Many edits are few loads, and few writes; several servers do not write over each other.
func TestStatusIsWrittenSeldom(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	const replicas = 4
	var r *running
	for range replicas {
		r = serveResourcesAt(t, pace{}, s).untilReady() // the usual one: how much is collected is a matter of it
	}
	r.until("the first status", func() bool { return strings.HasPrefix(accepted(s, "shop"), "True Accepted 1") })
	// What another policy's status says comes after all that this one's brought about.
	quiet := func(name string) {
		putPolicy(s, name, `{"scope":{"points":["cli"]},`+allowShop[1:])
		r.until(name, func() bool { return strings.HasPrefix(accepted(s, name), "True ") })
	}
	quiet("first")
	writes := func() int { return s.Count("PATCH", "/trustpolicies/shop/status") }
	before := writes()
	if before == 0 || before > replicas {
		t.Errorf("%d writes of the first status by %d servers", before, replicas)
	}
	putPolicy(s, "shop", denyShop)
	r.until("the second status", func() bool { return strings.HasPrefix(accepted(s, "shop"), "True Accepted 2") })
	quiet("second")
	if n := writes() - before; n == 0 || n > replicas {
		t.Errorf("%d writes for one edit by %d servers", n, replicas)
	}
	loads, before := len(r.hashes()), writes()
	for i := range 100 {
		putPolicy(s, "shop", fmt.Sprintf(`{"rules":[{"images":["registry.example/shop/**"],"deny":"closed %d"}]}`, i))
	}
	r.decides("the last edit is in force", "shop", false, "closed 99")
	r.until("the last status", func() bool { return strings.HasPrefix(accepted(s, "shop"), "True Accepted 102") })
	quiet("third")
	if n := len(r.hashes()) - loads; n > 10 {
		t.Errorf("100 edits were %d loads", n)
	}
	if n := writes() - before; n > 5*replicas {
		t.Errorf("100 edits were %d writes by %d servers", n, replicas)
	}
}

// Files and objects are one set, in which a name stands for one policy.
func TestFilesAndResourcesTogether(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "objects", allowShop)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	replace(t, file, fmt.Sprintf(allowOnly, "files", "shop"))
	r := serveResources(t, s, "--policy", file).untilReady()
	if ok, text := r.admitted("shop", shopImage); !ok {
		t.Errorf("both allow: %s", text)
	}
	putPolicy(s, "objects", denyShop)
	r.decides("the object denies", "shop", false, "closed")
	putPolicy(s, "objects", allowShop)
	r.decides("the object allows", "shop", true, "")
	putPolicy(s, "files", allowShop)
	r.until("its name is taken", func() bool { return strings.HasPrefix(accepted(s, "files"), "False NameTaken 1: ") })
	if ok, text := r.admitted("shop", shopImage); ok || !strings.Contains(text, "could not tell") || !strings.Contains(text, "TrustPolicy/files") {
		t.Errorf("allowed %v: %s", ok, text)
	}
	s.Delete(trustPolicies, "", "files")
	r.decides("it is gone", "shop", true, "")
}

func TestT43_NumberOfNamespacePolicies(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "all", allowShop)
	for i := range maxNamespaceTrustPolicies + 2 {
		putNamespacePolicy(s, "team", fmt.Sprintf("p%03d", i), allowShop)
	}
	r := serveResources(t, s).untilReady()
	if ok, text := r.admitted("team", shopImage); ok || !strings.Contains(text, "more than 100 policies") {
		t.Errorf("allowed %v: %s", ok, text)
	}
	if ok, text := r.admitted("bank", shopImage); !ok {
		t.Errorf("another namespace: %s", text)
	}
	if !r.metric(fmt.Sprintf(`assay_policies{kind="NamespaceTrustPolicy",state="accepted"} %d`, maxNamespaceTrustPolicies)) ||
		!r.metric(`assay_policies{kind="NamespaceTrustPolicy",state="unusable"} 2`) {
		t.Error("metrics do not tell")
	}
	s.Delete(namespacePolicies, "team", "p000")
	s.Delete(namespacePolicies, "team", "p001")
	r.decides("two are gone", "team", true, "")
}

// An API server that goes away takes nothing out of force, and what it says when it is back holds.
func TestResourcesSurviveAnOutage(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	r := serveResources(t, s).untilReady()
	s.Fault(func(*http.Request) int { return http.StatusServiceUnavailable })
	s.CutWatches()
	r.until("silence is measured", func() bool {
		_, _, body := r.ask("/metrics", "")
		return regexp.MustCompile(`\nassay_watch_silence_seconds\{what="policies"\} [0-9.e-]*[1-9]`).MatchString(body) &&
			regexp.MustCompile(`\nassay_watch_silence_seconds\{what="namespaces"\} [0-9.e-]*[1-9]`).MatchString(body)
	})
	if ok, text := r.admitted("shop", shopImage); !ok {
		t.Errorf("during the outage: %s", text)
	}
	putPolicy(s, "shop", denyShop)
	s.Expire()
	s.Fault(nil)
	r.until("the edit is in force", func() bool {
		ok, text := r.admitted("shop", shopImage)
		return !ok && strings.Contains(text, "closed") && r.metric(`assay_watch_silence_seconds{what="policies"} 0`) && r.metric(`assay_watch_stale{what="policies"} 0`)
	})
}

func TestLongSilenceIsTold(t *testing.T) {
	silence := time.Duration(0)
	stderr := &lines{}
	c := &contacts{log: slog.New(slog.NewJSONHandler(stderr, nil)), metrics: newServerMetrics()}
	c.watch("policies", func() time.Duration { return silence })
	told := func() int { return strings.Count(stderr.String(), "has not told of this for long") }
	for _, step := range []struct {
		silence time.Duration
		warned  int
		back    bool
	}{
		{0, 0, false}, {maxSilence, 0, false}, {maxSilence + time.Second, 1, false}, {2 * maxSilence, 1, false}, {0, 1, true}, {2 * maxSilence, 2, true},
	} {
		silence = step.silence
		c.look()
		if told() != step.warned || (stderr.find("the API server tells again") != nil) != step.back {
			t.Errorf("after %v: %d warnings\n%s", step.silence, told(), stderr)
		}
	}
}

// Servers that fetch for themselves can differ in what they have; they do not take turns in saying so.
func TestTrustMaterialFresh(t *testing.T) {
	now := time.Now()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, now: func() time.Time { return now }}
	keeper, err := a.keeperIn("")
	must(t, err)
	e, err := a.makeEngine(nil, peers{source: &currentClient{}, keeper: keeper})
	must(t, err)
	data := []byte(`{"apiVersion":"assay.dev/v1","kind":"TrustPolicy","metadata":{"name":"shop"},"spec":{"authorities":{"ci":{"sigstore":{"keyless":{"identities":[` +
		`{"issuer":"https://issuer.example","subject":"ci@acme.example"}]}}}},"rules":[{"images":["**"],"require":"ci"}]}}`)
	p, err := policy.Parse(policy.Source{Name: "TrustPolicy/shop", Object: true, Data: data}, formatNames())
	must(t, err)
	must(t, e.Use([]*policy.Policy{p}))
	asOf := now.Add(-keeper.Statuses(now)[0].Age) // of the copy in the program
	r := &resources{server: &server{app: a, engine: e}}
	object := func(status string, ago time.Duration) *cluster.Policy {
		o := &cluster.Policy{Kind: cluster.TrustPolicy, Name: "shop", Generation: 2}
		if status != "" {
			o.Conditions = []cluster.Condition{{Type: conditionFresh, Status: status, Reason: "There", ObservedGeneration: 2, Since: now.Add(-ago)}}
		}
		return o
	}
	for _, row := range []struct {
		name   string
		age    time.Duration // of the material
		known  time.Duration // how long the server has known this version
		was    bool          // it has said False itself
		there  string        // what the status says
		ago    time.Duration // since when
		status string
		reason string
	}{
		{"fresh", time.Hour, time.Hour, false, "", 0, cluster.True, "Fresh"},
		{"fresh, and another has just said it is not", time.Hour, time.Hour, false, cluster.False, time.Minute, cluster.False, "There"},
		{"fresh, and another said long ago it is not", time.Hour, time.Hour, false, cluster.False, time.Hour, cluster.True, "Fresh"},
		{"fresh again", time.Hour, time.Hour, true, cluster.False, time.Minute, cluster.True, "Fresh"},
		{"old, on its way", 30 * 24 * time.Hour, time.Second, false, "", 0, cluster.Unknown, "Fetching"},
		{"old, on its way, and another has it", 30 * 24 * time.Hour, time.Second, false, cluster.True, time.Hour, cluster.True, "There"},
		{"old", 30 * 24 * time.Hour, time.Hour, false, cluster.True, time.Hour, cluster.False, "Stale"},
		{"old, and nobody said anything", 30 * 24 * time.Hour, time.Hour, false, "", 0, cluster.False, "Stale"},
	} {
		t.Run(row.name, func(t *testing.T) {
			now = asOf.Add(row.age)
			x := &resource{good: p, since: now.Add(-row.known), stale: row.was}
			got := r.freshness(object(row.there, row.ago), x)
			if got.Status != row.status || got.Reason != row.reason {
				t.Errorf("got %+v", got)
			}
			if x.stale != (row.reason == "Stale") {
				t.Errorf("it remembers %v", x.stale)
			}
			if row.reason != "Stale" {
				return
			}
			now = now.Add(time.Hour)
			if again := r.freshness(object("", 0), x); again != got {
				t.Errorf("an hour later it says %q, not %q", again.Message, got.Message)
			}
		})
	}
}

// T47: what the API server says late about files of a tenant holds up no policy of the cluster, such as one that closes something.
func TestT47_TenantsHoldUpNoPolicyOfTheCluster(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "all", allowShop)
	r := serveResources(t, s).untilReady()
	r.decides("the cluster allows", "bank", true, "")
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	s.Fault(func(r *http.Request) int {
		if !strings.Contains(r.URL.Path, "/namespaces/team/secrets") {
			return 0
		}
		select {
		case <-stop:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})
	putNamespacePolicy(s, "team", "slow", rootsIn("secret:slow/ca.pem"))
	r.until("the tenant's file is asked for", func() bool { return s.Count("GET", "/namespaces/team/secrets") > 0 })
	putPolicy(s, "closed", denyShop)
	r.decides("the cluster closes it", "bank", false, "closed")
	r.decides("the tenant's own cannot be told", "team", false, "")
}

// T43: a namespace has so many bytes of policies, since each takes many times its length once it is read.
func TestT43_SizeOfNamespacePolicies(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "all", allowShop)
	large := `{"rules":[{"images":["registry.example/shop/**"` + strings.Repeat(`,"registry.example/shop/a-name-that-takes-place/**"`, maxNamespacePolicyBytes/2/50) + `],"allow":"x"}]}`
	putNamespacePolicy(s, "team", "a", large)
	putPolicy(s, "large", large) // the cluster's do not count
	r := serveResources(t, s).untilReady()
	r.decides("one is in force", "team", true, "")
	putNamespacePolicy(s, "team", "b", large)
	r.decides("two are too much", "team", false, "more than 262144 bytes of policies")
	if ok, text := r.admitted("bank", shopImage); !ok {
		t.Errorf("another namespace: %s", text)
	}
	s.Delete(namespacePolicies, "team", "a")
	r.decides("one is gone", "team", true, "")
}
