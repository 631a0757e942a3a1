package sigstore

import (
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// What real tools wrote is denied by each policy that differs in one thing from the one that is meant for it.
func TestRecordedDenied(t *testing.T) {
	lab, stranger := identityIs(issuer, dev), identityIs(issuer, "dev@lab.example.evil")
	elsewhere := identityIs("https://accounts.other.example", dev)
	keyless := func(s SignerOptions, root string) Options {
		return Options{SignerOptions: s, TrustedRoot: rootFile(t, root)}
	}
	all := func(o Options, change func(*Options)) Options { change(&o); return o }
	for name, rows := range map[string]map[string]Options{
		"bundle-keyless": {
			"another subject": keyless(stranger, ""), "another issuer": keyless(elsewhere, ""), "another log": keyless(lab, "_other_rekor"), "another CT log": keyless(lab, "_other_ct"),
			"no time-stamp authority": keyless(lab, "_no_tsa"), "a key": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "")},
		},
		"bundle-keyless-rekor1": {"another subject": keyless(stranger, "_rekor1"), "another issuer": keyless(elsewhere, "_rekor1"), "another log": keyless(lab, "_other_rekor1"), "the other kind of log": keyless(lab, "")},
		"bundle-keyless-tsa-only": {
			"a log is wanted": keyless(lab, ""), "another subject": all(keyless(stranger, ""), ignoreLog), "no time-stamp authority": all(keyless(lab, "_no_tsa"), ignoreLog),
		},
		"bundle-keyless-no-sct":       {"an SCT is wanted": keyless(lab, "")},
		"bundle-keyless-other-issuer": {"the first issuer": keyless(lab, "")},
		"bundle-keyless-annotations":  {"another value": all(keyless(lab, ""), func(o *Options) { o.Annotations = map[string]string{"build": "43"} })},
		"bundle-keyless-github": {"another claim": all(keyless(identityIs("https://token.actions.githubusercontent.com", "**"), ""), func(o *Options) {
			o.Keyless.Identities[0].Claims.RunnerEnvironment = "self-hosted-x"
		})},
		"bundle-key":              {"another key": {SignerOptions: keyFile(t, "other"), TrustedRoot: rootFile(t, "")}, "another log": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_other_rekor")}, "identities": keyless(lab, "")},
		"bundle-key-rekor1":       {"another key": {SignerOptions: keyFile(t, "other"), TrustedRoot: rootFile(t, "_rekor1")}, "another log": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_other_rekor1")}},
		"bundle-key-plain":        {"another key": {SignerOptions: keyFile(t, "other"), InsecureIgnoreLog: true}, "a log is wanted": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "")}},
		"bundle-key-tsa-only":     {"another key": {SignerOptions: keyFile(t, "other"), TrustedRoot: rootFile(t, ""), TimestampThreshold: 1, InsecureIgnoreLog: true}},
		"bundle-key-rsa":          {"another key": {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true}},
		"bundle-key-ed25519":      {"another key": {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true}},
		"bundle-key-p384":         {"another key": {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true}},
		"bundle-pki-plain":        {"another name": {SignerOptions: own(t, NameOptions{Email: "release@other.example"}), InsecureIgnoreLog: true}, "another kind of name": {SignerOptions: own(t, NameOptions{URI: "release@lab.example"}), InsecureIgnoreLog: true}},
		"legacy-keyless":          {"another subject": keyless(stranger, "_rekor1"), "another issuer": keyless(elsewhere, "_rekor1"), "another log": keyless(lab, "_other_rekor1")},
		"legacy-keyless-tsa-only": {"a log is wanted": keyless(lab, "_all"), "no time-stamp authority": all(keyless(lab, "_rekor1"), ignoreLog)},
		"legacy-keyless-no-sct":   {"an SCT is wanted": keyless(lab, "_rekor1")},
		"legacy-key":              {"another key": {SignerOptions: keyFile(t, "other"), TrustedRoot: rootFile(t, "_rekor1")}, "another log": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_other_rekor1")}, "identities": keyless(lab, "_rekor1")},
		"legacy-key-plain":        {"a log is wanted": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")}},
		"legacy-key-annotations":  {"another value": {SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true, Annotations: map[string]string{"build": "43"}}},
		"legacy-pki-plain":        {"another name": {SignerOptions: own(t, NameOptions{Email: "*@other.example"}), InsecureIgnoreLog: true}},
		"attest-bundle-keyless":   {"a signature is wanted": keyless(lab, "")},
		"attest-legacy-key":       {"a signature is wanted": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")}},
		"copied-legacy":           {"T12 another repository": {SignerOptions: keyFile(t, "p256"), TrustedRoot: rootFile(t, "_rekor1")}},
	} {
		for row, o := range rows {
			t.Run(name+"/"+row, func(t *testing.T) {
				var src trusttest.Source
				ref, at := replay(t, name, &src)
				proofs, err := decide(t, o, &src, ref, at.Add(time.Hour))
				wantNo(t, proofs, err, "")
				if strings.Contains(err.Error(), "malformed") {
					t.Errorf("error = %v, want one that is about the policy", err)
				}
			})
		}
	}
}

// T12: what cosign copies is for the repository that it was signed in; a bundle names none.
func TestT12_RecordedCopies(t *testing.T) {
	key := Options{SignerOptions: keyFile(t, "p256"), InsecureIgnoreLog: true}
	for name, want := range map[string]string{"copied-legacy": "is for the repository", "copied-legacy-v2": "is for the repository", "copied-bundle": ""} {
		var src trusttest.Source
		ref, at := replay(t, name, &src)
		proofs, err := decide(t, key, &src, ref, at)
		expect(t, proofs, err, want)
		mapped := key
		mapped.SignedRepository = trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "registry.example", To: "registry.example/copy"}}
		proofs, err = decide(t, mapped, &src, ref, at)
		expect(t, proofs, err, "")
	}
}

// T16: attestations of real tools, by type and by what they say.
func TestRecordedAttestations(t *testing.T) {
	lab, key := identityIs(issuer, dev), keyFile(t, "p256")
	for name, c := range map[string]struct {
		options Options
		types   []string
		others  []string
	}{
		"attest-legacy-keyless":        {Options{SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1")}, []string{"slsaprovenance", "spdxjson", "vuln", "https://lab.example/review/v1"}, []string{"slsaprovenance1", "custom", "cyclonedx"}},
		"attest-legacy-key":            {Options{SignerOptions: key, InsecureIgnoreLog: true}, []string{"slsaprovenance", "spdxjson", "vuln", "custom"}, []string{"slsaprovenance1", "https://lab.example/review/v1"}},
		"attest-bundle-keyless":        {Options{SignerOptions: lab, TrustedRoot: rootFile(t, "")}, []string{"slsaprovenance1", "https://lab.example/review/v1"}, []string{"slsaprovenance", "vuln"}},
		"attest-bundle-keyless-rekor1": {Options{SignerOptions: lab, TrustedRoot: rootFile(t, "_rekor1")}, []string{"slsaprovenance1"}, []string{"slsaprovenance", "vuln"}},
		"attest-bundle-key":            {Options{SignerOptions: key, InsecureIgnoreLog: true}, []string{"slsaprovenance1", "cyclonedx", "vuln", "custom"}, []string{"slsaprovenance", "spdxjson"}},
	} {
		var src trusttest.Source
		ref, at := replay(t, name, &src)
		decideOn := func(kind string, conditions ...ConditionOptions) ([]trust.Proof, error) {
			o := c.options
			o.Signature, o.Attestations = "none", []AttestationOptions{{PredicateType: kind, Conditions: conditions}}
			return decide(t, o, &src, ref, at.Add(time.Minute))
		}
		for _, kind := range c.types {
			t.Run(name+"/"+kind, func(t *testing.T) {
				proofs, err := decideOn(kind)
				expect(t, proofs, err, "")
				if len(proofs[0].Attested) != 1 {
					t.Errorf("attested %+v", proofs[0].Attested)
				}
				proofs, err = decideOn(kind, ConditionOptions{CEL: "predicate != null && now > timestamp('2026-01-01T00:00:00Z')"})
				expect(t, proofs, err, "")
				proofs, err = decideOn(kind, ConditionOptions{CEL: "predicate.nothing == true"})
				wantNo(t, proofs, err, "no such key")
			})
		}
		for _, kind := range c.others {
			t.Run(name+"/"+kind, func(t *testing.T) {
				proofs, err := decideOn(kind)
				wantNo(t, proofs, err, "")
			})
		}
	}
}
