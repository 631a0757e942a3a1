package memory_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/enforce/docker/memory"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/workload"
)

// fingerprint is that of the key which vouches.
const fingerprint = "SHA256:LoNIINEv/5FMfTIyNSRDgkGFKQnG8RQpY6iPvKm9XaY"

// vouching is a format whose evidence is a manifest beside the image, and whose proofs end after an hour.
type vouching struct {
	version string
	now     func() time.Time
}

func (f vouching) Name() string { return "vouching" }
func (f vouching) Options() any { return &struct{}{} }
func (f vouching) New(s trust.Section) (trust.Authority, error) {
	return f, s.Decode(&struct{}{})
}
func (f vouching) Version() string { return f.version }
func (f vouching) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	found, err := src.Referrers(ctx, ref.At(ref.Digest()))
	if err == nil && len(found) == 0 {
		err = trust.Unsigned("nobody refers to %s", ref)
	}
	return trust.Evidence{}, err
}

func (f vouching) Check(ref image.Ref, _ trust.Evidence, now time.Time) ([]trust.Proof, error) {
	return []trust.Proof{{Digest: ref.Digest(), Signers: []trust.Signer{{Key: fingerprint}}, Expires: now.Add(time.Hour)}}, nil
}

// plugin is the point over a real engine, a real registry and a folder; the daemon is a list of images.
type plugin struct {
	*testing.T
	server  *registrytest.Server
	folder  string
	images  map[string]workload.DockerImage
	now     time.Time
	spec    string
	version string
	chained bool
	handler http.Handler
}

func (p *plugin) Image(_ context.Context, name string) (workload.DockerImage, error) {
	if held, found := p.images[name]; found {
		return held, nil
	}
	return workload.DockerImage{}, workload.ErrAbsent
}

func (p *plugin) Container(context.Context, string) (workload.DockerContainer, error) {
	return workload.DockerContainer{}, workload.ErrAbsent
}

func (p *plugin) Engine(context.Context) (workload.DockerEngine, error) {
	return workload.DockerEngine{}, nil
}

// restart is another process: nothing of the one before is left but what is on disk.
func (p *plugin) restart() {
	p.Helper()
	data := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n" + strings.ReplaceAll(p.spec, "%HOST%", p.server.Host())
	one, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, []string{"vouching"})
	if err != nil {
		p.Fatal(err)
	}
	client, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 2 * time.Second})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(client.CloseIdleConnections)
	now := func() time.Time { return p.now }
	e, err := engine.New(engine.Config{
		Policies: []*policy.Policy{one}, Formats: []trust.Format{vouching{version: p.version, now: now}}, Source: client, Tags: client, Now: now, Timeout: 5 * time.Second,
	})
	if err != nil {
		p.Fatal(err)
	}
	p.handler, err = docker.New(docker.Config{
		Point: &enforce.Point{Decider: e}, Daemon: p, Now: now, RequireContentChain: p.chained, Memory: memory.Open(p.folder, memory.Options{Now: now}),
		Local: e.Local, Builders: memory.OpenBuilders(p.folder, memory.Options{Now: now}),
	})
	if err != nil {
		p.Fatal(err)
	}
}

// create asks for a container of an image; text is a part of the refusal, "" if it is allowed.
func (p *plugin) create(what, name, text string) {
	p.Helper()
	body, _ := json.Marshal(map[string]any{"Image": name})
	question, _ := json.Marshal(map[string]any{
		"RequestMethod": "POST", "RequestUri": "/v1.41/containers/create", "RequestBody": base64.StdEncoding.EncodeToString(body),
		"RequestHeaders": map[string]string{"Content-Type": "application/json"},
	})
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/AuthZPlugin.AuthZReq", bytes.NewReader(question)))
	var answer struct {
		Allow bool
		Msg   string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		p.Fatal(err)
	}
	if answer.Allow != (text == "") || !strings.Contains(answer.Msg, text) {
		p.Errorf("%s: got %+v, want %q", what, answer, text)
	}
}

// push makes an image of the registry that this host has too, and has it vouched for.
func (p *plugin) push(tag string, vouched bool) string {
	p.Helper()
	d := p.server.PushImage("app/api", tag, "linux/amd64", tag)
	_, content := p.server.Manifest("app/api", d.String())
	var m struct {
		Config struct{ Digest image.Digest }
	}
	if err := json.Unmarshal(content, &m); err != nil {
		p.Fatal(err)
	}
	name := p.server.Host() + "/app/api:" + tag
	p.images[name] = workload.DockerImage{ID: m.Config.Digest, Names: []string{name}, Platform: "linux/amd64"}
	if vouched {
		p.vouch(d, len(content))
	}
	return name
}

func (p *plugin) vouch(d image.Digest, size int) {
	p.Helper()
	empty := p.server.PutBlob("app/api", []byte("{}"))
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	artifact, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": mediaType, "artifactType": "application/vnd.example.word",
		"config":  map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
		"layers":  []any{map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}},
		"subject": map[string]any{"mediaType": mediaType, "digest": d, "size": size},
	})
	if err != nil {
		p.Fatal(err)
	}
	p.server.PutManifest("app/api", image.SHA256(artifact).String(), mediaType, artifact)
}

const vouchedFor = "  authorities: {a: {vouching: {}}}\n  rules:\n  - {images: [\"%HOST%/**\"], require: a}\n"

func newPlugin(t *testing.T) *plugin {
	p := &plugin{
		T: t, server: registrytest.New(t, registrytest.Options{}), folder: t.TempDir(), images: map[string]workload.DockerImage{},
		now: time.Now().Truncate(time.Second), spec: vouchedFor, version: "1",
	}
	p.restart()
	return p
}

func everything(*http.Request) bool { return true }

// Images whose content was decided before still start when the registry is down, also after a restart of the plugin; unknown ones do not.
func TestT27_DecidedContentOutlivesTheRegistry(t *testing.T) {
	p := newPlugin(t)
	known, unknown, unsigned := p.push("known", true), p.push("unknown", true), p.push("unsigned", false)
	p.create("in good times", known, "")
	p.create("unsigned", unsigned, "may not run")
	p.server.SetFault(everything, registrytest.Status(503, nil, ""))
	p.now = p.now.Add(engine.DefaultTTL + time.Second) // what the engine itself remembers has ended
	for _, process := range []string{"the same process", "after a restart", "after another"} {
		p.create(process+": known", known, "")
		p.create(process+": never asked for", unknown, "could not tell")
		p.create(process+": denied before", unsigned, "could not tell")
		p.restart()
	}
	tagged := p.images[known]
	p.images[known] = p.images[unknown]
	p.create("a known name on another content", known, "could not tell")
	p.images[known] = tagged

	for name, change := range map[string]struct{ there, back func() }{
		"a revocation": {
			func() { p.spec = vouchedFor + "  revoked: [{key: \"" + fingerprint + "\"}]\n" },
			func() { p.spec = vouchedFor },
		},
		"another policy":         {func() { p.spec = "  mode: enforce\n" + vouchedFor }, func() { p.spec = vouchedFor }},
		"another trust material": {func() { p.version = "2" }, func() { p.version = "1" }},
		"only whole chains":      {func() { p.chained = true }, func() { p.chained = false }},
	} {
		change.there()
		p.restart()
		p.create(name, known, "could not tell")
		change.back()
		p.restart()
		p.create("without "+name, known, "")
	}
	p.now = p.now.Add(time.Hour)
	p.create("the proof has ended", known, "could not tell")
	p.restart()
	p.create("the proof has ended, after a restart", known, "could not tell")
	p.server.ClearFaults()
	p.create("the registry is back", known, "")
}

// A tag that was moved in the registry takes the old content's place, be the new one vouched for or not: what was denied since is not
// brought back by an outage.
func TestT21_MovedSinceIsNotRemembered(t *testing.T) {
	for reason, vouched := range map[string]bool{"may not run": false, "its content is another": true} {
		p := newPlugin(t)
		name := p.push("1", true)
		p.create("as pulled", name, "")
		held := p.images[name]
		p.push("2", vouched)
		p.server.Tag("app/api", "1", p.digest("2"))
		p.images[name] = held
		p.now = p.now.Add(engine.DefaultTTL + time.Second)
		p.create("moved", name, reason)
		p.server.SetFault(everything, registrytest.Status(503, nil, ""))
		p.now = p.now.Add(engine.DefaultTTL + time.Second)
		p.create("in an outage", name, "could not tell")
		p.restart()
		p.create("after a restart", name, "could not tell")
	}
}

func (p *plugin) digest(tag string) image.Digest {
	_, content := p.server.Manifest("app/api", tag)
	return image.SHA256(content)
}
