package workload_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/workload"
)

var (
	config   = image.SHA256([]byte("config"))
	manifest = image.SHA256([]byte("manifest"))
)

// engine serves answers at paths over a unix socket until the test ends.
func engine(t *testing.T, answers map[string]string) *workload.Docker {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, found := answers[r.URL.Path]
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s: it only reads", r.Method, r.URL)
		case !found:
			http.Error(w, `{"message":"No such thing"}`, http.StatusNotFound)
		case strings.HasPrefix(answer, "500 "):
			http.Error(w, answer[4:], http.StatusInternalServerError)
		default:
			_, _ = w.Write([]byte(answer))
		}
	})}}
	s.Start()
	t.Cleanup(s.Close)
	d := workload.NewDocker(socket)
	t.Cleanup(d.Close)
	return d
}

func TestImage(t *testing.T) {
	d := engine(t, map[string]string{
		"/images/registry.example/app:1/json": `{"Id":"` + config.String() + `","RepoTags":["registry.example/app:1"],
			"RepoDigests":["registry.example/app@` + manifest.String() + `"],"Os":"linux","Architecture":"arm","Variant":"v7",
			"Config":{"Labels":{"team":"shop"}},"RootFS":{"Type":"layers","Layers":["` + manifest.String() + `"]}}`,
		"/images/bare/json":   `{"Id":"` + config.String() + `"}`,
		"/images/short/json":  `{"Id":"sha256:12"}`,
		"/images/broken/json": `500 {"message":"the disk is on fire"}`,
		"/images/half/json":   `{"Id":`,
		"/images/odd/json":    `{"Id":"` + config.String() + `","RootFS":{"Layers":["md5:00"]}}`,
		"/images/huge/json":   strings.Repeat(" ", 5<<20),
	})
	got, err := d.Image(t.Context(), "registry.example/app:1")
	want := workload.DockerImage{
		ID: config, Names: []string{"registry.example/app:1"}, Digests: []string{"registry.example/app@" + manifest.String()}, Platform: "linux/arm/v7",
		Labels: map[string]string{"team": "shop"}, Layers: []image.Digest{manifest},
	}
	if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(image.Digest{})) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := d.Image(t.Context(), "bare"); err != nil || got.ID != config || got.Platform != "" || got.Labels != nil || got.Layers != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := d.Image(t.Context(), "other"); !errors.Is(err, workload.ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
	for name, text := range map[string]string{"short": "12", "broken": "the disk is on fire", "half": "unexpected end", "odd": "md5", "huge": "more than"} {
		if _, err := d.Image(t.Context(), name); err == nil || errors.Is(err, workload.ErrAbsent) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want an error with %q", name, err, text)
		}
	}
}

// A name that is also the beginning of another container's ID says so.
func TestAUTHZ16_NamesThatAreBeginningsOfIDs(t *testing.T) {
	const web = `{"Id":"abc123","Name":"/db","Image":"`
	for name, row := range map[string]struct {
		list string
		want bool
		text string // of an error
	}{
		"db": {list: `[{"Id":"db4711"}]`, want: true}, "ab": {list: `[{"Id":"ab4711"}]`}, "web": {list: `[{"Id":"db4711"}]`},
		"d0": {list: `[]`}, "dd": {list: `500 {"message":"on fire"}`, text: "on fire"}, "de": {list: `{}`, text: "cannot unmarshal"},
	} {
		d := engine(t, map[string]string{"/containers/" + name + "/json": web + config.String() + `"}`, "/containers/json": row.list})
		got, err := d.Container(t.Context(), name)
		if got.Shadows != row.want || (err != nil) != (row.text != "") || err != nil && !strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// A name never leads to another path of the engine.
func TestNamesStayNames(t *testing.T) {
	d := engine(t, map[string]string{"/info": `{}`, "/containers/x/json": `{}`, "/images/json": `{}`})
	for _, name := range []string{"", "..", "../containers/x", "a/../../info", "a//b", "/a", "a/", ".", "./a", "a?x=1", "a#b", "a%2Fb", "a b", "a\nb", "ä", strings.Repeat("a", 2000)} {
		_, err := d.Image(t.Context(), name)
		if err == nil || errors.Is(err, workload.ErrAbsent) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestImages(t *testing.T) {
	d := engine(t, map[string]string{"/images/json": `[{"Id":"` + config.String() + `","RepoTags":["a:1"]},{"Id":"` + manifest.String() + `"}]`})
	got, err := d.Images(t.Context())
	if err != nil || len(got) != 2 || got[0] != config || got[1] != manifest {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{`[{"Id":"sha256:12"}]`, `{}`, "500 x", strings.Repeat(" ", 5<<20)} {
		if _, err := engine(t, map[string]string{"/images/json": bad}).Images(t.Context()); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func TestContainer(t *testing.T) {
	d := engine(t, map[string]string{
		"/containers/web/json": `{"Id":"c1","Name":"/web","Image":"` + config.String() + `","Config":{"Image":"registry.example/app:1"},
			"HostConfig":{"Mounts":[{"Type":"bind","Source":"/tmp"},{"Type":"image","Source":"registry.example/data:2"}]}}`,
		"/containers/odd/json": `{"Id":"c2","Image":"app"}`,
	})
	got, err := d.Container(t.Context(), "web")
	want := workload.DockerContainer{ID: "c1", Name: "web", Image: config, Named: "registry.example/app:1", Mounts: []string{"registry.example/data:2"}}
	if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(image.Digest{})) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := d.Container(t.Context(), "odd"); err == nil {
		t.Error("an image without a digest is taken")
	}
	if _, err := d.Container(t.Context(), "gone"); !errors.Is(err, workload.ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
}

func TestEngine(t *testing.T) {
	for answer, want := range map[string]workload.DockerEngine{
		`{"ServerVersion":"20.10.24","Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]]}`:                {Version: "20.10.24"},
		`{"ServerVersion":"29.0.0","Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}`: {Version: "29.0.0", Containerd: true},
	} {
		got, err := engine(t, map[string]string{"/info": answer}).Engine(t.Context())
		if err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	d := workload.NewDocker(filepath.Join(t.TempDir(), "docker.sock"))
	if _, err := d.Engine(context.Background()); err == nil || !strings.Contains(err.Error(), "docker.sock") {
		t.Errorf("got %v", err)
	}
}
