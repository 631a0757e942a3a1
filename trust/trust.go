// Package trust says what a format is: a way to vouch for an image, such as a certificate or a signature.
//
// A format finds evidence (the bytes that were published for an image) and checks it against an authority (somebody whose word
// counts). Finding may fail with "cannot tell"; checking works on bytes and a time only. The package does no I/O and knows no
// format.
package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
)

// The two errors that mean "no". Every other error means "cannot tell".
var (
	// ErrUnsigned says that nothing is published for an image.
	ErrUnsigned = errors.New("unsigned")
	// ErrUntrusted says that nobody who counts vouches for an image with what is published.
	ErrUntrusted = errors.New("untrusted")
)

// ErrNotFound is returned by a Source for what the registry says, definitively, it does not have. It is not yet a "no":
// a format turns it into ErrUnsigned where it means that nothing is published.
var ErrNotFound = errors.New("not found")

// ErrMalformed is returned by a Source for content that a registry has, and says it has, but that nobody can read: it is no manifest, or
// not what its descriptor says of it. Whoever pushed it made it so, and asking again does not help. By itself it means "cannot tell"; a
// format that looks at many pieces counts it as one that proves nothing.
var ErrMalformed = errors.New("malformed content")

// ErrUnavailable is returned by a Source where a server is down: it cannot be reached, does not answer in time, or says itself that it is
// overloaded or broken. It means "cannot tell", and is told apart for formats that may bridge an outage.
var ErrUnavailable = errors.New("unavailable")

// Untrusted returns an error that wraps ErrUntrusted and says why.
func Untrusted(format string, args ...any) error {
	return &refusal{kind: ErrUntrusted, reason: fmt.Errorf(format, args...)}
}

// Unsigned returns an error that wraps ErrUnsigned and says where nothing was found.
func Unsigned(format string, args ...any) error {
	return &refusal{kind: ErrUnsigned, reason: fmt.Errorf(format, args...)}
}

// refusal is a "no" with its reason; the reason alone is its text, since the kind is shown beside it.
type refusal struct {
	kind, reason error
}

func (r *refusal) Error() string   { return r.reason.Error() }
func (r *refusal) Unwrap() []error { return []error{r.kind, r.reason} }

// IsNo reports whether err is a definitive "no" rather than a "cannot tell". An error that joins a "no" with anything else is
// not: only refusals made by this package, the two sentinels, and wrappings of one of them with text count.
func IsNo(err error) bool {
	for err != nil {
		switch e := err.(type) {
		case *refusal:
			return true
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		default:
			return err == ErrUnsigned || err == ErrUntrusted
		}
	}
	return false
}

// Authority is one authority of a policy, in one format. It is safe for concurrent use.
type Authority interface {
	// Find returns what is published for ref, which always has a digest. ErrUnsigned if nothing is; any other error means that it
	// could not tell. Find asks for evidence of exactly ref's digest and never of another one.
	Find(ctx context.Context, src Source, ref image.Ref) (Evidence, error)
	// Check decides whether ev proves that this authority vouches for ref at time now. It returns every way in which it does, at
	// least one if the error is nil; each Proof suffices alone, so that a revoked signer does not hide another one. An error
	// wraps ErrUntrusted, or means that it could not tell (a revocation list that is out of date). Check does no I/O.
	Check(ref image.Ref, ev Evidence, now time.Time) ([]Proof, error)
}

// Rememberer is implemented by authorities whose evidence raises a floor (highest versions seen). The engine calls Remember after each
// Check that came to a yes or to a no, with the same evidence and time: what is newer than anything seen before counts even where it
// does not vouch for the image, since a rollback could otherwise bring back what was taken back. Of a Search it is the last Check, whose
// evidence has all that was found before. Where Remember fails, nobody can tell.
type Rememberer interface {
	Remember(ctx context.Context, ref image.Ref, ev Evidence, now time.Time) error
}

// Searcher is implemented by authorities whose evidence comes in pieces, each of which may suffice.
type Searcher interface {
	// Search finds as Find does, but returns as soon as enough says of the evidence found so far that it suffices. enough costs
	// what Check costs; it is called by one goroutine at a time, each time with all that was found, and neither after it said yes nor
	// after Search has returned. Errors are those of Find.
	Search(ctx context.Context, src Source, ref image.Ref, enough func(Evidence) bool) (Evidence, error)
}

// Versioned is implemented by authorities whose trust material changes while the policy stays the same. What was decided with
// another version is not reused.
type Versioned interface {
	// Version names the trust material in use. It is cheap and does no I/O.
	Version() string
}

// Warner is implemented by authorities that have something to say about their section of the policy, or about the age of their
// trust material, that is no error. Each warning names its place in the policy, where it has one.
type Warner interface {
	Warnings(now time.Time) []string
}

// Located is implemented by authorities that ask other servers than the registry of an image. What such an authority said is kept apart by
// the logins that fit these servers as well (Logins).
type Located interface {
	// Servers returns the hosts that are asked, in canonical form, as Logins.For takes them.
	Servers() []string
}

// Aging is implemented by authorities whose trust material is fetched and gets too old when nobody can.
type Aging interface {
	// Stale names what should have been refreshed and was not, or what there is nothing of to use, in words that stay the same while
	// nothing changes. It is cheap and does no I/O.
	Stale(now time.Time) []string
}

// Lapsing is implemented by authorities whose trust material may be used up to some age only.
type Lapsing interface {
	// Lapsed reports whether there is none that may be used. Then what was decided before does not count either, where it cannot be told
	// anew. It is cheap and does no I/O.
	Lapsed(now time.Time) bool
}

// Unshared is implemented by authorities whose proofs can rest on what this process alone has learned beside the evidence, such as what
// revocation servers told it: one process may know of a revocation that another one has not heard of yet.
type Unshared interface {
	// Unshared reports whether proofs of other processes say nothing here, and those of this one nothing there.
	Unshared() bool
}

// Resolver is implemented by authorities whose trust data, not the registry, name the digest of a tag. Such an authority is asked with
// the tag beside the digest, where the question has one: Find, Check and Remember get both, and the tag must then stand for the digest.
type Resolver interface {
	// Resolve returns the digest for which ref's tag was signed by those whose word counts; ref has no digest. It is called where a rule
	// lets the trust data say what runs, and what it returns counts only if Find and Check prove it. Errors are those of Find and Check.
	Resolve(ctx context.Context, src Source, ref image.Ref, now time.Time) (image.Digest, error)
}

// Format makes authorities of one kind from their sections of a policy.
type Format interface {
	// Name is the key of the format in a policy's authorities: "certificate".
	Name() string
	// New makes the authority that a section describes. Whatever the format cannot enforce is an error; errors come from the
	// section's own methods, so that they carry file, line and column.
	New(s Section) (Authority, error)
	// Options returns a pointer to a zero value of the Go type that New decodes a section into; the policy's JSON Schema is made
	// from it.
	Options() any
}

// Section is the part of a policy that one authority owns.
type Section interface {
	// Decode fills into, a pointer to a struct, strictly: unknown and duplicate keys and wrong types are errors.
	Decode(into any) error
	// Errorf returns an error at the place of a field, given as a path of keys and indexes such as "crls[1].file"; "" is the
	// section itself. A "; " in the text separates what is wrong from the next step.
	Errorf(field, format string, args ...any) error
	// ReadFile returns the content of a file that the section names, relative to the policy's own folder. Its content becomes part
	// of the policy's hash.
	ReadFile(name string) ([]byte, error)
}

// OfNamespace is implemented by sections that can stand in the policy of a Kubernetes namespace, whose author is not the one who runs Assay.
// A format must refuse there what would have Assay use credentials of its own on that author's behalf, fetch in the background from where the
// author says, or keep without bound what the author makes it keep.
type OfNamespace interface {
	Namespace() string // "" for a policy of the whole installation
}

// Source is where evidence is found: the registry, as far as a format may see it. Whatever it returns by digest has that digest.
//
// What it returns is shared: a list may be sorted, but bytes and annotations must not be written to.
//
// Errors: ErrNotFound (wrapped) for what definitively does not exist; anything else means that it could not tell.
type Source interface {
	// Manifest returns the manifest or index that ref names: by its digest if it has one, else by its tag.
	Manifest(ctx context.Context, ref image.Ref) (Manifest, error)
	// Blob returns a blob of ref's repository. Its length is d.Size, and at most limit bytes.
	Blob(ctx context.Context, ref image.Ref, d Descriptor, limit int64) ([]byte, error)
	// Referrers lists the manifests whose subject is ref's digest, by the referrers API or the fallback tag (OCI distribution
	// specification 1.1). The list may be longer than what truly refers to it: look at each manifest's own subject.
	Referrers(ctx context.Context, ref image.Ref) ([]Descriptor, error)
}

// TrustServer is implemented by sources that reach Notary servers as well, which keep the trust data of repositories apart from
// registries (Docker Content Trust).
type TrustServer interface {
	// TrustData returns the file called name, such as "timestamp.json" or "targets/releases.<sha256>.json", of the trust data that a
	// server keeps under gun: GET {server}/v2/{gun}/_trust/tuf/{name}, at most limit bytes. server is a URL of scheme, host and perhaps
	// a path, without a slash at its end. Nothing of the answer is checked.
	//
	// Errors: ErrNotFound (wrapped) for what the server says, definitively, that it does not have; ErrUnavailable (wrapped) if nobody
	// answers; anything else means as well that it could not tell.
	TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error)
}

// Rereader is implemented by sources that answer from what they remember of a question.
type Rereader interface {
	// Anew returns the source behind, which asks again: for who has learned meanwhile that there must be something newer.
	Anew() Source
}

// Manifest is the bytes of a manifest or an index as a registry served them.
type Manifest struct {
	MediaType string
	Digest    image.Digest // computed from Bytes
	Bytes     []byte
}

// Descriptor says what a registry holds without its bytes (OCI image specification, descriptor.md).
type Descriptor struct {
	MediaType    string
	ArtifactType string
	Digest       image.Digest
	Size         int64
	Annotations  map[string]string
}

// Evidence is the bytes that were found for an image, each item for itself. The zero value proves nothing.
type Evidence struct {
	Items []Item
	Left  int // pieces that are published too and were not looked at, because there are more than MaxSignatures
}

// Item is one piece of evidence.
type Item struct {
	Name        string // where it was found: a tag, a role, a digest; for messages only
	MediaType   string
	Annotations map[string]string
	Bytes       []byte
}

// Proof is evidence that was checked against an authority. The zero value proves nothing.
type Proof struct {
	Digest   image.Digest // what is vouched for: the digest that was asked about
	Signers  []Signer     // who vouches, all of them needed; at least one
	SignedAt time.Time    // when, as far as the format knows; zero if it does not
	Expires  time.Time    // the first instant at which the proof no longer holds; zero if it does not end by itself
	Log      []LogEntry   // transparency logs that witnessed the first signer's signature
	Weakened []string     // the policy's fields that made the check weaker, for the verdict
	Attested []Attested   // attestations that were demanded and proved; their signers are among Signers
}

// Attested is an attestation that was proved.
type Attested struct {
	PredicateType string    `json:"predicateType"`
	Signer        string    `json:"signer"` // identity, subject of a certificate, or fingerprint of a key
	SignedAt      time.Time `json:"signedAt,omitzero"`
}

// Signer is somebody who signed.
type Signer struct {
	// Key is the fingerprint of the signer's public key, see Fingerprint.
	Key string
	// Identity is set where an identity provider's word stands behind a short-lived key.
	Identity Identity
	// Names are all subject alternative names of the signer's certificate; Identity.Subject is one of them where it is set.
	Names []string
	// Chain is the signer's certificates, the leaf first, if it has any.
	Chain []Certificate
	// Role is the role in which the signer signed, where the format has roles: "targets/releases".
	Role string
	// SignedAt is when this signer signed, as far as that is known. For the first signer the proof's time stands for a zero one.
	SignedAt time.Time
	// Under are the fingerprints of the keys on whose word it rests that this signer counts, where they are not in Chain: the keys of
	// a root and of delegating roles. To revoke one of them takes back what the signer says; who signed is not told apart by them.
	Under []string
	// Signature is what the signer wrote, where the format has a signature apart from the certificate.
	Signature []byte
}

// ID names a signer: the identity where there is one, else the key. Whether two signers are one is told by IDs.
func (s Signer) ID() string {
	if s.Identity != (Identity{}) {
		return "identity:" + s.Identity.Issuer + "\x00" + s.Identity.Subject
	}
	return "key:" + s.Key
}

// IDs names a signer by everything that tells it from others: its ID, its key, and where an identity stands behind it, the other names of
// its certificate. Who shares one of them with another signer is the same one: a certificate with two names makes no two signers of one.
func (s Signer) IDs() []string {
	ids := []string{s.ID()}
	if s.Identity == (Identity{}) {
		return ids
	}
	for _, name := range s.Names {
		ids = append(ids, Signer{Identity: Identity{Issuer: s.Identity.Issuer, Subject: name}}.ID())
	}
	if s.Key != "" {
		ids = append(ids, Signer{Key: s.Key}.ID())
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Identity is a subject in the words of the identity provider that vouched for it.
type Identity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

// Certificate is what a verdict and a revocation need to know of an X.509 certificate.
type Certificate struct {
	Subject string // distinguished name (RFC 2253)
	Issuer  string // distinguished name (RFC 2253)
	Serial  string // lower-case hex, two digits an octet, colons between, no leading zero octet: "4f:a2"
	Key     string // see Fingerprint
}

// LogEntry is an entry of a transparency log.
type LogEntry struct {
	ID                   string    `json:"id"` // of the log: hex of its key ID
	Index                int64     `json:"index"`
	IntegratedTime       time.Time `json:"integratedTime,omitzero"`        // by the log's own clock; Rekor v2 gives none
	SignedEntryTimestamp []byte    `json:"signedEntryTimestamp,omitempty"` // the log's promise (Rekor v1), base64 in JSON
}
