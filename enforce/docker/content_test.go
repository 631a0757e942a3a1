package docker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

// A text that is a tag of the image means the tag, as it does to the daemon, though the image's ID begins like it.
func TestAUTHZ10_ATagThatIsLikeAnID(t *testing.T) {
	short := config.Hex()[:12]
	p := open(t, docker.Config{Daemon: &host{images: map[string]workload.DockerImage{
		short: {ID: config, Names: []string{short + ":latest", app + ":1"}}, config.Hex()[:10]: {ID: config, Names: []string{short + ":latest", app + ":1"}},
	}}})
	p.want("the tag", creates(short), "ci does not vouch")
	p.want("the ID", creates(config.Hex()[:10]), "")
}

// The daemon tells of another image than the container has.
func TestAUTHZ16_TheAnswerIsAboutAnotherImage(t *testing.T) {
	p := open(t, docker.Config{Daemon: &host{
		images:     map[string]workload.DockerImage{foreign.String(): {ID: config}},
		containers: map[string]workload.DockerContainer{"web": {ID: containerID("a"), Name: "web", Image: foreign, Named: app + ":1"}},
	}})
	p.want("start", post("/containers/web/start"), "the engine answers with")
}

// A version that is no number is none, however large.
func TestAUTHZ27_VersionsThatAreNone(t *testing.T) {
	p := open(t, docker.Config{})
	body := `{"Image":"` + app + `:1"}`
	p.want("large", postJSON("/v1.99999999999999999999/containers/create", body), "is none")
	p.want("very large", postJSON("/v99999999999999999999.41/containers/create", body), "is none")
	p.want("a dot", postJSON("/v./containers/create", body), "is none")
	p.want("a new one", postJSON("/v1.999/containers/create", body), "")
}

// Without any setting, plugins, swarms, checkpoints and pulls of all tags are denied, and nothing else is.
func TestAUTHZ25_Defaults(t *testing.T) {
	denied := map[string]bool{"plugins": true, "swarm": true, "checkpoint": true, "pullAllTags": true}
	for _, s := range docker.Switches() {
		if (s.Default == docker.Allow) == denied[s.Name] {
			t.Errorf("%s: %s", s.Name, s.Default)
		}
	}
	p := open(t, docker.Config{})
	p.want("this plugin", post("/plugins/assay/disable?force=1"), "plugins=deny")
	p.want("a swarm", postJSON("/swarm/init", `{}`), "swarm=deny")
	p.want("a tag", post("/images/x/tag?repo=y"), "")
}

// Each node pulls a service's image by itself: what is vouched for must be all of what the digest names.
func TestAUTHZ26_T30_OnlyTheChildOfAnIndex(t *testing.T) {
	child := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		v.Child, v.Digest = true, manifest
		return v
	})
	service := func(digest image.Digest, runtime string) asked {
		return postJSON("/services/create", `{"TaskTemplate":{"Runtime":"`+runtime+`","ContainerSpec":{"Image":"`+app+`@`+digest.String()+`"}}}`)
	}
	p := open(t, docker.Config{Point: &enforce.Point{Decider: child}})
	p.want("an index", service(index, ""), "only one platform's manifest")
	p = open(t, docker.Config{Point: &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		v.Digest = manifest // as a policy has it that replaces digests
		return v
	})}})
	p.want("another digest", service(index, ""), "the digest that is vouched for is "+manifest.String())
	p = open(t, docker.Config{})
	p.want("another runtime", service(index, "plugin"), "which runs no image")
	p.want("containers", service(index, "container"), "")
}

// A rule for what has no name does not let something pass by its ID that has one, which the policy denies.
func TestAUTHZ10_AnIDWithADeniedName(t *testing.T) {
	bare := deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		if ref, err := image.Parse(req.Image); err == nil && ref.Registry() == "local.invalid" {
			v.Allowed, v.Outcome = true, engine.Allowed
		}
		return v
	})
	p := open(t, docker.Config{Point: &enforce.Point{Decider: bare}, Daemon: &host{images: map[string]workload.DockerImage{
		foreign.String(): {ID: foreign, Names: []string{"registry.example/foreign:1"}}, older.String(): {ID: older},
	}}})
	p.want("it has a name", creates(foreign.String()), "ci does not vouch")
	p.want("it has none", creates(older.String()), "")
}

// elephant knows everything, and notes what it is told.
type elephant struct{ told []docker.Decided }

func (e *elephant) Known(context.Context, docker.Decided, time.Time) bool { return true }
func (e *elephant) Forget(context.Context, docker.Decided) error          { return errors.New("never") }
func (e *elephant) Keep(_ context.Context, d docker.Decided) error {
	e.told = append(e.told, d)
	return nil
}

// Without a basis nothing is remembered or recalled, and what was allowed by a digest that the daemon recorded has another one than what was
// compared.
func TestT27_WhatIsRememberedHasABasis(t *testing.T) {
	unclear := func(basis string) deciderFunc {
		return func(_ context.Context, req engine.Request) engine.Verdict {
			v := engine.Verdict{Image: req.Image, Canonical: app + ":1", Basis: basis}
			v.Outcome, v.Reason = engine.CouldNotTell, "nobody answers"
			return v
		}
	}
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": {ID: config}}}
	for basis, text := range map[string]string{"": "could not tell", "basis": ""} {
		p := open(t, docker.Config{Memory: &elephant{}, Daemon: daemon, Point: &enforce.Point{Decider: unclear(basis)}})
		p.want("basis "+basis, creates(app+":1"), text)
	}
	for chained, basis := range map[bool]string{false: "basis", true: "basis chain"} {
		e := &elephant{}
		p := open(t, docker.Config{Memory: e, Daemon: daemon, RequireContentChain: chained})
		p.want("vouched for", creates(app+":1"), "")
		if len(e.told) != 1 || e.told[0].Basis != basis {
			t.Errorf("got %+v", e.told)
		}
	}
}
