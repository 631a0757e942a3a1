package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pinned reads a list of methods and paths.
func pinned(t *testing.T, name string) [][2]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		method, path, _ := strings.Cut(line, " ")
		all = append(all, [2]string{method, path})
	}
	if len(all) < 100 {
		t.Fatalf("%s: %d routes", name, len(all))
	}
	return all
}

// example puts something in the place of the names of a path.
func example(path string) string {
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		_, behind, _ := strings.Cut(rest, "}")
		path = before + "registry.example/x:1" + behind
	}
	return path
}

// Every route of the engine's own document, and every one that its router registers, is in the table.
func TestAUTHZ24_EveryRouteOfTheEngineIsKnown(t *testing.T) {
	known := map[[2]string]bool{}
	for _, list := range []string{"engine-api.txt", "engine-router.txt"} {
		for _, line := range pinned(t, list) {
			method, path := line[0], line[1]
			if reads(method) || method == "OPTIONS" {
				continue
			}
			r, _ := find(method, example(path))
			if r.class == unknown {
				t.Errorf("%s: %s %s is not in the table", list, method, path)
				continue
			}
			known[[2]string{r.method, r.path}] = true
		}
	}
	for _, r := range routes {
		if !known[[2]string{r.method, r.path}] && r.path != "/containers/{id}/copy" { // until 1.24, which has no document
			t.Errorf("%s %s: no version of the engine has this route", r.method, r.path)
		}
	}
}

// Each row finds itself, and what it names is taken out of the path.
func TestRoutesFindThemselves(t *testing.T) {
	for _, want := range routes {
		got, name := find(want.method, example(want.path))
		if got != want {
			t.Errorf("%s %s: got %s %s", want.method, want.path, got.method, got.path)
		}
		if has := strings.Contains(want.path, "{"); has != (name == "registry.example/x:1") {
			t.Errorf("%s %s: got name %q", want.method, want.path, name)
		}
	}
}

// The table has no switch that nobody can turn, and no switch is about nothing.
func TestSwitchesAreUsed(t *testing.T) {
	used := map[string]bool{"import": true, "pullAllTags": true, "checkpoint": true} // by what a request says
	actions, err := withDefaults(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if _, found := actions[r.by]; (r.class == switched) != found {
			t.Errorf("%s %s: switch %q", r.method, r.path, r.by)
		}
		used[r.by] = true
	}
	for name := range actions {
		if !used[name] {
			t.Errorf("switch %s is about nothing", name)
		}
	}
	if _, err := withDefaults(map[string]Action{"biuld": Deny}); err == nil || !strings.Contains(err.Error(), "build") {
		t.Errorf("got %v", err)
	}
	for word, want := range map[string]Action{"allow": Allow, "deny": Deny, "warn": Warn} {
		if got, err := ParseAction(word); err != nil || got != want || got.String() != word {
			t.Errorf("%s: got %v, %v", word, got, err)
		}
	}
	if got, err := ParseAction("Allow"); err == nil || got != Deny {
		t.Errorf("got %v, %v", got, err)
	}
}

// Spellings that the daemon's router takes for one path are one path here, and those that it does not know are none.
func TestAUTHZ27_Spellings(t *testing.T) {
	for path, want := range map[string]string{
		"/containers/create":                    "/containers/create",
		"/v1.24/containers/create":              "/containers/create",
		"/v1.999/containers/create":             "/containers/create",
		"//containers//create":                  "/containers/create",
		"/v1.41//containers/./create":           "/containers/create",
		"/v1.41/images/../containers/create":    "/containers/create",
		"/containers/create/":                   "",
		"/Containers/create":                    "",
		"/v1.41/v1.41/containers/create":        "",
		"/vx/containers/create":                 "",
		"/v/containers/create":                  "",
		"/containers/create/x":                  "",
		"/containers/a/start":                   "/containers/{id}/start",
		"/v1.41/containers/a/b/start":           "/containers/{id}/start",
		"/containers//start":                    "",
		"/images/registry.example:5000/a/b/tag": "/images/{name}/tag",
		"/":                                     "",
		"":                                      "",
	} {
		if got, _ := find("POST", path); got.path != want {
			t.Errorf("%s: got %q, want %q", path, got.path, want)
		}
	}
	if got, _ := find("PUT", "/containers/create"); got.class != unknown {
		t.Errorf("got %v", got)
	}
}
