//go:build linux

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
)

// node starts serve node with the fleet's policy and its upstream.
func (f *fleet) node(t *testing.T) *pluginServer {
	t.Helper()
	o := f.flags(t, "node")
	return serveNode(t, "--policy", f.policy, "--registries", f.in("registries.yaml"), "--listen-metrics", "127.0.0.1:0",
		"--upstream", o.url, "--upstream-ca", o.ca, "--upstream-cert", o.cert, "--upstream-key", o.key, "--upstream-timeout", "10s")
}

func (p *pluginServer) wantUpstream(result string, count string) {
	p.t.Helper()
	if line := `assay_upstream_questions_total{result="` + result + `"} ` + count; !p.counts(line) {
		_, all := p.looks("/metrics")
		p.t.Errorf("metrics lack %s\n%s\n%s", line, all, p.log)
	}
}

// A node asks its upstream, is told the same as it would find itself, and decides alone where the upstream does not know it any more, rests on
// something else, or is away.
func TestServeNodeAsksItsUpstream(t *testing.T) {
	f := newFleet(t, 3)
	unsigned := f.push("shop/unsigned", false)
	f.serve(t)
	p := f.node(t)
	v := p.decides("containerd", f.images[0])
	if !v.Allowed || v.Cached || len(v.Authorities) != 1 || len(v.Authorities[0].Proofs) != 1 {
		t.Errorf("got %+v\n%s", v, p.log)
	}
	if again := p.decides("containerd", f.images[0]); !again.Allowed || !again.Cached {
		t.Errorf("again: got %+v", again)
	}
	if no := p.decides("containerd", unsigned); no.Allowed || no.Outcome != engine.Denied {
		t.Errorf("unsigned: got %+v", no)
	}
	p.wantUpstream("counted", "2")
	p.wantUpstream("remembered", "1")
	if !f.upstream.metric(`assay_decisions_total{mode="enforce",outcome="denied"} 1`) || f.upstream.log.find("verdict")["user"] != "certificate CN=node" {
		t.Errorf("the upstream was not asked as node: %v", f.upstream.log.find("verdict"))
	}

	// A certificate that the upstream does not know.
	known := *f.clients
	f.clients = newAuthority(t, "others")
	f.clients.issue(t, "node", f.in("node.crt"), f.in("node.key"))
	p.until("the certificate is in use", func() bool { return p.counts(`assay_reloads_total{result="used",what="upstream"} 2`) })
	if v := p.decides("containerd", f.images[1]); !v.Allowed {
		t.Errorf("as nobody: got %+v", v)
	}
	p.wantUpstream("away", "1")
	// A file that is none leaves in use what was.
	f.clients = &known
	replace(t, f.in("node.crt"), "no certificate")
	p.until("the file is refused", func() bool { return p.counts(`assay_reload_refused{what="upstream"} 1`) })
	f.clients.issue(t, "node", f.in("node.crt"), f.in("node.key"))
	p.until("the certificate is in use", func() bool { return p.counts(`assay_reloads_total{result="used",what="upstream"} 3`) })

	f.upstream.stop()
	f.upstream.ended <- <-f.upstream.ended
	for range 5 {
		if v := p.decides("containerd", f.images[2]); !v.Allowed {
			t.Errorf("alone: got %+v", v)
		}
	}
	p.wantUpstream("away", "3")
	p.wantUpstream("skipped", "3")
	if !strings.Contains(p.log.String(), "the upstream is away") {
		t.Errorf("nothing is logged\n%s", p.log)
	}
}

// T27: the policy of the node changes: nothing that was kept of the upstream counts any more.
func TestT27_NodesPolicyBeatsItsUpstream(t *testing.T) {
	f := newFleet(t, 1)
	f.serve(t)
	before := f.policy
	f.policy = f.in("node.yaml") // equal, and not the same file
	f.use("require: ci")
	p := f.node(t)
	if v := p.decides("cli", f.images[0]); !v.Allowed {
		t.Fatalf("got %+v", v)
	}
	p.wantUpstream("counted", "1")
	f.use("deny: not here")
	p.until("the policy is in force", func() bool { return p.counts(`assay_reloads_total{result="used",what="policies"} 2`) })
	if v := p.decides("cli", f.images[0]); v.Allowed || v.Reason != "not here" {
		t.Errorf("got %+v", v)
	}
	p.wantUpstream("other-basis", "1")
	f.policy = before
}

// A server that is no upstream, at an address that is one's, is not told what runs here: its certificate is by nobody who counts.
func TestT46_UpstreamsAreKnown(t *testing.T) {
	f := newFleet(t, 1)
	f.serve(t)
	asked := false
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	f.upstream.address = strings.TrimPrefix(other.URL, "https://")
	p := f.node(t)
	if v := p.decides("cli", f.images[0]); !v.Allowed {
		t.Errorf("got %+v", v)
	}
	p.wantUpstream("away", "1")
	if asked {
		t.Error("it was asked")
	}
}

// Nodes that decide by the policies of their cluster have an upstream that does so too, and count what it says.
func TestUpstreamOfACluster(t *testing.T) {
	s := newCluster(t)
	putPolicy(s, "shop", denyShop)
	f := newFleet(t, 0)
	f.upstream = serve(t, "--policy-resources", "--kubeconfig", s.Kubeconfig(), "--own-namespace", "assay", "--state-dir", t.TempDir(),
		"--tls-cert", f.in("tls.crt"), "--tls-key", f.in("tls.key"), "--client-ca", f.in("clients.pem"))
	f.upstream.until("the upstream knows the policies", func() bool { status, _, _ := f.upstream.ask("/readyz", ""); return status == http.StatusOK })
	o := f.flags(t, "node")
	p := serveNode(t, "--policy-resources", "--kubeconfig", s.Kubeconfig(), "--own-namespace", "assay", "--listen-metrics", "127.0.0.1:0",
		"--upstream", o.url, "--upstream-ca", o.ca, "--upstream-cert", o.cert, "--upstream-key", o.key)
	p.until("the node knows the policies", func() bool { status, _ := p.looks("/readyz"); return status == http.StatusOK })
	if v := p.decides("containerd", shopImage); v.Allowed || v.Outcome != engine.Denied || !strings.Contains(v.Reason, "closed") {
		t.Errorf("got %+v", v)
	}
	p.wantUpstream("counted", "1")
}
