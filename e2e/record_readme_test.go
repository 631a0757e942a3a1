//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// recordedReadme stands before the list of commands.
const recordedReadme = `# Recorded evidence

Test vectors: what the real tools left in a registry, so that unit tests need no peers. Everything here is written by

    ASSAY_RECORD=1 make e2e RUN=TestRecord

(e2e/record_test.go) with cosign v3.1.3 (cosign below) and v2.6.5 (cosign2), Fulcio v1.8.8, Rekor v1.5.4 and v2 (rekor-tiles v2.3.0)
and timestamp-authority v2.1.3 of a Sigstore that ran for these minutes only. No private key was kept, and nobody else trusts these keys.

NAME.json holds the image as it was signed, when, the commands, the manifests by tag and by digest, the blobs by digest, and the
descriptors that the referrers API would list. (The registry was Debian's docker-registry 2.8.2, which has no such API; the same
descriptors are in the index under the fallback tag.)

| file | what is in it |
|---|---|
| trusted_root.json | Fulcio, CT log, Rekor v2, time-stamp authority |
| trusted_root_rekor1.json | Fulcio, CT log, Rekor v1 |
| trusted_root_all.json | all of them |
| trusted_root_no_tsa.json | trusted_root.json without the time-stamp authority |
| trusted_root_other_rekor.json, trusted_root_other_ct.json | trusted_root.json with the key of another log in the place of the right one |
| trusted_root_other_rekor1.json | the same of trusted_root_rekor1.json |
| trusted_root_pki.json | own PKI in the place of Fulcio, both logs, time-stamp authority |
| NAME.pub | public keys; other.pub signed only one of the signatures of mixed.json |
| pki.pem | own PKI: the intermediate, which issued the certificate, and the root |
| fulcio-chain.pem, tsa-chain.pem, ct.pub, rekor.pub, rekor1.pub | the parts of the trusted roots |

After the commands, cosign itself verified each of these, except where it cannot; the command is named below.

What the tools do, and cannot do:

* Keys on P-384 sign SHA-384, and Ed25519 keys sign as Ed25519ph, with both versions of cosign. cosign verifies the first with
  --signature-digest-algorithm sha384, the second not at all. With a trusted root given, cosign 3 refuses to sign with an Ed25519 key.
* legacy-key-p384-sha256 and legacy-key-ed25519-pure are what other programs sign (here openssl), attached by cosign.
* With --certificate-chain, cosign 3 writes a v0.3 bundle with x509CertificateChain, which it then does not accept itself; Rekor v2 refuses
  it. With --certificate alone it works; the intermediate must then be in the trusted root.
* cosign copy takes signatures along that have a tag, and no bundles. copied-bundle was copied by skopeo.
* No tool at hand writes bundles v0.1 or v0.2 to a registry.
* --new-bundle-format=false cannot be had together with --signing-config, so there is no signature under a tag that Rekor v2 holds.

## Commands

`

// readme says what was recorded, and by which commands.
func (r *recorder) readme() error {
	var text strings.Builder
	text.WriteString(recordedReadme)
	for _, c := range recordings() {
		fmt.Fprintf(&text, "### %s\n\n", c.name)
		for _, command := range c.commands {
			fmt.Fprintf(&text, "    %s\n", command)
		}
		if c.verify == "" {
			text.WriteString("\ncosign verifies it with no command.\n\n")
			continue
		}
		fmt.Fprintf(&text, "\nVerified by:\n\n    %s\n\n", c.verify)
	}
	return os.WriteFile(filepath.Join(r.out, "README.md"), []byte(strings.TrimRight(text.String(), "\n")+"\n"), 0o644)
}

// material writes what the recordings are checked with. No private key is kept.
func (r *recorder) material() error {
	if err := r.readme(); err != nil {
		return err
	}
	for _, name := range []string{
		"trusted_root.json", "trusted_root_rekor1.json", "trusted_root_all.json", "trusted_root_other_rekor.json", "trusted_root_other_rekor1.json",
		"trusted_root_other_ct.json", "trusted_root_no_tsa.json", "trusted_root_pki.json",
		"p256.pub", "p384.pub", "rsa.pub", "ed25519.pub", "other.pub", "pki.pem",
		"fulcio-chain.pem", "tsa-chain.pem", "ct.pub", "rekor.pub", "rekor1.pub",
	} {
		text, err := os.ReadFile(r.file(name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(r.out, name), text, 0o644); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
