package health

import "testing"

func TestT51_Versions(t *testing.T) {
	for _, row := range []struct {
		version string
		state   State
		words   []string
	}{
		{"2.4.2", Fine, nil},
		{"2.4.2+unknown", Fine, nil},
		{"v2.3.2", Fine, nil},
		{"2.2.5-k3s1", Fine, nil},
		{"2.1.9", Fine, nil},
		{"2.3.2-rc.1", Doubtful, []string{"CVE-2026-50195"}},
		{"2.3.1", Doubtful, []string{"CVE-2026-50195", "2.1.9, 2.2.5, 2.3.2"}},
		{"2.2.4", Doubtful, []string{"CVE-2026-53488"}},
		{"2.1.0", Doubtful, []string{"CVE-2025-47290"}},
		{"2.0.9", Wrong, []string{"asks no verifier"}},
		{"1.7.24~ds1", Wrong, []string{"asks no verifier"}},
		{"dev", Doubtful, []string{"is no release"}},
		{"", Doubtful, []string{"is no release"}},
	} {
		if found := Version(row.version); !has(found, "containerd", row.state, row.words...) || worst(found) != row.state {
			t.Errorf("%q: %+v, want state %d with %q", row.version, found, row.state, row.words)
		}
	}
	if found := Version("2.2.0"); has(found, "containerd", Doubtful, "CVE-2025-47290") {
		t.Errorf("a flaw that was mended in the line before: %+v", found)
	}
}
