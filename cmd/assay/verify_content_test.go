package main

import (
	"encoding/json"
	"strings"
	"testing"
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
