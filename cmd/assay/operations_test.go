package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	metricName = regexp.MustCompile(`\bassay_[a-z_]+`)
	ruleBlock  = regexp.MustCompile("(?ms)^```yaml\n(groups:.*?)^```$")
	matcher    = regexp.MustCompile(`(assay_[a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*[=!]~?`)
)

// labelsOfMetrics returns the metrics of a server with their labels.
func labelsOfMetrics(t *testing.T) map[string][]string {
	t.Helper()
	families, err := everyMetric().registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, family := range families {
		labels := []string{}
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, pair.GetName())
		}
		all[family.GetName()] = labels
		if family.GetMetric()[0].GetHistogram() != nil {
			all[family.GetName()+"_bucket"] = append(slices.Clone(labels), "le")
			all[family.GetName()+"_sum"], all[family.GetName()+"_count"] = labels, labels
		}
	}
	return all
}

// Every metric in the expressions of a page is one of the program, with the labels that are chosen by.
func TestExpressionsOnPagesAreAboutMetrics(t *testing.T) {
	known := labelsOfMetrics(t)
	for _, page := range []string{"operations.md", "metrics.md"} {
		content, err := os.ReadFile(filepath.Join("../../docs/reference", page))
		if err != nil {
			t.Fatal(err)
		}
		names := metricName.FindAllString(string(content), -1)
		if len(names) < 5 {
			t.Errorf("%s: %d metrics are too few", page, len(names))
		}
		for _, name := range names {
			if known[name] == nil {
				t.Errorf("%s: there is no metric %s", page, name)
			}
		}
		for _, m := range matcher.FindAllStringSubmatch(string(content), -1) {
			for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(known[m[1]], label[1]) {
					t.Errorf("%s: %s has no label %s", page, m[1], label[1])
				}
			}
		}
	}
}

// The alerts are such as Prometheus reads; its own program says so where it is installed.
func TestAlertsCanBeRead(t *testing.T) {
	content, err := os.ReadFile("../../docs/reference/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	m := ruleBlock.FindStringSubmatch(string(content))
	if m == nil {
		t.Fatal("there are no rules on the page")
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(m[1]), &file); err != nil || len(file.Groups) != 1 || len(file.Groups[0].Rules) < 5 {
		t.Fatalf("error %v, got %+v", err, file)
	}
	for _, r := range file.Groups[0].Rules {
		if !strings.HasPrefix(r.Alert, "Assay") || !metricName.MatchString(r.Expr) || r.Annotations["summary"] == "" {
			t.Errorf("got %+v, want a name, an expression about Assay and a summary", r)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool (Debian: prometheus) is not installed: the expressions are not parsed")
		return
	}
	name := filepath.Join(t.TempDir(), "rules.yaml")
	must(t, os.WriteFile(name, []byte(m[1]), 0o600))
	if out, err := exec.Command(promtool, "check", "rules", name).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
