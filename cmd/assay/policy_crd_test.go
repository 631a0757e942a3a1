package main

import (
	"bytes"
	"os"
	"testing"
)

// chartDefinitions is the file of the Helm chart that assay policy crd writes.
const chartDefinitions = "../../deploy/helm/assay/crds/assay.dev_policies.yaml"

func TestChartHasTheDefinitionsOfPolicies(t *testing.T) {
	want := &bytes.Buffer{}
	cmd := (&app{stdout: want}).policyCRDCommand()
	if err := cmd.RunE(cmd, nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(chartDefinitions)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("the definitions of policies in the chart are stale; make them anew with\n" +
			"	go run ./cmd/assay policy crd > deploy/helm/assay/crds/assay.dev_policies.yaml")
	}
}
