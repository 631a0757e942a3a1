package health

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// dumped is what containerd prints, see testdata/make.
func dumped(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "dumps", name+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func settingsOf(t testing.TB, dump []byte) *Settings {
	t.Helper()
	s, err := ReadSettings(dump)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// has reports whether there is a finding about something, in a state, with words in it.
func has(found []Finding, about string, state State, words ...string) bool {
	for _, f := range found {
		if f.About != about || f.State != state {
			continue
		}
		all := true
		for _, w := range words {
			all = all && strings.Contains(f.Text+"\n"+f.Hint, w)
		}
		if all {
			return true
		}
	}
	return false
}

// worst is the worst state of findings.
func worst(found []Finding) State {
	w := Fine
	for _, f := range found {
		w = min(w, f.State)
	}
	return w
}

func TestT51_Settings(t *testing.T) {
	for _, row := range []struct {
		dump  string
		host  Host
		about string
		state State
		words []string
	}{
		{dump: "default", about: "plugin", state: Fine, words: []string{"/opt/containerd/image-verifier/bin"}},
		{dump: "default", about: "pulls", state: Fine},
		{dump: "default", about: "deadline", state: Fine, words: []string{"10s"}},
		{dump: "default", host: Host{Deadline: 9 * time.Second}, about: "deadline", state: Fine, words: []string{"10s", "9s"}},
		{dump: "default", host: Host{Deadline: 10 * time.Second}, about: "deadline", state: Doubtful, words: []string{`per_verifier_timeout = "11s"`}},
		{dump: "default", host: Host{CRIU: true}, about: "checkpoints", state: Doubtful, words: []string{"enable_criu = false"}},
		{dump: "installed", host: Host{Deadline: 12 * time.Second}, about: "deadline", state: Fine, words: []string{"15s", "12s"}},
		{dump: "installed", about: "plugin", state: Fine, words: []string{"/opt/assay/containerd/verifiers"}},
		{dump: "disabled", about: "plugin", state: Wrong, words: []string{"is disabled"}},
		{dump: "no_folder", about: "plugin", state: Wrong, words: []string{"no bin_dir"}},
		{dump: "no_time", about: "deadline", state: Doubtful, words: []string{"every pull fails"}},
		{dump: "no_transfer", about: "plugin", state: Doubtful, words: []string{"pulls fail"}},
		{dump: "no_kubelet", about: "pulls", state: Doubtful, words: []string{"plugins for a kubelet are disabled"}},
		{dump: "older", about: "pulls", state: Wrong, words: []string{"max_concurrent_downloads"}},
		{dump: "imported", about: "pulls", state: Wrong, words: []string{"max_concurrent_downloads"}},
		{dump: "registry.mirrors", about: "pulls", state: Wrong, words: []string{"remove mirrors", ".registry;", "hosts.toml"}},
	} {
		found := settingsOf(t, dumped(t, row.dump)).Look(row.host)
		if !has(found, row.about, row.state, row.words...) {
			t.Errorf("%s: nothing about %s in state %d with %q: %+v", row.dump, row.about, row.state, row.words, found)
		}
	}
	for _, dump := range []string{"default", "installed", "unlimited"} {
		if found := settingsOf(t, dumped(t, dump)).Look(Host{}); worst(found) != Fine {
			t.Errorf("%s: %+v", dump, found)
		}
	}
}

// Each setting by which the pulls of a kubelet pass the verifier is named, and no other one.
func TestT51_SettingsThatBypassTheVerifier(t *testing.T) {
	for _, b := range Bypasses() {
		found := settingsOf(t, dumped(t, b.Name)).Look(Host{})
		if !has(found, "pulls", Wrong, b.Name+" makes") {
			t.Errorf("%s is not named: %+v", b.Name, found)
		}
		for _, other := range Bypasses() {
			if other.Name != b.Name && has(found, "pulls", Wrong, other.Name+" makes") {
				t.Errorf("%s: %s is named as well", b.Name, other.Name)
			}
		}
		if has(found, "pulls", Fine) {
			t.Errorf("%s: and all is well: %+v", b.Name, found)
		}
	}
}

// An older containerd does not print what it does not know, and pulls without asking.
func TestT51_SettingsOfOlderContainerds(t *testing.T) {
	whole := string(dumped(t, "default"))
	cut := func(lines ...string) *Settings {
		text := whole
		for _, l := range lines {
			if !strings.Contains(text, l) {
				t.Fatalf("the dump lacks %q", l)
			}
			text = strings.ReplaceAll(text, l, "")
		}
		return settingsOf(t, []byte(text))
	}
	for _, row := range []struct {
		name  string
		s     *Settings
		about string
	}{
		{"2.0, which has no pulls but its own", cut("    use_local_image_pull = false\n"), "pulls"},
		{"1.7, where a kubelet's images have no plugin of their own", settingsOf(t, []byte("version = 2\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir='/x'\nmax_verifiers=1\nper_verifier_timeout='1s'")), "pulls"},
		{"1.6, without verifiers", settingsOf(t, []byte("version = 2\n[plugins.'io.containerd.grpc.v1.cri']")), "plugin"},
	} {
		if found := row.s.Look(Host{}); !has(found, row.about, Wrong) {
			t.Errorf("%s: %+v", row.name, found)
		}
	}
	for _, line := range []string{"disable_snapshot_annotations = true", "discard_unpacked_layers = false", "    max_concurrent_downloads = 3\n    concurrent_layer_fetch_buffer = 0\n    image_pull_progress_timeout = '5m0s'\n", "image_pull_with_sync_fs = false"} {
		if found := cut(line).Look(Host{}); !has(found, "pulls", Unknown) {
			t.Errorf("without %q: %+v", line, found)
		}
	}
	if s := settingsOf(t, []byte("version = 2\n[plugins.'io.containerd.image-verifier.v1.bindir']\nbin_dir='/x'")); s.Max() != 0 {
		t.Errorf("no max_verifiers: got %d, want none asked", s.Max())
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":     "",
		"no version":  "[plugins]",
		"no TOML":     "version = ",
		"other types": "version = 4\n[plugins.'io.containerd.image-verifier.v1.bindir']\nmax_verifiers = 'many'",
		"too large":   "version = 4\n#" + strings.Repeat("x", MaxSettings),
	} {
		if s, err := ReadSettings([]byte(text)); err == nil {
			t.Errorf("%s: got %+v", name, s)
		}
	}
}

func FuzzReadSettings(f *testing.F) {
	for _, name := range []string{"default", "installed", "registry.auths", "none"} {
		f.Add(dumped(f, name))
	}
	f.Add([]byte("version = 4\n[plugins.'io.containerd.cri.v1.images']"))
	f.Fuzz(func(t *testing.T, dump []byte) {
		s, err := ReadSettings(dump)
		if err != nil {
			return
		}
		found := s.Look(Host{Deadline: time.Second})
		// What is not said is nothing that is well.
		if has(found, "plugin", Fine) && s.Folder() == "" {
			t.Errorf("no folder, and all is well: %+v", found)
		}
		if has(found, "pulls", Fine) && (s.Plugins.Images == nil || s.Plugins.Images.Local == nil) {
			t.Errorf("nobody knows whether pulls are local, and all is well: %+v", found)
		}
	})
}
