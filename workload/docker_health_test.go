package workload_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/workload"
)

func TestHealth(t *testing.T) {
	got, err := engine(t, map[string]string{
		"/info": `{"ServerVersion":"29.3.1","LiveRestoreEnabled":true,"Plugins":{"Authorization":["other","assay:x86_64"]}}`,
	}).Health(t.Context())
	want := workload.DockerHealth{Version: "29.3.1", Plugins: []string{"other", "assay:x86_64"}, LiveRestore: true}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// creating is an engine that answers the creation of a container; it notes what was asked.
func creating(t *testing.T, status int, answer string) (*workload.Docker, *[]string) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := &[]string{}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = append(*asked, r.Method+" "+r.URL.Path+" "+string(body))
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	})}}
	s.Start()
	t.Cleanup(s.Close)
	d := workload.NewDocker(l.Addr().String())
	t.Cleanup(d.Close)
	return d, asked
}

func TestRefusal(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		status       int
		want         workload.DockerRefusal
		notRefused   bool
		text         string // of another error
		asked        int
	}{
		{name: "refused", status: 403, answer: `{"message":"authorization denied by plugin assay:x86_64: image x: nothing is signed"}`,
			want: workload.DockerRefusal{Plugin: "assay:x86_64", Reason: "image x: nothing is signed"}, asked: 1},
		{name: "not refused, and absent", status: 404, answer: `{"message":"No such image: x"}`, notRefused: true, asked: 1},
		{name: "made", status: 201, answer: `{"Id":"c1"}`, notRefused: true, asked: 2},
		{name: "refused by something else", status: 403, answer: `{"message":"no"}`, text: "403 no", asked: 1},
		{name: "a plugin is down", status: 500, answer: `{"message":"plugin assay failed with error: dial unix"}`, text: "plugin assay failed", asked: 1},
		{name: "made, and nobody knows which", status: 201, answer: `{"Id":"../x"}`, notRefused: true, text: "does not say which", asked: 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, asked := creating(t, row.status, row.answer)
			got, err := d.Refusal(t.Context(), "assay.invalid/x:1")
			if got != row.want || errors.Is(err, workload.ErrNotRefused) != row.notRefused {
				t.Errorf("got %+v, %v", got, err)
			}
			if row.text != "" && (err == nil || !strings.Contains(err.Error(), row.text)) {
				t.Errorf("got %v, want %q", err, row.text)
			}
			if len(*asked) != row.asked || !strings.HasPrefix((*asked)[0], `POST /containers/create {"Image":"assay.invalid/x:1"`) {
				t.Errorf("asked %q", *asked)
			}
			if row.asked == 2 && (*asked)[1] != "DELETE /containers/c1 " {
				t.Errorf("asked %q", *asked)
			}
		})
	}
}

// AUTHZ-35, T49: which engines are below the fixes.
func TestAUTHZ35_Flaws(t *testing.T) {
	const old, large = "CVE-2024-41110", "CVE-2026-34040"
	for version, want := range map[string][]string{
		"20.10.24+dfsg1": {old, large},
		"18.09.1":        {old, large},
		"23.0.14":        {old, large},
		"23.0.15":        {large},
		"24.0.9":         {old, large},
		"25.0.5":         {old, large},
		"25.0.6":         {large},
		"25.0.15":        {large},
		"25.0.16":        nil,
		"26.1.4":         {old, large},
		"26.1.5":         {large},
		"27.0.3":         {old, large},
		"27.1.1":         {large},
		"28.5.2":         {large},
		"29.0.0":         {large},
		"29.3.0":         {large},
		"29.3.1-rc.1":    {large},
		"29.3.1":         nil,
		"v29.3.1":        nil,
		"29.10.0":        nil,
		"30.0.0-beta.1":  nil,
	} {
		found, err := workload.DockerFlaws(version)
		var got []string
		for _, f := range found {
			got = append(got, f.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", version, got, err, want)
		}
	}
	for _, version := range []string{"", "dev", "library-import", "29", "29.3", "29.3.x", "29.3.1.1", "99999.0.0"} {
		if _, err := workload.DockerFlaws(version); err == nil {
			t.Errorf("%q is taken for a release", version)
		}
	}
}

// An engine that answers gRPC over HTTP/2 asks no plugin; others answer as they do, or not at all.
func TestAUTHZ24_BuildsThatNobodyIsAskedAbout(t *testing.T) {
	for name, row := range map[string]struct {
		http2 bool
		kind  string
		want  bool
	}{
		"gRPC": {true, "application/grpc", true}, "a plugin's denial": {true, "application/json", false}, "HTTP/1 only": {false, "application/grpc", false},
	} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "docker.sock"))
		if err != nil {
			t.Fatal(err)
		}
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetUnencryptedHTTP2(row.http2)
		s := &httptest.Server{Listener: l, Config: &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", row.kind)
			w.WriteHeader(http.StatusForbidden)
		})}}
		s.Start()
		d := workload.NewDocker(l.Addr().String())
		if got, err := d.Unasked(t.Context()); err != nil || got != row.want {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
		d.Close()
		s.Close()
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := workload.NewDocker("none").Unasked(ended); err == nil || got {
		t.Errorf("got %v, %v", got, err)
	}
}
