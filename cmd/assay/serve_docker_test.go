package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// engineStandIn answers as a Docker engine that has images, by their names.
type engineStandIn struct {
	socket string
	mu     sync.Mutex
	images map[string]string // name to JSON
}

func newEngine(t *testing.T, version string) *engineStandIn {
	t.Helper()
	e := &engineStandIn{socket: filepath.Join(t.TempDir(), "docker.sock"), images: map[string]string{}}
	l, err := net.Listen("unix", e.socket)
	must(t, err)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/images/"), "/json")
		switch answer, found := e.images[name]; {
		case r.URL.Path == "/info":
			fmt.Fprintf(w, `{"ServerVersion":%q,"Plugins":{"Authorization":["assay"]}}`, version)
		case found:
			_, _ = io.WriteString(w, answer)
		default:
			http.Error(w, `{"message":"no such thing"}`, http.StatusNotFound)
		}
	})}}
	s.Start()
	t.Cleanup(s.Close)
	return e
}

// pluginServer is a running serve docker.
type pluginServer struct {
	t      *testing.T
	log    *lines
	client *http.Client
	socket string
	stop   func()
}

func (p *pluginServer) until(what string, yes func() bool) {
	(&running{t: p.t, log: p.log}).until(what, yes)
}

// dial makes the client of a plugin's socket.
func dial(socket string) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// servePlugin runs serve docker until the test ends.
func servePlugin(t *testing.T, env map[string]string, engine *engineStandIn, args ...string) *pluginServer {
	t.Helper()
	return serveSocket(t, env, "docker", append([]string{"--docker-socket", engine.socket}, args...)...)
}

// serveSocket runs a server of one host until the test ends.
func serveSocket(t *testing.T, env map[string]string, point string, args ...string) *pluginServer {
	t.Helper()
	p := &pluginServer{t: t, log: &lines{}, socket: filepath.Join(t.TempDir(), "plugins", "assay.sock")}
	p.client = dial(p.socket)
	ctx, cancel := context.WithCancel(context.Background())
	if env["ASSAY_STATE_DIR"] == "" {
		env["ASSAY_STATE_DIR"] = t.TempDir()
	}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: p.log, getenv: func(name string) string { return env[name] }, now: time.Now, pace: testPace}
	ended := make(chan int, 1)
	go func() {
		ended <- a.run(ctx, append([]string{"assay", "serve", point, "--socket", p.socket}, args...))
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("got exit code %d\n%s", code, p.log)
		}
	})
	t.Cleanup(p.stop)
	p.until("it listens", func() bool { return p.log.find("listening") != nil })
	return p
}

type pluginAnswer struct {
	Allow bool
	Msg   string
}

func askPlugin(t *testing.T, client *http.Client, method, uri, body string) pluginAnswer {
	t.Helper()
	asked := map[string]any{"RequestMethod": method, "RequestUri": uri, "User": "alice", "UserAuthNMethod": "TLS"}
	if body != "" {
		asked["RequestBody"], asked["RequestHeaders"] = []byte(body), map[string]string{"Content-Type": "application/json"}
	}
	content, err := json.Marshal(asked)
	must(t, err)
	resp, err := client.Post("http://plugin/AuthZPlugin.AuthZReq", "application/json", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a pluginAnswer
	must(t, json.NewDecoder(resp.Body).Decode(&a))
	return a
}

func (p *pluginServer) want(what, text string, a pluginAnswer) {
	p.t.Helper()
	if a.Allow != (text == "") || !strings.Contains(a.Msg, text) {
		p.t.Errorf("%s: got %+v, want %q\n%s", what, a, text, p.log)
	}
}

func (p *pluginServer) pull(image string) pluginAnswer {
	p.t.Helper()
	return askPlugin(p.t, p.client, "POST", "/v1.41/images/create?fromImage="+url.QueryEscape(image), "")
}

func (p *pluginServer) create(image string) pluginAnswer {
	p.t.Helper()
	return askPlugin(p.t, p.client, "POST", "/v1.41/containers/create?name=web", fmt.Sprintf(`{"Image":%q}`, image))
}

// configOf asks the stage's registry for the config of an image.
func (s *stage) configOf(t *testing.T, repository, tag string) string {
	t.Helper()
	resp, err := http.Get("http://" + s.host + "/v2/" + repository + "/manifests/" + tag)
	must(t, err)
	defer resp.Body.Close()
	var m struct{ Config struct{ Digest string } }
	must(t, json.NewDecoder(resp.Body).Decode(&m))
	http.DefaultClient.CloseIdleConnections()
	return m.Config.Digest
}

// The whole of it, with the engine, a registry and a real socket: a signed image runs if the host has its content, and under no other name or
// content.
func TestServeDocker(t *testing.T) {
	s := newStage(t)
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(settings, []byte("registries:\n- host: "+s.host+"\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n"), 0o600))
	engine := newEngine(t, "20.10.24")
	good, other := s.host+"/shop/api:1", s.host+"/shop/web:1"
	config := s.configOf(t, "shop/api", "1")
	engine.images[good] = fmt.Sprintf(`{"Id":%q,"RepoTags":[%q]}`, config, good)
	engine.images[config] = engine.images[good]
	engine.images["renamed:1"] = fmt.Sprintf(`{"Id":%q,"RepoTags":["renamed:1"]}`, config)
	counted := filepath.Join(t.TempDir(), "metrics")
	p := servePlugin(t, map[string]string{"ROUTES": "build=deny"}, engine, "--policy", s.policy, "--registries", settings,
		"--listen-metrics", "unix:"+counted, "--listen-metrics", "127.0.0.1:0", "--route", "exec=warn")

	p.want("GET", "", askPlugin(t, p.client, "GET", "/v1.41/containers/json", ""))
	p.want("pull", "", p.pull(good))
	p.want("create", "", p.create(good))
	p.want("create by its ID", "", p.create(config))
	p.want("create by another name", "may not run", p.create("renamed:1"))
	p.want("an unsigned one", "may not run", p.create(other))
	p.want("build", "build=deny", askPlugin(t, p.client, "POST", "/build", ""))
	p.want("exec", "", askPlugin(t, p.client, "POST", "/containers/x/exec", "{}"))

	engine.mu.Lock()
	engine.images[good] = fmt.Sprintf(`{"Id":"sha256:%064d","RepoTags":[%q]}`, 7, good)
	engine.mu.Unlock()
	p.want("AUTHZ-12: another content under the name", "its content is another", p.create(good))
	line := p.log.find("verdict")
	if line["user"] != "alice" || line["operation"] != "create" || line["kind"] != "container" || line["name"] != "web" || line["image"] != good || line["verdict"] != "denied" || line["rule"] == "" {
		t.Errorf("logged %v", line)
	}

	p.until("AUTHZ-35: it warns of the engine", func() bool { return strings.Contains(p.log.String(), "CVE-2026-34040") })
	address := p.log.find("metrics")["address"].(string) // of the last one
	for where, client := range map[string]*http.Client{address: {Transport: &http.Transport{}}, "socket": dial(counted)} {
		resp, err := client.Get("http://" + where + "/metrics")
		must(t, err)
		content, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		client.CloseIdleConnections()
		for _, line := range []string{`assay_requests_refused_total{reason="route-denied"} 1`, `assay_decisions_total{mode="enforce",outcome="allowed"}`} {
			if !strings.Contains(string(content), line) {
				t.Errorf("metrics at %s have no %s", where, line)
			}
		}
	}
	info, err := os.Stat(counted)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("everybody may read the metrics at the socket: %v", info.Mode())
	}
}

// The three settings alone are a policy, in the predecessor's words.
func TestAUTHZ6_ServeDockerFromSettings(t *testing.T) {
	engine := newEngine(t, "29.3.1")
	p := servePlugin(t, map[string]string{"REGISTRY": "registry.example:5000", "NOTARY": "notary.example:4443", "REGISTRY_CREDENTIALS": "reader:secret"}, engine)
	p.want("another registry", "You can only use docker images from the following authorized registries: registry.example:5000", p.pull("my.unauthz.docker.registry/alpine:latest"))
	p.want("Docker Hub", "You can only use docker images from the following authorized registries: registry.example:5000", p.create("alpine"))
	if strings.Contains(p.log.String(), "secret") {
		t.Error("the password is logged")
	}
}

func TestAUTHZ3_Defaults(t *testing.T) {
	p := servePlugin(t, map[string]string{}, newEngine(t, "29.3.1"))
	p.want("another registry", "from the following authorized registries: docker.io", p.pull("registry.example/app:1"))
	if !strings.Contains(p.log.String(), "ends on 2026-12-08") || !strings.Contains(p.log.String(), `"level":"WARN","msg":"settings"`) {
		t.Errorf("it does not warn of the end of notary.docker.io: %s", p.log)
	}
}

func TestServeDockerRefusesSettings(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 108))
	for name, row := range map[string]struct {
		env  map[string]string
		args []string
		want string
		code int
	}{
		"a path without a port":  {nil, []string{"--listen-metrics", "/run/m.sock"}, "hint: write HOST:PORT, or unix:/run/m.sock", exitCannotTell},
		"a socket without name":  {nil, []string{"--listen-metrics", "unix:"}, "--listen-metrics: names no socket", exitUsage},
		"an endless socket":      {nil, []string{"--socket", long}, "nobody can connect to a path of more than 107 bytes", exitUsage},
		"endless metrics socket": {nil, []string{"--listen-metrics", "unix:" + long}, "--listen-metrics: " + long + ": nobody can connect", exitUsage},
		"an unknown switch":      {nil, []string{"--route", "buil=deny"}, "did you mean build?", exitUsage},
		"an unknown action":      {map[string]string{"ROUTES": "build=no"}, nil, "want deny, allow, warn", exitUsage},
		"no action":              {nil, []string{"--route", "build"}, "want SWITCH=ACTION", exitUsage},
		"a registry's URL":       {map[string]string{"REGISTRY": "https://registry.example"}, nil, "REGISTRY", exitUsage},
		"half a login":           {map[string]string{"REGISTRY_CREDENTIALS": "reader"}, nil, "want USER:PASSWORD", exitUsage},
		"a CA that is none":      {map[string]string{"REGISTRY_CA": "/no/such/file"}, nil, "REGISTRY_CA", exitUsage},
		"no such policy":         {map[string]string{"POLICY": "/no/such/folder"}, nil, "/no/such/folder", exitUsage},
		"a mode that is none":    {nil, []string{"--socket-mode", "rw"}, "--socket-mode", exitUsage},
		"a group that is none":   {nil, []string{"--socket-group", "no such group"}, "--socket-group", exitUsage},
		"no socket":              {nil, []string{"--socket", plain}, "is there and no socket", exitCannotTell},
		"no port":                {nil, []string{"--listen-metrics", "unix:" + filepath.Join(t.TempDir(), "m"), "--listen-metrics", "localhost"}, "--listen-metrics", exitCannotTell},
		"no metrics socket":      {nil, []string{"--listen-metrics", "unix:" + plain}, "--listen-metrics: " + plain + ": is there and no socket", exitCannotTell},
	} {
		var stderr bytes.Buffer
		env := map[string]string{"ASSAY_STATE_DIR": t.TempDir()}
		for k, v := range row.env {
			env[k] = v
		}
		a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &stderr, getenv: func(name string) string { return env[name] }, now: time.Now}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // it would serve for ever
		code := a.run(ctx, append([]string{"assay", "serve", "docker", "--socket", filepath.Join(t.TempDir(), "s")}, row.args...))
		cancel()
		if code != row.code || !strings.Contains(stderr.String(), row.want) {
			t.Errorf("%s: got exit code %d, %s", name, code, &stderr)
		}
	}
}

// The socket has its mode from the beginning, takes the place of one that nobody serves, and never that of one that somebody serves.
func TestPluginSocket(t *testing.T) {
	engine := newEngine(t, "29.3.1")
	stale := filepath.Join(t.TempDir(), "assay.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	p := servePlugin(t, map[string]string{}, engine, "--socket", stale, "--socket-mode", "0660", "--socket-group", fmt.Sprint(os.Getgid()))
	p.client = dial(stale)
	p.want("it serves", "", askPlugin(t, p.client, "GET", "/info", ""))
	info, err := os.Stat(stale)
	must(t, err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("got mode %v", info.Mode())
	}
	second := runAssay(t, "", "serve", "docker", "--socket", stale, "--state-dir", t.TempDir())
	if second.code != exitCannotTell || !strings.Contains(second.stderr, "somebody listens there already") || !strings.Contains(second.stderr, "--take-over") {
		t.Errorf("got %d %s", second.code, second.stderr)
	}
	p.want("it still serves", "", askPlugin(t, p.client, "GET", "/info", ""))
	p.stop()
	if _, err := os.Lstat(stale); !os.IsNotExist(err) {
		t.Errorf("it left its socket: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(stale), "*")); len(left) != 0 {
		t.Errorf("it left %q", left)
	}
}

// A policy of the folder that changes is in force soon after.
func TestServeDockerReadsPoliciesAgain(t *testing.T) {
	folder := t.TempDir()
	write := func(text string) {
		content := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: host}\nspec:\n  rules:\n  - images: [\"**\"]\n    " + text + "\n"
		must(t, os.WriteFile(filepath.Join(folder, "new"), []byte(content), 0o600))
		must(t, os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, "host.yaml")))
	}
	write("deny: not today")
	p := servePlugin(t, map[string]string{"POLICY": folder, "REGISTRY": "registry.example"}, newEngine(t, "29.3.1"))
	p.want("before", "not today", p.pull("registry.example/app:1"))
	write("allow: tomorrow")
	p.until("it is read again", func() bool { return p.pull("registry.example/app:1").Allow })
}

// dockerChild has the command line of a server that this process is, which is no run of tests then.
const dockerChild = "ASSAY_TEST_CHILD"

// serveDockerChild serves at the socket that it was passed, until it is killed.
func serveDockerChild() {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: os.Stderr, getenv: os.Getenv, now: time.Now}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a.run(ctx, append([]string{"assay", "serve"}, strings.Fields(os.Getenv(dockerChild))...))
}

// passedTo starts a server with a socket as systemd passes it, and returns where it is.
func passedTo(t *testing.T, commandLine string) (path string, log *lines) {
	t.Helper()
	path, log = filepath.Join(t.TempDir(), "assay.sock"), &lines{}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	file, err := l.File()
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	child := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"`, os.Args[0])
	child.Env = append(os.Environ(), dockerChild+"="+commandLine, "ASSAY_STATE_DIR="+t.TempDir())
	child.ExtraFiles = []*os.File{file}
	child.Stderr = log
	must(t, child.Start())
	t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
	return path, log
}

// AUTHZ-38: systemd holds the socket and passes it.
func TestAUTHZ38_SocketOfSystemd(t *testing.T) {
	path, log := passedTo(t, "docker --socket /nowhere/assay.sock --docker-socket /nowhere/docker.sock")
	// The connection is made before anybody listens: systemd keeps it.
	if a := askPlugin(t, dial(path), "GET", "/info", ""); !a.Allow {
		t.Errorf("got %+v\n%s", a, log)
	}
	if a := askPlugin(t, dial(path), "POST", "/plugins/assay/disable?force=1", ""); a.Allow || !strings.Contains(a.Msg, "plugins=deny") {
		t.Errorf("got %+v\n%s", a, log)
	}
}

// AUTHZ-7 and AUTHZ-32: docker run of an image that the host does not have asks the trust server once, for the create, the pull and the create
// again; and the predecessor's words for what is not signed.
func TestAUTHZ32_DockerRunAsksOnce(t *testing.T) {
	s := newNotaryStage(t, "")
	host := s.server.Host()
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(settings, []byte("registries:\n- host: "+host+"\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n"), 0o600))
	engine := newEngine(t, "29.3.1")
	p := servePlugin(t, map[string]string{}, engine, "--policy", s.policy, "--registries", settings)
	s.server.ResetRequests()
	p.want("create", "", p.create(s.ref+":1"))
	if n := s.trustRequests(); n != 5 {
		t.Errorf("the first create: %d requests for trust data, want 5: one cold look", n)
	}
	p.want("pull", "", p.pull(s.ref+":1"))
	engine.mu.Lock()
	engine.images[s.ref+":1"] = fmt.Sprintf(`{"Id":%q,"RepoTags":[%q]}`, (&stage{host: host}).configOf(t, "app", "1"), s.ref+":1")
	engine.mu.Unlock()
	s.server.ResetRequests()
	p.want("create again", "", p.create(s.ref+":1"))
	if n := s.trustRequests(); n != 0 {
		t.Errorf("%d more requests for trust data, want none", n)
	}
	s.server.PushImage("app", "2", "", "other")
	p.want("an unsigned tag", "No valid trust data for 2", p.pull(s.ref+":2"))
	p.want("an unsigned name", "does not have trust data for "+host+"/other", p.pull(host+"/other:1"))
}

// AUTHZ-4: what the settings come to is the policy that an import of them gives.
func TestAUTHZ4_SettingsAreTheirPolicy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if r := runAssay(t, "", "policy", "import", "img-authz-plugin", "REGISTRY=registry.example:5000", "NOTARY=notary.example:4443", "-o", file); r.code != 0 {
		t.Fatalf("got exit code %d: %s", r.code, r.stderr)
	}
	hash := func(env map[string]string, args ...string) any {
		return servePlugin(t, env, newEngine(t, "29.3.1"), args...).log.find("policy in force")["hash"]
	}
	settings := hash(map[string]string{"REGISTRY": "registry.example:5000", "NOTARY": "notary.example:4443"})
	if imported := hash(map[string]string{}, "--policy", file); imported == nil || settings != imported {
		t.Errorf("got policy %v, want %v", settings, imported)
	}
}

// The settings alone, with a registry that cannot be asked: what a tag stands for is told by those who sign it, and what the host has by the digest
// that the engine recorded at its pull.
func TestServeDockerWithoutTheRegistry(t *testing.T) {
	s := newNotaryStage(t, "")
	s.ref = "127.0.0.1:1/app" // where nobody listens
	s.repo = notarytest.New(s.ref, time.Now())
	s.repo.Delegate(notarytest.Releases)
	s.repo.Sign(notarytest.Releases, "1", s.digest)
	s.serve()
	must(t, os.WriteFile(filepath.Join(filepath.Dir(s.policy), "root.pem"), s.repo.Roles[notarytest.Root].Keys[0].Public, 0o600))
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	must(t, os.WriteFile(settings, []byte("registries:\n- host: "+s.server.Host()+"\n  insecurePlainHTTP: true\n  insecureAllowLoopback: true\n- host: 127.0.0.1:1\n  insecureAllowLoopback: true\n"), 0o600))
	engine := newEngine(t, "29.3.1")
	id := fmt.Sprintf("sha256:%064d", 7)
	engine.images[s.ref+":1"] = fmt.Sprintf(`{"Id":%q,"RepoTags":[%q],"RepoDigests":["%s@%s"]}`, id, s.ref+":1", s.ref, s.digest)
	p := servePlugin(t, map[string]string{}, engine, "--policy", s.policy, "--registries", settings)
	p.want("pull", "", p.pull(s.ref+":1"))
	p.want("create", "", p.create(s.ref+":1"))
	p.want("an unsigned tag", "No valid trust data for 2", p.pull(s.ref+":2"))
	p.want("an unsigned name", "does not have trust data for 127.0.0.1:1/other", p.pull("127.0.0.1:1/other:1"))
	strict := servePlugin(t, map[string]string{}, engine, "--policy", s.policy, "--registries", settings, "--require-content-chain")
	strict.want("the content is demanded", "could not be compared", strict.create(s.ref+":1"))
	engine.mu.Lock()
	engine.images[s.ref+":1"] = fmt.Sprintf(`{"Id":%q,"RepoTags":[%q]}`, fmt.Sprintf("sha256:%064d", 8), s.ref+":1")
	engine.mu.Unlock()
	p.want("a tag that was given here", "could not be compared", p.create(s.ref+":1"))
}

// AUTHZ-4 and AUTHZ-31: the settings against a registry and a Notary server behind TLS of their own CA and a login.
func TestAUTHZ31_SettingsWithALogin(t *testing.T) {
	server := registrytest.New(t, registrytest.Options{TLS: true, Notary: true, Username: "reader", Password: "secret"})
	ref := server.Host() + "/app"
	repo := notarytest.New(ref, time.Now())
	repo.Sign(notarytest.Targets, "1", server.PushImage("app", "1", "", "app"))
	for name, content := range repo.Files() {
		server.PutTrustData(ref, name, content)
	}
	_, manifest := server.Manifest("app", "1")
	var m struct{ Config struct{ Digest string } }
	must(t, json.Unmarshal(manifest, &m))
	engine := newEngine(t, "29.3.1")
	engine.images[ref+":1"] = fmt.Sprintf(`{"Id":%q,"RepoTags":[%q]}`, m.Config.Digest, ref+":1")
	ca, _, _, err := server.WriteTLS(t.TempDir())
	must(t, err)
	env := map[string]string{"REGISTRY": server.Host(), "NOTARY": server.Host(), "NOTARY_ROOT_CA": ca, "REGISTRY_CREDENTIALS": "reader:secret"}
	p := servePlugin(t, env, engine, "--require-content-chain")
	p.want("pull", "", p.pull(ref+":1"))
	p.want("create", "", p.create(ref+":1"))
	p.want("an unsigned tag", "No valid trust data for 2", p.pull(ref+":2"))
	env = map[string]string{"REGISTRY": server.Host(), "NOTARY": server.Host(), "NOTARY_ROOT_CA": ca, "REGISTRY_CREDENTIALS": "reader:wrong"}
	p = servePlugin(t, env, engine)
	p.want("another login", "could not tell", p.pull(ref+":1"))
}
