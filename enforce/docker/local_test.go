package docker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/workload"
)

// silent is a registry that never answers.
type silent struct{}

var errSilent = errors.New("nobody answers")

func (silent) Manifest(context.Context, image.Ref) (trust.Manifest, error) {
	return trust.Manifest{}, errSilent
}

func (silent) Blob(context.Context, image.Ref, trust.Descriptor, int64) ([]byte, error) {
	return nil, errSilent
}

func (silent) Referrers(context.Context, image.Ref) ([]trust.Descriptor, error) {
	return nil, errSilent
}

func (silent) Resolve(context.Context, image.Ref) (trust.Descriptor, error) {
	return trust.Descriptor{}, errSilent
}

// ruled is an engine with policies, whose registry never answers.
func ruled(t *testing.T, specs ...string) *engine.Engine {
	t.Helper()
	var all []*policy.Policy
	for i, spec := range specs {
		data := fmt.Sprintf("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p%d}\nspec:\n%s", i, spec)
		p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	e, err := engine.New(engine.Config{Policies: all, Source: silent{}, Tags: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// builders is the least memory of who had images built that there can be.
type builders struct {
	mu    sync.Mutex
	known map[image.Digest]string
}

func (b *builders) Builder(id image.Digest) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[id]
}

func (b *builders) Built(_ context.Context, user string, ids ...image.Digest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.known[id] = user
	}
	return nil
}

const labelled = "  rules:\n  - {local: {labels: {team: payments}}, allow: ours}\n  - {images: [\"registry.example/**\"], deny: not by this name}\n"

// local opens a point whose policies are specs.
func local(t *testing.T, daemon docker.Daemon, known *builders, specs ...string) *plugin {
	t.Helper()
	e := ruled(t, specs...)
	c := docker.Config{Point: &enforce.Point{Decider: e}, Daemon: daemon, Local: e.Local}
	if known != nil {
		c.Builders = known
	}
	return open(t, c)
}

func TestT50_LocalLabels(t *testing.T) {
	payments := map[string]string{"team": "payments"}
	for name, row := range map[string]struct {
		held workload.DockerImage
		spec string
		text string
	}{
		"made here":                            {workload.DockerImage{ID: config, Labels: payments}, labelled, ""},
		"under whatever name":                  {workload.DockerImage{ID: config, Labels: payments, Names: []string{app + ":1"}}, labelled, ""},
		"the daemon recorded a digest":         {workload.DockerImage{ID: config, Labels: payments, Digests: []string{app + "@" + index.String()}}, labelled, "not by this name"},
		"it recorded something":                {workload.DockerImage{ID: config, Labels: payments, Digests: []string{"<none>@<none>"}}, labelled, "not by this name"},
		"a label that no rule asks for":        {workload.DockerImage{ID: config, Labels: map[string]string{"teams": "payments"}}, labelled, "label team is absent"},
		"another value":                        {workload.DockerImage{ID: config, Labels: map[string]string{"team": "x"}}, labelled, `label team is "x", not "payments"`},
		"a label, and no such rule":            {workload.DockerImage{ID: config, Labels: payments}, "  rules:\n  - {images: [\"registry.example/**\"], deny: not by this name}\n", "not by this name"},
		"a rule that denies":                   {workload.DockerImage{ID: config, Labels: payments}, "  rules:\n  - {local: {labels: {team: payments}}, deny: not ours}\n  - {images: [\"**\"], allow: x}\n", "not ours"},
		"a rule before it about every name":    {workload.DockerImage{ID: config, Labels: payments}, "  rules:\n  - {images: [\"**\"], deny: nothing}\n  - {local: {labels: {team: payments}}, allow: x}\n", "nothing"},
		"a rule for all content made here":     {workload.DockerImage{ID: config}, "  rules:\n  - {local: {labels: {team: payments}}, allow: x}\n  - {images: [\"" + docker.Unnamed + "\"], allow: y2}\n  - {images: [\"**\"], deny: z}\n", "z"},
		"the same, and its name needs no word": {workload.DockerImage{ID: config}, "  rules:\n  - {local: {labels: {team: payments}}, allow: x}\n  - {images: [\"" + docker.Unnamed + "\", \"registry.example/**\"], allow: y2}\n", ""},
	} {
		daemon := &host{images: map[string]workload.DockerImage{app + ":1": row.held, config.String(): row.held}}
		p := local(t, daemon, nil, row.spec)
		p.want(name, creates(app+":1"), row.text)
	}
	byID := workload.DockerImage{ID: config, Labels: payments}
	daemon := &host{images: map[string]workload.DockerImage{config.String(): byID}, containers: map[string]workload.DockerContainer{"db": {ID: "c1", Name: "db", Image: config, Named: "app"}}}
	p := local(t, daemon, nil, labelled)
	p.want("by ID", creates(config.String()), "")
	p.want("a container of it", post("/containers/db/start"), "")
	daemon.engine.Containerd = true
	p = local(t, daemon, nil, labelled)
	p.want("containerd's store says of nothing where it came from", creates(config.String()), "no name of a registry")
}

// What no local rule allows is decided by its name; what cannot be told of it is not "no".
func TestT50_LocalWhatNoRuleKnows(t *testing.T) {
	held := workload.DockerImage{ID: config, Labels: map[string]string{"org.opencontainers.image.base.name": "registry.example/base/go:1"}}
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": held, "bare": {ID: older}}}
	p := local(t, daemon, nil, "  rules:\n  - {local: {base: [\"registry.example/base/**\"]}, allow: x}\n  - {images: [\"registry.example/base/**@"+index.String()+"\"], allow: z}\n  - {images: [\"**\"], deny: not by this name}\n")
	p.want("nobody can be asked about the base", creates(app+":1"), "could not tell")
	p.want("no base", creates("bare"), "nothing names a base")
	if n := p.ask(creates("bare")); n.Allow {
		t.Error("allowed")
	}
	open(t, docker.Config{Point: &enforce.Point{Decider: ruled(t, labelled)}, Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: config, Labels: map[string]string{"team": "payments"}}}}}).
		want("a point that was told nothing of local rules", creates(app+":1"), "not by this name")
}

// All policies must allow what was made here, whichever of them has rules about it.
func TestT50_LocalSeveralPolicies(t *testing.T) {
	held := workload.DockerImage{ID: config, Labels: map[string]string{"team": "payments"}}
	daemon := &host{images: map[string]workload.DockerImage{app + ":1": held}}
	local(t, daemon, nil, labelled, "  rules:\n  - {images: [\"other.example/**\"], allow: x}\n").want("one says nothing of it", creates(app+":1"), "not by this name")
	local(t, daemon, nil, labelled, "  unmatched: ignore\n  rules:\n  - {images: [\"other.example/**\"], allow: x}\n").want("one has no opinion", creates(app+":1"), "")
	local(t, daemon, nil, labelled, "  mode: audit\n  rules:\n  - {images: [\"other.example/**\"], allow: x}\n").want("one only records", creates(app+":1"), "")
	local(t, daemon, nil, labelled, labelled).want("both", creates(app+":1"), "")
	// What one policy allows under a name only if somebody vouches, no other policy's rule lets pass.
	named := "  rules:\n  - {images: [\"registry.example/**\"], deny: nobody vouches}\n  - {images: [\"" + docker.Unnamed + "\"], allow: x}\n"
	local(t, daemon, nil, named).want("one policy", creates(app+":1"), "nobody vouches")
	local(t, daemon, nil, named, labelled).want("and another one", creates(app+":1"), "not every policy has one")
	local(t, daemon, nil, named, "  mode: audit\n"+labelled).want("and one that only records", creates(app+":1"), "nobody vouches")
	local(t, daemon, nil, "  mode: warn\n"+labelled).want("none enforces", creates(app+":1"), "")
}

// engineHost is a host on which builds are made while a test looks on.
type engineHost struct {
	host
	list error
}

func (h *engineHost) Images(context.Context) ([]image.Digest, error) {
	var all []image.Digest
	for _, i := range h.images {
		all = append(all, i.ID)
	}
	return all, h.list
}

const byCI = "  rules:\n  - {local: {builtBy: [\"ci-*\"]}, allow: CI had it built}\n"

// site is a host with a point, at which users ask for things.
type site struct {
	*plugin
	host *engineHost
	open map[string]map[string]any
}

func newSite(t *testing.T) *site {
	h := &engineHost{host: host{images: map[string]workload.DockerImage{}}}
	return &site{plugin: local(t, h, &builders{known: map[image.Digest]string{}}, byCI), host: h, open: map[string]map[string]any{}}
}

// begins asks the point as the daemon does before it obeys; "" is whoever has the socket.
func (s *site) begins(user, uri string) {
	s.t.Helper()
	a := asked{RequestMethod: "POST", RequestURI: uri, User: user}
	method := "TLS"
	if user == "" {
		method = ""
	}
	s.beginsBy(a, method)
}

// beginsBy does the same, for a user whose name the daemon knows in some way.
func (s *site) beginsBy(a asked, method string) {
	s.t.Helper()
	content, err := json.Marshal(a)
	if err != nil {
		s.t.Fatal(err)
	}
	said := map[string]any{}
	if err := json.Unmarshal(content, &said); err != nil {
		s.t.Fatal(err)
	}
	said["UserAuthNMethod"] = method
	if got, _, err := s.call(s.t.Context(), "/AuthZPlugin.AuthZReq", said); err != nil || !got.Allow {
		s.t.Fatalf("%s: got %+v, %v", a.RequestURI, got, err)
	}
	s.open[a.User+" "+a.RequestURI] = said
}

// ends tells the point what the daemon answered.
func (s *site) ends(user, uri string, status int, body string) {
	s.t.Helper()
	told := maps.Clone(s.open[user+" "+uri])
	told["ResponseStatusCode"], told["ResponseBody"] = status, []byte(body)
	if got, _, err := s.call(s.t.Context(), "/AuthZPlugin.AuthZRes", told); err != nil || !got.Allow {
		s.t.Fatalf("%s: got %+v, %v", uri, got, err)
	}
}

// names puts an image behind a name of the host.
func (s *site) names(name string, id image.Digest) {
	s.host.images[name] = workload.DockerImage{ID: id}
}

const (
	buildApp = "/v1.41/build?dockerfile=Dockerfile&t=app"
	appName  = "docker.io/library/app:latest"
)

// built wants it to be known, or not, that CI had the image behind a name built.
func (s *site) built(what string, want bool) {
	s.t.Helper()
	text := ""
	if !want {
		text = "had it built"
	}
	s.host.images["app"] = s.host.images[appName]
	s.want(what, creates("app"), text)
	delete(s.host.images, "app")
}

func TestT50_LocalBuiltBy(t *testing.T) {
	for name, row := range map[string]struct {
		steps func(*site)
		want  bool
	}{
		"a build": {func(s *site) {
			s.begins("ci-1", buildApp)
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, true},
		"a build whose answer came in pieces": {func(s *site) {
			s.begins("ci-1", buildApp)
			s.names(appName, config)
			s.ends("ci-1", buildApp, 0, "")
		}, true},
		"by somebody else": {func(s *site) {
			s.begins("eve", buildApp)
			s.names(appName, config)
			s.ends("eve", buildApp, 200, "")
		}, false},
		"by whoever is at the socket": {func(s *site) {
			s.begins("", buildApp)
			s.names(appName, config)
			s.ends("", buildApp, 200, "")
		}, false},
		"a build without a name": {func(s *site) {
			s.begins("ci-1", "/v1.41/build?dockerfile=Dockerfile")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/build?dockerfile=Dockerfile", 200, "")
		}, false},
		"a build that failed": {func(s *site) {
			s.begins("ci-1", buildApp)
			s.names(appName, config)
			s.ends("ci-1", buildApp, 500, "")
		}, false},
		"a build that changed nothing": {func(s *site) {
			s.names(appName, config)
			s.begins("ci-1", buildApp)
			s.ends("ci-1", buildApp, 200, "")
		}, false},
		"a build that gives a name to what was there": {func(s *site) {
			s.names("evil", config)
			s.begins("ci-1", buildApp)
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, false},
		"a build that only pulls": {func(s *site) {
			s.begins("ci-1", buildApp)
			s.host.images[appName] = workload.DockerImage{ID: config, Digests: []string{app + "@" + index.String()}}
			s.ends("ci-1", buildApp, 200, "")
			s.names(appName, config)
		}, false},
		"an engine that does not list its images": {func(s *site) {
			s.host.list = errors.New("broken")
			s.begins("ci-1", buildApp)
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, false},
		"a daemon that started anew meanwhile": {func(s *site) {
			s.begins("ci-1", buildApp)
			if _, _, err := s.call(s.t.Context(), "/Plugin.Activate", ""); err != nil {
				s.t.Fatal(err)
			}
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, false},
		"two builds of one user at once": {func(s *site) {
			s.begins("ci-1", buildApp)
			s.begins("ci-1", buildApp)
			s.ends("ci-1", buildApp, 200, "")
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, true},
		"a commit": {func(s *site) {
			s.begins("ci-1", "/v1.41/commit?container=web")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/commit?container=web", 201, `{"Id":"`+config.String()+`"}`)
		}, true},
		"a commit beside others' requests": {func(s *site) {
			s.begins("eve", "/v1.41/images/load")
			s.begins("ci-1", "/v1.41/commit?container=web")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/commit?container=web", 201, `{"Id":"`+config.String()+`"}`)
		}, true},
		"a commit by somebody else": {func(s *site) {
			s.begins("eve", "/v1.41/commit?container=web")
			s.names(appName, config)
			s.ends("eve", "/v1.41/commit?container=web", 201, `{"Id":"`+config.String()+`"}`)
		}, false},
		"a commit that failed": {func(s *site) {
			s.begins("ci-1", "/v1.41/commit?container=web")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/commit?container=web", 500, `{"Id":"`+config.String()+`"}`)
		}, false},
		"a commit of another image": {func(s *site) {
			s.begins("ci-1", "/v1.41/commit?container=web")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/commit?container=web", 201, `{"Id":"`+older.String()+`"}`)
		}, false},
		"an import is no build": {func(s *site) {
			s.begins("ci-1", "/v1.41/images/create?fromSrc=-&repo=app")
			s.names(appName, config)
			s.ends("ci-1", "/v1.41/images/create?fromSrc=-&repo=app", 200, "")
		}, false},
		"an end that nobody saw begin": {func(s *site) {
			s.names(appName, config)
			s.open["ci-1 "+buildApp] = map[string]any{"RequestMethod": "POST", "RequestUri": buildApp, "User": "ci-1", "UserAuthNMethod": "TLS"}
			s.ends("ci-1", buildApp, 200, "")
		}, false},
		"a name that no daemon verified": {func(s *site) {
			s.beginsBy(asked{RequestMethod: "POST", RequestURI: buildApp, User: "ci-1"}, "other")
			s.names(appName, config)
			s.ends("ci-1", buildApp, 200, "")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			row.steps(s)
			s.built("then", row.want)
		})
	}
}

// Whatever can make or name an image and was somebody else's, at any time of a build, leaves nobody known to have built it.
func TestT50_LocalOthersDuringABuild(t *testing.T) {
	for name, uri := range map[string]string{
		"build": "/v1.41/build?t=app", "load": "/v1.41/images/load", "import": "/v1.41/images/create?fromSrc=-&repo=app", "tag": "/v1.41/images/evil/tag?repo=app",
		"commit": "/v1.41/commit?container=web&repo=app", "BuildKit": "/v1.41/grpc", "session": "/v1.41/session",
	} {
		for when, steps := range map[string]func(s *site, user string){
			"before it, and not ended": func(s *site, user string) {
				s.begins(user, uri)
				s.begins("ci-1", buildApp)
				s.names(appName, config)
				s.ends("ci-1", buildApp, 200, "")
			},
			"begun before it, and ended during it": func(s *site, user string) {
				s.begins(user, uri)
				s.begins("ci-1", buildApp)
				s.names(appName, config)
				s.ends(user, uri, 200, "")
				s.ends("ci-1", buildApp, 200, "")
			},
			"during it": func(s *site, user string) {
				s.begins("ci-1", buildApp)
				s.begins(user, uri)
				s.names(appName, config)
				s.ends(user, uri, 200, "")
				s.ends("ci-1", buildApp, 200, "")
			},
		} {
			for user, want := range map[string]bool{"eve": false, "": false, "ci-1": true} {
				if user == "ci-1" && uri == buildApp {
					continue
				}
				s := newSite(t)
				steps(s, user)
				s.built(name+" "+when+" by "+user, want)
			}
		}
	}
	s := newSite(t)
	s.begins("eve", "/v1.41/images/load")
	s.ends("eve", "/v1.41/images/load", 200, "")
	s.begins("ci-1", buildApp)
	s.names(appName, config)
	s.ends("ci-1", buildApp, 200, "")
	s.begins("eve", "/v1.41/images/load")
	s.built("others before and after it", true)
}

// Many open requests are a doubt about all of them, until the daemon starts anew.
func TestT47_OpenRequestsAreBounded(t *testing.T) {
	s := newSite(t)
	for i := range 1025 {
		s.begins("ci-1", fmt.Sprintf("/v1.41/images/load?quiet=%d", i))
	}
	for i := range 1024 {
		s.ends("ci-1", fmt.Sprintf("/v1.41/images/load?quiet=%d", i), 200, "")
	}
	s.begins("ci-1", buildApp)
	s.names(appName, config)
	s.ends("ci-1", buildApp, 200, "")
	s.built("one was not watched", false)
	if _, _, err := s.call(t.Context(), "/Plugin.Activate", ""); err != nil {
		t.Fatal(err)
	}
	s.begins("ci-1", buildApp)
	s.names(appName, foreign)
	s.ends("ci-1", buildApp, 200, "")
	s.built("a new daemon", true)
}

// Without a rule that asks, nobody is asked and nothing is kept.
func TestT50_LocalNobodyAsks(t *testing.T) {
	h := &engineHost{host: host{images: map[string]workload.DockerImage{}}, list: errors.New("was asked")}
	known := &builders{known: map[image.Digest]string{}}
	s := &site{plugin: local(t, h, known, labelled), host: h, open: map[string]map[string]any{}}
	s.begins("ci-1", buildApp)
	s.names(appName, config)
	s.ends("ci-1", buildApp, 200, "")
	if h.asked != 0 || len(known.known) != 0 || s.log.Len() != 0 {
		t.Errorf("asked %d times, kept %v, logged %s", h.asked, known.known, s.log)
	}
}

// A rule that denies what was made here holds under every name, also under one that somebody vouches for.
func TestT50_LocalDenialHoldsUnderEveryName(t *testing.T) {
	denies := engine.Denied
	point := &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		if req.Local == nil {
			return vouched(ctx, req)
		}
		return engine.Verdict{Image: req.Image, Decision: engine.Decision{Policy: "shop", Mode: "enforce", Local: denies == engine.Denied, Outcome: denies, Reason: "not what was made here"}}
	})}
	all := func() (bool, bool) { return true, true }
	p := open(t, docker.Config{Point: point, Daemon: &host{images: map[string]workload.DockerImage{app + ":1": {ID: config}}}, Local: all})
	p.want("a rule denies it", creates(app+":1"), "not what was made here")
	denies = engine.CouldNotTell
	p.want("its name is vouched for, whatever cannot be told of it", creates(app+":1"), "")
	denies = engine.Bug
	p.want("a bug", creates(app+":1"), "bug")
}

// What was allowed by who built it is not brought back by an outage for whoever is known to have built it then.
func TestT27_LocalMemoryHasItsBuilder(t *testing.T) {
	outcome := engine.Allowed
	point := &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		v := vouched(ctx, req)
		if req.Local != nil {
			v.Allowed, v.Outcome, v.Local, v.Reason = outcome == engine.Allowed, outcome, outcome == engine.Allowed, outcome.String()
		}
		return v
	})}
	known := &builders{known: map[image.Digest]string{foreign: "ci-1"}}
	all := func() (bool, bool) { return true, true }
	daemon := &host{images: map[string]workload.DockerImage{app + ":2": {ID: foreign}}}
	p := open(t, docker.Config{Point: point, Daemon: daemon, Local: all, Builders: known, Memory: &memory{}})
	p.want("now", creates(app+":2"), "")
	outcome = engine.CouldNotTell
	p.want("an outage", creates(app+":2"), "")
	known.known[foreign] = "eve"
	p.want("built by somebody else since", creates(app+":2"), "could not tell")
	known.known[foreign] = "ci-1"
	p.want("as before", creates(app+":2"), "")
	outcome = engine.Denied
	p.want("no", creates(app+":2"), "denied")
	outcome = engine.CouldNotTell
	p.want("another outage", creates(app+":2"), "could not tell")
}
