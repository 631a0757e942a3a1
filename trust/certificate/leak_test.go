package certificate

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust/trusttest"
)

// T38: a file that a policy names may be a Secret that its author cannot read. What is in it is shown in no error.
func TestT38_ErrorsDoNotShowFiles(t *testing.T) {
	roots := newCA(t, nil).pem()
	for _, content := range []string{"hunter2", `{"hunter2": 1}`, "-----BEGIN CERTIFICATE-----\nhunter2h\n-----END CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\nhunter2h\n-----END X509 CRL-----\n"} {
		for name, o := range map[string]Options{
			"roots":         {RootsFiles: []string{"f"}},
			"intermediates": {Roots: roots, IntermediatesFiles: []string{"f"}},
			"crls":          {Roots: roots, CRLs: []CRLOptions{{File: "f"}}},
		} {
			_, err := Format().New(trusttest.Section{Options: o, Files: map[string][]byte{"f": []byte(content)}})
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s of %s: %v", name, content, err)
			}
		}
	}
}
