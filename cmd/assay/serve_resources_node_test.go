package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
	"github.com/assay-dev/assay/engine"
)

// nodeResources is a server that decides by the policies of a cluster as a node does.
type nodeResources struct {
	*server
	t    *testing.T
	log  *lines
	stop func()
	know *background
}

// startNodeResources starts one with a state folder; stop ends it as a restart does.
func startNodeResources(t *testing.T, s *clustertest.Server, state string) *nodeResources {
	t.Helper()
	n := &nodeResources{t: t, log: &lines{}}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: n.log, getenv: func(string) string { return "" }, now: time.Now, pace: testPace}
	o := &serveOptions{plainHTTP: true, otherPolicies: true, stateDir: state, timeout: time.Minute, registries: a.registryFlags(&cobra.Command{})}
	var err error
	n.server, err = a.newServer("node", o)
	must(t, err)
	policies := &nodePolicyOptions{resources: true, kubeconfig: s.Kubeconfig(), ownNamespace: "assay"}
	must(t, policies.check())
	n.know, err = policies.know(n.server, state)
	must(t, err)
	end := n.know.begin(context.Background())
	n.stop = func() { end(); n.close() }
	t.Cleanup(func() { n.stop() })
	return n
}

func (n *nodeResources) end() {
	n.stop()
	n.stop = func() {}
}

// decide asks about shopImage in a namespace; "" is none.
func (n *nodeResources) decide(namespace string) engine.Verdict {
	req := engine.Request{Image: shopImage}
	req.Point, req.Namespace, req.HasNamespace = "containerd", namespace, namespace != ""
	if req.HasNamespace {
		req.Point = "spire"
	}
	return n.point.Decide(context.Background(), "", req)[0]
}

func (n *nodeResources) until(what string, yes func() bool) {
	n.t.Helper()
	(&running{t: n.t, log: n.log}).until(what, yes)
}

func (n *nodeResources) decides(what, namespace string, outcome engine.Outcome, text string) {
	n.t.Helper()
	n.until(what, func() bool {
		v := n.decide(namespace)
		return v.Outcome == outcome && v.Allowed == (outcome == engine.Allowed) && strings.Contains(v.Reason, text)
	})
}

// copyAge is the metric.
func (n *nodeResources) copyAge() float64 {
	n.t.Helper()
	for _, look := range n.metrics.look {
		look()
	}
	families, err := n.metrics.registry.Gather()
	must(n.t, err)
	for _, f := range families {
		if f.GetName() == "assay_policies_copy_age_seconds" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	n.t.Fatal("there is no such metric")
	return 0
}

// away is an API server that answers nobody until it is told to.
func away(s *clustertest.Server) *atomic.Bool {
	down := &atomic.Bool{}
	s.Fault(func(*http.Request) int {
		if down.Load() {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	return down
}

// T41: a node that starts before its API server decides by what was in force when it ended.
func TestT41_ANodeStartsWithoutItsAPIServer(t *testing.T) {
	s := newCluster(t)
	down := away(s)
	state := t.TempDir()
	putSecret(s, "assay", "keys", "ca.pem", newAuthority(t, "one").pem)
	putPolicy(s, "shop", denyShop)
	putPolicy(s, "signed", `{"scope":{"points":["spire"]},`+rootsIn("secret:keys/ca.pem")[1:])
	n := startNodeResources(t, s, state)
	n.decides("the cluster denies", "", engine.Denied, "closed")
	if v := n.decide("team"); v.Outcome == engine.CouldNotTell && strings.Contains(v.Reason, "cannot be used") {
		t.Errorf("the Secret is not read: %s", v.Reason)
	}
	n.until("a copy is kept", func() bool { _, err := os.Stat(filepath.Join(state, "cluster-policies.json")); return err == nil })
	if got := n.copyAge(); got != 0 {
		t.Errorf("the API server tells, and the copy decides for %v s", got)
	}
	n.end()
	name := filepath.Join(state, "cluster-policies.json")
	info, err := os.Stat(name)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}
	hour := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(name, hour, hour))

	down.Store(true)
	s.CutWatches()
	n = startNodeResources(t, s, state)
	if v := n.decide(""); v.Outcome != engine.Denied || !strings.Contains(v.Reason, "closed") {
		t.Errorf("at the start: %v", &v)
	}
	if v := n.decide("team"); strings.Contains(v.Reason, "cannot be used") {
		t.Errorf("the Secret is not in the copy: %v", &v)
	}
	for _, k := range n.needs {
		if !k.known() {
			t.Errorf("it is not ready: %s", k.what)
		}
	}
	if got := n.copyAge(); got < 3600 || got > 3700 {
		t.Errorf("the copy is %v s old", got)
	}
	if line := n.log.find("the policies of the cluster are those of the last good copy, until the API server tells of them"); line == nil || !strings.HasPrefix(line["age"].(string), "1h0m") {
		t.Errorf("the log tells %v", line)
	}
	// What was changed meanwhile holds as soon as it can be told.
	putPolicy(s, "shop", allowShop)
	down.Store(false)
	n.decides("the API server is back", "", engine.Allowed, "")
	n.until("the copy decides no more", func() bool { return n.copyAge() == 0 })
	n.end()
	down.Store(true)
	s.CutWatches()
	n = startNodeResources(t, s, state)
	if v := n.decide(""); !v.Allowed {
		t.Errorf("the change is not in the copy: %v", &v)
	}
}

// T36: without a copy, and without the API server, nobody can tell.
func TestT36_ANodeWithoutACopyCannotTell(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	down := away(s)
	down.Store(true)
	n := startNodeResources(t, s, t.TempDir())
	if v := n.decide(""); v.Outcome != engine.CouldNotTell || v.Allowed {
		t.Errorf("got %v", &v)
	}
	for _, k := range n.needs {
		if k.known() {
			t.Errorf("it is ready: %s", k.what)
		}
	}
	down.Store(false)
	n.decides("the API server is there", "", engine.Allowed, "")
}

// T41: a copy that is lost is written again, though nothing of the policies has changed.
func TestT41_ACopyThatIsLostIsWrittenAgain(t *testing.T) {
	c := &lastGood{file: filepath.Join(t.TempDir(), "state", "cluster-policies.json"), now: time.Now}
	for range 2 {
		must(t, c.write(policyCopy{Form: copyForm}, true))
		_, _, err := c.read()
		must(t, err)
		must(t, os.Remove(c.file))
	}
}

// T27: a copy that somebody else could have written, or that was cut off, is none.
func TestT27_ACopyThatIsNotTheDaemons(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	down := away(s)
	state := t.TempDir()
	name := filepath.Join(state, "cluster-policies.json")
	n := startNodeResources(t, s, state)
	n.decides("it allows", "", engine.Allowed, "")
	n.until("a copy is kept", func() bool { _, err := os.Stat(name); return err == nil })
	n.end()
	content, err := os.ReadFile(name)
	must(t, err)
	down.Store(true)
	s.CutWatches()
	rows := map[string]func(){
		"others may write": func() { must(t, os.Chmod(name, 0o622)) },
		"it is cut off":    func() { must(t, os.WriteFile(name, content[:len(content)/2], 0o600)) },
		"another form":     func() { replaceText(t, name, `"form":1`, `"form":2`) },
		"an unknown field": func() { replaceText(t, name, `"form":1`, `"form":1,"more":true`) },
		"twice one object": func() {
			replaceText(t, name, `"policies":[`, `"policies":[`+between(string(content), `"policies":[`, `]}`)+`,`)
		},
		"a wrong kind": func() { replaceText(t, name, `"kind":"TrustPolicy"`, `"kind":"NamespaceTrustPolicy"`) },
		"something behind": func() {
			must(t, os.WriteFile(name, append(content[:len(content):len(content)], `{"form":1}`...), 0o600))
		},
		"a link": func() {
			must(t, os.Rename(name, name+".other"))
			must(t, os.Symlink(name+".other", name))
		},
		"no version that is good": func() { replaceText(t, name, `"good":`, `"files":{},"reason":"x","error":"none is good","uid":`) },
	}
	for what, spoil := range rows {
		if runtime.GOOS == "windows" {
			break
		}
		t.Run(what, func(t *testing.T) {
			must(t, os.RemoveAll(name))
			must(t, os.WriteFile(name, content, 0o600))
			spoil()
			n := startNodeResources(t, s, state)
			if v := n.decide(""); v.Outcome != engine.CouldNotTell || v.Allowed {
				t.Errorf("got %v", &v)
			}
			n.end()
		})
	}
	must(t, os.RemoveAll(name))
	must(t, os.WriteFile(name, content, 0o600))
	if v := startNodeResources(t, s, state).decide(""); !v.Allowed {
		t.Errorf("the copy itself: %v", &v)
	}
}

func replaceText(t *testing.T, name, old, text string) {
	t.Helper()
	content, err := os.ReadFile(name)
	must(t, err)
	if !strings.Contains(string(content), old) {
		t.Fatalf("there is no %s in %s", old, content)
	}
	must(t, os.WriteFile(name, []byte(strings.Replace(string(content), old, text, 1)), 0o600))
}

func between(text, begin, end string) string {
	_, rest, _ := strings.Cut(text, begin)
	inside, _, _ := strings.Cut(rest, end)
	return inside
}

// A version that cannot be used leaves the one before in force, over a restart too: the copy has it.
func TestANodeRemembersTheGoodVersion(t *testing.T) {
	s := newCluster(t)
	state := t.TempDir()
	putPolicy(s, "shop", allowShop)
	n := startNodeResources(t, s, state)
	n.decides("it allows", "", engine.Allowed, "")
	putPolicy(s, "shop", broken)
	n.until("the bad edit is noticed", func() bool { return n.log.find("policy cannot be used") != nil })
	n.end()
	n = startNodeResources(t, s, state)
	n.until("the bad edit is noticed again", func() bool { return n.copyAge() == 0 })
	if v := n.decide(""); !v.Allowed {
		t.Errorf("got %v", &v)
	}
	// Made anew, it is another policy.
	s.Delete(trustPolicies, "", "shop")
	putPolicy(s, "shop", broken)
	n.decides("the other policy stands in", "", engine.CouldNotTell, "cannot be used")
	n.end()
	n = startNodeResources(t, s, state)
	if v := n.decide(""); v.Outcome != engine.CouldNotTell {
		t.Errorf("got %v", &v)
	}
}

// A node reads, and writes nothing, also where it may.
func TestANodeWritesNothing(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	putNamespacePolicy(s, "team", "closed", denyShop)
	n := startNodeResources(t, s, t.TempDir())
	n.decides("the cluster allows", "shop", engine.Allowed, "")
	n.decides("the tenant denies", "team", engine.Denied, "closed")
	n.decides("where no namespace is known, the tenant's says nothing", "", engine.Allowed, "")
	putPolicy(s, "shop", broken)
	n.until("the bad edit is noticed", func() bool { return n.log.find("policy cannot be used") != nil })
	n.end()
	for _, method := range []string{"PATCH", "POST", "PUT", "DELETE"} {
		if c := s.Count(method, "/"); c > 0 {
			t.Errorf("%d requests %s", c, method)
		}
	}
	if c := s.Count("GET", "/namespaces?"); c > 0 {
		t.Errorf("%d requests for namespaces, which nobody asks about", c)
	}
}

func TestNodePolicyFlagsGoTogether(t *testing.T) {
	for _, o := range []nodePolicyOptions{{kubeconfig: "x"}, {ownNamespace: "x"}} {
		if err := o.check(); err == nil || !strings.Contains(err.Error(), "without --policy-resources") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
