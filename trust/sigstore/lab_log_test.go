package sigstore

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/bits"
	"time"

	"github.com/digitorus/timestamp"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
)

// rekorLog is a transparency log: Rekor v1 with a tree's number, v2 without.
type rekorLog struct {
	logKey
	host string
	tree int
}

// logged is what a log is to hold and to say of it.
type logged struct {
	kind, version string
	body          []byte
	at            time.Time // by the log's clock; zero in Rekor v2
	promise       bool      // give a signed entry timestamp
	proof         bool      // give a proof of inclusion
	neighbours    int       // entries beside it
	by            *logKey   // signs in place of the log's own key
}

// entry makes an entry with what proves it.
func (r *rekorLog) entry(e logged) *protorekor.TransparencyLogEntry {
	key := &r.logKey
	if e.by != nil {
		key = e.by
	}
	made := &protorekor.TransparencyLogEntry{
		LogIndex:          int64(e.neighbours / 2),
		LogId:             &protocommon.LogId{KeyId: r.id[:]},
		KindVersion:       &protorekor.KindVersion{Kind: e.kind, Version: e.version},
		CanonicalizedBody: e.body,
	}
	if !e.at.IsZero() {
		made.IntegratedTime = e.at.Unix()
	}
	if e.promise {
		made.LogIndex += 1000 // of all shards; the proof's index is that of one
		made.InclusionPromise = &protorekor.InclusionPromise{SignedEntryTimestamp: key.sign(promiseOf(made, r.hexID()))}
	}
	if e.proof {
		made.InclusionProof = r.include(e.body, e.neighbours, key)
	}
	return made
}

// promiseOf is what a signed entry timestamp signs: members in the order of their names, no white space (RFC 8785).
func promiseOf(e *protorekor.TransparencyLogEntry, id string) []byte {
	return mustJSON(map[string]any{
		"body": base64.StdEncoding.EncodeToString(e.CanonicalizedBody), "integratedTime": e.IntegratedTime, "logID": id, "logIndex": e.LogIndex,
	})
}

// include puts an entry into the middle of a tree and proves that it is there.
func (r *rekorLog) include(body []byte, neighbours int, key *logKey) *protorekor.InclusionProof {
	leaves := make([][]byte, neighbours+1)
	for i := range leaves {
		leaves[i] = leafHash(fmt.Appendf(nil, "neighbour %d", i))
	}
	at := neighbours / 2
	leaves[at] = leafHash(body)
	root, path := merkle(leaves, at)
	return &protorekor.InclusionProof{
		LogIndex: int64(at), TreeSize: int64(len(leaves)), RootHash: root, Hashes: path,
		Checkpoint: &protorekor.Checkpoint{Envelope: r.checkpoint(len(leaves), root, key)},
	}
}

// checkpoint is a signed note about the tree (C2SP, tlog-checkpoint.md).
func (r *rekorLog) checkpoint(size int, root []byte, key *logKey) string {
	origin := r.host
	if r.tree != 0 {
		origin = fmt.Sprintf("%s - %d", r.host, r.tree)
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root))
	signature := append(r.id[:4:4], key.sign([]byte(text))...)
	return text + "\n\u2014 " + r.host + " " + base64.StdEncoding.EncodeToString(signature) + "\n"
}

func leafHash(b []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, b...))
	return sum[:]
}

// merkle returns the root of a tree and the path that proves one of its leaves (RFC 6962, section 2.1).
func merkle(leaves [][]byte, at int) (root []byte, path [][]byte) {
	if len(leaves) == 1 {
		return leaves[0], nil
	}
	split := 1 << (bits.Len(uint(len(leaves)-1)) - 1)
	var left, right []byte
	if at < split {
		left, path = merkle(leaves[:split], at)
		right, _ = merkle(leaves[split:], 0)
		path = append(path, right)
	} else {
		left, _ = merkle(leaves[:split], 0)
		right, path = merkle(leaves[split:], at-split)
		path = append(path, left)
	}
	sum := sha256.Sum256(bytes.Join([][]byte{{1}, left, right}, nil))
	return sum[:], path
}

// tsa is a time-stamp authority (RFC 3161).
type tsa struct {
	root, inter *ca
	leaf        *x509.Certificate
	key         crypto.Signer
	url         string
}

func newTSA(url string, edits ...edit) *tsa {
	t := &tsa{root: newCA(nil, elliptic.P256(), called("Root of "+url)), url: url}
	stamps := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} }
	t.inter = newCA(t.root, elliptic.P256(), called("Intermediate of "+url), stamps)
	key := ecKey(elliptic.P256())
	t.key = key
	// Go does not mark this extension as critical, which RFC 3161 demands.
	usage := must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))
	t.leaf = t.inter.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: url}, NotBefore: signed.Add(-year), NotAfter: signed.Add(5 * year), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, key.Public(), edits...)
	return t
}

// stamp is a time stamp over a signature.
func (t *tsa) stamp(signature []byte, at time.Time) []byte {
	digest := sha256.Sum256(signature)
	template := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2},
	}
	return must(template.CreateResponseWithOpts(t.leaf, t.key, crypto.SHA256))
}

func mustJSON(v any) []byte { return must(json.Marshal(v)) }
