package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/registry/registrytest"
)

// What --content tells fits the schema of the verdict (engine tests it); here that it reaches the command line, and only where it was asked for.
func TestVerifyContent(t *testing.T) {
	s := newStage(t)
	type told struct {
		Digest string
		Chain  []struct{ Platform, Index, Manifest, Config string }
		Basis  string
		Until  string
	}
	verify := func(want int, args ...string) (v told) {
		t.Helper()
		r := runAssay(t, "", append([]string{"verify", "-p", s.policy, "-o", "json"}, args...)...)
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != want {
			t.Fatalf("%v: got exit %d, %v\n%s%s", args, r.code, err, r.stdout, r.stderr)
		}
		return v
	}
	image := s.host + "/shop/api:1"
	v := verify(exitAllowed, "--content", image)
	if len(v.Chain) != 1 || v.Chain[0].Manifest != v.Digest || !strings.HasPrefix(v.Chain[0].Config, "sha256:") || v.Basis == "" || v.Until == "" {
		t.Errorf("got %+v", v)
	}
	if v := verify(exitAllowed, "--content", "--platform", "linux/amd64", image); len(v.Chain) != 1 {
		t.Errorf("got %+v", v)
	}
	if v := verify(exitAllowed, image); v.Chain != nil || v.Basis != "" || v.Until != "" {
		t.Errorf("nobody asked: got %+v", v)
	}
	if v := verify(exitDenied, "--content", s.host+"/shop/web:1"); v.Chain != nil || v.Basis == "" || v.Until != "" {
		t.Errorf("denied: got %+v", v)
	}
	for args, want := range map[string]string{
		"--content":                              "use -o json",
		"-o json --platform linux/amd64":         "--platform without --content",
		"-o json --content --platform linux":     "want OS/ARCH",
		"-o json --content --platform Linux/arm": "want OS/ARCH",
	} {
		r := runAssay(t, "", append(append([]string{"verify", "-p", s.policy}, strings.Fields(args)...), image)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: got exit %d, %s", args, r.code, r.stderr)
		}
	}
}

// What a Notary server vouches for ends with its timestamp, and what it rests on can be told in another process while the server is down.
func TestT27_NotaryEndsWithItsTimestamp(t *testing.T) {
	s := newNotaryStage(t, "")
	verify := func(want int) (v struct {
		Basis       string
		Until, Ends time.Time
	}) {
		t.Helper()
		r := s.run("verify", "-p", s.policy, "-o", "json", "--content", s.ref+":1")
		if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != want {
			t.Fatalf("got exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
		}
		return v
	}
	up := verify(exitAllowed)
	var timestamp struct{ Signed struct{ Expires time.Time } }
	if err := json.Unmarshal(s.repo.Files()["timestamp.json"], &timestamp); err != nil {
		t.Fatal(err)
	}
	if want := timestamp.Signed.Expires; want.IsZero() || !up.Ends.Equal(want) || !up.Until.Before(want) {
		t.Errorf("got ends %v, until %v; the timestamp expires on %v", up.Ends, up.Until, want)
	}
	s.server.SetFault(func(*http.Request) bool { return true }, registrytest.Status(503, nil, ""))
	if down := verify(exitCannotTell); down.Basis != up.Basis || up.Basis == "" || !down.Ends.IsZero() {
		t.Errorf("got %+v, then %+v", up, down)
	}
}
