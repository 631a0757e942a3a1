package main

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verifyFlagError tells people who come from cosign what stands in for a flag that verify does not have.
func verifyFlagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if hint := cosignHint(unknown.GetSpecifiedName()); hint != "" {
			return withHint(usageError("%w", err), hint)
		}
	}
	return flagError(cmd, err)
}

// cosignHint returns what stands in for a flag of cosign verify or cosign verify-attestation; "" for flags that are not cosign's.
func cosignHint(name string) string {
	for _, h := range [][2]string{
		{"allow-http-registry allow-insecure-registry",
			"how a registry is reached stands in the file of --registries: insecurePlainHTTP, insecureSkipTLSVerify"},
		{"registry-cacert registry-client-cert registry-client-key registry-server-name registry-username registry-password registry-token",
			"CAs, client certificates and credentials of a registry stand in the file of --registries; docker login is used as it is"},
		{"k8s-keychain", "credentials come from docker login and its credential helpers, or from the file of --registries"},
		{"registry-referrers-mode experimental-oci11 new-bundle-format", "all places and shapes of signatures are looked at; leave it out"},
		{"attachment-tag-prefix", "signatures are looked for under their standard names only"},
		{"certificate sct payload bundle rfc3161-timestamp", "it is read from what is stored beside the image; leave it out"},
		{"certificate-chain allow-certificate-chain", "certificates that count are given by --ca-roots and --ca-intermediates, or by --trusted-root"},
		{"timestamp-certificate-chain", "time-stamp authorities that count stand in --trusted-root; cosign trusted-root create writes one"},
		{"private-infrastructure", "give the own log in --trusted-root, or do without one by --insecure-ignore-tlog"},
		{"offline", "with --trusted-root nothing but the registry is asked, unless --rekor-url says so; leave it out"},
		{"check-claims", "a signature always has to name the image's digest; there is no way round it"},
		{"insecure-skip-verify", "there is no verdict without verification; a policy can allow images by name (allow: …)"},
		{"attachment", "attachments are not decided about; --attestation asks for what was attested about the image"},
		{"local-image", "images are decided about where they are pulled from: push the image to a registry"},
		{"sk slot", "write the key of the device to a file (cosign public-key --sk > key.pub) and give it as --key"},
		{"signature-digest-algorithm", "the algorithm follows from the key; leave it out"},
		{"max-workers", "write --parallel"},
		{"t", "write --timeout"},
		{"d verbose", "--output json says all there is to know about a verdict"},
		{"output-file", "redirect standard output or standard error"},
	} {
		for flag := range strings.FieldsSeq(h[0]) {
			if flag == name {
				return h[1]
			}
		}
	}
	return ""
}

// checkPolicyNames refuses policies of cosign verify-attestation, before they are read as YAML.
func checkPolicyNames(files []string) error {
	for _, file := range files {
		if ext := filepath.Ext(file); ext == ".rego" || ext == ".cue" {
			return withHint(usageError("--policy %s: want a policy in YAML", file),
				"conditions on attestations are written in CEL, in a policy; see assay policy schema")
		}
	}
	return nil
}
