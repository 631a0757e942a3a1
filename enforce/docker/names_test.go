package docker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/workload"
)

// containerID is that of a container: all of its digits are the same.
func containerID(digit string) string { return strings.Repeat(digit, 64) }

// named is a point at an engine with a container of a vouched image.
func named(t *testing.T, now func() time.Time, point *enforce.Point) *plugin {
	t.Helper()
	web := workload.DockerContainer{ID: containerID("a"), Name: "web", Image: config, Named: app + ":1"}
	shadow := web
	shadow.Name, shadow.Shadows = "bb", true
	like := web
	like.Name = containerID("b")
	return open(t, docker.Config{Now: now, Point: point, Daemon: &host{
		images: map[string]workload.DockerImage{app + ":1": {ID: config}, config.String(): {ID: config}},
		containers: map[string]workload.DockerContainer{
			"web": web, web.ID: web, web.ID[:12]: web, "parent/alias": web, shadow.Name: shadow, like.Name: like,
		},
	}})
}

// told says that the daemon has obeyed.
func (p *plugin) told(a asked) {
	p.t.Helper()
	if got, _, err := p.call(p.t.Context(), "/AuthZPlugin.AuthZRes", a); err != nil || !got.Allow {
		p.t.Fatalf("got %+v, %v", got, err)
	}
}

const moves = "being started as"

// Who may rename cannot have one container looked at and another one started: a name stays what it is until the daemon has obeyed.
func TestAUTHZ16_T50_NamesDoNotMoveDuringAStart(t *testing.T) {
	start := post("/v1.41/containers/web/start")
	for name, gives := range map[string]asked{
		"rename":           post("/v1.41/containers/other/rename?name=web"),
		"rename, a slash":  post("/v1.41/containers/other/rename?name=%2Fweb"),
		"rename, a space":  post("/v1.41/containers/other/rename?name=+web+"),
		"create":           creates(app + ":1"),
		"restart's rename": post("/containers/other/rename?name=web"),
	} {
		t.Run(name, func(t *testing.T) {
			p := named(t, nil, nil)
			p.want("start", start, "")
			p.want("while it starts", gives, moves)
			p.told(post("/v1.41/containers/other/start"))
			p.want("something else has started", gives, moves)
			p.told(start)
			p.want("it has started", gives, "")
			p.want("while it is renamed", start, moves)
			p.want("another one", post("/v1.41/containers/"+containerID("a")[:12]+"/start"), "")
			p.told(gives)
			p.want("it is renamed", start, "")
			if got := p.refused[docker.NameMoves]; got != 3 {
				t.Errorf("got %v", p.refused)
			}
		})
	}
}

// What was denied holds no name, and two of the same kind do not hinder each other.
func TestAUTHZ16_DeniedRequestsHoldNoName(t *testing.T) {
	p := named(t, nil, nil)
	p.want("denied", creates("registry.example/foreign:1"), "ci does not vouch")
	p.want("start", post("/containers/web/start"), "")
	p.want("start", post("/containers/web/start"), "")
	p.told(post("/containers/web/start"))
	p.want("one of two still starts", creates(app+":1"), moves)
	p.told(post("/containers/web/start"))
	p.want("none starts", creates(app+":1"), "")
	p.want("create", creates(app+":1"), "")
	p.told(creates(app + ":1"))
	p.told(creates(app + ":1"))
	p.want("a broken rename", post("/containers/x/rename?name=web&name=y"), "2 times")
	p.want("start", post("/containers/web/start"), "")
	// A whole ID is nobody's name.
	p.want("by ID", post("/containers/"+containerID("a")+"/restart?t=1"), "")
	p.want("any name", post("/containers/x/rename?name=free"), "")
}

// A name is held while it is decided about, for some time after that where the daemon never tells, and not for ever.
func TestAUTHZ16_NamesAreHeldForSoLong(t *testing.T) {
	var mu sync.Mutex
	clock := time.Unix(1_000_000, 0)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(d)
	}
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return clock
	}
	deciding, decide := make(chan struct{}), make(chan struct{})
	p := named(t, now, &enforce.Point{Decider: deciderFunc(func(ctx context.Context, req engine.Request) engine.Verdict {
		deciding <- struct{}{}
		<-decide
		return vouched(ctx, req)
	})})
	done := make(chan answer)
	start, rename := post("/containers/web/start"), post("/containers/x/rename?name=web")
	go func() { done <- p.ask(start) }()
	<-deciding
	pass(2 * time.Hour)
	p.want("while it is decided about", rename, moves)
	decide <- struct{}{}
	if a := <-done; !a.Allow {
		t.Fatalf("got %+v", a)
	}
	pass(29 * time.Second)
	p.want("soon after", rename, moves)
	pass(time.Second)
	p.want("nothing was told", rename, "")
	// What is told late of the start ends nothing of a later one.
	pass(30 * time.Second)
	go func() { done <- p.ask(start) }()
	<-deciding
	decide <- struct{}{}
	<-done
	p.told(start)
	p.want("the later one starts", rename, moves)
	p.told(start)
	p.want("both have started", rename, "")
}

// A name that could mean another container by the time that the daemon looks is none to start one by.
func TestAUTHZ16_NamesThatMeanTwo(t *testing.T) {
	p := named(t, nil, nil)
	p.want("the beginning of an ID", post("/containers/"+containerID("a")[:12]+"/start"), "")
	p.want("a link's", post("/containers/parent/alias/start"), "as links give them")
	p.want("the beginning of another's ID", post("/containers/bb/start"), "or its beginning")
	p.want("another's ID", post("/containers/"+containerID("b")+"/start"), "or its beginning")
	p.want("called like an ID", post("/containers/web/rename?name="+containerID("b")), "called like an ID")
	p.want("called like an ID", postJSON("/containers/create?name="+containerID("b"), `{"Image":"`+app+`:1"}`), "called like an ID")
	p.want("a long name", post("/containers/web/rename?name="+strings.Repeat("x", 1025)), "at most 1024")
	p.want("rename by a form", asked{RequestMethod: "POST", RequestURI: "/containers/web/rename?name=y",
		RequestHeaders: map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "8"}}, "form body")
	p.want("rename of old", post("/v1.23/containers/web/rename?name=y"), "too old")
}

// However many requests there are, no more names than so many are held.
func TestT47_NamesAtOnce(t *testing.T) {
	p := named(t, nil, nil)
	rename := func(i int) asked { return post(fmt.Sprintf("/containers/x/rename?name=n%d", i)) }
	for i := range 4096 {
		if !p.ask(rename(i)).Allow {
			t.Fatalf("denied at %d", i)
		}
	}
	p.want("one more", rename(4096), moves)
	p.want("a start", post("/containers/web/start"), moves)
	p.want("by ID", post("/containers/"+containerID("a")+"/start"), "")
	p.told(rename(7))
	p.want("after one has ended", rename(4096), "")
}
