package sigstore

import (
	"crypto/elliptic"
	"testing"
	"time"
)

const scanType = "https://acme.example/scan"

// attestationRows are about demanded attestations: alone, or beside a signature in the same shape.
func attestationRows() rows {
	return rows{
		"AttestationOptions.PredicateType": scanRow(AttestationOptions{}, func(w *weighed) { w.options.Attestations[0].PredicateType = scanType + "/v2" }, ""),
		"AttestationOptions.Select": scanRow(AttestationOptions{Select: "any", Conditions: []ConditionOptions{{CEL: "predicate.passed == true"}}}, func(w *weighed) {
			w.options.Attestations[0].Select = "all"
		}, "is not true"),
		"AttestationOptions.SignedBy": signedByRow,
		"AttestationOptions.MaxAge": scanRow(AttestationOptions{MaxAge: 25 * time.Hour}, func(w *weighed) {
			w.options.Attestations[0].MaxAge = time.Hour
		}, "more than 1h0m0s ago"),
		"ConditionOptions.CEL": scanRow(AttestationOptions{Select: "any", Conditions: []ConditionOptions{{CEL: "predicate.passed == true"}}}, func(w *weighed) {
			w.options.Attestations[0].Conditions = []ConditionOptions{{CEL: "predicate.passed == 7"}}
		}, "condition predicate.passed == 7 is not true"),
		// A message is shown, and decides nothing.
		"ConditionOptions.Message": scanRow(AttestationOptions{Select: "any", Conditions: []ConditionOptions{{CEL: "predicate.passed == true", Message: "unused"}}}, func(w *weighed) {
			w.options.Attestations[0].Conditions = []ConditionOptions{{CEL: "predicate.passed == 7", Message: "the scan must have passed"}}
		}, "the scan must have passed"),
	}
}

// signedByRow publishes a scan by the scanner, and flips it to one by who signs the image.
func signedByRow(_ *testing.T, p route) row {
	scanner, shape := bare(ecKey(elliptic.P256())), legacyAttestation
	if p.shape.bundles() {
		shape = bundleAttestation
	}
	by := func(s *signer) []signing {
		return []signing{{shape: shape, by: s, predicateType: scanType, predicate: map[string]any{}}}
	}
	return row{
		policy: func(all *Options) {
			all.Attestations = []AttestationOptions{{PredicateType: scanType, SignedBy: &SignerOptions{Key: &KeyOptions{PEM: pemKey(scanner.key.Public())}}}}
		},
		more: by(scanner),
		flip: func(w *weighed) { w.more = by(everyone()) },
		want: "carries a certificate, and a bare key is wanted",
	}
}

// scanRow publishes an older scan that failed beside a later one that passed.
func scanRow(o AttestationOptions, flip func(*weighed), want string) func(*testing.T, route) row {
	return func(_ *testing.T, p route) row {
		if o.PredicateType == "" {
			o.PredicateType = scanType
		}
		shape := legacyAttestation
		if p.shape.bundles() {
			shape = bundleAttestation
		}
		passed := signing{shape: shape, by: everyone(), predicateType: scanType, predicate: map[string]any{"passed": true}, at: signed.Add(2 * time.Minute)}
		failed := signing{shape: shape, by: everyone(), predicateType: scanType, predicate: map[string]any{"passed": false}, at: signed.Add(time.Minute)}
		return row{
			policy: func(all *Options) { all.Attestations = []AttestationOptions{o} },
			more:   []signing{failed, passed},
			flip:   flip,
			want:   want,
		}
	}
}
