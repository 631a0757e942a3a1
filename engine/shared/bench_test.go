package shared

import (
	"testing"
	"time"

	"github.com/assay-dev/assay/engine/shared/sharedtest"
)

// BenchmarkRecall is a question whose answer the cache has, over loopback: what a replica waits for in place of a registry.
func BenchmarkRecall(b *testing.B) {
	s := sharedtest.New(b, "", nil)
	r := open(b, s.URL(), Settings{Keys: keysOf(b, 1)})
	r.Keep(question, answer(time.Hour))
	r.await(Kept, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, found := r.Recall(b.Context(), question); !found {
			b.Fatal(r.logged())
		}
	}
}

// BenchmarkOpen is the part of it that is not the network: name, key, decryption and decoding.
func BenchmarkOpen(b *testing.B) {
	s := keysOf(b, 1).list[0]
	text, err := encode(answer(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	entry, err := s.seal(s.name("1.0", question), text)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.read(s.name("1.0", question), entry); err != nil {
			b.Fatal(err)
		}
	}
}
