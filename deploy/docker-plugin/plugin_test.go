package dockerplugin_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// config is what config.json says, as far as it is a promise.
type config struct {
	Entrypoint      []string
	Interface       struct{ Types []string }
	Network         struct{ Type string }
	Linux           map[string]any
	PidHost         bool
	IpcHost         bool
	PropagatedMount string
	Mounts          []struct{ Name, Source, Destination string }
	Env             []struct {
		Name     string
		Value    string
		Settable []string
	}
}

func read(t *testing.T) config {
	t.Helper()
	content, err := os.ReadFile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	var c config
	if err := json.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// AUTHZ-2: what an installation is asked to grant is the predecessor's one privilege and the daemon's socket, each with its reason on the
// page of the point.
func TestAUTHZ2_PrivilegesAreFewAndExplained(t *testing.T) {
	c := read(t)
	if got := c.Interface.Types; !slices.Equal(got, []string{"docker.authz/1.0"}) {
		t.Errorf("interface: got %v", got)
	}
	if c.Network.Type != "host" || c.PidHost || c.IpcHost {
		t.Errorf("got network %q, host's processes %v, host's IPC %v", c.Network.Type, c.PidHost, c.IpcHost)
	}
	if len(c.Linux) != 1 || len(c.Linux["capabilities"].([]any)) != 0 {
		t.Errorf("got %v of Linux, want no capabilities, no devices", c.Linux)
	}
	if len(c.Mounts) != 1 || c.Mounts[0].Source != "/run/docker.sock" {
		t.Errorf("got mounts %v, want the daemon's socket alone", c.Mounts)
	}
	page, err := os.ReadFile("../../docs/start/docker.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"`network`", "`mount`", c.Mounts[0].Source, c.PropagatedMount} {
		if !strings.Contains(string(page), what) {
			t.Errorf("docs/start/docker.md does not explain %s", what)
		}
	}
}

// AUTHZ-4: users keep their three settings; nothing is set that nobody set.
func TestAUTHZ4_Settings(t *testing.T) {
	c := read(t)
	settable := map[string]bool{}
	for _, e := range c.Env {
		if len(e.Settable) == 0 {
			continue
		}
		settable[e.Name] = true
		if e.Value != "" || !slices.Equal(e.Settable, []string{"value"}) {
			t.Errorf("%s: got %q, settable %v", e.Name, e.Value, e.Settable)
		}
	}
	for _, name := range []string{"REGISTRY", "NOTARY", "NOTARY_ROOT_CA", "REGISTRY_CA", "REGISTRY_CREDENTIALS", "POLICY"} {
		if !settable[name] {
			t.Errorf("%s cannot be set", name)
		}
	}
}

// AUTHZ-37: the predecessor's targets exist.
func TestAUTHZ37_Targets(t *testing.T) {
	content, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for target := range strings.FieldsSeq("all build rootfs create enable local_install push clean") {
		if !regexp.MustCompile(`(?m)^` + target + `:`).Match(content) {
			t.Errorf("there is no target %s", target)
		}
	}
}
