//go:build e2e

package e2e

import (
	"strings"

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
	ts.Check(ts.Exec("kubectl", "get", "pods", "--namespace", "assay-system", "--selector", "app.kubernetes.io/name=assay",
		"--output", `jsonpath={range .items[?(@.metadata.deletionTimestamp)]}pod/{.metadata.name} {end}`))
	if gone := strings.Fields(ts.ReadFile("stdout")); len(gone) > 0 {
		ts.Check(ts.Exec("kubectl", append([]string{"wait", "--namespace", "assay-system", "--for", "delete", "--timeout", "2m"}, gone...)...))
	}
	if _, err := ts.Stdout().Write([]byte(answer)); err != nil {
		ts.Fatalf("chart: %v", err)
	}
}
