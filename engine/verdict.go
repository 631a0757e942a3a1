package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Outcome is what enforcing a policy means for an image. The zero value denies.
type Outcome int

// The outcomes. They are ordered from bad to good by rank, not by value.
const (
	Denied       Outcome = iota // a definitive no
	Allowed                     // somebody who counts vouches, or a rule allows
	CouldNotTell                // the question could not be answered; ask again
	Bug                         // assay itself broke down
	NoOpinion                   // of one policy only: it does not speak about the image
)

var outcomeWords = [...]string{"denied", "allowed", "could-not-tell", "bug", "no-opinion"}

// String returns the outcome's word in the verdict.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeWords) {
		return outcomeWords[Denied]
	}
	return outcomeWords[o]
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A word that is none is an error.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomeWords[:], string(text))
	if i < 0 {
		return fmt.Errorf("%.32q is no outcome", text)
	}
	*o = Outcome(i)
	return nil
}

// Standing is what one authority says about an image. The zero value is the one that proves nothing.
type Standing int

// What an authority can say.
const (
	Unasked   Standing = iota // the others had decided already
	Proved                    // it vouches
	Unsigned                  // nothing is published for the image
	Untrusted                 // what is published does not count
	Unclear                   // it could not be told
)

var standingWords = [...]string{"not-asked", "proved", "unsigned", "untrusted", "could-not-tell"}

// String returns the standing's word in the verdict.
func (s Standing) String() string {
	if s < 0 || int(s) >= len(standingWords) {
		return standingWords[Untrusted]
	}
	return standingWords[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A word that is none is an error.
func (s *Standing) UnmarshalText(text []byte) error {
	i := slices.Index(standingWords[:], string(text))
	if i < 0 {
		return fmt.Errorf("%.32q is nothing that an authority can say", text)
	}
	*s = Standing(i)
	return nil
}

// Verdict is the engine's answer for one image. The zero value denies. Its JSON is documented in docs/reference/verdict.md.
type Verdict struct {
	Image     string       `json:"image"`               // as it was asked
	Canonical string       `json:"canonical,omitempty"` // the same in canonical form
	Digest    image.Digest `json:"digest,omitzero"`     // what the answer is about; absent if nobody needed it
	Pin       string       `json:"pin,omitempty"`       // the reference to run in place of the one asked for
	Child     bool         `json:"child,omitempty"`     // Digest is a child of the index that was asked for, which itself must not run
	Allowed   bool         `json:"allowed"`             // what a point does: policies that warn or audit do not stop an image
	Decision               // the decision that made the verdict
	Also      []Decision   `json:"also,omitempty"` // what further policies in scope decided
	Warnings  []string     `json:"warnings,omitempty"`
	Cached    bool         `json:"cached"` // no registry was asked for this answer: it was known here, or what others proved was
	Duration  Duration     `json:"duration"`

	// What may run, and for how long that can be remembered; all of it is empty unless Request.Content was set, or Request.Rests for all but
	// the chain.

	// Chain is the manifests that may run where the verdict allows: each that Digest names, whose content was fetched by digest and
	// hashed. It is empty where nobody vouches and no rule lets the image pass, and where it could not be had: then ChainError says why,
	// and the verdict stays what it is. Where a policy that warns or audits says no beside one that enforces and allows, it is there.
	Chain      []Link `json:"chain,omitempty"`
	ChainError string `json:"chainError,omitempty"`
	// Basis names what the verdict rests on beside the image: the policies in scope and the versions of their authorities' trust material.
	// Equal bases have equal texts, also in another process. It is there whatever the outcome, so that what was decided before can be
	// compared where it cannot be told now; it is empty where nobody knows it, and then nothing compares with it.
	Basis string `json:"basis,omitempty"`
	// Until is the first instant at which a verdict that allows must be asked for again: the soonest of the time that a proof is reused and
	// of Ends.
	Until time.Time `json:"until,omitzero"`
	// Ends is the first instant at which a verdict that allows no longer holds, whoever can be asked: the soonest end of the proofs that
	// were heard and of the rules that matched. Zero: it does not end by itself.
	Ends time.Time `json:"ends,omitzero"`

	cause error
}

// Link is one manifest that may run, with what names it and what it names. All digests are of bytes that were fetched and hashed, or stand
// in such bytes.
type Link struct {
	Platform string       `json:"platform,omitempty"` // as its index says; "" if none does
	Index    image.Digest `json:"index,omitzero"`     // that was vouched for; absent where the manifest itself was
	Manifest image.Digest `json:"manifest"`
	Config   image.Digest `json:"config"`
}

// Decision is what one policy says about an image.
type Decision struct {
	Policy      string        `json:"policy,omitempty"`
	Mode        string        `json:"mode,omitempty"`
	Rule        string        `json:"rule,omitempty"`  // "rules[2]", and the line where it stands
	Local       bool          `json:"local,omitempty"` // the rule is about images that were made on the host, and this one was
	Outcome     Outcome       `json:"outcome"`         // what enforcing gives, whatever the mode
	Reason      string        `json:"reason,omitempty"`
	Authorities []Attestation `json:"authorities,omitempty"`
}

// Attestation is what one authority said about an image.
type Attestation struct {
	Authority string           `json:"authority"`
	Format    string           `json:"format"`
	Standing  Standing         `json:"outcome"`
	Digest    image.Digest     `json:"digest,omitzero"`  // that was proved: the image's, or its child's
	Signer    string           `json:"signer,omitempty"` // identity, subject of a certificate, or fingerprint of a key
	Role      string           `json:"role,omitempty"`   // in which the signer signed, where the format has roles
	Names     []string         `json:"names,omitempty"`  // all names of the signer's certificate, if it has more than one
	Issuer    string           `json:"issuer,omitempty"`
	Serial    string           `json:"serial,omitempty"`
	Key       string           `json:"key,omitempty"`       // fingerprint of the signer's key
	Signature []byte           `json:"signature,omitempty"` // what the signer wrote, where it stands apart from the certificate
	SignedAt  time.Time        `json:"signedAt,omitzero"`
	Expires   time.Time        `json:"expires,omitzero"`
	Log       []trust.LogEntry `json:"log,omitempty"`
	Attested  []trust.Attested `json:"attested,omitempty"` // attestations that were demanded and proved
	Weakened  []string         `json:"weakened,omitempty"`
	Cosigners []Cosigner       `json:"cosigners,omitempty"` // the others whose signature the proof needed
	Reason    string           `json:"reason,omitempty"`

	// Proofs are the ways in which the authority vouches, of which the fields above show the first: all of them that were found and that
	// nothing takes back where Request.Every was set, else at least one. They are shared and must not be written to.
	Proofs []trust.Proof `json:"-"`
	// Missed says why there may be more proofs, where Request.Every was set; empty: there are not.
	Missed string `json:"-"`
}

// Cosigner is a further signer of a proof.
type Cosigner struct {
	Signer string `json:"signer"`
	Role   string `json:"role,omitempty"`
	Key    string `json:"key,omitempty"`
}

// Duration says how long the phases of a decision took.
type Duration struct {
	Total    time.Duration
	Resolve  time.Duration // tag to digest
	Evidence time.Duration // finding and checking
}

// MarshalJSON writes milliseconds with three decimals.
func (d Duration) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) json.Number {
		return json.Number(fmt.Sprintf("%.3f", float64(d.Microseconds())/1000))
	}
	return json.Marshal(struct {
		Total    json.Number `json:"totalMs"`
		Resolve  json.Number `json:"resolveMs"`
		Evidence json.Number `json:"evidenceMs"`
	}{ms(d.Total), ms(d.Resolve), ms(d.Evidence)})
}

// Err returns nil for a verdict that is allowed or denied, and the cause where it could not be told or assay broke down.
func (v *Verdict) Err() error {
	switch v.Outcome {
	case CouldNotTell, Bug:
		if v.cause != nil {
			return v.cause
		}
		return errors.New(v.Reason)
	}
	return nil
}

// SetErr sets the cause that Err returns where it could not be told or assay broke down. It is for verdicts that come from another process.
func (v *Verdict) SetErr(cause error) { v.cause = cause }

// String says in one line what was decided and why.
func (v *Verdict) String() string {
	word := v.Outcome.String()
	switch {
	case v.Allowed && v.Outcome != Allowed:
		word = "allowed (" + v.Mode + "; enforcing: " + word + ")"
	case v.Outcome == CouldNotTell:
		word = "could not tell, try again"
	}
	if v.Reason == "" {
		return v.Image + ": " + word
	}
	return v.Image + ": " + word + ": " + v.Reason
}
