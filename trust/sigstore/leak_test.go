package sigstore

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/trust/sigstore/material"
	"github.com/assay-dev/assay/trust/trusttest"
)

// T38: who writes a policy may name a file that only Assay can read, such as a Secret of the namespace. What is in it is shown in no error,
// which goes into logs and into the status of the policy.
func TestT38_ErrorsDoNotShowFiles(t *testing.T) {
	l := home()
	for _, content := range []string{
		"hunter2", "12345678", `{"hunter2": 1}`, `{"mediaType": hunter2}`, `{"mediaType": {"hunter2": 1}}`, `{"tlogs": "hunter2"}`, `{"tlogs": [{"hashAlgorithm": "hunter2"}]}`,
		`{"tlogs": [{"publicKey": {"rawBytes": "hunter2-"}}]}`, `{"tlogs": [{"publicKey": {"validFor": {"start": "hunter2"}}}]}`, "user: hunter2", `"hunter2"`, `{"mediaType": "hunter2"}`, `{"a": "hunter2`,
		"-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----\n", "-----BEGIN CERTIFICATE-----\nhunter2h\n-----END CERTIFICATE-----\n",
	} {
		files := map[string][]byte{"f": []byte(content)}
		for name, change := range map[string]func(*Options){
			"trusted root": func(o *Options) { o.TrustedRoot = &TrustedRootOptions{File: "f"} },
			"root.json": func(o *Options) {
				o.TrustedRoot = &TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://a.example", RootFile: "f"}}
			},
			"parts": func(o *Options) {
				o.TrustedRoot = &TrustedRootOptions{Parts: &PartsOptions{FulcioFiles: []string{"f"}}}
			},
			"log keys": func(o *Options) {
				o.TrustedRoot = &TrustedRootOptions{Parts: &PartsOptions{RekorKeysFiles: []string{"f"}}}
			},
			"key":         func(o *Options) { o.SignerOptions = SignerOptions{Key: &KeyOptions{File: "f"}} },
			"authorities": func(o *Options) { o.SignerOptions = SignerOptions{PKI: &PKIOptions{RootsFiles: []string{"f"}}} },
		} {
			_, err := New(Config{Material: must(material.New(material.Config{}))}).New(trusttest.Section{Options: l.keyless(change), Files: files})
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12345678") {
				t.Errorf("%s of %s: %v", name, content, err)
			}
		}
	}
}
