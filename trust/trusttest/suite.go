// Package trusttest is the suite that every format passes, with the source and the section that it needs.
package trusttest

import (
	"context"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Suite is one format as the tests see it. Each hook publishes into a Source what the name says, for an image that has a digest.
type Suite struct {
	// Authority makes the authority under test.
	Authority func(t *testing.T) trust.Authority
	// Now is a time at which what Publish publishes proves its image.
	Now time.Time
	// Outside are times at which it does not.
	Outside []time.Time
	// Publish publishes evidence by a signer that counts.
	Publish func(t *testing.T, src *Source, ref image.Ref)
	// PublishForeign publishes equal evidence by a signer that does not count.
	PublishForeign func(t *testing.T, src *Source, ref image.Ref)
	// PublishCopy publishes for ref, without a change, what Publish publishes for of.
	PublishCopy func(t *testing.T, src *Source, ref, of image.Ref)
	// PublishMalformed publishes, one call each, evidence that cannot be read: wrong types, cut content, too much of it, a small
	// piece that grows when it is unpacked. The keys name the cases.
	PublishMalformed map[string]func(t *testing.T, src *Source, ref image.Ref)
	// PublishFlood publishes n pieces of junk, such as anybody who may push can, and last and newest what Publish publishes. nil: the
	// format has one place for one piece of evidence.
	PublishFlood func(t *testing.T, src *Source, ref image.Ref, n int)
	// NamesRepository says that the evidence of Publish names the repository, so that a copy in another one proves nothing.
	NamesRepository bool
}

var (
	app   = image.MustParse("registry.example/team/app:1").Pinned(image.SHA256([]byte("app")))
	other = image.MustParse("registry.example/team/other:1").Pinned(image.SHA256([]byte("other")))
)

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("proved", s.proved)
	t.Run("unsigned", s.unsigned)
	t.Run("untrusted", s.untrusted)
	t.Run("T5 T46 a fault at any step is cannot tell", s.faults)
	t.Run("T11 evidence of another image", s.otherImage)
	t.Run("T12 evidence in another repository", s.otherRepository)
	t.Run("T43 T44 malformed evidence", s.malformed)
	t.Run("T19 time before and after", s.outside)
	t.Run("cancelled context", s.cancelled)
	t.Run("zero evidence", s.zeroEvidence)
	t.Run("check neither changes nor keeps evidence", s.evidenceStays)
	t.Run("T45 junk beside the evidence", s.junk)
	t.Run("T45 flood", s.flood)
	t.Run("T47 damaged evidence", s.damaged)
	t.Run("concurrent use", s.concurrent)
	if _, ok := s.Authority(t).(trust.Searcher); ok {
		t.Run("search finds what find finds", s.searchAll)
		t.Run("search stops when it suffices", s.searchStops)
		t.Run("T46 a fault during a search", s.searchFaults)
		t.Run("cancelled search", s.searchCancelled)
	}
}

// decide finds and checks as the engine does.
func decide(ctx context.Context, a trust.Authority, src trust.Source, ref image.Ref, now time.Time) ([]trust.Proof, error) {
	ev, err := a.Find(ctx, src, ref)
	if err != nil {
		return nil, err
	}
	return a.Check(ref, ev, now)
}

// wantProof fails unless proofs are whole and about ref.
func wantProof(t *testing.T, ref image.Ref, proofs []trust.Proof, err error, now time.Time) {
	t.Helper()
	if err != nil {
		t.Fatalf("error = %v, want a proof", err)
	}
	if len(proofs) == 0 {
		t.Fatal("neither proof nor error")
	}
	for _, p := range proofs {
		if p.Digest != ref.Digest() {
			t.Errorf("proof is about %q, want %q", p.Digest, ref.Digest())
		}
		if len(p.Signers) == 0 {
			t.Error("proof without a signer")
		}
		for _, signer := range p.Signers {
			if signer.ID() == "key:" {
				t.Error("signer without a name")
			}
		}
		if !p.Expires.IsZero() && !p.Expires.After(now) {
			t.Errorf("proof expired at %s, and it is %s", p.Expires, now)
		}
	}
}

// wantNo fails unless err is a "no" of a kind and comes without a proof.
func wantNo(t *testing.T, proofs []trust.Proof, err, kind error) {
	t.Helper()
	if len(proofs) > 0 {
		t.Fatal("there is a proof, want none")
	}
	if !trust.IsNo(err) {
		t.Fatalf("error = %v, want a no", err)
	}
	if kind != nil && !is(err, kind) {
		t.Errorf("error = %v, want one that wraps %q", err, kind)
	}
}
