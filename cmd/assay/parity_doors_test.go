package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/enforce/containerd"
	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notation"
	"github.com/assay-dev/assay/trust/sigstore"
	"github.com/assay-dev/assay/workload"
)

// parityAnswer is what became of a question at a point.
type parityAnswer struct {
	verdicts []engine.Verdict // as the point recorded them
	allowed  bool             // in the protocol
	text     string           // what the protocol says to whoever asked
	unasked  bool             // the point cannot be asked this

	meaning   string         // where the protocol has words for it
	told      map[string]any // the verdict in the place of verdicts, where only the protocol has it
	selectors string
	also      *parityAnswer // of a second program of the same point
}

// parityDoor puts questions to a point over its own protocol.
type parityDoor func(f *parityFixture) parityAnswer

// parityPoints are the points, in the order of the page.
var parityPoints = []string{"kubernetes", "docker", "containerd", "spire", "api", "cli"}

// parityDesk is what one point decides with: an engine, a client of registries and a folder of its own, as another process would have.
type parityDesk struct {
	*parityWorld
	mode, set string
	app       *app
	client    *registry.Client
	engine    *engine.Engine
	point     *enforce.Point

	mu       sync.Mutex
	recorded []engine.Verdict
}

func (w *parityWorld) desk(mode, set string) *parityDesk { return w.sharing(mode, set, nil) }

// sharing is a desk whose engine shares what is proved.
func (w *parityWorld) sharing(mode, set string, cache engine.Shared) *parityDesk {
	w.Helper()
	d := &parityDesk{parityWorld: w, mode: mode, set: set}
	env := map[string]string{"ASSAY_STATE_DIR": w.TempDir()}
	d.app = &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, getenv: func(name string) string { return env[name] }, now: w.demands.app.now}
	var err error
	d.client, err = registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 10 * time.Second})
	must(w.TB, err)
	w.Cleanup(d.client.CloseIdleConnections)
	keeper, err := d.app.keeper()
	must(w.TB, err)
	d.engine, err = engine.New(engine.Config{
		Policies: w.parse(w.policies(mode, set)), Source: d.client, Tags: d.client, Now: d.app.now, Shared: cache,
		Formats: formats.All(formats.Config{
			Sigstore: sigstore.Config{Material: keeper}, NotaryV1: notaryv1.Config{Store: d.app.seenIn(""), Now: d.app.now}, Notation: notation.Config{Revocations: notation.NewRevocations(nil, d.app.now)},
		}),
	})
	must(w.TB, err)
	d.point = &enforce.Point{Decider: d.engine, Record: func(_ *enforce.Occasion, _ engine.Request, v *engine.Verdict) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.recorded = append(d.recorded, *v)
	}}
	return d
}

// take returns what was recorded since the last call.
func (d *parityDesk) take() []engine.Verdict {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.recorded
	d.recorded = nil
	return all
}

// door opens a point.
func (d *parityDesk) door(point string) parityDoor {
	d.Helper()
	switch point {
	case "kubernetes":
		return d.kubernetes()
	case "docker":
		return d.docker()
	case "containerd":
		return d.containerd()
	case "spire":
		return d.spire()
	case "api":
		return d.api()
	case "cli":
		return d.cli()
	}
	d.Fatalf("no door to %s", point)
	return nil
}

// labelsOfNobody knows that no namespace has labels.
type labelsOfNobody struct{}

// Labels implements kubernetes.Namespaces.
func (labelsOfNobody) Labels(context.Context, string) (map[string]string, error) {
	return map[string]string{}, nil
}

// kubernetes is asked to pin a pod's image, and then about the pod as it is after that.
func (d *parityDesk) kubernetes() parityDoor {
	h, err := kubernetes.New(kubernetes.Config{Point: d.point, Namespaces: labelsOfNobody{}})
	must(d.TB, err)
	ask := func(path, image string) (allowed bool, text, patched string) {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"",`+
			`"version":"v1","kind":"Pod"},"name":"x","userInfo":{"username":"jane"},"namespace":"shop","operation":"CREATE","object":{"spec":{"containers":[{"name":"a","image":%q}]}}}}`, image)))
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		var got struct {
			Response struct {
				Allowed bool
				Status  struct{ Message string }
				Patch   []byte
			}
		}
		must(d.TB, json.Unmarshal(answer.Body.Bytes(), &got))
		var steps []struct{ Path, Value any }
		if len(got.Response.Patch) > 0 {
			must(d.TB, json.Unmarshal(got.Response.Patch, &steps))
		}
		for _, s := range steps {
			if s.Path == "/spec/containers/0/image" {
				image, _ = s.Value.(string)
			}
		}
		return got.Response.Allowed, got.Response.Status.Message, image
	}
	return func(f *parityFixture) parityAnswer {
		allowed, text, patched := ask("/mutate", f.image)
		a := parityAnswer{verdicts: d.take(), allowed: allowed, text: text}
		if v := a.verdicts; len(v) == 1 && v[0].Pin != "" && patched != v[0].Pin {
			d.Errorf("kubernetes, %s: the pod has %s, want %s", f, patched, v[0].Pin)
		}
		if allowed {
			a.allowed, a.text, _ = ask("/validate", patched)
			if after := d.take(); len(after) != 1 || after[0].Outcome != a.verdicts[0].Outcome {
				d.Errorf("kubernetes, %s: got %v for what it had pinned", f, after)
			}
		}
		return a
	}
}

// api is asked in a request of its own, and answers with what it recorded.
func (d *parityDesk) api() parityDoor {
	p, err := api.New(api.Config{Point: d.point, Points: policy.Points(), InsecureNoAuth: true, Rate: 1 << 20, Now: d.app.now})
	must(d.TB, err)
	mux := http.NewServeMux()
	for pattern, h := range p.Routes() {
		mux.Handle(pattern, h)
	}
	return func(f *parityFixture) parityAnswer {
		body, err := json.Marshal(map[string]any{"images": []string{f.image}})
		must(d.TB, err)
		r := httptest.NewRequest(http.MethodPost, "/v1/verdicts", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, r)
		a := parityAnswer{verdicts: d.take(), text: answer.Body.String()}
		var told []json.RawMessage
		if err := json.Unmarshal(answer.Body.Bytes(), &told); err != nil || len(told) != 1 || len(a.verdicts) != 1 {
			d.Fatalf("api, %s: got %s", f, answer.Body)
		}
		if got, want := compactJSON(d.TB, told[0]), encodedJSON(d.TB, &a.verdicts[0]); got != want {
			d.Errorf("api, %s: told %s, want what is recorded: %s", f, got, want)
		}
		var v struct{ Allowed bool }
		must(d.TB, json.Unmarshal(told[0], &v))
		a.allowed = v.Allowed
		return a
	}
}

func compactJSON(t testing.TB, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	must(t, json.Compact(&b, raw))
	return b.String()
}

func encodedJSON(t testing.TB, v *engine.Verdict) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(t, e.Encode(v))
	return strings.TrimSpace(b.String())
}

// cli is the command: one run for all images of the set, and another one when an image is asked about again. Its exit code is that of the worst.
func (d *parityDesk) cli() parityDoor {
	var runs []map[string]map[string]any // the verdicts of a run, by image
	times := map[string]int{}
	return func(f *parityFixture) parityAnswer {
		n := times[f.image]
		times[f.image]++
		if n == len(runs) {
			runs = append(runs, d.verify())
		}
		v := runs[n][f.image]
		yes, _ := v["allowed"].(bool)
		return parityAnswer{told: v, allowed: yes}
	}
}

// verify runs assay verify, as a process that starts would.
func (d *parityDesk) verify() map[string]map[string]any {
	d.Helper()
	var stdin, stdout, stderr bytes.Buffer
	for _, f := range d.fixtures {
		if f.set == d.set {
			stdin.WriteString(f.image + "\n")
		}
	}
	run := *d.app
	run.stdin, run.stdout, run.stderr = &stdin, &stdout, &stderr
	args := []string{"assay", "verify", "-o", "json", "--images-file", "-", "--parallel", "32"}
	for _, file := range d.policies(d.mode, d.set) {
		args = append(args, "--policy", file)
	}
	code, want := run.run(context.Background(), args), exitAllowed
	all := map[string]map[string]any{}
	for line := range strings.SplitSeq(strings.TrimSpace(stdout.String()), "\n") {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			d.Fatalf("cli: exit %d, %v\n%s%s", code, err, &stdout, &stderr)
		}
		all[v["image"].(string)] = v
		if v["allowed"] == false {
			want = exitDenied
		}
	}
	if code != want {
		d.Errorf("cli: exit %d, want %d\n%s", code, want, &stderr)
	}
	return all
}

// parityHost is an engine that has all the images, each with a container.
type parityHost struct {
	socket string
	images map[string]string // by name and by ID
	of     map[string]string // ID of a container → what it is
	proc   fstest.MapFS
	pods   []string
	pids   map[string]int32 // by fixture
}

func (w *parityWorld) host() *parityHost {
	w.Helper()
	h := &parityHost{socket: filepath.Join(w.TempDir(), "docker.sock"), images: map[string]string{}, of: map[string]string{}, proc: fstest.MapFS{}, pids: map[string]int32{}}
	for i, f := range w.fixtures {
		if f.nameless {
			continue
		}
		config, pid := nameOf([]byte(f.name)), int32(i+100)
		about := fmt.Sprintf(`"RepoTags":[%q],"RepoDigests":[],"Config":{"Labels":{"team":"payments"}}`, f.image)
		if !f.made {
			config = w.configOn(f)
			about = fmt.Sprintf(`"RepoTags":[%q],"RepoDigests":[%q]`, f.ref.Name()+":1", f.ref.Name()+"@"+f.ref.Digest().String())
		}
		if _, there := h.images[config]; there {
			w.Fatalf("%s: two images with one content", f)
		}
		h.images[config] = fmt.Sprintf(`{"Id":%q,%s,"Os":"linux","Architecture":"amd64"}`, config, about)
		h.images[f.image] = h.images[config]
		id := fmt.Sprintf("%064x", i+1)
		h.of[id] = fmt.Sprintf(`{"Id":%q,"Image":%q,"Config":{"Image":%q}}`, id, config, f.image)
		h.pids[f.String()] = pid
		h.run(pid, "/system.slice/docker-"+id+".scope")
		uid := fmt.Sprintf("2c48913c-b29f-11e7-9350-%012d", i)
		h.run(pid+inPods, "/kubepods/burstable/pod"+uid+"/"+id)
		imageID := f.ref.String()
		if f.made {
			imageID = config
		}
		h.pods = append(h.pods, fmt.Sprintf(`{"metadata":{"uid":%q,"name":"x","namespace":"shop"},"spec":{"serviceAccountName":"sa","nodeName":"node"},"status":{"phase":"Running","containerStatuses":[`+
			`{"name":"a","containerID":%q,"image":%q,"imageID":%q,"state":{"running":{}}}]}}`, uid, "containerd://"+id, f.image, imageID))
	}
	l, err := net.Listen("unix", h.socket)
	must(w.TB, err)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	w.Cleanup(s.Close)
	return h
}

// inPods is how far the PIDs of the same containers are, as a kubelet runs them.
const inPods = 10_000

// run has a process run in a cgroup.
func (h *parityHost) run(pid int32, cgroup string) {
	folder := fmt.Sprintf("proc/%d/", pid)
	h.proc[folder+"stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d (a) S 1 %s%d %s\n", pid, strings.Repeat("0 ", 17), pid, strings.TrimSpace(strings.Repeat("0 ", 30)))}
	h.proc[folder+"cgroup"] = &fstest.MapFile{Data: []byte("0::" + cgroup + "\n")}
}

// kubelet serves the pods of the host.
func (h *parityHost) kubelet(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"kind":"PodList","items":[`+strings.Join(h.pods, ",")+`]}`)
}

// ServeHTTP implements http.Handler.
func (h *parityHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if version, rest, found := strings.Cut(path, "/"); found && strings.HasPrefix(version, "v1.") {
		path = rest
	}
	w.Header().Set("Api-Version", "1.45")
	kind, name, _ := strings.Cut(strings.TrimSuffix(path, "/json"), "/")
	from := map[string]map[string]string{"images": h.images, "containers": h.of}[kind]
	switch answer, found := from[name]; {
	case path == "_ping":
		_, _ = io.WriteString(w, "OK")
	case path == "info":
		_, _ = io.WriteString(w, `{"ServerVersion":"28.5.2"}`)
	case path == "events":
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case found:
		_, _ = io.WriteString(w, answer)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"message":"No such thing"}`)
	}
}

// docker is asked to pull the image, and then to make a container of it.
func (d *parityDesk) docker() parityDoor {
	daemon := workload.NewDocker(d.onHost.socket)
	d.Cleanup(daemon.Close)
	h, err := docker.New(docker.Config{Point: d.point, Daemon: daemon, Local: d.engine.Local})
	must(d.TB, err)
	ask := func(uri, body string) pluginAnswer {
		asked := map[string]any{"RequestMethod": "POST", "RequestUri": uri, "User": "alice"}
		if body != "" {
			asked["RequestBody"], asked["RequestHeaders"] = []byte(body), map[string]string{"Content-Type": "application/json"}
		}
		content, err := json.Marshal(asked)
		must(d.TB, err)
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/AuthZPlugin.AuthZReq", bytes.NewReader(content)))
		var a pluginAnswer
		must(d.TB, json.NewDecoder(answer.Body).Decode(&a))
		return a
	}
	return func(f *parityFixture) parityAnswer {
		a := parityAnswer{allowed: true}
		if !f.made {
			pull := ask("/v1.41/images/create?fromImage="+url.QueryEscape(f.image), "")
			a = parityAnswer{verdicts: d.take(), allowed: pull.Allow, text: pull.Msg}
		}
		if f.nameless {
			return a
		}
		create := ask("/v1.41/containers/create", fmt.Sprintf(`{"Image":%q}`, f.image))
		a.verdicts = append(a.verdicts, d.take()...)
		a.allowed = a.allowed && create.Allow
		if !create.Allow {
			a.text = create.Msg
		}
		return a
	}
}

// node serves the daemon of a host, and returns its socket.
func (d *parityDesk) node() string {
	d.Helper()
	c, err := containerd.New(containerd.Config{Point: d.point})
	must(d.TB, err)
	var routes []node.Route
	for pattern, h := range c.Routes() {
		routes = append(routes, node.Route{Pattern: pattern, Handler: h})
	}
	n, err := node.New(node.Config{Routes: routes, Decisions: &node.Decisions{Point: d.point, Points: policy.Points()}})
	must(d.TB, err)
	socket := filepath.Join(d.TempDir(), "node.sock")
	l, err := net.Listen("unix", socket)
	must(d.TB, err)
	s := &httptest.Server{Listener: n.Listener(l), Config: &http.Server{Handler: n, ConnContext: n.Context}}
	s.Start()
	d.Cleanup(s.Close)
	return socket
}

// containerd is asked as its image verifier asks, at the socket of the host's daemon.
func (d *parityDesk) containerd() parityDoor {
	socket := d.node()
	return func(f *parityFixture) parityAnswer {
		name, digest, _ := strings.Cut(f.image, "@")
		a, err := ask.Node(context.Background(), socket, ask.Question{Name: name, Digest: digest, MediaType: mediaTypeImage, Size: 100})
		if err != nil {
			d.Fatalf("containerd, %s: %v", f, err)
		}
		return parityAnswer{verdicts: d.take(), allowed: a.Allowed, text: a.Reason, meaning: a.Meaning}
	}
}

// spire is both attestors, on a host where each image runs in a container of an engine and in a pod.
func (d *parityDesk) spire() parityDoor {
	kubelet := httptest.NewServer(http.HandlerFunc(d.onHost.kubelet))
	d.Cleanup(kubelet.Close)
	port := kubelet.Listener.Addr().(*net.TCPAddr).Port
	engines := d.attestor("docker", fmt.Sprintf("docker_socket_path = %q", "unix://"+d.onHost.socket))
	pods := d.attestor("k8s", fmt.Sprintf("kubelet_read_only_port = %d\npoll_retry_interval = \"1ns\"\nmax_poll_attempts = 5", port))
	return func(f *parityFixture) parityAnswer {
		if f.nameless {
			return parityAnswer{unasked: true}
		}
		attest := func(host *spiretest.Host, pid int32) parityAnswer {
			selectors, err := host.Attest(context.Background(), pid)
			return parityAnswer{verdicts: d.take(), allowed: err == nil, text: status.Convert(err).Message(), selectors: strings.Join(selectors, "\n")}
		}
		pid := d.onHost.pids[f.String()]
		a, also := attest(engines, pid), attest(pods, pid+inPods)
		a.also = &also
		return a
	}
}

// attestor serves one of them.
func (d *parityDesk) attestor(kind, hcl string) *spiretest.Host {
	d.Helper()
	host, err := spiretest.Serve(context.Background(), func(plugin *spire.Plugin) spire.Attestor {
		proc := workload.NewProc(d.onHost.proc)
		proc.Go = plugin.Go
		verifier := func(spire.Verification, string) (spire.Verifier, error) {
			return spire.NewDemand(spire.DemandConfig{
				Kind: kind, Point: d.point, Log: slog.New(slog.DiscardHandler), Lenient: func(r engine.Request) bool { return d.engine.Lenient(r.Request) },
			}), nil
		}
		if kind == "k8s" {
			return spire.NewKubernetes(spire.KubernetesConfig{Plugin: plugin, Proc: proc, GOOS: "linux", NewVerifier: verifier})
		}
		return spire.NewDocker(spire.DockerConfig{Plugin: plugin, Proc: proc, GOOS: "linux", NewVerifier: verifier})
	})
	must(d.TB, err)
	d.Cleanup(host.Close)
	must(d.TB, host.Configure(context.Background(), "example.org", hcl+"\npolicy = \""+os.DevNull+"\"\n"))
	return host
}
