//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The alerts are about metrics that there are, and Prometheus takes them. Where its promtool is not installed, only the first is looked at.
func TestChartAlerts(t *testing.T) {
	t.Run("webhook", func(t *testing.T) { chartAlerts(t, "5 rules found") })
	t.Run("canary", func(t *testing.T) {
		chartAlerts(t, "7 rules found", "--set", "node.enabled=true", "--set", "node.containerd.verifier=true", "--set", "node.containerd.canary.enabled=true",
			"--set", "image.digest=sha256:"+strings.Repeat("0", 64))
	})
}

func chartAlerts(t *testing.T, found string, flags ...string) {
	t.Helper()
	rendered := render(t, append([]string{"--set", "policyResources.alone=true", "--set", "metrics.prometheusRule.enabled=true"}, flags...)...)
	var rule struct {
		Kind string
		Spec yaml.Node
	}
	for _, document := range strings.Split(rendered, "\n---\n") {
		if strings.Contains(document, "kind: PrometheusRule") {
			if err := yaml.Unmarshal([]byte(document), &rule); err != nil {
				t.Fatal(err)
			}
		}
	}
	spec, err := yaml.Marshal(&rule.Spec)
	if err != nil || rule.Kind == "" {
		t.Fatalf("no PrometheusRule: %v", err)
	}
	page, err := os.ReadFile("../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := regexp.MustCompile(`assay_[a-z_]+`).FindAllString(string(spec), -1)
	if len(metrics) < 5 {
		t.Fatalf("got %v", metrics)
	}
	for _, name := range metrics {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/reference/metrics.md lacks %s", name)
		}
	}
	promtool, err := exec.LookPath("promtool")
	switch {
	case err != nil && peersOptional():
		t.Skip("promtool is missing; e2e/peers/install installs it")
	case err != nil:
		t.Fatalf("%v: e2e/peers/install installs it", err)
	}
	file := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(file, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", file).CombinedOutput(); err != nil || !strings.Contains(string(out), found) {
		t.Errorf("%v: %s", err, out)
	}
}
