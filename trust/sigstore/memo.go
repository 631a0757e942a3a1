package sigstore

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/trust"
)

// maxMemo bounds the bytes of evidence that an authority remembers the outcome of.
const maxMemo = 32 << 20

// memo remembers what items of evidence say and whether their cryptography holds, so that a verdict that expired costs requests but
// no signature checks. What is remembered depends on the item, the signers who count, and the version of the trust material only.
type memo struct {
	outcomes *otter.Cache[outcomeKey, outcome]
}

type outcomeKey struct {
	item    [sha256.Size]byte
	version string // of the trust material; "" for what an item says
	set     int    // of the signers; -1 for what an item says
}

// outcome is a decoded piece or a checked one, or why there is none.
type outcome struct {
	piece   *piece
	vouched *vouched
	err     error
	weight  uint32
}

// overhead is what an outcome costs beside the bytes of its item.
const overhead = 1 << 10

func newMemo() *memo {
	return &memo{otter.Must(&otter.Options[outcomeKey, outcome]{
		MaximumWeight: maxMemo,
		Weigher:       func(_ outcomeKey, o outcome) uint32 { return o.weight },
		Executor:      func(fn func()) { fn() },
	})}
}

// sum names an item by all of its content that is looked at.
func sum(item *trust.Item) [sha256.Size]byte {
	h := sha256.New()
	number := func(n int) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(n))
		h.Write(size[:])
	}
	part := func(s string) {
		number(len(s))
		h.Write([]byte(s))
	}
	part(item.MediaType)
	number(len(item.Annotations)) // else bytes could pass for annotations
	for _, name := range slices.Sorted(maps.Keys(item.Annotations)) {
		part(name)
		part(item.Annotations[name])
	}
	h.Write(item.Bytes)
	return [sha256.Size]byte(h.Sum(nil))
}

// decoded returns what an item says.
func (a *authority) decoded(key outcomeKey, item *trust.Item) (*piece, error) {
	key.set, key.version = -1, ""
	if o, found := a.memo.outcomes.GetIfPresent(key); found {
		return o.piece, o.err
	}
	p, err := decode(*item, a.byChain())
	a.memo.outcomes.Set(key, outcome{piece: p, err: err, weight: weigh(item)})
	return p, err
}

// weigh returns about how many bytes a decoded item takes.
func weigh(item *trust.Item) uint32 {
	size := len(item.Bytes)
	for name, value := range item.Annotations {
		size += len(name) + len(value)
	}
	return uint32(overhead + 2*size)
}

// vouch returns who signed a piece, if it is somebody of a set. Which keys can be used is asked first: what a key that may not be used
// any more signed is not remembered beyond its time.
func (a *authority) vouch(key outcomeKey, p *piece, v *verifier) (*vouched, error) {
	key.set = v.set.id
	v.useKeys()
	for _, k := range v.keys {
		key.version += "/" + k.public.Fingerprint
	}
	if o, found := a.memo.outcomes.GetIfPresent(key); found && (o.err != nil || o.vouched.holdsAt(v.now)) {
		return o.vouched, o.err
	}
	found, err := safely(v, p)
	if isUnclear(err) || v.dated() && err != nil {
		return nil, err // may be otherwise at another time
	}
	a.memo.outcomes.Set(key, outcome{vouched: found, err: err, weight: overhead})
	return found, err
}
