package docker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/enforce/enforcetest"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	config   = image.SHA256([]byte("config"))
	manifest = image.SHA256([]byte("manifest"))
	index    = image.SHA256([]byte("index"))
	foreign  = image.SHA256([]byte("foreign"))
	older    = image.SHA256([]byte("older"))
)

const app = "registry.example/shop/app"

// host is an engine that has images and containers.
type host struct {
	images     map[string]workload.DockerImage
	containers map[string]workload.DockerContainer
	engine     workload.DockerEngine
	err        error

	mu    sync.Mutex
	asked int
}

var _ docker.Daemon = (*host)(nil)

func (h *host) count() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	return h.err
}

func (h *host) Image(_ context.Context, name string) (workload.DockerImage, error) {
	if err := h.count(); err != nil {
		return workload.DockerImage{}, err
	}
	if i, found := h.images[name]; found {
		return i, nil
	}
	return workload.DockerImage{}, workload.ErrAbsent
}

func (h *host) Container(_ context.Context, name string) (workload.DockerContainer, error) {
	if err := h.count(); err != nil {
		return workload.DockerContainer{}, err
	}
	if c, found := h.containers[name]; found {
		return c, nil
	}
	return workload.DockerContainer{}, workload.ErrAbsent
}

func (h *host) Engine(context.Context) (workload.DockerEngine, error) { return h.engine, h.err }

type deciderFunc func(ctx context.Context, req engine.Request) engine.Verdict

func (d deciderFunc) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	return d(ctx, req)
}

// vouched decides as an engine does for which somebody vouches for the index of app, and for nothing else.
func vouched(_ context.Context, req engine.Request) engine.Verdict {
	v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Policy: "shop", Mode: "enforce", Rule: "rules[0]", Outcome: engine.Denied, Reason: "ci does not vouch"}}
	ref, err := image.Parse(req.Image)
	if err != nil {
		return v
	}
	v.Canonical, v.Basis = ref.String(), "basis"
	if ref.Registry() != "registry.example" || ref.Repository() != "shop/app" {
		return v
	}
	switch {
	case ref.Digest() == index, ref.Digest().IsZero() && ref.Tag() == "1":
		v.Digest = index
	case ref.Digest() == manifest:
		v.Digest = manifest
	default:
		return v
	}
	v.Allowed, v.Outcome, v.Reason = true, engine.Allowed, ""
	v.Authorities = []engine.Attestation{{Authority: "ci", Standing: engine.Proved}}
	if req.Content {
		link := engine.Link{Platform: "linux/amd64", Index: index, Manifest: manifest, Config: config}
		if v.Digest == manifest {
			link.Index = image.Digest{}
		}
		v.Chain = []engine.Link{link}
	}
	return v
}

// unreachable decides as vouched, but has no registry to ask for contents.
func unreachable(ctx context.Context, req engine.Request) engine.Verdict {
	v := vouched(ctx, req)
	v.Chain = nil
	if req.Content && v.Allowed {
		v.ChainError = "registry.example: connection refused"
	}
	return v
}

// plugin is the point as a daemon sees it.
type plugin struct {
	t       *testing.T
	url     string
	client  *http.Client
	log     *bytes.Buffer
	refused map[string]int
}

// open serves a point until the test ends.
func open(t *testing.T, c docker.Config) *plugin {
	t.Helper()
	p := &plugin{t: t, log: &bytes.Buffer{}, refused: map[string]int{}}
	var mu sync.Mutex
	c.Log = slog.New(slog.NewJSONHandler(p.log, nil))
	c.Refused = func(reason string) {
		mu.Lock()
		defer mu.Unlock()
		p.refused[reason]++
	}
	if c.Daemon == nil {
		c.Daemon = &host{}
	}
	if c.Point == nil {
		c.Point = &enforce.Point{Decider: deciderFunc(vouched)}
	}
	h, err := docker.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	transport := &http.Transport{}
	t.Cleanup(func() { transport.CloseIdleConnections(); s.Close() })
	p.url, p.client = s.URL, &http.Client{Transport: transport}
	return p
}

type answer struct {
	Allow    bool
	Msg, Err string
}

// asked is a request to the daemon.
type asked struct {
	User           string            `json:",omitempty"`
	RequestMethod  string            `json:",omitempty"`
	RequestURI     string            `json:"RequestUri,omitempty"`
	RequestBody    []byte            `json:",omitempty"`
	RequestHeaders map[string]string `json:",omitempty"`
}

func (p *plugin) ask(a asked) answer {
	p.t.Helper()
	content, resp, err := p.call(p.t.Context(), "/AuthZPlugin.AuthZReq", a)
	if err != nil {
		p.t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != docker.MediaType {
		p.t.Errorf("got content type %q", got)
	}
	return content
}

func (p *plugin) call(ctx context.Context, path string, body any) (answer, *http.Response, error) {
	content, err := json.Marshal(body)
	if raw, is := body.(string); is {
		content, err = []byte(raw), nil
	}
	if err != nil {
		return answer{}, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, bytes.NewReader(content))
	if err != nil {
		return answer{}, nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, nil, err
	}
	defer resp.Body.Close()
	var a answer
	return a, resp, json.NewDecoder(resp.Body).Decode(&a)
}

func post(uri string) asked {
	return asked{RequestMethod: "POST", RequestURI: uri, RequestHeaders: map[string]string{"Content-Type": "text/plain", "Content-Length": "0"}}
}

func postJSON(uri, body string) asked {
	return asked{RequestMethod: "POST", RequestURI: uri, RequestBody: []byte(body), RequestHeaders: map[string]string{"Content-Type": "application/json"}}
}

func creates(name string) asked {
	body, _ := json.Marshal(map[string]any{"Image": name, "Cmd": []string{"true"}, "HostConfig": map[string]any{}})
	return postJSON("/v1.41/containers/create?name=web", string(body))
}

func pulls(name, tag string) asked {
	q := "/v1.41/images/create?fromImage=" + strings.ReplaceAll(name, "/", "%2F")
	if tag != "" {
		q += "&tag=" + strings.ReplaceAll(tag, ":", "%3A")
	}
	return post(q)
}

// want checks an answer: text is "" for one that allows, else a part of the message.
func (p *plugin) want(what string, a asked, text string) {
	p.t.Helper()
	got := p.ask(a)
	if got.Allow != (text == "") || !strings.Contains(got.Msg, text) || got.Err != "" {
		p.t.Errorf("%s: got %+v, want %q", what, got, text)
	}
}

// The suite, asked by a pull, by a create of an image that the host does not have, and by one of an image that it has.
func TestSuite(t *testing.T) {
	for name, request := range map[string]func(string) asked{
		"pull": func(name string) asked {
			if before, digest, found := strings.Cut(name, "@"); found {
				return pulls(before, digest)
			}
			before, tag, _ := strings.Cut(name, ":")
			return pulls(before, tag)
		},
		"create absent": creates,
	} {
		t.Run(name, func(t *testing.T) {
			enforcetest.Run(t, enforcetest.Door{Open: func(t *testing.T, point *enforce.Point) enforcetest.Ask {
				p := open(t, docker.Config{Point: point})
				return func(ctx context.Context, name string) enforcetest.Answer {
					got, _, err := p.call(ctx, "/AuthZPlugin.AuthZReq", request(name))
					if err != nil {
						return enforcetest.Answer{Text: err.Error()}
					}
					return enforcetest.Answer{Allowed: got.Allow, Text: got.Msg}
				}
			}})
		})
	}
}

// linked gives verdicts that allow the content that everything on the host has.
type linked struct{ enforce.Decider }

func (l linked) Decide(ctx context.Context, req engine.Request) engine.Verdict {
	v := l.Decider.Decide(ctx, req)
	if v.Outcome == engine.Allowed {
		v.Digest, v.Chain = manifest, []engine.Link{{Manifest: manifest, Config: config}}
	}
	return v
}

// anything has every image and container, with the same content.
type anything struct{ host }

func (a *anything) Image(context.Context, string) (workload.DockerImage, error) {
	return workload.DockerImage{ID: config}, nil
}

func (a *anything) Container(_ context.Context, name string) (workload.DockerContainer, error) {
	return workload.DockerContainer{ID: "c1", Name: name, Image: config, Named: name}, nil
}

func TestSuiteOnTheHost(t *testing.T) {
	for name, request := range map[string]func(string) asked{
		"create": creates,
		"start":  func(name string) asked { return post("/v1.41/containers/" + name + "/start") },
	} {
		t.Run(name, func(t *testing.T) {
			enforcetest.Run(t, enforcetest.Door{Open: func(t *testing.T, point *enforce.Point) enforcetest.Ask {
				with := *point
				with.Decider = linked{point.Decider}
				p := open(t, docker.Config{Point: &with, Daemon: &anything{}})
				return func(ctx context.Context, name string) enforcetest.Answer {
					got, _, err := p.call(ctx, "/AuthZPlugin.AuthZReq", request(name))
					if err != nil {
						return enforcetest.Answer{Text: err.Error()}
					}
					return enforcetest.Answer{Allowed: got.Allow, Text: got.Msg}
				}
			}})
		})
	}
}

func TestAUTHZ1_Protocol(t *testing.T) {
	p := open(t, docker.Config{})
	resp, err := p.client.Post(p.url+"/Plugin.Activate", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if got := strings.TrimSpace(string(body)); got != `{"Implements":["authz"]}` || resp.Header.Get("Content-Type") != docker.MediaType {
		t.Errorf("got %s as %s", got, resp.Header.Get("Content-Type"))
	}
	for name, told := range map[string]any{
		"what was denied": asked{RequestMethod: "POST", RequestURI: "/nowhere"}, "no JSON": "{", "nothing": "", "much": strings.Repeat("x", 9<<20),
	} {
		got, resp, err := p.call(t.Context(), "/AuthZPlugin.AuthZRes", told)
		if err != nil || !got.Allow || resp.Header.Get("Content-Type") != docker.MediaType {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
	for name, question := range map[string]string{
		"no JSON": "{", "nothing": "", "another type": `{"RequestMethod":7}`, "too much": `{"RequestUri":"` + strings.Repeat("x", 9<<20) + `"}`, "no method": `{}`,
	} {
		got, _, err := p.call(t.Context(), "/AuthZPlugin.AuthZReq", question)
		if err != nil || got.Allow || got.Msg == "" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestAUTHZ8_SignedTag(t *testing.T) {
	p := open(t, docker.Config{Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: config, Names: []string{app + ":1"}, Platform: "linux/amd64"}}}})
	p.want("pull", pulls(app, "1"), "")
	p.want("create", creates(app+":1"), "")
	p.want("pull of an unsigned one", pulls(app, "2"), "ci does not vouch")
	p.want("create of an unsigned one", creates(app+":2"), "ci does not vouch")
}

func TestAUTHZ9_PullByDigest(t *testing.T) {
	p := open(t, docker.Config{})
	p.want("signed", pulls(app, index.String()), "")
	p.want("unsigned", pulls(app, foreign.String()), "ci does not vouch")
	p.want("in the name", pulls(app+"@"+index.String(), ""), "")
}

func TestAUTHZ10_ImageIDs(t *testing.T) {
	signed := workload.DockerImage{ID: config, Names: []string{"renamed:1"}, Digests: []string{app + "@" + index.String()}, Platform: "linux/amd64"}
	other := workload.DockerImage{ID: foreign, Names: []string{app + ":1"}}
	nameless := workload.DockerImage{ID: older}
	p := open(t, docker.Config{Daemon: &host{images: map[string]workload.DockerImage{
		config.String(): signed, config.Hex(): signed, config.Hex()[:12]: signed, "sha256:" + config.Hex()[:12]: signed,
		foreign.String(): other, older.String(): nameless,
	}}})
	for _, id := range []string{config.String(), config.Hex(), config.Hex()[:12], "sha256:" + config.Hex()[:12]} {
		p.want(id, creates(id), "")
	}
	p.want("another content under a signed name", creates(foreign.String()), "its content is another")
	p.want("no name", creates(older.String()), "has no name of a registry")
	p.want("absent", creates(manifest.String()), "pull it first")
}

func TestAUTHZ11_ClientsThatSendDigests(t *testing.T) {
	held := workload.DockerImage{ID: config, Digests: []string{app + "@" + index.String()}}
	p := open(t, docker.Config{Daemon: &host{images: map[string]workload.DockerImage{app + "@" + index.String(): held, app + ":1@" + index.String(): held}}})
	p.want("pull", pulls(app, index.String()), "")
	p.want("create", creates(app+"@"+index.String()), "")
	p.want("with the tag", creates(app+":1@"+index.String()), "")
}

// A name that is signed, over content that is not: whatever put it there.
func TestAUTHZ12_AUTHZ13_T50_ForeignContentUnderASignedName(t *testing.T) {
	for name, held := range map[string]workload.DockerImage{
		"tagged, built, loaded, imported, committed":                          {ID: foreign, Names: []string{app + ":1"}},
		"pulled from elsewhere":                                               {ID: foreign, Names: []string{app + ":1"}, Digests: []string{"registry.example/other@" + index.String()}},
		"the manifest's digest as its ID":                                     {ID: manifest, Names: []string{app + ":1"}},
		"an older one of the repository, not signed":                          {ID: foreign, Names: []string{app + ":1"}, Digests: []string{app + "@" + older.String()}},
		"recorded under the signed digest, while the registry says otherwise": {ID: foreign, Names: []string{app + ":1"}, Digests: []string{app + "@" + index.String()}},
	} {
		p := open(t, docker.Config{Daemon: &host{images: map[string]workload.DockerImage{app + ":1": held}}})
		p.want(name, creates(app+":1"), "its content is another")
	}
}

// A tag moved after the image was pulled: what the host has is decided about by the digest under which it came.
func TestAUTHZ14_TagsMove(t *testing.T) {
	moved := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		if strings.HasSuffix(req.Image, ":1") { // stands for something else now, which is vouched for as well
			v := vouched(ctx, req)
			v.Digest, v.Chain = older, []engine.Link{{Manifest: older, Config: foreign}}
			return v
		}
		return vouched(ctx, req)
	})
	for name, row := range map[string]struct {
		held workload.DockerImage
		text string
	}{
		"what was signed before":    {workload.DockerImage{ID: config, Digests: []string{app + "@" + index.String()}}, ""},
		"what was never signed":     {workload.DockerImage{ID: manifest, Digests: []string{app + "@" + foreign.String()}}, "its content is another"},
		"what the tag is now":       {workload.DockerImage{ID: foreign}, ""},
		"from a foreign repository": {workload.DockerImage{ID: config, Digests: []string{"registry.example/x@" + index.String()}}, "its content is another"},
	} {
		p := open(t, docker.Config{Point: &enforce.Point{Decider: moved}, Daemon: &host{images: map[string]workload.DockerImage{app + ":1": row.held}}})
		p.want(name, creates(app+":1"), row.text)
	}
}

func TestAUTHZ15_BothStores(t *testing.T) {
	for name, row := range map[string]struct {
		id         image.Digest
		containerd bool
		text       string
	}{
		"classic, config":            {config, false, ""},
		"classic, manifest":          {manifest, false, "another"},
		"classic, index":             {index, false, "another"},
		"containerd, config":         {config, true, "another"},
		"containerd, manifest":       {manifest, true, ""},
		"containerd, index":          {index, true, ""},
		"containerd, something else": {foreign, true, "another"},
	} {
		p := open(t, docker.Config{Daemon: &host{
			engine: workload.DockerEngine{Containerd: row.containerd},
			images: map[string]workload.DockerImage{app + ":1": {ID: row.id, Platform: "linux/amd64"}},
		}})
		p.want(name, creates(app+":1"), row.text)
	}
}

// AUTHZ-15: another platform is asked for than the host has. The daemon has to answer that, so that the client pulls it.
func TestAUTHZ15_AnotherPlatform(t *testing.T) {
	var asked []string
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config, Platform: "linux/amd64"}}}
	p := open(t, docker.Config{
		Point: &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
			asked = append(asked, req.Platform)
			return vouched(ctx, req)
		})},
		Daemon: daemon,
	})
	p.want("create", postJSON("/containers/create?platform=linux%2Farm64", `{"Image":"`+app+`:1"}`), "")
	daemon.images[app+":1"] = workload.DockerImage{ID: config, Platform: "linux/arm64/v8"}
	p.want("a variant", creates(app+":1"), "")
	if got := strings.Join(asked, " "); got != "linux/amd64 linux/arm64" {
		t.Errorf("compared for %q", got)
	}
}

// Only one child is vouched for: the index that holds it as well as others is not.
func TestT30_OnlyTheChild(t *testing.T) {
	child := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		v.Child, v.Digest = true, manifest
		return v
	})
	for id, text := range map[image.Digest]string{manifest: "", index: "another"} {
		p := open(t, docker.Config{Point: &enforce.Point{Decider: child}, Daemon: &host{
			engine: workload.DockerEngine{Containerd: true}, images: map[string]workload.DockerImage{app + ":1": {ID: id}},
		}})
		p.want(id.String(), creates(app+":1"), text)
	}
}

func TestAUTHZ16_ComparedAgainAtStart(t *testing.T) {
	data := "registry.example/data@" + foreign.String()
	h := &host{
		images: map[string]workload.DockerImage{
			app + ":1": {ID: config}, config.String(): {ID: config}, foreign.String(): {ID: foreign},
			data: {ID: foreign}, app + "@" + index.String(): {ID: config},
		},
		containers: map[string]workload.DockerContainer{
			"web":    {ID: "c1", Name: "web", Image: config, Named: app + ":1"},
			"moved":  {ID: "c2", Name: "moved", Image: foreign, Named: app + ":1"}, // the name meant another image for a moment
			"bare":   {ID: "c3", Name: "bare", Image: older, Named: app + ":1"},    // its image was removed
			"mounts": {ID: "c4", Name: "mounts", Image: config, Named: app + ":1", Mounts: []string{data}},
			"same":   {ID: "c5", Name: "same", Image: foreign, Named: app + ":1", Mounts: []string{app + "@" + index.String()}},
			"files":  {ID: "c7", Name: "files", Image: config, Named: app + ":1", Mounts: []string{app + "@" + index.String()}},
			"tagged": {ID: "c8", Name: "tagged", Image: config, Named: app + ":1", Mounts: []string{app + ":1"}}, // who knows what it meant
			"byid":   {ID: "c6", Name: "byid", Image: foreign, Named: foreign.Hex()[:12]},
		},
	}
	p := open(t, docker.Config{Daemon: h})
	for name, text := range map[string]string{
		"web": "", "moved": "its content is another", "bare": "its content is another", "mounts": "ci does not vouch", "same": "its content is another", "files": "", "tagged": "names its image by digest",
		// Not left to the daemon: the container could be there when it looks.
		"byid": "has no name", "gone": "No such container: gone",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef": "No such container: 0123456789abcdef",
	} {
		for _, verb := range []string{"start", "restart"} {
			p.want(verb+" "+name, post("/v1.41/containers/"+name+"/"+verb), text)
		}
	}
}

func TestAUTHZ17_AllTags(t *testing.T) {
	p := open(t, docker.Config{})
	p.want("no tag", pulls(app, ""), "pullAllTags=deny")
	p.want("a colon at the end", pulls(app+":", ""), "pullAllTags=deny")
	p.want("an empty tag", post("/images/create?fromImage=registry.example%2Fapp&tag="), "pullAllTags=deny")
	p.want("a port is no tag", pulls("registry.example:5000/app", ""), "pullAllTags=deny")
	p = open(t, docker.Config{Routes: map[string]docker.Action{"pullAllTags": docker.Allow}})
	p.want("switched on", pulls(app, ""), "")
}

func TestAUTHZ18_TwoPlaces(t *testing.T) {
	p := open(t, docker.Config{})
	for query, text := range map[string]string{
		"fromImage=" + app + ":1&tag=2":                               "given twice",
		"fromImage=" + app + ":1&tag=1":                               "given twice",
		"fromImage=" + app + "&tag=1&tag=2":                           `"tag" is given 2 times`,
		"fromImage=" + app + ":1&fromImage=registry.example/x:1":      `"fromImage" is given 2 times`,
		"fromImage=" + app + "@" + index.String() + "&tag=1":          "given twice",
		"fromImage=" + app + ":1@" + index.String():                   "",
		"fromImage=" + app + ":1&fromSrc=-":                           "not both",
		"fromImage=" + app + ":1&repo=x":                              "not both",
		"fromImage=" + app + ":1&registry=other.example":              "not known",
		"fromImage=" + app + ":1;tag=2":                               "cannot be read",
		"fromImage=" + app + ":1&tag=%zz":                             "cannot be read",
		"fromImage=" + app + "&tag=sha256:12":                         "64",
		"fromImage=" + app + "&tag=sha384:" + strings.Repeat("0", 96): "unknown algorithm",
		"fromImage=" + app + "&tag=1@x":                               "no name of an image",
	} {
		p.want(query, post("/v1.41/images/create?"+query), text)
	}
	p.want("create", postJSON("/containers/create?name=a&name=b", `{"Image":"`+app+`:1"}`), `"name" is given 2 times`)
}

func TestAUTHZ19_FormBodies(t *testing.T) {
	p := open(t, docker.Config{Daemon: &host{containers: map[string]workload.DockerContainer{"web": {Name: "web", Image: config, Named: app + ":1"}}, images: map[string]workload.DockerImage{config.String(): {ID: config}}}})
	for name, row := range map[string]struct {
		headers map[string]string
		text    string
	}{
		"the client's own": {map[string]string{"Content-Type": "text/plain", "Content-Length": "0"}, ""},
		"curl's own":       {map[string]string{"User-Agent": "curl"}, ""},
		"nothing":          {nil, ""},
		"a form":           {map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "20"}, "form"},
		"an empty form":    {map[string]string{"content-type": "Application/X-WWW-Form-URLencoded; charset=utf-8", "Content-Length": "0"}, "form"},
		"parts":            {map[string]string{"Content-Type": "multipart/form-data; boundary=x"}, "form"},
		"any body":         {map[string]string{"Content-Type": "text/plain", "Content-Length": "20"}, "a body where none belongs"},
		"a type that hides another, without a length": {map[string]string{"Content-Type": "text/plain"}, "without a length"},
	} {
		a := pulls(app, "1")
		a.RequestHeaders = row.headers
		p.want("pull, "+name, a, row.text)
		a.RequestURI = "/v1.41/containers/web/start"
		p.want("start, "+name, a, row.text)
	}
	a := post("/images/create?fromSrc=-&repo=x")
	a.RequestHeaders = map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "20"}
	p.want("import", a, "form")
}

// The daemon decodes once: so does the point, and decides about what is left.
func TestAUTHZ20_DecodedOnce(t *testing.T) {
	var names []string
	p := open(t, docker.Config{Point: &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		names = append(names, req.Image)
		return vouched(ctx, req)
	})}})
	p.want("a sign that a second decoding makes", post("/images/create?fromImage="+app+"%253A1"), "no name of an image")
	p.want("a parameter that a second decoding makes", post("/images/create?fromImage="+app+"%3A2%26fromImage%3D"+app+"%3A1"), "no name of an image")
	p.want("plus", post("/images/create?fromImage="+app+"+&tag=1"), "no name of an image")
	p.want("letters", post("/images/create?from%49mage=registry.example%2fshop%2F%61pp&tag=%31"), "")
	if len(names) != 1 || names[0] != app+":1" {
		t.Errorf("decided about %q", names)
	}
}

func TestAUTHZ21_JSON(t *testing.T) {
	p := open(t, docker.Config{})
	good := `"Image":"` + app + `:1"`
	for body, text := range map[string]string{
		`{` + good + `}`: "",
		`{` + good + `,"Labels":{"a":"1","A":"2"}}`: "",
		`{"image":"` + app + `:1"}`:                 "",
		"{" + good + "}\n \t":                       "",
		`{` + good + `}{}`:                          "content after",
		`{` + good + `} x`:                          "content after",
		`{"Image":"` + app + `:2",` + good + `}`:    "twice",
		`{"image":"` + app + `:2",` + good + `}`:    "twice",
		`{` + good + `,"Labels":{"a":"1","a":"2"}}`: "twice",
		`{` + good + `,"HostConfig":{"Mounts":[],"mounts":[{"Type":"image","Source":"x"}]}}`: "twice",
		`[{` + good + `}]`:     "no object",
		`{` + good:             "no JSON",
		`{}`:                   "no image",
		`{"Image":""}`:         "no image",
		`{"Image":null}`:       "no image",
		`{"Image":7}`:          "cannot unmarshal",
		`null`:                 "no object",
		`"x"`:                  "no object",
		"\ufeff{" + good + "}": "no JSON",
		`{` + good + `,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: "levels",
		// A long s folds to an s, and a Kelvin sign to a k, where the daemon compares names.
		`{` + good + `,"HostConfig":{},"Ho` + "\u017f" + `tConfig":{"Mounts":[{"Type":"image","Source":"registry.example/x:1"}]}}`: "twice",
	} {
		p.want(body, postJSON("/v1.41/containers/create", body), text)
	}
}

func TestAUTHZ22_T49_NoVisibleBody(t *testing.T) {
	p := open(t, docker.Config{})
	for _, uri := range []string{"/v1.41/containers/create", "/containers/create?name=x", "/services/create", "/services/x/update?version=1"} {
		for name, headers := range map[string]map[string]string{
			"empty":          {"Content-Type": "application/json", "Content-Length": "0"},
			"oversize":       {"Content-Type": "application/json", "Content-Length": "5000000"},
			"without length": {"Content-Type": "application/json"},
			"another type":   {"Content-Type": "text/plain", "Content-Length": "100"},
			"no type":        {"Content-Length": "100"},
		} {
			p.want(uri+" "+name, asked{RequestMethod: "POST", RequestURI: uri, RequestHeaders: headers}, "no body was shown to Assay")
		}
	}
	if p.refused[docker.Malformed] != 20 {
		t.Errorf("counted %v", p.refused)
	}
}

func TestAUTHZ23_ShellCharacters(t *testing.T) {
	p := open(t, docker.Config{Point: &enforce.Point{Decider: deciderFunc(func(_ context.Context, req engine.Request) engine.Verdict {
		t.Errorf("asked about %q", req.Image)
		return engine.Verdict{Allowed: true}
	})}})
	for _, name := range []string{app + ":1;id", app + ":$(id)", app + "`id`", app + ":1 && id", "a|b", "a\nb", "../../etc/passwd", "a b", app + ":1#", strings.Repeat("a", 2000)} {
		p.want("create "+name, creates(name), "name of an image")
		q := post("/images/create?fromImage=" + strings.NewReplacer("%", "%25", "&", "%26", " ", "%20", "#", "%23", ";", "%3B", "\n", "%0A").Replace(name) + "&tag=1")
		if strings.Contains(name, ":") {
			q.RequestURI = strings.TrimSuffix(q.RequestURI, "&tag=1")
		}
		if got := p.ask(q); got.Allow || !strings.Contains(got.Msg, "image") {
			t.Errorf("pull %q: got %+v", name, got)
		}
	}
}

func TestAUTHZ24_AUTHZ25_Switches(t *testing.T) {
	rows := map[string][]asked{
		"build":       {post("/build?t=x"), post("/v1.41/build")},
		"session":     {post("/session")},
		"grpc":        {post("/grpc")},
		"load":        {post("/images/load")},
		"import":      {post("/images/create?fromSrc=-&repo=x&tag=1&changes=A&changes=B&message=m")},
		"commit":      {post("/commit?container=web&repo=" + app + "&tag=1")},
		"tag":         {post("/images/x/tag?repo=" + app + "&tag=1")},
		"exec":        {postJSON("/containers/web/exec", `{}`), postJSON("/exec/1/start", `{}`)},
		"archive":     {{RequestMethod: "PUT", RequestURI: "/containers/web/archive?path=/"}},
		"pullAllTags": {pulls(app, "")},
		"checkpoint":  {post("/containers/web/start?checkpoint=c"), post("/containers/web/start?checkpoint-dir=/tmp/c")},
		"plugins": {
			post("/plugins/pull?remote=x"), post("/plugins/create?name=x"), post("/plugins/assay/upgrade?remote=x"), postJSON("/plugins/assay/set", `["REGISTRY=x"]`),
			post("/plugins/assay/disable?force=1"), post("/v1.41/plugins/assay:latest/disable"), {RequestMethod: "DELETE", RequestURI: "/plugins/assay?force=1"},
			post("/plugins/assay/enable"), post("/plugins/assay/push"),
		},
		"swarm": {
			postJSON("/swarm/init", `{}`), postJSON("/swarm/join", `{}`), post("/swarm/leave"), postJSON("/swarm/update", `{}`), postJSON("/swarm/unlock", `{}`),
			postJSON("/nodes/x/update", `{}`), {RequestMethod: "DELETE", RequestURI: "/nodes/x"},
		},
	}
	daemon := &host{containers: map[string]workload.DockerContainer{"web": {Name: "web", Image: config, Named: app + ":1"}}, images: map[string]workload.DockerImage{config.String(): {ID: config}}}
	for _, s := range docker.Switches() {
		if len(rows[s.Name]) == 0 {
			t.Errorf("no request for the switch %s", s.Name)
		}
		for _, action := range []docker.Action{docker.Deny, docker.Allow, docker.Warn, -1} {
			routes, text := map[string]docker.Action{s.Name: action}, ""
			if action < 0 { // the default
				routes, action = nil, s.Default
			}
			if action == docker.Deny {
				text = "routes: " + s.Name + "=deny"
			}
			p := open(t, docker.Config{Daemon: daemon, Routes: routes})
			for _, a := range rows[s.Name] {
				p.want(s.Name+" "+action.String(), a, text)
			}
			if logged := strings.Contains(p.log.String(), s.Name+"=deny"); logged != (action != docker.Allow) {
				t.Errorf("%s %v: logged %v", s.Name, action, logged)
			}
		}
	}
}

func TestAUTHZ26_Services(t *testing.T) {
	p := open(t, docker.Config{})
	spec := func(name string) string {
		return `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"` + name + `"}}}`
	}
	for _, uri := range []string{"/services/create", "/v1.41/services/web/update?version=12", "/services/web/update?registryAuthFrom=spec&version=1"} {
		p.want("vouched", postJSON(uri, spec(app+":1@"+index.String())), "")
		p.want("not vouched", postJSON(uri, spec(app+":1@"+foreign.String())), "ci does not vouch")
		p.want("no digest", postJSON(uri, spec(app+":1")), "by digest")
		p.want("no spec", postJSON(uri, `{"Name":"web"}`), "names no image")
		p.want("a plugin", postJSON(uri, `{"TaskTemplate":{"Runtime":"plugin","PluginSpec":{"Remote":"x"}}}`), "runs no image")
		p.want("a plugin beside", postJSON(uri, `{"TaskTemplate":{"PluginSpec":{"Remote":"x"},"ContainerSpec":{"Image":"`+app+`@`+index.String()+`"}}}`), "runs no image")
		p.want("a mount", postJSON(uri, `{"TaskTemplate":{"ContainerSpec":{"Image":"`+app+`@`+index.String()+`","Mounts":[{"Type":"image","Source":"x@`+foreign.String()+`"}]}}}`), "ci does not vouch")
	}
	p.want("rollback", postJSON("/services/web/update?version=1&rollback=previous", spec(app+"@"+index.String())), "rollback")
	child := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		v.Child, v.Digest = true, manifest
		return v
	})
	p = open(t, docker.Config{Point: &enforce.Point{Decider: child}})
	p.want("only a child", postJSON("/services/create", spec(app+"@"+index.String())), manifest.String())
}

// The same answer for every spelling of a path that the daemon takes for it.
func TestAUTHZ27_T50_Spellings(t *testing.T) {
	p := open(t, docker.Config{})
	for _, prefix := range []string{"", "/v1.24", "/v1.41", "/v1.56", "/", "//v1.41/", "/%761.41"} {
		for _, path := range []string{"/containers/create", "/%63ontainers/create", "/containers//create", "/containers/x/../create", "/containers/cre%61te"} {
			p.want(prefix+path, postJSON(prefix+path, `{"Image":"`+app+`:2"}`), "ci does not vouch")
			p.want(prefix+path, postJSON(prefix+path, `{"Image":"`+app+`:1"}`), "")
		}
	}
	for _, old := range []string{"/v1.23", "/v1.0", "/v0.9", "/v1"} {
		p.want(old, postJSON(old+"/containers/create", `{"Image":"`+app+`:1"}`), "version")
	}
	p.want("an absolute address", postJSON("http://docker/v1.41/containers/create", `{"Image":"`+app+`:2"}`), "ci does not vouch")
}

func TestAUTHZ28_UnknownRoutes(t *testing.T) {
	p := open(t, docker.Config{})
	for _, a := range []asked{
		post("/v1.41/containers/create/"), post("/v1.99/images/run"), {RequestMethod: "PATCH", RequestURI: "/containers/web"}, {RequestMethod: "get", RequestURI: "/info"},
		{RequestMethod: "CONNECT", RequestURI: "/"}, {RequestMethod: "OPTIONS", RequestURI: "/info"},
	} {
		p.want(a.RequestMethod+" "+a.RequestURI, a, "no route of the engine that Assay knows")
	}
	if p.refused[docker.UnknownRoute] != 6 || len(p.refused) != 1 {
		t.Errorf("counted %v", p.refused)
	}
	p.want("no path", asked{RequestMethod: "POST", RequestURI: "x y"}, "cannot be read")
	p.want("an ordinary one", post("/containers/web/stop?t=1"), "")
}

// Reading is answered while decisions hang, and asks neither the daemon nor the engine.
func TestAUTHZ29_ReadingNeverWaits(t *testing.T) {
	stop, deciding := make(chan struct{}), make(chan struct{}, 300)
	daemon := &host{}
	p := open(t, docker.Config{Daemon: daemon, Point: &enforce.Point{Decider: deciderFunc(func(context.Context, engine.Request) engine.Verdict {
		deciding <- struct{}{}
		<-stop
		return engine.Verdict{}
	})}})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(stop)
	for range 256 {
		group.Go(func() { _, _, _ = p.call(context.WithoutCancel(t.Context()), "/AuthZPlugin.AuthZReq", pulls(app, "1")) })
	}
	for range 256 {
		<-deciding
	}
	p.want("one more", pulls(app, "1"), "too many")
	for _, method := range []string{"GET", "HEAD"} {
		for _, uri := range []string{"/_ping", "/v1.41/images/" + app + ":1/json", "/containers/json?all=1", "/v1.41/containers/web/attach/ws", "/nowhere", "%%%"} {
			p.want(method+" "+uri, asked{RequestMethod: method, RequestURI: uri}, "")
		}
	}
	if daemon.asked != 0 {
		t.Errorf("the daemon was asked %d times", daemon.asked)
	}
}

func TestAUTHZ30_HangingServer(t *testing.T) {
	p := open(t, docker.Config{Point: &enforce.Point{Timeout: 50 * time.Millisecond, Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		if strings.HasSuffix(req.Image, ":hangs") {
			<-ctx.Done()
			return engine.Verdict{Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: "notary.example: no answer"}}
		}
		return vouched(ctx, req)
	})}})
	p.want("hangs", pulls(app, "hangs"), "could not tell")
	p.want("the next", pulls(app, "1"), "")
}

func TestAUTHZ33_Panics(t *testing.T) {
	p := open(t, docker.Config{Daemon: panicking{}})
	p.want("where the daemon is asked about an image", creates(app+":1"), "bug")
	p.want("where it is asked about a container", post("/containers/web/start"), "bug")
	if p.refused[docker.Broken] != 1 {
		t.Errorf("counted %v", p.refused)
	}
	p.want("the next", pulls(app, "1"), "")
}

type panicking struct{ docker.Daemon }

func (panicking) Image(context.Context, string) (workload.DockerImage, error) { panic("broken") }
func (panicking) Container(context.Context, string) (workload.DockerContainer, error) {
	panic("broken")
}

func TestAUTHZ34_WhoWhatWhy(t *testing.T) {
	type recorded struct {
		enforce.Occasion
		v engine.Verdict
	}
	var all []recorded
	p := open(t, docker.Config{
		Point: &enforce.Point{Decider: deciderFunc(vouched), Record: func(o *enforce.Occasion, _ engine.Request, v *engine.Verdict) {
			all = append(all, recorded{*o, *v})
		}},
		Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: foreign}}},
	})
	a := creates(app + ":1")
	a.User = "alice\x1b[2J"
	got := p.ask(a)
	for _, part := range []string{app + ":1", "may not run", foreign.String(), index.String(), "rule: rules[0] of policy shop", "next: ", "asked by: alice"} {
		if !strings.Contains(got.Msg, part) {
			t.Errorf("the message has no %q: %s", part, got.Msg)
		}
	}
	if strings.Contains(got.Msg, "\x1b") {
		t.Errorf("got %q", got.Msg)
	}
	if len(all) != 1 || all[0].User != a.User || all[0].Operation != "create" || all[0].Kind != "container" || all[0].Name != "web" ||
		all[0].v.Allowed || all[0].v.Digest != index || all[0].v.Image != app+":1" {
		t.Errorf("recorded %+v", all)
	}
}

func TestAUTHZ39_WarnAndAudit(t *testing.T) {
	for _, mode := range []string{"warn", "audit"} {
		var outcomes []string
		soft := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
			v := vouched(ctx, req)
			v.Mode, v.Allowed = mode, true
			return v
		})
		p := open(t, docker.Config{
			Point: &enforce.Point{Decider: soft, Record: func(_ *enforce.Occasion, _ engine.Request, v *engine.Verdict) {
				outcomes = append(outcomes, v.Outcome.String())
			}},
			Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: foreign}, older.String(): {ID: older}}},
		})
		p.want("another content", creates(app+":1"), "")
		p.want("no name", creates(older.String()), "")
		p.want("not vouched", pulls(app, "2"), "")
		p.want("vouched", pulls(app, "1"), "")
		if got := strings.Join(outcomes, " "); got != "denied denied denied allowed" {
			t.Errorf("%s: recorded %s", mode, got)
		}
	}
	// One policy warns and another enforces: what the host has must be what is vouched for.
	mixed := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		v.Mode, v.Also = "warn", []engine.Decision{{Policy: "other", Mode: "enforce", Outcome: engine.Allowed}}
		return v
	})
	p := open(t, docker.Config{Point: &enforce.Point{Decider: mixed}, Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: foreign}}}})
	p.want("mixed", creates(app+":1"), "its content is another")
}

// A policy that stops nothing and says no does not keep the content from being compared for the one that enforces.
func TestAUTHZ39_T50_ContentIsComparedBesideAnAudit(t *testing.T) {
	for _, outcome := range []engine.Outcome{engine.Denied, engine.CouldNotTell, engine.Bug} {
		var recorded []engine.Verdict
		point := &enforce.Point{
			Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
				v := vouched(ctx, req)
				if v.Allowed {
					v.Also = []engine.Decision{v.Decision}
					v.Decision = engine.Decision{Policy: "soft", Mode: "audit", Outcome: outcome, Reason: "not by this one"}
				}
				return v
			}),
			Record: func(_ *enforce.Occasion, _ engine.Request, v *engine.Verdict) { recorded = append(recorded, *v) },
		}
		daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config}, app + ":swapped": {ID: foreign}, app + ":2": {ID: foreign}}}
		p := open(t, docker.Config{Point: point, Daemon: daemon})
		p.want("the vouched content", creates(app+":1"), "")
		if v := recorded[0]; v.Policy != "soft" || v.Outcome != outcome || len(v.Also) != 1 || v.Also[0].Policy != "shop" {
			t.Errorf("recorded %+v", v)
		}
		daemon.images[app+":1"] = workload.DockerImage{ID: foreign}
		p.want("another content", creates(app+":1"), "its content is another")
		if v := recorded[1]; v.Policy != "shop" || v.Outcome != engine.Denied {
			t.Errorf("recorded %+v", v)
		}
		service := func(d image.Digest) asked {
			return postJSON("/services/create", `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"`+app+`@`+d.String()+`"}}}`)
		}
		p.want("a service", service(index), "")
	}
}

// Without the registry the digest counts that the daemon recorded, unless the content itself is demanded.
func TestWithoutTheRegistry(t *testing.T) {
	for name, row := range map[string]struct {
		digests []string
		text    string
	}{
		"recorded":                {[]string{app + "@" + index.String()}, ""},
		"another digest":          {[]string{app + "@" + foreign.String()}, "could not be compared"},
		"another repository":      {[]string{"registry.example/x@" + index.String()}, "could not be compared"},
		"nothing, as after a tag": {nil, "could not be compared"},
		"nonsense":                {[]string{"<none>@<none>", "@", app}, "could not be compared"},
	} {
		daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config, Digests: row.digests}}}
		point := &enforce.Point{Decider: deciderFunc(unreachable)}
		open(t, docker.Config{Point: point, Daemon: daemon}).want(name, creates(app+":1"), row.text)
		open(t, docker.Config{Point: point, Daemon: daemon, RequireContentChain: true}).want(name, creates(app+":1"), "could not tell")
		daemon = &host{engine: workload.DockerEngine{Containerd: true}, images: map[string]workload.DockerImage{app + ":1": {ID: index}}}
		open(t, docker.Config{Point: point, Daemon: daemon, RequireContentChain: true}).want("containerd's IDs need no registry", creates(app+":1"), "")
	}
}

// A rule that lets a name pass without anybody's word does not let everything pass that is called so.
func TestNamesThatNeedNobodysWord(t *testing.T) {
	byName := func(allowed ...string) deciderFunc {
		return func(_ context.Context, req engine.Request) engine.Verdict {
			v := engine.Verdict{Image: req.Image, Decision: engine.Decision{Policy: "shop", Mode: "enforce", Outcome: engine.Denied, Reason: "no rule"}}
			ref, err := image.Parse(req.Image)
			if err != nil {
				return v
			}
			v.Canonical, v.Digest = ref.String(), ref.Digest()
			for _, prefix := range allowed {
				if strings.HasPrefix(v.Canonical, prefix) {
					v.Allowed, v.Outcome = true, engine.Allowed
					if req.Content {
						v.ChainError = "nobody to ask"
					}
				}
			}
			return v
		}
	}
	pulled := workload.DockerImage{ID: config, Names: []string{app + ":1"}, Digests: []string{app + "@" + index.String()}}
	renamed := workload.DockerImage{ID: foreign, Names: []string{app + ":1"}}
	for name, row := range map[string]struct {
		rules []string
		held  workload.DockerImage
		text  string
	}{
		"pulled from there":           {[]string{"registry.example/"}, pulled, ""},
		"made here and called so":     {[]string{"registry.example/"}, renamed, "could not"},
		"whatever is made here":       {[]string{"registry.example/", docker.Unnamed}, renamed, ""},
		"made here under a bare rule": {[]string{docker.Unnamed}, renamed, "no rule"},
	} {
		p := open(t, docker.Config{Point: &enforce.Point{Decider: byName(row.rules...)}, Daemon: &host{images: map[string]workload.DockerImage{app + ":1": row.held}}})
		p.want(name, creates(app+":1"), row.text)
	}
}

// memory is the least one that there can be.
type memory struct {
	mu   sync.Mutex
	kept []docker.Decided
}

func (m *memory) Known(_ context.Context, d docker.Decided, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.kept {
		if k.Name == d.Name && k.Content == d.Content && k.Basis == d.Basis && (k.Ends.IsZero() || now.Before(k.Ends)) {
			return true
		}
	}
	return false
}

func (m *memory) Keep(_ context.Context, d docker.Decided) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, d)
	return nil
}

func (m *memory) Forget(_ context.Context, d docker.Decided) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = slices.DeleteFunc(m.kept, func(k docker.Decided) bool { return k.Name == d.Name && k.Content == d.Content })
	return nil
}

// What was allowed before starts while nothing can be asked, and only that.
func TestDecidedBefore(t *testing.T) {
	down, basis := false, "basis"
	point := &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		if down {
			v = engine.Verdict{Image: req.Image, Canonical: v.Canonical, Decision: engine.Decision{Mode: "enforce", Outcome: engine.CouldNotTell, Reason: "registry.example: connection refused"}}
		}
		v.Basis = basis
		return v
	})}
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config}, app + ":2": {ID: foreign}}}
	p := open(t, docker.Config{Point: point, Daemon: daemon, Memory: &memory{}})
	p.want("now", creates(app+":1"), "")
	p.want("not signed", creates(app+":2"), "ci does not vouch")
	down = true
	p.want("known", creates(app+":1"), "")
	p.want("not known", creates(app+":2"), "could not tell")
	daemon.images[app+":1"] = workload.DockerImage{ID: foreign}
	p.want("another content", creates(app+":1"), "could not tell")
	daemon.images[app+":1"] = workload.DockerImage{ID: config}
	basis = "another policy"
	p.want("another policy", creates(app+":1"), "could not tell")
	basis = "basis"
	p.want("as before", creates(app+":1"), "")
}

// A "no" in between ends what was remembered: an outage brings nothing back that was taken back.
func TestT21_DeniedSinceIsForgotten(t *testing.T) {
	answer := engine.Allowed
	point := &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		if answer != engine.Allowed {
			v = engine.Verdict{Image: req.Image, Canonical: v.Canonical, Decision: engine.Decision{Mode: "enforce", Outcome: answer, Reason: answer.String()}}
		}
		v.Basis = "basis"
		return v
	})}
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config}}}
	p := open(t, docker.Config{Point: point, Daemon: daemon, Memory: &memory{}})
	p.want("now", creates(app+":1"), "")
	answer = engine.CouldNotTell
	p.want("an outage", creates(app+":1"), "")
	answer = engine.Denied
	p.want("no longer", creates(app+":1"), "denied")
	answer = engine.CouldNotTell
	p.want("another outage", creates(app+":1"), "could not tell")
}

func TestDaemonThatDoesNotAnswer(t *testing.T) {
	p := open(t, docker.Config{Daemon: &host{err: errors.New("docker.sock: connection refused")}})
	p.want("create", creates(app+":1"), "could not tell")
	p.want("start", post("/containers/web/start"), "could not tell")
}

func TestImageMounts(t *testing.T) {
	good, bad := app+"@"+index.String(), app+"@"+foreign.String()
	daemon := &host{images: map[string]workload.DockerImage{
		app + ":1": {ID: config}, good: {ID: config}, bad: {ID: foreign}, config.String(): {ID: config, Names: []string{app + ":1"}},
	}}
	p := open(t, docker.Config{Daemon: daemon})
	with := func(mounts string) asked {
		return postJSON("/v1.48/containers/create", `{"Image":"`+app+`:1","HostConfig":{"Mounts":[`+mounts+`]}}`)
	}
	p.want("of files", with(`{"Type":"bind","Source":"/tmp"}`), "")
	p.want("of a vouched image", with(`{"Type":"image","Source":"`+good+`"}`), "")
	p.want("by its ID", with(`{"Type":"image","Source":"`+config.String()+`"}`), "")
	p.want("of another", with(`{"Type":"image","Source":"`+bad+`"}`), "ci does not vouch")
	p.want("at the top", postJSON("/containers/create", `{"Image":"`+app+`:1","Mounts":[{"Type":"image","Source":"`+bad+`"}]}`), "ci does not vouch")
	// What is mounted stays as it was when the container was made, and the daemon does not say what that was.
	for _, name := range []string{app + ":1", app, config.Hex()[:12], "sha256:" + config.Hex()[:12]} {
		p.want(name, with(`{"Type":"image","Source":"`+name+`"}`), "names its image by digest")
	}
}

// However many names an image has, only so many are decided about where it is asked for by its ID.
func TestT47_NamesOfOneImage(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("registry.example/other:%d", i))
	}
	var mu sync.Mutex
	decided := 0
	p := open(t, docker.Config{
		Daemon: &host{images: map[string]workload.DockerImage{config.String(): {ID: config, Names: append(many, app+":1")}}},
		Point: &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
			mu.Lock()
			defer mu.Unlock()
			decided++
			return vouched(ctx, req)
		})},
	})
	p.want("by ID", creates(config.String()), "ci does not vouch")
	if decided != 8 {
		t.Errorf("got %d decisions", decided)
	}
}

func TestNew(t *testing.T) {
	for name, c := range map[string]docker.Config{
		"no point":       {Daemon: &host{}},
		"no daemon":      {Point: &enforce.Point{}},
		"a wrong switch": {Point: &enforce.Point{}, Daemon: &host{}, Routes: map[string]docker.Action{"plugin": docker.Allow}},
	} {
		if _, err := docker.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
