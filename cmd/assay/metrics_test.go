package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
)

// written returns what metrics write.
func written(t *testing.T, m *metrics) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "assay.prom")
	if err := m.write(file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func lacks(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
}

// A run leaves its counts in the file, in place of those of the run before, and nothing beside it.
func TestMetricsFile(t *testing.T) {
	s := newStage(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "assay.prom")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good, bad, down := s.host+"/shop/api:1", s.host+"/shop/web:1", s.cases[7].image
	r := runAssay(t, "", "verify", "-p", s.policy, "--metrics-file", file, good, bad, down, "registry.example./app")
	content, err := os.ReadFile(file)
	if err != nil || r.code != exitDenied {
		t.Fatalf("exit %d, error %v\n%s", r.code, err, r.stderr)
	}
	lacks(t, string(content),
		`assay_decisions_total{mode="enforce",outcome="allowed"} 1`,
		`assay_decisions_total{mode="enforce",outcome="denied"} 1`,
		`assay_decisions_total{mode="enforce",outcome="could-not-tell"} 1`,
		`assay_decisions_total{mode="none",outcome="denied"} 1`,
		`assay_authority_outcomes_total{format="certificate",outcome="proved"} 1`,
		`assay_authority_outcomes_total{format="certificate",outcome="untrusted"} 1`,
		`assay_decision_duration_seconds_count 4`,
	)
	if !strings.Contains(string(content), `assay_build_info{goversion="go`) || strings.Contains(string(content), "old") {
		t.Errorf("got\n%s", content)
	}
	info, err := os.Stat(file)
	if entries, _ := os.ReadDir(folder); err != nil || len(entries) != 1 || info.Mode().Perm() != 0o644 {
		t.Errorf("%d files, mode %v, error %v", len(entries), info.Mode(), err)
	}
}

// Metrics that cannot be written after all are a warning: the verdicts stand.
func TestMetricsChangeNoVerdict(t *testing.T) {
	var stderr bytes.Buffer
	a := &app{stderr: &stderr}
	a.writeMetrics(filepath.Join(t.TempDir(), "nowhere", "assay.prom"), make([]engine.Verdict, 1), nil)
	if !strings.HasPrefix(stderr.String(), "assay: warning: --metrics-file: ") {
		t.Errorf("got %q", stderr.String())
	}
}

// T20: each field that weakened a proof is counted by its name, and only where the proof was used.
func TestT20_WeakenedProofsAreCounted(t *testing.T) {
	m := newMetrics()
	heard := func(s engine.Standing) []engine.Attestation {
		return []engine.Attestation{{Format: "sigstore", Standing: s, Weakened: []string{"insecureIgnoreLog", "signedRepository: ignore", "7"}}}
	}
	m.observe(&engine.Verdict{Decision: engine.Decision{Authorities: heard(engine.Proved)}, Also: []engine.Decision{{Authorities: heard(engine.Proved)}}})
	m.observe(&engine.Verdict{Decision: engine.Decision{Authorities: heard(engine.Untrusted)}})
	text := written(t, m)
	lacks(t, text, `assay_weakened_total{field="insecureIgnoreLog"} 2`, `assay_weakened_total{field="signedRepository"} 2`, `assay_weakened_total{field="other"} 2`,
		`assay_authority_outcomes_total{format="sigstore",outcome="proved"} 2`, `assay_authority_outcomes_total{format="sigstore",outcome="untrusted"} 1`)
}

// T47: whatever the images are called, there are no more series, and nothing of a name is in them.
func TestT47_LabelsHaveNothingOfImages(t *testing.T) {
	m := newMetrics()
	var before int
	for i := range 1000 {
		name := fmt.Sprintf("registry%d.example/app%d:x", i, i)
		m.observe(&engine.Verdict{Image: name, Canonical: name, Pin: name, Decision: engine.Decision{
			Mode: "enforce", Policy: name, Rule: name, Outcome: engine.Denied, Reason: name, Authorities: []engine.Attestation{{
				Authority: name, Format: "certificate", Standing: engine.Proved, Signer: name, Issuer: name, Reason: name,
				Weakened: []string{"signedRepository: " + name},
			}},
		}})
		if i == 0 {
			before = strings.Count(written(t, m), "\n")
		}
	}
	text := written(t, m)
	if got := strings.Count(text, "\n"); got != before || strings.Contains(text, "registry") || strings.Contains(text, "app") {
		t.Errorf("%d lines became %d\n%s", before, got, text)
	}
}

func TestMaterialMetrics(t *testing.T) {
	m := newMetrics()
	m.material("public-good", 36*time.Hour, false)
	m.material("mirror.example", 240*time.Hour, true)
	lacks(t, written(t, m), `assay_trust_material_age_seconds{source="public-good"} 129600`, `assay_trust_material_stale{source="public-good"} 0`,
		`assay_trust_material_stale{source="mirror.example"} 1`)
}

// everyMetric is the metrics of a server that has seen something of everything.
func everyMetric() *serverMetrics {
	m := newServerMetrics()
	m.registry.MustRegister(expiry(&fileIdentity{}))
	m.registry.MustRegister(newConnections(1, nil).metrics()...)
	can := newCanary(0, nil)
	can.last.WithLabelValues("x").Set(1)
	m.registry.MustRegister(can.last, can.refused)
	m.registry.MustRegister(m.copyAge)
	m.refuse("x")
	m.loaded("x", nil)
	m.event("x")
	m.sharing()(shared.Hit)
	m.sharedAway(false, false)
	m.decided("x", &engine.Verdict{Decision: engine.Decision{Authorities: []engine.Attestation{{Standing: engine.Proved, Weakened: []string{"x"}}}}})
	m.material("x", 0, false)
	m.policies.WithLabelValues("x", "x").Set(1)
	asked := newUpstreamMetrics()
	m.registry.MustRegister(asked.questions, asked.duration)
	c := &contacts{metrics: m}
	c.watch("x", func() time.Duration { return 0 })
	c.measure()
	return m
}

// The page has every metric with its type and its labels, and no other.
func TestMetricsAreOnTheirPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := everyMetric().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "assay_") {
			continue // Go's own
		}
		known[family.GetName()] = true
		var labels []string
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+pair.GetName()+"`")
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", family.GetName(), strings.ToLower(family.GetType().String()), strings.Join(labels, ", "))
		if len(labels) == 0 {
			row = fmt.Sprintf("| `%s` | %s | |", family.GetName(), strings.ToLower(family.GetType().String()))
		}
		if !strings.Contains(string(page), row) {
			t.Errorf("docs/reference/metrics.md lacks %s", row)
		}
	}
	for _, name := range regexp.MustCompile("\\| `(assay_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		if !known[name[1]] {
			t.Errorf("docs/reference/metrics.md has %s, which does not exist", name[1])
		}
	}
	if len(known) != 28 {
		t.Errorf("got %d metrics, want 28", len(known))
	}
}
