package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// remembered is a format whose proofs are of the size of real ones: one signer with a certificate, and a log entry.
type remembered struct{ scripted }

func (remembered) New(s trust.Section) (trust.Authority, error) {
	a := &rememberer{}
	return a, s.Decode(&a.script)
}

type rememberer struct{ actor }

func (*rememberer) Check(ref image.Ref, _ trust.Evidence, now time.Time) ([]trust.Proof, error) {
	serial := ref.Digest().Hex()[:40]
	return []trust.Proof{{
		Digest: ref.Digest(), SignedAt: now, Expires: now.Add(time.Hour),
		Signers: []trust.Signer{{
			Key:      "sha256:" + ref.Digest().Hex(),
			Identity: trust.Identity{Issuer: "https://token.actions.githubusercontent.com", Subject: "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"},
			Chain:    []trust.Certificate{{Subject: "CN=" + serial, Issuer: "CN=release,O=acme", Serial: serial, Key: "sha256:" + serial}},
		}},
		Log: []trust.LogEntry{{ID: serial, Index: 1, IntegratedTime: now}},
	}}, nil
}

// What is remembered of an image, with its name, takes so many bytes at most. docs/reference/limits.md states it for all that are kept.
func TestT47_MemoryOfWhatIsRemembered(t *testing.T) {
	const images, most = 10_000, 2 << 10
	perImage := memoryOf(t, images)
	t.Logf("%d bytes an image", perImage)
	if perImage > most {
		t.Errorf("got %d bytes an image, want %d at most", perImage, most)
	}
}

// BenchmarkMemoryOfAllThatIsKept fills the memory of an engine with as many images as it keeps.
func BenchmarkMemoryOfAllThatIsKept(b *testing.B) {
	const kept = 100_000
	for b.Loop() {
		b.ReportMetric(float64(memoryOf(b, kept))*kept/(1<<20), "MiB")
	}
}

// memoryOf returns how many bytes an engine holds for each of so many images that it allowed.
func memoryOf(t testing.TB, images int) int {
	t.Helper()
	p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec:\n" +
		"  authorities: {a: {scripted: {answer: proved}}}\n  rules: [{images: ['**'], require: a}]\n")}, []string{"scripted"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Policies: []*policy.Policy{p}, Formats: []trust.Format{remembered{}}, Source: noRegistry{}, Tags: noRegistry{}, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	before := held()
	for i := range images {
		name := fmt.Sprintf("registry.acme.example/team/app-%d:1.2.3@sha256:%064x", i, i)
		if v := e.Decide(context.Background(), engine.Request{Image: name}); !v.Allowed {
			t.Fatal(v.String())
		}
	}
	after := held()
	runtime.KeepAlive(e)
	return int(after-before) / images
}

// held is what lives on the heap.
func held() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
