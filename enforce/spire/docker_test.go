package spire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/image"
)

const (
	idA   = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB   = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	conf  = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	conf2 = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	repo  = "registry.example/app@sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

func inDocker(id string) string { return "0::/system.slice/docker-" + id + ".scope\n" }

const web = `{"Id":"` + idA + `","Image":"` + conf + `","Config":{"Image":"registry.example/app:1",
	"Labels":{"z":"last","a":"first","a:b":"c:d","":"no key","empty":""},"Env":["PATH=/bin","B=2","A=1","A=1","X","Y="]}}`

const webImage = `{"Id":"` + conf + `","RepoDigests":["` + repo + `"],"RepoTags":["registry.example/app:1"]}`

var webSelectors = []string{
	"label::no key", "label:a:first", "label:a:b:c:d", "label:empty:", "label:z:last",
	"env:PATH=/bin", "env:B=2", "env:A=1", "env:A=1", "env:X", "env:Y=",
	"image_id:registry.example/app:1", "image_config_digest:" + conf,
}

// Selectors are those of the page, in its order, with nothing added; those of proofs come last.
func TestDOCKER7_Selectors(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idA, web)
	d.image(conf, webImage)
	p.set(7, 70, inDocker(idA))
	got, err := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`).Attest(t.Context(), 7)
	if diff := cmp.Diff(webSelectors, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	proofs := []string{"image-signature:verified", "image-signature-subject:x"}
	var asked Subject
	verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
		asked = s
		return proofs, nil
	})
	got, err = configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`).Attest(t.Context(), 7)
	if diff := cmp.Diff(append(webSelectors[:len(webSelectors):len(webSelectors)], proofs...), got); err != nil || diff != "" {
		t.Errorf("with proofs: %v %s", err, diff)
	}
	digest, err := image.ParseDigest(conf)
	if err != nil {
		t.Fatal(err)
	}
	want := Subject{Image: "registry.example/app:1", References: []string{repo}, ContainerID: idA, Content: []image.Digest{digest}}
	if diff := cmp.Diff(want, asked, cmp.AllowUnexported(image.Digest{})); diff != "" {
		t.Error(diff)
	}
}

// A failing proof leaves no selector, and its code stays.
func TestT52_FailingProofLeavesNoSelector(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idA, web)
	d.image(conf, webImage)
	p.set(7, 70, inDocker(idA))
	verifier := verifierFunc(func(context.Context, Subject) ([]string, error) {
		return []string{"image-signature:verified"}, status.Error(codes.PermissionDenied, "nobody vouches")
	})
	s := configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" policy = "p"`)
	got, err := s.Attest(t.Context(), 7)
	if status.Code(err) != codes.PermissionDenied || got != nil {
		t.Errorf("got %q, %v", got, err)
	}
	d.image(conf, "500")
	fresh := configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`)
	got, err = fresh.Attest(t.Context(), 7)
	if got != nil || err == nil || !strings.HasPrefix(err.Error(), `failed to inspect image "registry.example/app:1": `) || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("image that cannot be inspected: got %q, %v", got, err)
	}
}

// A demand that nobody can check is an error of the configuration, never a demand less.
func TestDemandsAreNeverLost(t *testing.T) {
	p := &processes{}
	for _, demand := range []string{`sigstore {}`, `experimental { sigstore {} }`, `policy = "p"`} {
		if _, err := configure(attestor(p, nil), demand, nil); err == nil {
			t.Errorf("%s: is taken without a verifier", demand)
		}
	}
	a := attestor(p, nil)
	a.NewVerifier = func(Verification, string) (Verifier, error) { return nil, errors.New("bad pattern") }
	if _, err := configure(a, `sigstore {}`, nil); err == nil || err.Error() != "error initializing sigstore verifier: bad pattern" {
		t.Errorf("got %v", err)
	}
	if _, err := configure(a, `policy = "p"`, nil); err == nil || err.Error() != "bad pattern" {
		t.Errorf("got %v", err)
	}
	a.NewVerifier = func(Verification, string) (Verifier, error) {
		return nil, errors.New("error initializing sigstore verifier: once")
	}
	if _, err := configure(a, `sigstore {}`, nil); err == nil || err.Error() != "error initializing sigstore verifier: once" {
		t.Errorf("got %v", err)
	}
}

func TestDOCKER4_Texts(t *testing.T) {
	for text, want := range map[string]string{
		`container_id_cgroup_matchers = ["/docker/<id>"]`:                                             longMatchers,
		`use_new_container_locator = false container_id_cgroup_matchers = ["/docker/*"]`:              `pattern "/docker/*" must contain the container id token "<id>" exactly once`,
		`use_new_container_locator = false container_id_cgroup_matchers = ["/<id>/<id>"]`:             `pattern "/<id>/<id>" must contain the container id token "<id>" exactly once`,
		`use_new_container_locator = false container_id_cgroup_matchers = ["/a/b/<id>", "/*/b/<id>"]`: `dockerfinder: patterns must not be ambiguous: ["/*/b/<id>" "/a/b/<id>"]`,
		`docker_socket_path = "foo"`: "unable to parse docker host `foo`",
		`docker_version = "abc"`:     `invalid API version (abc): must be formatted <major>.<minor>`,
		`use_new_container_locator = false container_id_cgroup_matchers = ["/docker/<id>", "/my.slice/*/<id>/*"]`: "",
		`use_new_container_locator = false`:                                   "",
		`docker_socket_path = "tcp://127.0.0.1:2375" docker_version = "1.44"`: "",
	} {
		_, n := attestor(&processes{}, nil).Read(text)
		got := problems(n)
		switch {
		case want == "" && len(got) > 0, want != "" && !cmp.Equal(got, []string{want}):
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}

// What is not a container of this engine is not asked for twice; an engine that fails is asked four times.
func TestDOCKER5_Answers(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idB, "500")
	p.set(1, 10, "0::/user.slice\n")
	p.set(7, 70, inDocker(idA))
	p.set(8, 80, inDocker(idB))
	s := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`)
	for range 2 {
		if got, err := s.Attest(t.Context(), 7); got != nil || err != nil {
			t.Errorf("404: got %q, %v", got, err)
		}
	}
	if n := d.count("containers"); n != 1 {
		t.Errorf("%d requests for a container that is not there", n)
	}
	for _, pid := range []int32{1, 99} {
		if got, err := s.Attest(t.Context(), pid); got != nil || err != nil {
			t.Errorf("process %d, in no container: got %q, %v", pid, got, err)
		}
	}
	if n := d.count("containers"); n != 1 {
		t.Errorf("%d requests for processes in no container", n-1)
	}
	start := time.Now()
	got, err := s.Attest(t.Context(), 8)
	if took := time.Since(start); got != nil || err == nil || !strings.Contains(err.Error(), "the disk is on fire") || took < 700*time.Millisecond {
		t.Errorf("500: got %q, %v after %v", got, err, took)
	}
	if n := d.count("containers"); n != 1+4 {
		t.Errorf("%d requests of an engine that fails, want 4", n-1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start = time.Now()
	if got, err := s.Attest(ctx, 8); got != nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 300*time.Millisecond {
		t.Errorf("a caller who left: got %q, %v after %v", got, err, time.Since(start))
	}
}

// After a tag has moved, the answer speaks about the image that runs.
func TestDOCKER6_MovedTag(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idA, web)
	d.image(conf, webImage)
	d.image("registry.example/app:1", `{"Id":"`+conf2+`","RepoDigests":["registry.example/app@`+conf2+`"]}`)
	p.set(7, 70, inDocker(idA))
	var asked Subject
	verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
		asked = s
		return nil, nil
	})
	got, err := configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`).Attest(t.Context(), 7)
	if diff := cmp.Diff(webSelectors, got); err != nil || diff != "" || !cmp.Equal(asked.References, []string{repo}) {
		t.Errorf("%v %s %q", err, diff, asked.References)
	}
}

// Replies that lack what they should have, or have too much.
func TestDOCKER8_Replies(t *testing.T) {
	tests := []struct {
		name, container, image string
		want                   []string
		fails                  bool
	}{
		{"no Config", `{"Id":"` + idA + `","Image":"` + conf + `"}`, webImage, []string{"image_config_digest:" + conf}, false},
		{"Config is null", `{"Config":null,"Image":"` + conf + `"}`, webImage, []string{"image_config_digest:" + conf}, false},
		{"no Image", `{"Config":{"Image":"app"}}`, "", []string{"image_id:app"}, false},
		{"nothing", `{}`, "", nil, false},
		{"no such image", `{"Image":"` + conf + `","Config":{"Image":"app","Labels":null,"Env":null}}`, "", []string{"image_id:app"}, false},
		{"an image that cannot be had", `{"Image":"` + conf + `","Config":{"Image":"app"}}`, "500", []string{"image_id:app"}, false},
		{"no digests", `{"Image":"` + conf + `","Config":{"Image":"app"}}`, `{"Id":"` + conf + `"}`, []string{"image_id:app", "image_config_digest:" + conf}, false},
		{"no JSON", `<html>`, "", nil, true},
		{"half of it", `{"Config":{"Image":"app"`, "", nil, true},
		{"another type", `{"Config":{"Labels":["a"]}}`, "", nil, true},
		{"a list", `[]`, "", nil, true},
		{"labels without end", `{"Config":{"Labels":{"a":"` + strings.Repeat("x", 32<<20) + `"}}}`, "", nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, p := startDaemon(t), &processes{}
			d.run(idA, test.container)
			if test.image != "" {
				d.image(conf, test.image)
			}
			p.set(7, 70, inDocker(idA))
			got, err := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`).Attest(t.Context(), 7)
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// An image whose engine does not name digests has nothing to be proved by: what is demanded is asked all the same.
func TestDOCKER8_NoDigests(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idA, `{"Id":"`+idA+`","Config":{"Image":"app"}}`)
	p.set(7, 70, inDocker(idA))
	calls := 0
	verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
		calls++
		return nil, nil
	})
	s := configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`)
	if got, err := s.Attest(t.Context(), 7); got != nil || err == nil || !strings.HasPrefix(err.Error(), `failed to inspect image "app": `) || calls != 0 {
		t.Errorf("no image: got %q, %v, %d calls", got, err, calls)
	}
	d.run(idB, `{"Id":"`+idB+`","Image":"`+conf+`","Config":{"Image":"app"}}`)
	d.image(conf, `{"Id":"`+conf+`"}`)
	p.set(8, 80, inDocker(idB))
	if _, err := s.Attest(t.Context(), 8); err != nil || calls != 1 {
		t.Errorf("no digests: %v, %d calls", err, calls)
	}
}

// Podman's containers are asked of Podman: of root's, or of a user's where that is wanted, and only if the socket is that user's.
func TestDOCKER9_Podman(t *testing.T) {
	folder, me := t.TempDir(), os.Getuid()
	userSocket := func(uid int) *daemon {
		if err := os.Mkdir(filepath.Join(folder, strconv.Itoa(uid)), 0o755); err != nil {
			t.Fatal(err)
		}
		return startDaemonAt(t, filepath.Join(folder, strconv.Itoa(uid), "user.sock"))
	}
	docker, root, user, foreign := startDaemon(t), startDaemonAt(t, filepath.Join(folder, "root.sock")), userSocket(me), userSocket(me+1)
	for name, d := range map[string]*daemon{"docker": docker, "root": root, "user": user, "foreign": foreign} {
		d.run(idA, `{"Id":"`+idA+`","Config":{"Image":"`+name+`"}}`)
	}
	keys := `docker_socket_path = "` + docker.host() + `" podman_socket_path = "` + root.host() + `"
		podman_socket_path_template = "unix://` + folder + `/%d/user.sock" `
	of := func(uid int) string {
		return fmt.Sprintf("0::/user.slice/user-%d.slice/user@%d.service/user.slice/libpod-%s.scope/container\n", uid, uid, idA)
	}
	p := &processes{}
	p.set(1, 10, inDocker(idA))
	p.set(2, 20, "0::/machine.slice/libpod-"+idA+".scope/container\n")
	p.set(3, 30, of(me))
	p.set(4, 40, "0::/user.slice/user-99999999999.slice/libpod-"+idA+".scope\n")
	p.set(5, 50, of(me+1))
	p.set(6, 60, of(me+2))
	for _, test := range []struct {
		keys  string
		pid   int32
		want  string
		fails bool
	}{
		{"", 1, "docker", false},
		{"", 2, "root", false},
		{"", 3, "", false},
		{"", 4, "root", false},
		{"", 5, "", false},
		{"use_rootless_podman = true", 2, "root", false},
		{"use_rootless_podman = true", 3, "user", false},
		{"use_rootless_podman = true", 4, "root", false},
		{"use_rootless_podman = true", 5, "", true}, // somebody else has made the socket
		{"use_rootless_podman = true", 6, "", true}, // there is none
	} {
		if test.keys == "" && user.count("containers") > 0 {
			t.Error("a user's Podman was asked")
		}
		var want []string
		if test.want != "" {
			want = []string{"image_id:" + test.want}
		}
		got, err := configured(t, attestor(p, nil), keys+test.keys).Attest(t.Context(), test.pid)
		if diff := cmp.Diff(want, got); (err != nil) != test.fails || diff != "" {
			t.Errorf("process %d, %s: %v %s", test.pid, test.keys, err, diff)
		}
	}
	if n := foreign.count("containers"); n != 0 {
		t.Errorf("a socket of somebody else was asked %d times", n)
	}
	if n := docker.count("containers"); n != 1 {
		t.Errorf("Docker was asked %d times, want 1", n)
	}
}

// What keeps a container from being located has the codes and texts of the page.
func TestDOCKER1_Errors(t *testing.T) {
	p := &processes{}
	p.set(1, 10, "10:devices:/docker/"+idA+"\n4:devices:/docker/"+idB+"\n")
	p.set(2, 20, "11:hugetlb\n")
	p.set(3, 30, "0::/docker/\n")
	p.set(4, 40, "1:a:/docker/foo\n2:b:/docker/bar\n")
	legacy := `use_new_container_locator = false container_id_cgroup_matchers = ["/docker/<id>"]`
	for _, test := range []struct {
		keys string
		pid  int32
		code codes.Code
		text string
	}{
		{"", 1, codes.FailedPrecondition, `multiple container IDs found ("` + idA + `", "` + idB + `")`},
		{"", 2, codes.Internal, `unable to obtain cgroups: invalid cgroup entry, contains 2 colon separated fields but expected at least 3: "11:hugetlb"`},
		{legacy, 3, codes.Unknown, "workloadattestor/docker: a pattern matched, but no container id was found"},
		{legacy, 4, codes.Unknown, "workloadattestor/docker: multiple container IDs found in cgroups (foo, bar)"},
	} {
		got, err := configured(t, attestor(p, nil), test.keys).Attest(t.Context(), test.pid)
		if got != nil || status.Code(err) != test.code || status.Convert(err).Message() != test.text {
			t.Errorf("process %d: got %q, %v (%v)", test.pid, got, err, status.Code(err))
		}
	}
}

func TestPLUGIN13_NoReferences(t *testing.T) {
	got, err := configured(t, attestor(&processes{}, nil), "").AttestReference(t.Context(), nil, nil)
	if got != nil || status.Code(err) != codes.Unimplemented {
		t.Errorf("got %q, %v", got, err)
	}
}

// A number that goes to another process while the proofs are looked at gives no selectors.
func TestReusedProcessNumber(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	d.run(idA, web)
	d.image(conf, webImage)
	p.set(7, 70, inDocker(idA))
	change := func() { p.set(7, 71, inDocker(idA)) }
	verifier := verifierFunc(func(context.Context, Subject) ([]string, error) {
		change()
		return []string{"image-signature:verified"}, nil
	})
	s := configured(t, attestor(p, verifier), `docker_socket_path = "`+d.host()+`" sigstore {}`)
	if got, err := s.Attest(t.Context(), 7); got != nil || err == nil {
		t.Errorf("another process: got %q, %v", got, err)
	}
	change = func() { p.end(7) }
	if got, err := s.Attest(t.Context(), 7); got != nil || err == nil {
		t.Errorf("no process any more: got %q, %v", got, err)
	}
}

// What is remembered of containers outlives a configuration that asks the same engine, and no other one.
func TestCachesSurviveReconfiguration(t *testing.T) {
	d, other, p := startDaemon(t), startDaemon(t), &processes{}
	d.run(idA, web)
	d.image(conf, webImage)
	p.set(7, 70, inDocker(idA))
	a := attestor(p, nil)
	keys := `docker_socket_path = "` + d.host() + `" `
	first, err := configure(a, keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	attest := func(s State, want []string) {
		t.Helper()
		got, err := s.Attest(t.Context(), 7)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
	attest(first, webSelectors)
	second, err := configure(a, keys+`verbose_container_locator_logs = true`, first)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	attest(second, webSelectors)
	if n := d.count("containers") + d.count("images"); n != 2 {
		t.Errorf("%d requests over a reconfiguration, want 2", n)
	}
	// One that is refused takes nothing away from what is in force.
	if _, err := configure(a, keys+`policy = "p"`, second); err == nil {
		t.Error("a demand that nobody can check is taken")
	}
	attest(second, webSelectors)
	third, err := configure(a, `docker_socket_path = "`+other.host()+`"`, second)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	attest(third, nil)
	third.Close()
	if _, err := configure(a, `docker_version = "x"`, third); err == nil {
		t.Error("a wrong version is taken")
	}
}

// Many callers at once share what they ask.
func TestOneInspectionForEachContainer(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	const containers, calls = 50, 1000
	d.image(conf, webImage)
	for i := range containers {
		id := fmt.Sprintf("%064x", i)
		d.run(id, `{"Id":"`+id+`","Image":"`+conf+`","Config":{"Image":"`+id+`"}}`)
		p.set(int32(i+1), uint64(i), inDocker(id))
	}
	s := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			got, err := s.Attest(t.Context(), int32(i%containers+1))
			want := []string{fmt.Sprintf("image_id:%064x", i%containers), "image_config_digest:" + conf}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
	all.Wait()
	if n := d.count("containers"); n != containers {
		t.Errorf("%d inspections of %d containers", n, containers)
	}
	if n := d.count("images"); n != 1 {
		t.Errorf("%d inspections of one image", n)
	}
}

// Ten thousand attestations while containers start and stop, and process numbers go from one to the next: no answer is of a container that the
// process was not in while it was asked about.
func TestContainersComeAndGo(t *testing.T) {
	d, p := startDaemon(t), &processes{}
	const numbers, calls, workers = 20, 10_000, 16
	d.image(conf, webImage)
	var generations [numbers]atomic.Int64
	name := func(number, generation int64) string { return fmt.Sprintf("%032x%032x", number, generation) }
	start := func(number, generation int64) {
		id := name(number, generation)
		content, err := json.Marshal(map[string]any{"Id": id, "Image": conf, "Config": map[string]any{"Image": id}})
		if err != nil {
			t.Error(err)
		}
		d.run(id, string(content))
		p.set(int32(number+1), uint64(generation+1), inDocker(id))
	}
	for number := range int64(numbers) {
		start(number, 0)
	}
	s := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`)
	done := make(chan struct{})
	var changing, asking sync.WaitGroup
	changing.Go(func() {
		for number := int64(0); ; number = (number + 1) % numbers {
			select {
			case <-done:
				return
			default:
			}
			generation := generations[number].Load()
			p.end(int32(number + 1))
			d.kill(name(number, generation))
			generations[number].Add(1)
			start(number, generation+1)
		}
	})
	var answered, none, failed atomic.Int64
	for worker := range workers {
		asking.Go(func() {
			for i := range calls / workers {
				number := int64((i*7 + worker) % numbers)
				before := generations[number].Load()
				got, err := s.Attest(t.Context(), int32(number+1))
				after := generations[number].Load()
				switch {
				case err != nil:
					failed.Add(1)
				case got == nil:
					none.Add(1)
				default:
					answered.Add(1)
					if !ofGeneration(got, func(g int64) string { return name(number, g) }, before, after) {
						t.Errorf("process %d, containers %d to %d: got %q", number+1, before, after, got)
					}
				}
			}
		})
	}
	asking.Wait()
	close(done)
	changing.Wait()
	t.Logf("%d answered, %d in no container, %d failed", answered.Load(), none.Load(), failed.Load())
	if answered.Load() == 0 {
		t.Error("no attestation succeeded")
	}
	// What goes on is answered again.
	for number := range int64(numbers) {
		got, err := s.Attest(t.Context(), int32(number+1))
		g := generations[number].Load()
		if err != nil || !ofGeneration(got, func(g int64) string { return name(number, g) }, g, g) {
			t.Errorf("process %d at the end: %q, %v", number+1, got, err)
		}
	}
}

func ofGeneration(got []string, name func(int64) string, first, last int64) bool {
	for g := first; g <= last; g++ {
		if len(got) > 0 && got[0] == "image_id:"+name(g) {
			return true
		}
	}
	return false
}
