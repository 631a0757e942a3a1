package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
)

// T27: an upstream with the policies of a cluster rests on the same as the nodes that have them, so that its word counts there; with another
// version of them it does not.
func TestT27_UpstreamAndNodesRestOnTheSame(t *testing.T) {
	s := newCluster(t)
	putSecret(s, "assay", "keys", "ca.pem", newAuthority(t, "one").pem)
	putPolicy(s, "signed", rootsIn("secret:keys/ca.pem"))
	one, other := startNodeResources(t, s, t.TempDir()), startNodeResources(t, s, t.TempDir())
	basis := func(n *nodeResources) string { return n.engine.Basis(policy.Request{Point: "containerd"}) }
	one.until("both rest on the same", func() bool { return basis(one) != "" && basis(one) == basis(other) })
	before := basis(one)
	other.end()
	putPolicy(s, "signed", denyShop)
	one.decides("the edit is in force", "", engine.Denied, "closed")
	if now := basis(one); now == before || now == basis(other) {
		t.Errorf("another version rests on the same: %s", now)
	}
}

func TestAPIWithThePoliciesOfACluster(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", allowShop)
	r := serveAt(t, testPace, nil, "api", "--policy-resources", "--own-namespace", "assay", "--insecure-plain-http", "--kubeconfig", s.Kubeconfig(), "--state-dir", t.TempDir())
	r.untilReady()
	allowed := func() bool {
		status, _, body := r.ask("/v1/verdicts", `{"images":["`+shopImage+`"]}`)
		return status == http.StatusOK && strings.Contains(body, `"allowed":true`)
	}
	r.until("it allows", allowed)
	putPolicy(s, "shop", denyShop)
	r.until("it denies", func() bool { return !allowed() })
	if n := s.Count("PATCH", "/"); n > 0 {
		t.Errorf("%d writes", n)
	}
	for args, want := range map[string]string{
		"--policy-resources --token-user x": "--token-review",
		"--own-namespace x --policy p":      "without --policy-resources",
		"--kubeconfig x --policy p":         "--policy-resources",
	} {
		got := runAssay(t, "", append([]string{"serve", "api", "--insecure-plain-http", "--listen", "127.0.0.1:0"}, strings.Fields(args)...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d\n%s", args, got.code, got.stderr)
		}
	}
}
