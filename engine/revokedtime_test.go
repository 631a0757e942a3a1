package engine

import (
	"testing"
	"time"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// What a signer signed after his key was taken back does not count, even if another one signed before.
func TestT21_RevokedAfterAndAttestations(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 3, 1+n, 12, 0, 0, 0, time.UTC) }
	p := trust.Proof{
		SignedAt: day(0), Signers: []trust.Signer{{Key: "SHA256:release"}, {Key: "SHA256:scanner"}},
		Attested: []trust.Attested{{PredicateType: "scan", Signer: "SHA256:scanner", SignedAt: day(10)}},
	}
	r := revocation{Revocation: policy.Revocation{Key: "SHA256:scanner", After: day(5)}}
	if !r.takesBack(&p) {
		t.Error("what the scanner signed five days after its key was taken back still counts")
	}
}
