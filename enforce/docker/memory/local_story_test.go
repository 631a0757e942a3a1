package memory_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/workload"
)

const onBase = `  authorities: {a: {vouching: {}}}
  rules:
  - {local: {base: ["%HOST%/app/api:base"]}, allow: on our base}
  - {images: ["%HOST%/**"], require: a}
`

// pushBase makes a base of one layer that is vouched for, and returns its digest and its layer.
func (p *plugin) pushBase() (image.Digest, image.Digest) {
	p.Helper()
	layer := image.SHA256([]byte("base"))
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["` + layer.String() + `"]}}`
	blob := p.server.PutBlob("app/api", []byte(config))
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, mediaType, blob, len(config))
	d := p.server.PutManifest("app/api", "base", mediaType, []byte(text))
	p.vouch(d, len(text))
	return d, layer
}

func (p *plugin) revoke(d image.Digest) {
	quoted, _ := json.Marshal(d.String())
	p.spec = onBase + "  revoked: [{digest: " + string(quoted) + ", reason: broken into}]\n"
	p.restart()
}

// What was made here on a vouched base still starts in an outage if it was decided before, on the same basis only.
func TestT27_WhatWasMadeHereOutlivesTheRegistry(t *testing.T) {
	p := newPlugin(t)
	p.spec = onBase
	p.restart()
	d, layer := p.pushBase()
	const known, unknown, foreign = "docker.io/library/known:1", "docker.io/library/unknown:1", "docker.io/library/foreign:1"
	made := func(name string, layers ...image.Digest) {
		p.images[name] = workload.DockerImage{ID: image.SHA256([]byte(name)), Names: []string{name}, Platform: "linux/amd64", Layers: layers}
	}
	more := image.SHA256([]byte("more"))
	made(known, layer, more)
	made(unknown, layer, more)
	made(foreign, more, layer)
	p.create("in good times", known, "")
	p.create("on another base", foreign, "the lowest layers of the image are not")
	p.server.SetFault(everything, registrytest.Status(503, nil, ""))
	p.now = p.now.Add(engine.DefaultTTL + time.Second)
	for _, process := range []string{"the same process", "after a restart"} {
		p.create(process+": known", known, "")
		p.create(process+": never asked for", unknown, "could not tell")
		p.create(process+": denied before", foreign, "could not tell")
		p.restart()
	}
	p.revoke(d)
	p.create("another policy", known, "could not tell")
	p.server.ClearFaults()
	p.create("the base was taken back", known, "broken into")
	p.spec = onBase
	p.restart()
	p.create("not taken back", known, "")
	held := p.images[known]
	held.Digests = []string{p.server.Host() + "/app/x@" + d.String()}
	p.images[known] = held
	p.server.SetFault(everything, registrytest.Status(503, nil, ""))
	p.create("the daemon has recorded where it got it", known, "may not run")
}

// A "no" ends what was remembered.
func TestT21_BaseTakenBackIsForgotten(t *testing.T) {
	p := newPlugin(t)
	p.spec = onBase
	p.restart()
	_, layer := p.pushBase()
	const name = "docker.io/library/app:1"
	p.images[name] = workload.DockerImage{ID: image.SHA256([]byte(name)), Names: []string{name}, Platform: "linux/amd64", Layers: []image.Digest{layer}}
	p.create("now", name, "")
	p.server.PushImage("app/api", "base", "linux/amd64", "another base, for which nobody vouches")
	p.now = p.now.Add(engine.DefaultTTL + time.Second)
	p.create("the base has moved", name, "base "+p.server.Host()+"/app/api:base")
	p.server.SetFault(everything, registrytest.Status(503, nil, ""))
	p.now = p.now.Add(engine.DefaultTTL + time.Second)
	p.create("an outage", name, "could not tell")
}
