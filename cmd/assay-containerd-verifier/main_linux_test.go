package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// asVerifier has this program be the verifier, for tests that need a process.
const asVerifier = "ASSAY_TEST_AS_VERIFIER"

func TestMain(m *testing.M) {
	if os.Getenv(asVerifier) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

var (
	digest      = "sha256:" + strings.Repeat("0f", 32)
	otherDigest = "sha256:" + strings.Repeat("0e", 32)
)

const name = "registry.example/app:1"

func containerdArgs(name, digest string) []string {
	return []string{"-name", name, "-digest", digest, "-stdin-media-type", ask.DescriptorType}
}

func descriptor(digest string) string {
	return fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.index.v1+json","digest":%q,"size":7023}`+"\n", digest)
}

// world is a verifier with a daemon and a fallback.
type world struct {
	*testing.T
	folder         string
	verifier       verifier
	stdout, stderr bytes.Buffer
}

// newWorld makes one whose daemon is away and whose fallback allows.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, folder: t.TempDir()}
	w.verifier = verifier{
		stdin: strings.NewReader(descriptor(digest)), stdout: &w.stdout, stderr: &w.stderr,
		getenv: func(string) string { return "" }, file: w.path("config.json"),
	}
	w.configure("5s", w.script("echo '"+allowing()+"'"))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

func (w *world) write(name, content string, mode os.FileMode) string {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), mode); err != nil {
		w.Fatal(err)
	}
	if err := os.Chmod(w.path(name), mode); err != nil {
		w.Fatal(err)
	}
	return w.path(name)
}

// script writes a program that notes its arguments and does what lines say.
func (w *world) script(lines string) string {
	return w.write("fallback", "#!/bin/sh\necho \"$@\" > "+w.path("asked")+"\n"+lines+"\n", 0o755)
}

func (w *world) configure(timeout string, fallback ...string) {
	w.Helper()
	content, err := json.Marshal(map[string]any{"socket": w.path("node.sock"), "timeout": timeout, "fallback": append([]string{}, fallback...)})
	if err != nil {
		w.Fatal(err)
	}
	w.write("config.json", string(content), 0o600)
}

// daemon has somebody listen until the test ends.
func (w *world) daemon(h http.HandlerFunc) {
	w.Helper()
	l, err := net.Listen("unix", w.path("node.sock"))
	if err != nil {
		w.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	s.Start()
	w.Cleanup(s.Close)
}

func says(a ask.Answer) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(a.Encode()) }
}

// hangs until whoever asks has left.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// run returns the line on standard output, and the exit code.
func (w *world) run(args ...string) (string, int) {
	w.Helper()
	code := w.verifier.run(args)
	line := w.stdout.String()
	if !strings.HasPrefix(line, "assay: ") || strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || len(line) > 1025 {
		w.Errorf("got %q on standard output", line)
	}
	return line, code
}

// fellBack reports what the fallback was asked; "" if it was not.
func (w *world) fellBack() string {
	content, _ := os.ReadFile(w.path("asked"))
	return strings.TrimSpace(string(content))
}

// verdict is what assay verify writes of the image that these tests are about.
func verdict(image, digest string, allowed bool, more string) string {
	return fmt.Sprintf(`{"image":%q,"digest":%q,"allowed":%v%s,"cached":false,"duration":{"totalMs":0.1}}`, image, digest, allowed, more)
}

func allowing() string { return verdict(name+"@"+digest, digest, true, `,"outcome":"allowed"`) }

// What the daemon says is final: nobody else is asked.
func TestDaemonDecides(t *testing.T) {
	rows := []struct {
		name string
		a    ask.Answer
		code int
	}{
		{"yes", ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: "fine"}, exitAllowed},
		{"no", ask.No(ask.Denied, "nobody vouches"), exitDenied},
		{"could not tell", ask.No(ask.CouldNotTell, "the registry is away"), exitCannotTell},
		{"bug", ask.No(ask.Bug, "broken"), exitBug},
		{"what must not be", ask.Answer{Allowed: true}, exitBug},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			w.daemon(says(row.a))
			line, code := w.run(containerdArgs(name, digest)...)
			if code != row.code || !strings.Contains(line, row.a.Reason) || w.fellBack() != "" {
				t.Errorf("got %d, %q, fell back %q", code, line, w.fellBack())
			}
		})
	}
}

// The daemon is asked about what containerd passed.
func TestDaemonIsAsked(t *testing.T) {
	w := newWorld(t)
	var asked ask.Question
	w.daemon(func(out http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked, _ = ask.DecodeQuestion(body)
		says(ask.No(ask.Denied, "no"))(out, r)
	})
	w.run(containerdArgs(name, digest)...)
	if want := (ask.Question{Name: name, Digest: digest, MediaType: "application/vnd.oci.image.index.v1+json", Size: 7023}); asked != want {
		t.Errorf("got %+v, want %+v", asked, want)
	}
}

// Where no daemon answers, the fallback is asked, and its verdict counts.
func TestT46_DaemonAway(t *testing.T) {
	rows := map[string]func(w *world){
		"no socket": func(*world) {},
		"nobody listens": func(w *world) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.path("node.sock")})
			if err != nil {
				w.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			_ = l.Close()
		},
		"it dies in the middle": func(w *world) {
			w.daemon(func(out http.ResponseWriter, _ *http.Request) {
				out.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(out, `{"form":1,"allowed":true`)
				panic(http.ErrAbortHandler)
			})
		},
		"it is not ready": func(w *world) {
			w.daemon(func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusServiceUnavailable) })
		},
		"another form": func(w *world) {
			w.daemon(func(out http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(out, `{"form":2,"allowed":true,"meaning":"allowed","reason":""}`)
			})
		},
		"it hangs": func(w *world) {
			w.configure("600ms", w.path("fallback"))
			w.daemon(hangs)
		},
	}
	for what, prepare := range rows {
		for _, allow := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, fallback %v", what, allow), func(t *testing.T) {
				w := newWorld(t)
				want := exitAllowed
				if !allow {
					want = exitDenied
					w.script("echo '" + verdict(name+"@"+digest, digest, false, `,"outcome":"denied","reason":"nobody vouches"`) + "'; exit 1")
				}
				prepare(w)
				line, code := w.run(containerdArgs(name, digest)...)
				if code != want || w.fellBack() != name+"@"+digest || !strings.Contains(line, "without the node daemon") {
					t.Errorf("got %d, %q, fell back %q", code, line, w.fellBack())
				}
				if !strings.Contains(w.stderr.String(), "the node daemon at "+w.path("node.sock")) {
					t.Errorf("got %q on standard error", w.stderr.String())
				}
			})
		}
	}
}

// Without a fallback nothing may be pulled while the daemon is away, and the daemon has all of the time.
func TestNoFallback(t *testing.T) {
	w := newWorld(t)
	w.configure("5s")
	if line, code := w.run(containerdArgs(name, digest)...); code != exitCannotTell || !strings.Contains(line, "no such file") || w.fellBack() != "" {
		t.Errorf("got %d, %q", code, line)
	}
	w = newWorld(t)
	w.configure("1s")
	w.daemon(func(out http.ResponseWriter, r *http.Request) {
		time.Sleep(600 * time.Millisecond)
		says(ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed})(out, r)
	})
	if line, code := w.run(containerdArgs(name, digest)...); code != exitAllowed {
		t.Errorf("got %d, %q", code, line)
	}
}

// A daemon that decides is waited for, also past half of the time: whoever serves an image slowly would have the fallback decide about it
// otherwise, which knows less.
func TestT51_SlowRegistriesChooseNoFallback(t *testing.T) {
	begun := func(then http.HandlerFunc) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			out.WriteHeader(ask.Begun)
			then(out, r)
		}
	}
	late := func(a ask.Answer) http.HandlerFunc {
		return begun(func(out http.ResponseWriter, r *http.Request) {
			time.Sleep(700 * time.Millisecond)
			says(a)(out, r)
		})
	}
	for what, row := range map[string]struct {
		daemon http.HandlerFunc
		code   int
		want   string
	}{
		"it says no late":  {late(ask.No(ask.Denied, "revoked")), exitDenied, "revoked"},
		"it says yes late": {late(ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed, Reason: "fine"}), exitAllowed, "fine"},
		"it never ends":    {begun(hangs), exitCannotTell, "could not tell"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.configure("1200ms", w.path("fallback"))
			w.daemon(row.daemon)
			if line, code := w.run(containerdArgs(name, digest)...); code != row.code || !strings.Contains(line, row.want) || w.fellBack() != "" {
				t.Errorf("got %d, %q, fell back %q", code, line, w.fellBack())
			}
		})
	}
	// One that ends in the middle is away.
	w := newWorld(t)
	w.daemon(begun(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if line, code := w.run(containerdArgs(name, digest)...); code != exitAllowed || w.fellBack() == "" {
		t.Errorf("got %d, %q", code, line)
	}
}

// The time is for everything together, and nothing waits longer.
func TestT46_NobodyAnswers(t *testing.T) {
	w := newWorld(t)
	var asked atomic.Bool
	w.daemon(func(out http.ResponseWriter, r *http.Request) { asked.Store(true); hangs(out, r) })
	w.configure("400ms", w.script("sleep 1000"))
	start := time.Now()
	line, code := w.run(containerdArgs(name, digest)...)
	if took := time.Since(start); code != exitCannotTell || took > 3*time.Second || !asked.Load() || w.fellBack() == "" || !strings.Contains(line, "in time") {
		t.Errorf("got %d, %q after %v", code, line, took)
	}
}

// never is a standard input that nobody writes to or ends.
type never struct{ stop <-chan struct{} }

func (n never) Read([]byte) (int, error) { <-n.stop; return 0, io.EOF }

// broken breaks whoever reads it.
type broken struct{}

func (broken) Read([]byte) (int, error) { panic("broken") }

func TestT47_BugsRefuse(t *testing.T) {
	w := newWorld(t)
	w.verifier.stdin = broken{}
	if line, code := w.run(containerdArgs(name, digest)...); code != exitBug || !strings.Contains(line, "bug: the verifier broke down: broken") {
		t.Errorf("got %d, %q", code, line)
	}
}

// What containerd would not pass is refused before anybody is asked.
func TestT47_HostileInput(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	good := descriptor(digest)
	rows := []struct {
		what  string
		name  string
		about string
		stdin io.Reader
		want  string
	}{
		{"a name of two lines", "a\nassay: allowed", digest, nil, "characters"},
		{"a name with escapes", "a\x1b[2J", digest, nil, "characters"},
		{"an empty name", "", digest, nil, "no name"},
		{"a name like an option", "--policy=/tmp/mine", digest, nil, "a dash"},
		{"a long name", strings.Repeat("a", 100_000), digest, nil, "more than 1024"},
		{"another digest in the name", name + "@" + otherDigest, digest, nil, "another digest"},
		{"no digest", name, "", nil, "another digest"},
		{"another digest on standard input", name, digest, strings.NewReader(descriptor(otherDigest)), "another digest"},
		{"another algorithm", name, "sha384:" + strings.Repeat("0f", 48), strings.NewReader(descriptor("sha384:" + strings.Repeat("0f", 48))), "the digest"},
		{"nothing on standard input", name, digest, strings.NewReader(""), "is missing"},
		{"10 MB", name, digest, strings.NewReader(strings.Repeat(" ", 10<<20) + good), "more than 65536"},
		{"endless", name, digest, endless{}, "more than 65536"},
		{"standard input that never ends", name, digest, io.MultiReader(strings.NewReader(good), never{stop}), "over"},
		{"no JSON", name, digest, strings.NewReader("digest"), "no JSON object"},
		{"two descriptors", name, digest, strings.NewReader(good + good), "something after"},
		{"two digests", name, digest, strings.NewReader(strings.Replace(good, `"size"`, `"digest":"`+digest+`","size"`, 1)), "twice"},
		{"a digest in capitals", name, digest, strings.NewReader(strings.Replace(good, `"size"`, `"Digest":"`+digest+`","size"`, 1)), "no field"},
		{"no size", name, digest, strings.NewReader(strings.Replace(good, "7023", "0", 1)), "0 bytes"},
		{"a negative size", name, digest, strings.NewReader(strings.Replace(good, "7023", "-1", 1)), "-1 bytes"},
		{"a media type of two lines", name, digest, strings.NewReader(strings.Replace(good, "index", `\n`, 1)), "media type"},
	}
	for _, row := range rows {
		t.Run(row.what, func(t *testing.T) {
			w := newWorld(t)
			if strings.HasPrefix(row.what, "standard input that") {
				w.configure("200ms", w.path("fallback"))
			}
			w.daemon(func(http.ResponseWriter, *http.Request) { t.Error("the daemon was asked") })
			if row.stdin != nil {
				w.verifier.stdin = row.stdin
			}
			line, code := w.run(containerdArgs(row.name, row.about)...)
			if code == exitAllowed || !strings.Contains(line, row.want) || w.fellBack() != "" {
				t.Errorf("got %d, %q, want %q", code, line, row.want)
			}
		})
	}
}

// containerd takes the first part of a name for the registry, and Assay takes a name without one for Docker Hub's: the verdict would be about
// another place than the pull.
func TestT51_NamesOfTwoPlaces(t *testing.T) {
	for given, want := range map[string]string{
		"mirror/app:1": "no registry", "app:1": "no registry", "app": "no registry", "app@" + digest: "no registry",
		"docker.io/app:1": "docker.io/library/", "index.docker.io/app": "docker.io/library/", "Docker.io/app": "docker.io/library/",
		"docker.io/library/app:1": "", "localhost/app:1": "", "mirror:5000/app:1": "", "[::1]:5000/app:1": "", "MIRROR/app:1": "",
	} {
		w := newWorld(t)
		line, code := w.run(containerdArgs(given, digest)...)
		switch {
		case want == "" && w.fellBack() == "":
			t.Errorf("%s: nobody was asked: %d, %q", given, code, line)
		case want != "" && (code != exitDenied || !strings.Contains(line, want) || w.fellBack() != ""):
			t.Errorf("%s: got %d, %q, fell back %q", given, code, line, w.fellBack())
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// Descriptors may have more fields, and images digests of sha512 or in their name.
func TestInputThatIsTaken(t *testing.T) {
	sha512 := "sha512:" + strings.Repeat("0f", 64)
	for what, row := range map[string][3]string{
		"further fields": {name, digest, strings.Replace(descriptor(digest), `"size"`, `"annotations":{"digest":"x","size":"y"},"platform":{"os":"linux"},"size"`, 1)},
		"a digest":       {name + "@" + digest, digest, descriptor(digest)},
		"sha512":         {name, sha512, descriptor(sha512)},
	} {
		w := newWorld(t)
		w.verifier.stdin = strings.NewReader(row[2])
		w.daemon(says(ask.Answer{Form: ask.Form, Allowed: true, Meaning: ask.Allowed}))
		if line, code := w.run(containerdArgs(row[0], row[1])...); code != exitAllowed {
			t.Errorf("%s: got %d, %q", what, code, line)
		}
	}
}

func TestArguments(t *testing.T) {
	good := containerdArgs(name, digest)
	rows := map[string][]string{
		"an unknown flag":       append([]string{"-allow"}, good...),
		"something more":        append(good[:len(good):len(good)], "more"),
		"something first":       append([]string{"more"}, good...),
		"help beside":           append(good[:len(good):len(good)], "-h"),
		"help first":            append([]string{"--help"}, good...),
		"version beside":        append(good[:len(good):len(good)], "--version"),
		"a flag twice":          append(good[:len(good):len(good)], "-name", "other"),
		"no value":              good[:5],
		"no media type":         good[:4],
		"another media type":    append(good[:5:5], "application/json"),
		"an image called -h":    {"-name", "-h"},
		"nothing but an image":  {name},
		"an empty argument":     {""},
		"the end of the flags":  {"--"},
		"a flag without a name": {"-"},
	}
	for what, args := range rows {
		w := newWorld(t)
		w.daemon(func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the daemon was asked", what) })
		if line, code := w.run(args...); code != exitUsage || w.fellBack() != "" {
			t.Errorf("%s: got %d, %q", what, code, line)
		}
	}
	// The name is a value, whatever it looks like.
	w := newWorld(t)
	if line, code := w.run(containerdArgs("-h", digest)...); code != exitDenied {
		t.Errorf("got %d, %q", code, line)
	}
}

func TestUsage(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-h"}, 0, usage},
		{[]string{"--help"}, 0, usage},
		{[]string{"--version"}, 0, "assay-containerd-verifier " + versionText() + "\n"},
		{nil, exitUsage, ""},
	} {
		w := newWorld(t)
		if code := w.verifier.run(row.args); code != row.code || w.stdout.String() != row.want {
			t.Errorf("%v: got %d, %q", row.args, code, w.stdout.String())
		}
	}
}

// The zero value of everything denies.
func TestZeroValuesDeny(t *testing.T) {
	if exitOf(ask.Answer{}) == 0 || exitOf(ask.Answer{Allowed: true}) == 0 || exitOf(ask.Answer{Meaning: ask.Allowed}) == 0 {
		t.Error("an answer that is not whole allows")
	}
	if a := judge(0, &limited{}, &ask.Question{}); a.Allowed {
		t.Error("a verdict that is not there allows")
	}
}
