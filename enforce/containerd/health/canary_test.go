package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce/containerd/ask"
	"github.com/assay-dev/assay/enforce/containerd/health"
	"github.com/assay-dev/assay/enforce/containerd/health/healthtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loopback = "127.0.0.1:0"

func open(t *testing.T, socket string) *health.Client {
	t.Helper()
	t.Cleanup(http.DefaultClient.CloseIdleConnections) // of the containerd
	c, err := health.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestT51_Canary(t *testing.T) {
	for _, row := range []struct {
		name string
		c    *healthtest.Containerd
		want health.Outcome
		text string
	}{
		{"Assay refuses", &healthtest.Containerd{Verifier: healthtest.Refuse("assay-containerd-verifier", "assay: no rule")}, health.Refused, "no rule"},
		{"Assay cannot tell", &healthtest.Containerd{Verifier: healthtest.Refuse("assay-containerd-verifier", "assay: could not tell: no daemon")}, health.Refused, "could not tell"},
		{"Assay refuses in several lines", &healthtest.Containerd{Verifier: healthtest.Refuse("a b", "assay: no rule\nor none")}, health.Refused, "or none"},
		{"Assay refuses where no kubelet is served", &healthtest.Containerd{NoKubelet: true, Verifier: healthtest.Refuse("v", "assay: no rule")}, health.Refused, "no rule"},
		{"nobody is asked", &healthtest.Containerd{}, health.Passed, "it was removed again"},
		{"nobody is asked where no kubelet is served", &healthtest.Containerd{NoKubelet: true}, health.Passed, "it was removed again"},
		{"everything is allowed", &healthtest.Containerd{Verifier: func(string, string) string { return "" }}, health.Passed, "it was pulled"},
		{"nobody is asked, and the pull breaks", &healthtest.Containerd{Breaks: errors.New("no space left on device")}, health.Passed, "began to pull it, and failed: no space left"},
		{"it breaks with words like Assay's", &healthtest.Containerd{Breaks: errors.New(healthtest.Refuse("v", "assay: no")("a", "b"))}, health.Passed, "began to pull it"},
		{"it cannot be removed", &healthtest.Containerd{Keeps: errors.New("it is in use")}, health.Passed, "it could not be removed: it is in use"},
		{"another verifier refuses", &healthtest.Containerd{Verifier: healthtest.Refuse("other", "no assay: here")}, health.Unclear, "refused by other, and not by Assay"},
		{"the verifier breaks", &healthtest.Containerd{Verifier: func(name, digest string) string {
			return "blocking pull of " + name + " with digest " + digest + ": image verifier bindir returned error: failed to call verifier assay: x"
		}}, health.Unclear, "returned error"},
		{"something else is refused", &healthtest.Containerd{Verifier: func(name, _ string) string { return healthtest.Refuse("v", "assay: no")(name, "sha256:1") }}, health.Unclear, "blocked pull"},
		{"another name is refused", &healthtest.Containerd{Verifier: func(_, digest string) string { return healthtest.Refuse("v", "assay: no")("other", digest) }}, health.Unclear, "blocked pull"},
		{"nobody came, and it says that it was refused", &healthtest.Containerd{Away: errors.New(healthtest.Refuse("v", "assay: no")("a", "b"))}, health.Unclear, "blocked pull"},
		{"containerd does not come", &healthtest.Containerd{Away: status.Error(codes.Unavailable, "assay: not reached")}, health.Unclear, "not reached"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := open(t, row.c.Start(t))
			s := health.Canary(context.Background(), c, loopback)
			if s.Outcome != row.want || !strings.Contains(s.Text, row.text) {
				t.Errorf("got %v: %s, want %v with %q", s.Outcome, s.Text, row.want, row.text)
			}
			if left := row.c.Names(); len(left) > 0 && row.c.Keeps == nil {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// Where nobody can tell, images are refused, and it is no proof that the right ones pass.
func TestT51_CanaryThatNobodyCouldTellAbout(t *testing.T) {
	for code, want := range map[int]health.State{1: health.Fine, 2: health.Doubtful, 70: health.Doubtful} {
		fake := &healthtest.Containerd{Verifier: func(name, digest string) string {
			return fmt.Sprintf("image verifier bindir blocked pull of %s with digest %s for reason: verifier v rejected image (exit code %d): assay: words", name, digest, code)
		}}
		s := health.Canary(context.Background(), open(t, fake.Start(t)), loopback)
		if f := s.Finding(); s.Outcome != health.Refused || f.State != want || !strings.Contains(f.Text, "is refused: words") {
			t.Errorf("exit code %d: got %v, %+v", code, s.Outcome, f)
		}
	}
}

// A canary that nobody could pull is no sign that anything is refused.
func TestT51_CanaryWithoutARegistry(t *testing.T) {
	fake := &healthtest.Containerd{Verifier: healthtest.Refuse("v", "assay: no")}
	c := open(t, fake.Start(t))
	for _, address := range []string{"0.0.0.0:0", "192.0.2.1:0", "127.0.0.1:65536", "localhost:0", ""} {
		if s := health.Canary(context.Background(), c, address); s.Outcome != health.Unclear {
			t.Errorf("%q: got %v: %s", address, s.Outcome, s.Text)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if s := health.Canary(ended, c, loopback); s.Outcome != health.Unclear {
		t.Errorf("no time: got %v: %s", s.Outcome, s.Text)
	}
	if s := health.Canary(context.Background(), open(t, t.TempDir()+"/none"), loopback); s.Outcome != health.Unclear {
		t.Errorf("no containerd: got %v: %s", s.Outcome, s.Text)
	}
	if zero := new(health.Sighting); zero.Outcome != health.Passed || zero.Finding().State != health.Wrong {
		t.Errorf("the zero sighting is no alarm: %+v", zero.Finding())
	}
}

// Canaries of a registry are removed if they were not there before.
func TestT51_CanaryOfARegistry(t *testing.T) {
	registry := healthtest.Registry(t, "app:1")
	for _, before := range []bool{false, true} {
		fake := &healthtest.Containerd{}
		if before {
			fake.Put(healthtest.Image{Name: registry + "/app:1", Digest: "sha256:1"})
		}
		s := health.CanaryOf(context.Background(), open(t, fake.Start(t)), registry+"/app:1")
		if s.Outcome != health.Passed || slices.Contains(fake.Names(), registry+"/app:1") != before {
			t.Errorf("there before: %v: got %v: %s, left %q", before, s.Outcome, s.Text, fake.Names())
		}
	}
	// What the image was called before is nobody's to remove.
	first := &healthtest.Containerd{}
	if s := health.Signed(context.Background(), open(t, first.Start(t)), registry+"/app:1"); s.State != health.Fine {
		t.Fatalf("got %+v", s)
	}
	digests, err := open(t, first.Start(t)).Images(context.Background())
	if err != nil || len(digests) != 1 {
		t.Fatalf("got %+v, %v", digests, err)
	}
	shared := &healthtest.Containerd{}
	shared.Put(healthtest.Image{Name: "registry.example/used:1", Digest: digests[0].Digest})
	if s := health.CanaryOf(context.Background(), open(t, shared.Start(t)), registry+"/app:1"); s.Outcome != health.Passed || !slices.Equal(shared.Names(), []string{"registry.example/used:1"}) {
		t.Errorf("got %v: %s, left %q", s.Outcome, s.Text, shared.Names())
	}
	fake := &healthtest.Containerd{Verifier: healthtest.Refuse("v", "assay: no")}
	c := open(t, fake.Start(t))
	if s := health.CanaryOf(context.Background(), c, registry+"/app:1"); s.Outcome != health.Refused {
		t.Errorf("got %v: %s", s.Outcome, s.Text)
	}
	if f := health.Signed(context.Background(), c, registry+"/app:1"); f.State != health.Unknown {
		t.Errorf("an image that should pass: %+v", f)
	}
	fake.Verifier = nil
	if f := health.Signed(context.Background(), c, registry+"/app:1"); f.State != health.Fine {
		t.Errorf("an image that passes: %+v", f)
	}
}

func TestT51_Running(t *testing.T) {
	for _, row := range []struct {
		name  string
		c     *healthtest.Containerd
		about string
		state health.State
		text  string
	}{
		{"well", &healthtest.Containerd{}, "running", health.Fine, "is loaded"},
		{"not loaded", &healthtest.Containerd{NotLoaded: true}, "running", health.Wrong, "not loaded"},
		{"failed", &healthtest.Containerd{Failed: "skip plugin"}, "running", health.Wrong, "skip plugin"},
		{"old", &healthtest.Containerd{Number: "1.7.0"}, "containerd", health.Wrong, "1.7.0"},
		{"unreadable", &healthtest.Containerd{Garbage: true}, "containerd", health.Unknown, "cannot be read"},
	} {
		found, _ := open(t, row.c.Start(t)).Look(context.Background())
		if !slices.ContainsFunc(found, func(f health.Finding) bool {
			return f.About == row.about && f.State == row.state && strings.Contains(f.Text, row.text)
		}) {
			t.Errorf("%s: %+v", row.name, found)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if found, ok := open(t, t.TempDir()+"/none").Look(ctx); ok || found[0].State != health.Unknown {
		t.Errorf("nobody there: %+v", found)
	}
}

func TestT51_ImportedImages(t *testing.T) {
	const (
		host   = "registry.example:5000"
		source = "containerd.io/distribution.source.registry.example"
	)
	digest := func(n int) string { return fmt.Sprintf("sha256:%064x", n) }
	pulled := healthtest.Image{Name: host + "/app:1", Digest: digest(1), Labels: map[string]string{source: "app,other/app"}}
	imported := healthtest.Image{Name: "docker.io/library/tool:1", Digest: digest(2)}
	node := func(allow ...string) health.Asker {
		return func(_ context.Context, q ask.Question) (ask.Answer, error) {
			switch {
			case slices.Contains(allow, q.Name):
				return ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: "assay: yes"}, nil
			case strings.Contains(q.Name, "away"):
				return ask.Answer{}, errors.New("no daemon")
			case strings.Contains(q.Name, "unclear"):
				return ask.No(ask.CouldNotTell, "no registry"), nil
			}
			return ask.No(ask.Denied, "nobody signed it"), nil
		}
	}
	for _, row := range []struct {
		name   string
		images []healthtest.Image
		node   health.Asker
		all    bool
		want   health.State
		text   string
	}{
		{name: "none", want: health.Fine, text: "none is here"},
		{name: "pulled", images: []healthtest.Image{pulled}, want: health.Fine, text: "1 names were pulled, which may have been before anybody was asked"},
		{name: "imported", images: []healthtest.Image{pulled, imported}, want: health.Wrong, text: "docker.io/library/tool:1"},
		{name: "imported, and nobody vouches", images: []healthtest.Image{pulled, imported}, node: node(), want: health.Wrong, text: "nobody signed it"},
		{name: "imported, and somebody vouches", images: []healthtest.Image{pulled, imported}, node: node(imported.Name), want: health.Fine, text: "vouches for 1 names"},
		{name: "imported, and nobody can tell", images: []healthtest.Image{{Name: host + "/unclear:1", Digest: digest(3)}}, node: node(), want: health.Unknown, text: "no registry"},
		{name: "imported, and nobody answers", images: []healthtest.Image{{Name: host + "/away:1", Digest: digest(3)}}, node: node(), want: health.Unknown, text: "no daemon"},
		{name: "content of another repository", images: []healthtest.Image{{Name: host + "/app:2", Digest: digest(4), Labels: map[string]string{source: "app2"}}}, want: health.Wrong, text: "app:2"},
		{name: "content of another registry", images: []healthtest.Image{{Name: "docker.io/library/app:1", Digest: digest(5), Labels: map[string]string{source: "library/app"}}}, want: health.Wrong, text: "docker.io/library/app:1"},
		{name: "by a number of a pulled one", images: []healthtest.Image{pulled, {Name: digest(9), Digest: digest(1)}}, want: health.Fine},
		{name: "by a number alone", images: []healthtest.Image{{Name: digest(9), Digest: digest(6)}}, node: node(), want: health.Wrong, text: digest(9)},
		{name: "all are asked about", images: []healthtest.Image{pulled}, node: node(), all: true, want: health.Wrong, text: "nobody signed it"},
		{name: "all are vouched for", images: []healthtest.Image{pulled}, node: node(pulled.Name), all: true, want: health.Fine, text: "vouches for 1 names"},
		{name: "an address for a name", images: []healthtest.Image{{Name: "[::1]:5000/app@" + digest(7), Digest: digest(7), Labels: map[string]string{"containerd.io/distribution.source.::1": "app"}}}, want: health.Fine},
	} {
		t.Run(row.name, func(t *testing.T) {
			fake := &healthtest.Containerd{}
			for _, i := range row.images {
				fake.Put(i)
			}
			found := open(t, fake.Start(t)).Present(context.Background(), row.node, row.all)
			if len(found) != 1 || found[0].State != row.want || !strings.Contains(found[0].Text, row.text) {
				t.Errorf("got %+v, want state %d with %q", found, row.want, row.text)
			}
		})
	}
	many := &healthtest.Containerd{}
	for n := range health.MaxImages + 1 {
		many.Put(healthtest.Image{Name: fmt.Sprintf("a/b:%d", n), Digest: digest(n)})
	}
	if found := open(t, many.Start(t)).Present(context.Background(), nil, false); found[0].State != health.Unknown {
		t.Errorf("too many: %+v", found)
	}
	if found := open(t, (&healthtest.Containerd{Garbage: true}).Start(t)).Present(context.Background(), nil, false); found[0].State != health.Unknown {
		t.Errorf("unreadable: %+v", found)
	}
}
