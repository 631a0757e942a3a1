// Package policy reads the document that says whose word is needed for which images.
//
// It parses strictly, keeps the position of everything for messages, and finds the rule that decides an image. It knows no format:
// the section of an authority is decoded by its format, through Section. It does no I/O.
package policy

import (
	"fmt"
	"time"

	"github.com/assay-dev/assay/image"
)

// Policy is one policy document, checked. It does not change and is safe for concurrent use.
type Policy struct {
	File        string // where it was read from, for messages
	Name        string // shown in verdicts; NAMESPACE/NAME of a NamespaceTrustPolicy
	Namespace   string // of a NamespaceTrustPolicy, which speaks about nothing else; "" for a TrustPolicy
	Mode        Mode
	Scope       Scope
	Unmatched   Unmatched
	Authorities []Authority // in the order of the document
	Rules       []Rule      // in the order of the document; the first that matches decides
	Revoked     []Revocation
	Warnings    []Error // what is allowed and probably not meant
	Unusable    error   // of a StandIn: why nobody can tell what the policy says; nil: it can be used

	index index
	hash  hash
}

// Place returns where a line of p stands, for messages: "file:line", or for an object of a cluster, which has no lines, its name.
func (p *Policy) Place(line int) string {
	if line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, line)
}

// Mode says what becomes of a denial. The zero value enforces.
type Mode int

// The modes.
const (
	Enforce Mode = iota // a denial stops the image
	Warn                // a denial lets the image run and tells the user
	Audit               // a denial lets the image run and is only recorded
)

// Unmatched says what becomes of an image in scope that no rule matches. The zero value denies.
type Unmatched int

// What becomes of an image that no rule matches.
const (
	DenyUnmatched   Unmatched = iota
	IgnoreUnmatched           // the policy has no opinion
)

// DigestRule says how a rule that requires authorities treats the digest of an image. The zero value pins.
type DigestRule int

// How a rule treats the digest of an image.
const (
	PinDigest             DigestRule = iota // a point that can, adds the digest that was vouched for
	KeepDigest                              // the reference stays as it is
	RequireDigest                           // a reference without a digest is denied
	InsecureReplaceDigest                   // a digest beside a tag is replaced by what the tag stands for; the user is warned
)

// Authority is a named authority of a policy. Its section is not decoded yet.
type Authority struct {
	Name    string
	Format  string
	Section *Section
}

// Rule is one entry of a policy: the images that it speaks about and exactly one of Require, Deny and Allow. It speaks about images by
// their names (Images, RegExps), or about images that were made on the host where they are to run (Local), which have no such name.
type Rule struct {
	Images   []image.Pattern
	RegExps  []image.RegExp
	Local    *Local       // nil: the rule speaks about names
	Require  *Requirement // nil if the rule allows or denies by itself
	Deny     string       // the reason, not empty if the rule denies
	Allow    string       // the reason, not empty if the rule allows
	Until    time.Time    // from then on the rule no longer matches; zero: it always does
	Digest   DigestRule
	Platform string // "os/arch" or "os/arch/variant": the child of an index that may be vouched for in its place, and is then pinned; "": none
	Line     int    // where it stands in the file; 0 in an object of a cluster
}

// Requirement is a node of the tree of authorities whose word a rule requires: a leaf names an authority, any other node says how
// many of its children must hold.
type Requirement struct {
	Authority string        // of a leaf
	AtLeast   int           // of a node that is no leaf: from 1 to len(Of)
	Of        []Requirement // children
	Distinct  bool          // atLeast: children count as far as different signers stand behind them
}

// Revocation takes back trust. It beats every proof of every rule. Its fields are joined by "and".
type Revocation struct {
	Key      string // fingerprint "SHA256:…" of a public key: a signer's, in its chain, or above it
	Serial   string // serial number in the form of trust.Certificate; only together with Issuer
	Issuer   string // distinguished name of the issuer of the certificate with that serial
	Identity *Identity
	Digest   image.Digest
	After    time.Time // signatures made from then on, or at an unknown time; zero: all
	Reason   string
	Line     int
}

// Identity is a subject in the words of an identity provider.
type Identity struct {
	Issuer  string
	Subject string
}
