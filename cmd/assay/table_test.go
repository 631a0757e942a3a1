package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust"
)

// T20: what a person sees of a proof, above all what made its check weaker, also in a policy that is not shown first.
func TestT20_PeopleSeeWhatWasWeakened(t *testing.T) {
	full := engine.Attestation{
		Authority: "release", Standing: engine.Proved, Signer: "ci@acme.example", Issuer: "https://idp.example",
		SignedAt: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC), Log: []trust.LogEntry{{ID: "a", Index: 7}, {ID: "b", Index: 9}},
		Attested: []trust.Attested{{PredicateType: "https://slsa.dev/provenance/v1"}, {PredicateType: "https://spdx.dev/Document"}},
		Weakened: []string{"insecureIgnoreSCT"},
	}
	bare := engine.Attestation{Authority: "own", Standing: engine.Proved, Signer: "SHA256:abc", Weakened: []string{"insecureIgnoreLog"}}
	v := engine.Verdict{
		Allowed:  true,
		Decision: engine.Decision{Policy: "first", Outcome: engine.Allowed, Authorities: []engine.Attestation{full}},
		Also: []engine.Decision{
			{Policy: "second", Outcome: engine.Allowed, Authorities: []engine.Attestation{bare}},
			{Policy: "third", Outcome: engine.Allowed, Authorities: []engine.Attestation{{Authority: "x", Standing: engine.Proved, Signer: "SHA256:def"}}},
		},
		Warnings: []string{"the roots are old", "told already"},
	}
	want := []string{
		"release: ci@acme.example by https://idp.example on 2026-10-01 12:00, log index 7 and 9, " +
			"attested https://slsa.dev/provenance/v1 and https://spdx.dev/Document (weakened: insecureIgnoreSCT)",
		"policy second: own: SHA256:abc (weakened: insecureIgnoreLog)",
		"warning: the roots are old",
	}
	if diff := cmp.Diff(want, strings.Split(because(&v, []string{"told already"}), "\n")); diff != "" {
		t.Error(diff)
	}
}
