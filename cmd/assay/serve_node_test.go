//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/engine"
)

// serveNode runs serve node until the test ends.
func serveNode(t *testing.T, args ...string) *pluginServer {
	t.Helper()
	return serveSocket(t, map[string]string{}, "node", args...)
}

// decides asks the node daemon in the name of a point.
func (p *pluginServer) decides(point, image string) engine.Verdict {
	p.t.Helper()
	c := node.Open(p.socket)
	defer c.Close()
	req := engine.Request{Image: image}
	req.Point = point
	return c.Decide(p.t.Context(), req)
}

// pulls asks as containerd's image verifier does.
func (p *pluginServer) pulls(name, digest string) ask.Answer {
	p.t.Helper()
	a, err := ask.Node(p.t.Context(), p.socket, ask.Question{Name: name, Digest: digest, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 500})
	must(p.t, err)
	return a
}

// looks reads a page of --listen-metrics.
func (p *pluginServer) looks(page string) (int, string) {
	p.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + p.log.find("metrics")["address"].(string) + page)
	must(p.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	must(p.t, err)
	return resp.StatusCode, string(content)
}

func (p *pluginServer) counts(line string) bool {
	_, content := p.looks("/metrics")
	return strings.Contains(content, line+"\n")
}

// All points of a host at one socket: what one of them had decided is known to the others, and the metrics and the log tell them apart.
func TestServeNode(t *testing.T) {
	s := newStage(t)
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(settings, []byte("registries:\n- host: "+s.host+"\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n"), 0o600))
	e := newEngine(t, "29.3.1")
	good, other := s.host+"/shop/api:1", s.host+"/shop/web:1"
	p := serveNode(t, "--policy", s.policy, "--registries", settings, "--docker", "--docker-socket", e.socket, "--route", "build=deny", "--listen-metrics", "127.0.0.1:0")

	v := p.decides("cli", good)
	if !v.Allowed || len(v.Authorities) == 0 || len(v.Authorities[0].Proofs) == 0 {
		t.Fatalf("got %+v\n%s", v, p.log)
	}
	digest := v.Digest.String()
	if v := p.decides("spire", s.host+"/shop/api@"+digest); !v.Allowed || !v.Cached {
		t.Errorf("SPIRE: got %+v", v)
	}
	if v := p.decides("cli", other); v.Allowed || v.Outcome != engine.Denied {
		t.Errorf("an unsigned one: got %+v", v)
	}
	if a := p.pulls(good, digest); !a.Allowed {
		t.Errorf("containerd: got %+v", a)
	}
	line := p.log.find("verdict")
	if line["asked"] != "containerd" || line["point"] != "node" || line["cached"] != true || line["image"] != good+"@"+digest {
		t.Errorf("logged %v", line)
	}
	if a := p.pulls(other, p.decides("cli", other).Digest.String()); a.Allowed {
		t.Errorf("containerd, an unsigned one: got %+v", a)
	}
	p.want("docker", "", p.pull(good))
	p.want("docker, an unsigned one", "may not run", p.create(other))
	p.want("docker, a switch", "build=deny", askPlugin(t, p.client, "POST", "/build", ""))

	for _, line := range []string{
		`assay_point_decisions_total{outcome="allowed",point="cli"} 1`, `assay_point_decisions_total{outcome="denied",point="cli"} 2`,
		`assay_point_decisions_total{outcome="allowed",point="spire"} 1`,
		`assay_point_decisions_total{outcome="allowed",point="containerd"} 1`, `assay_point_decisions_total{outcome="denied",point="containerd"} 1`,
		`assay_point_decisions_total{outcome="allowed",point="docker"} 1`, `assay_point_decisions_total{outcome="denied",point="docker"} 1`,
		`assay_requests_refused_total{reason="route-denied"} 1`,
	} {
		if !p.counts(line) {
			_, all := p.looks("/metrics")
			t.Errorf("metrics have no %s\n%s", line, all)
		}
	}
	for _, page := range []string{"/healthz", "/readyz"} {
		p.until(page, func() bool { status, _ := p.looks(page); return status == 200 })
	}
	if status, _ := postTo(t, p.socket, "/metrics"); status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		t.Errorf("metrics at the socket: got %d", status)
	}
}

func postTo(t *testing.T, socket, path string) (int, string) {
	t.Helper()
	resp, err := dial(socket).Post("http://node"+path, "application/json", strings.NewReader("{}"))
	must(t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(content)
}

// Without --docker nobody is an engine's plugin.
func TestServeNodeWithoutDocker(t *testing.T) {
	p := serveNode(t, "--policy", servedPolicy(t, "a"))
	if status, _ := postTo(t, p.socket, "/AuthZPlugin.AuthZReq"); status != http.StatusNotFound {
		t.Errorf("got %d", status)
	}
	if v := p.decides("cli", "registry.example/a/app:1"); !v.Allowed {
		t.Errorf("got %+v", v)
	}
}

// A policy that is replaced is in force soon after; a bad one is not, and what was in force stays.
func TestServeNodeReadsPoliciesAgain(t *testing.T) {
	file := servedPolicy(t, "a")
	p := serveNode(t, "--policy", file, "--listen-metrics", "127.0.0.1:0")
	allowed := func(team string) bool { return p.decides("cli", "registry.example/"+team+"/app:1").Allowed }
	if !allowed("a") || allowed("b") {
		t.Error("not by its policy")
	}
	replace(t, file, "spec: [")
	p.until("the bad policy is counted", func() bool { return p.counts(`assay_reload_refused{what="policies"} 1`) })
	if !allowed("a") || allowed("b") {
		t.Error("a bad policy changed something")
	}
	replace(t, file, fmt.Sprintf(allowOnly, "b", "b"))
	p.until("the new policy is in force", func() bool { return allowed("b") && !allowed("a") })
}

// What was asked before SIGTERM has its answer, and nothing new is taken.
func TestServeNodeDrains(t *testing.T) {
	waiting, release := make(chan struct{}, 1), make(chan struct{})
	host := newSlowRegistry(t, waiting, release)
	folder := t.TempDir()
	settings, file := filepath.Join(folder, "registries.yaml"), filepath.Join(folder, "policy.yaml")
	replace(t, settings, fmt.Sprintf("registries:\n- host: %s\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n", host))
	text := fmt.Sprintf(allowOnly, "a", "a") + "  revoked:\n  - {digest: \"sha256:" + strings.Repeat("0", 64) + "\", reason: for the test}\n"
	replace(t, file, strings.ReplaceAll(text, "registry.example", host))
	p := serveNode(t, "--policy", file, "--registries", settings)
	answered := make(chan engine.Verdict, 1)
	go func() { answered <- p.decides("cli", host+"/a/app:1") }()
	<-waiting
	ended := make(chan struct{})
	go func() { p.stop(); close(ended) }()
	p.until("the end is told", func() bool { return p.log.find("draining") != nil })
	p.until("nothing new is taken", func() bool {
		conn, err := net.Dial("unix", p.socket)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(release)
	if v := <-answered; !v.Allowed {
		t.Errorf("got %+v", v)
	}
	<-ended
	if v := p.decides("cli", host+"/a/app:1"); v.Allowed || v.Outcome != engine.CouldNotTell {
		t.Errorf("without a daemon: got %+v", v)
	}
}

// T43 and T47: who asks drop by drop loses the place.
func TestT43_NodeBodiesInDrops(t *testing.T) {
	t.Parallel()
	p := serveNode(t, "--policy", servedPolicy(t, "a"))
	conn, err := net.Dial("unix", p.socket)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(bodyTimeout+20*time.Second)))
	_, err = io.WriteString(conn, "POST /v1/decisions HTTP/1.1\r\nHost: node\r\nContent-Length: 100\r\n\r\n{")
	must(t, err)
	if v := p.decides("cli", "registry.example/a/app:1"); !v.Allowed {
		t.Errorf("meanwhile: got %+v", v)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
		t.Errorf("got %q, %v", answer, err)
	}
}

// T47: no label has anything of what is asked.
func TestT47_LabelsOfTheNodeAreBounded(t *testing.T) {
	p := serveNode(t, "--policy", servedPolicy(t, "a"), "--docker", "--docker-socket", newEngine(t, "29.3.1").socket, "--listen-metrics", "127.0.0.1:0")
	c := node.Open(p.socket)
	defer c.Close()
	count := func() int {
		_, content := p.looks("/metrics")
		return seriesWithout(t, content, "marker")
	}
	questions := func(i int) {
		name := fmt.Sprintf("marker%d.example/marker/%d:%d", i, i, i)
		for _, point := range []string{"cli", "spire", "marker" + fmt.Sprint(i)} {
			req := engine.Request{Image: name}
			req.Point = point
			c.Decide(t.Context(), req)
		}
		p.pulls(name, "sha256:"+strings.Repeat("a", 64))
		p.pull(name)
		postTo(t, p.socket, "/marker")
	}
	questions(0)
	before := count()
	for i := range 20 {
		questions(i + 1)
	}
	if after := count(); after != before {
		t.Errorf("got %d series, want %d", after, before)
	}
}

// systemd holds the socket and passes it.
func TestServeNodeSocketOfSystemd(t *testing.T) {
	path, log := passedTo(t, "node --socket /nowhere/node.sock --policy "+servedPolicy(t, "a"))
	p := &pluginServer{t: t, socket: path}
	if v := p.decides("cli", "registry.example/a/app:1"); !v.Allowed { // it waits until somebody answers
		t.Errorf("got %+v\n%s", v, log)
	}
}

func TestServeNodeUsage(t *testing.T) {
	policy, link := servedPolicy(t, "a"), filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink("/run/docker.sock", link))
	for name, row := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no policy":               {nil, "nobody's word would count", exitUsage},
		"a user that is none":     {[]string{"-p", policy, "--allow-user", "no such user"}, "--allow-user no such user", exitUsage},
		"a user without a name":   {[]string{"-p", policy, "--allow-user", ""}, "--allow-user", exitUsage},
		"a user that is anybody":  {[]string{"-p", policy, "--allow-user", "65534"}, "user 65534", exitUsage},
		"a switch of no engine":   {[]string{"-p", policy, "--route", "build=deny"}, "give --docker as well", exitUsage},
		"a socket of no engine":   {[]string{"-p", policy, "--docker-socket", "/x"}, "give --docker as well", exitUsage},
		"an unknown switch":       {[]string{"-p", policy, "--docker", "--route", "buil=deny"}, "did you mean build?", exitUsage},
		"a mode that is none":     {[]string{"-p", policy, "--socket-mode", "rw"}, "--socket-mode", exitUsage},
		"an empty variable":       {[]string{"-p", policy, "--socket-group", ""}, "--socket-group: is empty", exitUsage},
		"no time":                 {[]string{"-p", policy, "--timeout", "0s"}, "--timeout", exitUsage},
		"an argument":             {[]string{"-p", policy, "registry.example/app:1"}, "", exitUsage},
		"a policy that is broken": {[]string{"-p", "/no/such/file"}, "/no/such/file", exitUsage},
		"a link":                  {[]string{"-p", policy, "--socket", link}, "is there and no socket", exitCannotTell},
		"a path that is too long": {[]string{"-p", policy, "--socket", "/" + strings.Repeat("x", 108)}, "107 bytes", exitUsage},
	} {
		args := append([]string{"serve", "node", "--socket", filepath.Join(t.TempDir(), "s"), "--state-dir", t.TempDir()}, row.args...)
		if got := runAssay(t, "", args...); got.code != row.code || !strings.Contains(got.stderr, row.want) {
			t.Errorf("%s: got exit code %d, %s", name, got.code, got.stderr)
		}
	}
}

// The kernel says who asks. Here it is the own user, who may; in enforce/node there are others.
func TestServeNodeKnowsUsers(t *testing.T) {
	got, err := userIDs([]string{"root", "4242"})
	if err != nil || len(got) != 2 || got[0] != 0 || got[1] != 4242 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := userIDs([]string{"4294967296"}); err == nil {
		t.Error("a number that no user has: got no error")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("late"))
	defer cancel()
	c := node.Open(filepath.Join(t.TempDir(), "nowhere"))
	defer c.Close()
	if v := c.Decide(ctx, engine.Request{Image: "a"}); v.Allowed {
		t.Errorf("got %+v", v)
	}
}
