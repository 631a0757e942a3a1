//go:build e2e

package e2e

import (
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdChart is "chart [ARGUMENT...]": helm upgrade --install of the chart with what is so on the cluster, and with these arguments, such
// as --values FILE. It returns when only the replicas that it made answer: those of an earlier story go on for as long as a connection to
// them is used. The output is helm's.
func cmdChart(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "chart", neg)
	ts.Check(ts.Exec("helm", append([]string{
		"upgrade", "--install", "assay", ts.Getenv("CHART"), "--namespace", "assay-system", "--create-namespace", "--wait", "--timeout", "2m",
		"--values", ts.Getenv("LOCAL") + "/base.yaml",
	}, args...)...))
	answer := ts.ReadFile("stdout")
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec("kubectl", "get", "pods", "--namespace", "assay-system", "--selector", "app.kubernetes.io/name=assay", "--output",
			`jsonpath={range .items[*]}{.metadata.deletionTimestamp}{"\n"}{end}`))
		if strings.TrimSpace(ts.ReadFile("stdout")) == "" {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("chart: replicas of before are still there after %v", readyWithin)
		}
	}
	if _, err := ts.Stdout().Write([]byte(answer)); err != nil {
		ts.Fatalf("chart: %v", err)
	}
}
