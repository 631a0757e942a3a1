//go:build e2e

package e2e

import "slices"

// recording is what is done to an image before it is recorded.
type recording struct {
	name     string
	commands []string
	verify   string // a command that must succeed then; none where the tool cannot
	copied   bool   // what is recorded is the copy
}

// tokens returns the claims of those whose tokens the commands use.
func tokens() map[string][]string {
	return map[string][]string{
		"TOKEN":  {"email=dev@lab.example"},
		"OTHER":  {"email=dev@lab.example", "iss=" + issuerOther},
		"MALLET": {"email=mallet@lab.example"},
		"GITHUB": {"iss=" + issuerGitHub},
		"GITLAB": {"iss=" + issuerGitLab},
		"SPIFFE": {"iss=" + issuerSpiffe},
	}
}

// The commands, by what they write.
const (
	signBundle         = "cosign sign -y --signing-config signing_config.json --trusted-root trusted_root.json "
	signBundleRekor1   = "cosign sign -y --signing-config signing_config_rekor1.json --trusted-root trusted_root_rekor1.json "
	signBundleTSA      = "cosign sign -y --signing-config signing_config_no_log.json --trusted-root trusted_root.json "
	signBundleNoSCT    = "cosign sign -y --signing-config signing_config_no_sct.json --trusted-root trusted_root.json "
	signBundlePlain    = "cosign sign -y --signing-config signing_config_empty.json "
	signPKI            = "cosign sign -y --trusted-root trusted_root_pki.json "
	signLegacy3        = "cosign sign -y --new-bundle-format=false --use-signing-config=false "
	signLegacy         = "cosign2 sign -y --trusted-root trusted_root_rekor1.json "
	toRekor1           = "--rekor-url $REKOR "
	toFulcio           = "--fulcio-url $FULCIO --rekor-url $REKOR "
	noLog              = "--tlog-upload=false "
	stamped            = "--timestamp-server-url $TSA "
	attestBundle       = "cosign attest -y --signing-config signing_config.json --trusted-root trusted_root.json "
	attestBundlePlain  = "cosign attest -y --signing-config signing_config_empty.json "
	attestBundleRekor1 = "cosign attest -y --signing-config signing_config_rekor1.json --trusted-root trusted_root_rekor1.json "
	attestLegacy       = "cosign2 attest -y --trusted-root trusted_root_rekor1.json "
	asDev              = "--identity-token $TOKEN "
	withKey            = "--key p256.key "
	bareLeaf           = "--key leaf.key --certificate leaf.pem "
	withLeaf           = bareLeaf + "--certificate-chain pki.pem "
)

// The commands that prove that cosign takes what it wrote.
const (
	checkBundle       = "cosign verify --trusted-root trusted_root.json "
	checkBundleRekor1 = "cosign verify --trusted-root trusted_root_rekor1.json "
	checkLegacy       = "cosign2 verify --trusted-root trusted_root_rekor1.json "
	checkLegacyAll    = "cosign2 verify --trusted-root trusted_root_all.json "
	checkPlain        = "cosign verify --insecure-ignore-tlog "
	checkPlainLegacy  = "cosign2 verify --insecure-ignore-tlog "
	checkAttested     = "cosign verify-attestation --trusted-root trusted_root.json "
	checkAttestLegacy = "env SIGSTORE_REKOR_PUBLIC_KEY=rekor1.pub SIGSTORE_ROOT_FILE=fulcio-chain.pem SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=ct.pub " +
		"cosign2 verify-attestation "
	isDev    = "--certificate-identity dev@lab.example --certificate-oidc-issuer https://accounts.lab.example "
	isOther  = "--certificate-identity dev@lab.example --certificate-oidc-issuer https://accounts.other.example "
	isGitHub = "--certificate-identity https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main " +
		"--certificate-oidc-issuer https://token.actions.githubusercontent.com "
	isGitLab = "--certificate-identity https://gitlab.lab.example/acme/app//.gitlab-ci.yml@refs/heads/main " +
		"--certificate-oidc-issuer https://gitlab.lab.example "
	isSpiffe  = "--certificate-identity spiffe://lab.example/builder --certificate-oidc-issuer https://spire.lab.example "
	ignoreLog = "--insecure-ignore-tlog "
	ignoreSCT = "--insecure-ignore-sct "
	useTSA    = "--use-signed-timestamps "
	byKey     = "--key p256.pub "
	isRelease = "--insecure-ignore-sct --certificate-identity release@lab.example --certificate-oidc-issuer-regexp .* "
	checkPKI  = "cosign verify --trusted-root trusted_root_pki.json --insecure-ignore-sct " +
		"--certificate-identity https://ci.lab.example/acme/app/release --certificate-oidc-issuer-regexp .* "
	checkPKILegacy = "cosign2 verify --trusted-root trusted_root_pki.json " + isRelease
)

// recordings returns what is recorded.
func recordings() []recording {
	return slices.Concat(bundles(), signatures(), attestations(), others())
}

// signed is an image that was signed by one command; the image is added to both.
func signed(name, command, verify string) recording {
	if verify != "" {
		verify += "$IMAGE"
	}
	return recording{name: name, commands: []string{command + "$IMAGE"}, verify: verify}
}

func bundles() []recording {
	return []recording{
		signed("bundle-keyless", signBundle+asDev, checkBundle+isDev+useTSA),
		signed("bundle-keyless-rekor1", signBundleRekor1+asDev, checkBundleRekor1+isDev),
		signed("bundle-keyless-tsa-only", signBundleTSA+asDev, checkBundle+isDev+ignoreLog+useTSA),
		signed("bundle-keyless-no-sct", signBundleNoSCT+asDev, checkBundle+isDev+ignoreSCT),
		signed("bundle-keyless-other-issuer", signBundle+"--identity-token $OTHER ", checkBundle+isOther),
		signed("bundle-keyless-github", signBundle+"--identity-token $GITHUB ", checkBundle+isGitHub),
		signed("bundle-keyless-gitlab", signBundle+"--identity-token $GITLAB ", checkBundle+isGitLab),
		signed("bundle-keyless-spiffe", signBundle+"--identity-token $SPIFFE ", checkBundle+isSpiffe),
		signed("bundle-keyless-annotations", signBundle+asDev+"-a build=42 -a stage=prod ", checkBundle+isDev+"-a build=42 "),
		signed("bundle-key", signBundle+withKey, checkBundle+byKey),
		signed("bundle-key-rekor1", signBundleRekor1+withKey, checkBundleRekor1+byKey),
		signed("bundle-key-tsa-only", signBundleTSA+withKey, checkBundle+byKey+ignoreLog+useTSA),
		signed("bundle-key-plain", signBundlePlain+withKey, checkPlain+byKey),
		signed("bundle-key-annotations", signBundlePlain+withKey+"-a build=42 -a stage=prod ", checkPlain+byKey+"-a build=42 "),
		signed("bundle-key-rsa", signBundlePlain+"--key rsa.key ", checkPlain+"--key rsa.pub "),
		signed("bundle-key-p384", signBundlePlain+"--key p384.key ", checkPlain+"--signature-digest-algorithm sha384 --key p384.pub "),
		signed("bundle-key-ed25519", signBundlePlain+"--key ed25519.key ", ""),
		signed("bundle-key-ed25519-rekor2", "cosign sign -y --signing-config signing_config.json --key ed25519.key ", ""),
		signed("bundle-pki", signPKI+"--signing-config signing_config.json "+bareLeaf, checkPKI),
		signed("bundle-pki-tsa-only", signPKI+"--signing-config signing_config_no_log.json "+bareLeaf, checkPKI+ignoreLog+useTSA),
		signed("bundle-pki-plain", signBundlePlain+bareLeaf, ""),
		// With --certificate-chain, cosign writes a bundle with a chain, which it then does not find itself.
		signed("bundle-pki-chain-rekor1", signPKI+"--signing-config signing_config_rekor1.json "+withLeaf, ""),
		signed("bundle-pki-chain-tsa-only", signPKI+"--signing-config signing_config_no_log.json "+withLeaf, ""),
		signed("bundle-pki-chain-plain", signBundlePlain+withLeaf, ""),
	}
}

// signatures are under the tag that ends in .sig.
func signatures() []recording {
	return []recording{
		signed("legacy-keyless", signLegacy+toFulcio+asDev, checkLegacy+isDev),
		signed("legacy-keyless-v3", signLegacy3+toFulcio+"--trusted-root trusted_root_rekor1.json "+asDev, checkLegacy+isDev),
		signed("legacy-keyless-tsa", signLegacy+toFulcio+stamped+asDev, checkLegacyAll+isDev+useTSA),
		signed("legacy-keyless-tsa-only", signLegacy+toFulcio+noLog+stamped+asDev, checkLegacyAll+isDev+ignoreLog+useTSA),
		signed("legacy-keyless-no-proof-of-time", signLegacy+toFulcio+noLog+asDev, checkLegacy+isDev+ignoreLog),
		signed("legacy-keyless-no-sct", signLegacy+"--insecure-skip-verify --fulcio-url $NOSCT "+toRekor1+asDev, checkLegacy+isDev+ignoreSCT),
		signed("legacy-keyless-github", signLegacy+toFulcio+"--identity-token $GITHUB ", checkLegacy+isGitHub),
		signed("legacy-keyless-annotations", signLegacy+toFulcio+asDev+"-a build=42 -a stage=prod ", checkLegacy+isDev+"-a build=42 "),
		signed("legacy-key", signLegacy+toRekor1+withKey, checkLegacy+byKey),
		signed("legacy-key-plain", signLegacy+noLog+withKey, checkPlainLegacy+byKey),
		signed("legacy-key-v3", signLegacy3+toRekor1+withKey, checkLegacy+byKey),
		signed("legacy-key-v3-plain", signLegacy3+noLog+withKey, checkPlainLegacy+byKey),
		signed("legacy-key-tsa", signLegacy+noLog+stamped+withKey, checkLegacyAll+byKey+ignoreLog+useTSA),
		signed("legacy-key-annotations", signLegacy+noLog+withKey+"-a build=42 -a stage=prod ", checkPlainLegacy+byKey+"-a build=42 "),
		signed("legacy-key-rsa", signLegacy+noLog+"--key rsa.key ", checkPlainLegacy+"--key rsa.pub "),
		signed("legacy-key-p384", signLegacy+noLog+"--key p384.key ", checkPlainLegacy+"--signature-digest-algorithm sha384 --key p384.pub "),
		signed("legacy-key-ed25519", signLegacy+noLog+"--key ed25519.key ", ""),
		signed("legacy-key-rsa-rekor1", signLegacy+toRekor1+"--key rsa.key ", checkLegacy+"--key rsa.pub "),
		signed("legacy-key-other-repository", signLegacy+noLog+withKey+"--sign-container-identity registry.other.example/app ", checkPlainLegacy+byKey),
		{name: "legacy-key-p384-sha256", verify: checkPlainLegacy + "--key p384.pub $IMAGE", commands: []string{
			"cosign generate $IMAGE > payload",
			"openssl dgst -sha256 -sign p384-plain.key payload | base64 -w0 > signature",
			"cosign attach signature --payload payload --signature signature $IMAGE",
		}},
		{name: "legacy-key-ed25519-pure", verify: checkPlainLegacy + "--key ed25519.pub $IMAGE", commands: []string{
			"cosign generate $IMAGE > payload",
			"openssl pkeyutl -sign -inkey ed25519-plain.key -rawin -in payload | base64 -w0 > signature",
			"cosign attach signature --payload payload --signature signature $IMAGE",
		}},
		signed("legacy-pki", signLegacy+toRekor1+withLeaf, checkPKILegacy),
		signed("legacy-pki-tsa", signLegacy+noLog+stamped+withLeaf, checkPKILegacy+ignoreLog+useTSA),
		signed("legacy-pki-plain", signLegacy+noLog+withLeaf, checkPKILegacy+ignoreLog),
	}
}

func attestations() []recording {
	return []recording{
		{name: "attest-legacy-keyless", verify: checkAttestLegacy + isDev + "--type slsaprovenance $IMAGE", commands: []string{
			attestLegacy + toFulcio + asDev + "--type slsaprovenance --predicate slsa.json $IMAGE",
			attestLegacy + toFulcio + asDev + "--type spdxjson --predicate spdx.json $IMAGE",
			attestLegacy + toFulcio + asDev + "--type vuln --predicate vuln.json $IMAGE",
			attestLegacy + toFulcio + asDev + "--type https://lab.example/review/v1 --predicate custom.json $IMAGE",
		}},
		{name: "attest-legacy-key", verify: "cosign2 verify-attestation --insecure-ignore-tlog --type vuln " + byKey + "$IMAGE", commands: []string{
			attestLegacy + noLog + withKey + "--type slsaprovenance --predicate slsa.json $IMAGE",
			attestLegacy + noLog + withKey + "--type spdxjson --predicate spdx.json $IMAGE",
			attestLegacy + noLog + withKey + "--type vuln --predicate vuln.json $IMAGE",
			attestLegacy + noLog + withKey + "--type custom --predicate custom.json $IMAGE",
		}},
		{name: "attest-bundle-keyless", verify: checkAttested + isDev + "--type slsaprovenance1 $IMAGE", commands: []string{
			attestBundle + asDev + "--type slsaprovenance1 --predicate slsa1.json $IMAGE",
			attestBundle + asDev + "--type https://lab.example/review/v1 --predicate custom.json $IMAGE",
		}},
		signed("attest-bundle-keyless-rekor1", attestBundleRekor1+asDev+"--type slsaprovenance1 --predicate slsa1.json ",
			"cosign verify-attestation --trusted-root trusted_root_rekor1.json --type slsaprovenance1 "+isDev),
		{name: "attest-bundle-key", verify: "cosign verify-attestation --insecure-ignore-tlog --type vuln " + byKey + "$IMAGE", commands: []string{
			attestBundlePlain + withKey + "--type slsaprovenance1 --predicate slsa1.json $IMAGE",
			attestBundlePlain + withKey + "--type cyclonedx --predicate cyclonedx.json $IMAGE",
			attestBundlePlain + withKey + "--type vuln --predicate vuln.json $IMAGE",
			attestBundlePlain + withKey + "--type custom --predicate custom.json $IMAGE",
		}},
	}
}

// others are several signatures on one image, and copies in another repository.
func others() []recording {
	return []recording{
		{name: "mixed", verify: checkBundle + isDev + "$IMAGE", commands: []string{
			signLegacy + toFulcio + asDev + "$IMAGE",
			signLegacy + noLog + withKey + "$IMAGE",
			signBundle + "--identity-token $MALLET $IMAGE",
			signBundle + asDev + "$IMAGE",
			signBundlePlain + "--key other.key $IMAGE",
			attestLegacy + noLog + withKey + "--type custom --predicate custom.json $IMAGE",
			attestBundlePlain + withKey + "--type slsaprovenance1 --predicate slsa1.json $IMAGE",
		}},
		{name: "copied-legacy", verify: checkPlainLegacy + byKey + "$IMAGE", copied: true, commands: []string{
			signLegacy + noLog + withKey + "$IMAGE", "cosign copy $IMAGE $COPY",
		}},
		{name: "copied-legacy-v2", verify: checkPlainLegacy + byKey + "$IMAGE", copied: true, commands: []string{
			signLegacy + noLog + withKey + "$IMAGE", "cosign2 copy $IMAGE $COPY",
		}},
		{name: "copied-bundle", verify: checkPlain + byKey + "$IMAGE", copied: true, commands: []string{
			signBundlePlain + withKey + "$IMAGE", "cosign copy $IMAGE $COPY",
			"skopeo --insecure-policy copy --all docker://$REPOSITORY:$FALLBACK docker://$COPY:$FALLBACK",
		}},
	}
}
