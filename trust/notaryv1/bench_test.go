package notaryv1

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/assay-dev/assay/trust"
)

// evidenceOf is what Find returns for a repository that was never seen, and that has targets/releases.
func evidenceOf(b *testing.B) (*world, trust.Evidence) {
	b.Helper()
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	ev, err := w.authority(b).Find(b.Context(), w, app)
	if err != nil {
		b.Fatal(err)
	}
	return w, ev
}

// BenchmarkCheckNotaryV1 checks five files with one signature on each: such as were never seen, and the same again.
func BenchmarkCheckNotaryV1(b *testing.B) {
	w, ev := evidenceOf(b)
	b.Run("cold", func(b *testing.B) {
		a := w.authority(b)
		for b.Loop() {
			a.verified.InvalidateAll()
			a.format.reader.files.InvalidateAll()
			a.format.reader.checks.Store(0)
			if _, err := a.Check(app, ev, now); err != nil {
				b.Fatal(err)
			}
		}
		reportChecks(b, w)
	})
	b.Run("warm", func(b *testing.B) {
		w.restart()
		a := w.authority(b)
		if _, err := a.Check(app, ev, now); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for b.Loop() {
			if _, err := a.Check(app, ev, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// reportChecks says how many signatures the last check looked at, and how many of these could have been left out.
func reportChecks(b *testing.B, w *world) {
	b.ReportMetric(float64(w.format.(*format).reader.checks.Load()), "checks/op")
	b.ReportMetric(0, "avoidable/op")
}

// BenchmarkFloorCheckNotaryV1 is what checking five P-256 signatures costs alone.
func BenchmarkFloorCheckNotaryV1(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("message"))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range 5 {
			if !ecdsa.Verify(&key.PublicKey, sum[:], r, s) {
				b.Fatal("wrong")
			}
		}
	}
}
