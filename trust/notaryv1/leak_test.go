package notaryv1

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust/trusttest"
)

// T38: a file that a policy names may be a Secret that its author cannot read. What is in it is shown in no error.
func TestT38_ErrorsDoNotShowFiles(t *testing.T) {
	for _, content := range []string{"hunter2", `{"hunter2": 1}`, "-----BEGIN CERTIFICATE-----\nhunter2h\n-----END CERTIFICATE-----\n", "-----BEGIN PUBLIC KEY-----\nhunter2h\n-----END PUBLIC KEY-----\n"} {
		for name, root := range map[string]RootOptions{
			"certificates": {CertificatesFiles: []string{"f"}}, "keys": {KeysFiles: []string{"f"}}, "authorities": {CAFiles: []string{"f"}},
		} {
			o := Options{Server: server, Root: &root}
			_, err := newWorld(o).format.New(trusttest.Section{Options: o, Files: map[string][]byte{"f": []byte(content)}})
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s of %s: %v", name, content, err)
			}
		}
	}
}
