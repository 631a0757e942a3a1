//go:build unix

package health

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// script is a verifier that says where nobody listens and ends with a code.
const script = `#!/bin/sh
test "$1 $2 $3" = "-name assay.invalid/signed-by-nobody:1 -digest" && test "$5 $6" = "-stdin-media-type application/vnd.oci.descriptor.v1+json" || exit 9
grep -q '"digest":"'"$4"'"' || exit 9
test ! -e "$(sed 's/.*"socket":"\([^"]*\)".*/\1/' "$ASSAY_CONTAINERD_VERIFIER_CONFIG")" || exit 9
echo "assay: $(cat "$ASSAY_CONTAINERD_VERIFIER_CONFIG")"
exit %d
`

func TestT51_Fallback(t *testing.T) {
	for _, row := range []struct {
		code  int
		state State
		words string
	}{
		{1, Fine, "decides by itself"},
		{0, Wrong, "may run that nobody can have vouched for"},
		{2, Doubtful, "nothing can be told"},
		{70, Doubtful, "nothing can be told"},
	} {
		folder := t.TempDir()
		v := &Verifier{Program: filepath.Join(folder, "verifier"), Config: filepath.Join(folder, "config.json")}
		for name, text := range map[string]string{v.Program: fmt.Sprintf(script, row.code), v.Config: `{"socket":"/run/real.sock","timeout":"7s","fallback":["/bin/decide","-x"]}`} {
			if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if found := v.Read(uint32(os.Getuid())); found != nil || v.Deadline() != 7*time.Second {
			t.Errorf("got %+v, and %v", found, v.Deadline())
		}
		f := v.Fallback(context.Background())
		if f.State != row.state || !strings.Contains(f.Text, row.words) || !strings.Contains(f.Text, `"fallback":["/bin/decide","-x"]`) || strings.Contains(f.Text, "real.sock") {
			t.Errorf("exit %d: %+v", row.code, f)
		}
	}
	if f := (&Verifier{Program: "/nowhere/verifier"}).Fallback(context.Background()); f.State != Unknown {
		t.Errorf("no verifier: %+v", f)
	}
}

func TestVerifierConfigurations(t *testing.T) {
	who := uint32(os.Getuid())
	for name, row := range map[string]struct {
		text string
		mode os.FileMode
		want bool // it can be used
	}{
		"empty":               {"{}", 0o644, true},
		"no fallback":         {`{"fallback":[]}`, 0o600, true},
		"unknown field":       {`{"sockets":""}`, 0o644, false},
		"no duration":         {`{"timeout":"soon"}`, 0o644, false},
		"no JSON":             {`socket`, 0o644, false},
		"too large":           {`{"socket":"` + strings.Repeat("x", ask.MaxConfig) + `"}`, 0o644, false},
		"anybody can write":   {"{}", 0o646, false},
		"the group can write": {"{}", 0o664, false},
	} {
		v := &Verifier{Config: filepath.Join(t.TempDir(), "config.json")}
		if err := os.WriteFile(v.Config, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(v.Config, row.mode); err != nil {
			t.Fatal(err)
		}
		if found := v.Read(who); (found == nil) != row.want {
			t.Errorf("%s: got %+v", name, found)
		}
	}
	absent := &Verifier{Config: filepath.Join(t.TempDir(), "none")}
	if found := absent.Read(who); found != nil || absent.Deadline() != ask.DefaultTimeout {
		t.Errorf("none: got %+v, %v", found, absent.Deadline())
	}
	folder := &Verifier{Config: t.TempDir()}
	if found := folder.Read(who); found == nil {
		t.Error("a folder can be used")
	}
}

// Whoever can write the program, the policies or the folders of the fallback decides what runs as root, and about which images.
func TestT51_FallbackThatOthersWrite(t *testing.T) {
	for what, open := range map[string]string{
		"nothing": "", "the program": "bin/assay", "its folder": "bin", "the policies": "policies", "the folder of the configuration": "etc", "above all": ".",
	} {
		t.Run(what, func(t *testing.T) {
			folder := t.TempDir()
			in := func(name string) string { return filepath.Join(folder, name) }
			for _, name := range []string{"bin", "policies", "etc"} {
				if err := os.Mkdir(in(name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			config := fmt.Sprintf(`{"fallback":[%q,"verify","--policy",%q,"--registries",%q]}`, in("bin/assay"), in("policies"), in("none/registries.yaml"))
			for name, text := range map[string]string{"bin/assay": "x", "etc/config.json": config} {
				if err := os.WriteFile(in(name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if open != "" {
				if err := os.Chmod(in(open), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			v := &Verifier{Config: in("etc/config.json")}
			who := uint32(os.Getuid())
			if found := v.Read(who); found != nil {
				t.Fatalf("got %+v", found)
			}
			found := v.Writers(who)
			if (len(found) == 0) != (open == "") {
				t.Errorf("got %+v", found)
			}
			seen := map[string]bool{}
			for _, f := range found {
				if f.State != Wrong || seen[f.Text] || !strings.Contains(f.Text, "can be written by others") {
					t.Errorf("got %+v", f)
				}
				seen[f.Text] = true
			}
		})
	}
}
