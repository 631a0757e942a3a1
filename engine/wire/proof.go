package wire

import (
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

type attestation struct {
	Authority string          `json:"authority,omitzero"`
	Format    string          `json:"format,omitzero"`
	Standing  engine.Standing `json:"standing"`
	Digest    image.Digest    `json:"digest,omitzero"`
	Signer    string          `json:"signer,omitzero"`
	Role      string          `json:"role,omitzero"`
	Names     []string        `json:"names,omitzero"`
	Issuer    string          `json:"issuer,omitzero"`
	Serial    string          `json:"serial,omitzero"`
	Key       string          `json:"key,omitzero"`
	Signature []byte          `json:"signature,omitzero"`
	SignedAt  time.Time       `json:"signedAt,omitzero"`
	Expires   time.Time       `json:"expires,omitzero"`
	Log       []logEntry      `json:"log,omitzero"`
	Attested  []attested      `json:"attested,omitzero"`
	Weakened  []string        `json:"weakened,omitzero"`
	Cosigners []cosigner      `json:"cosigners,omitzero"`
	Reason    string          `json:"reason,omitzero"`
	Proofs    []proof         `json:"proofs,omitzero"`
	Missed    string          `json:"missed,omitzero"`
}

func newAttestation(a *engine.Attestation) attestation {
	return attestation{
		Authority: shown(a.Authority), Format: shown(a.Format), Standing: a.Standing, Digest: a.Digest, Signer: shown(a.Signer), Role: shown(a.Role),
		Names: each(a.Names, shown), Issuer: shown(a.Issuer), Serial: shown(a.Serial), Key: shown(a.Key), Signature: a.Signature,
		SignedAt: a.SignedAt, Expires: a.Expires, Log: turned(a.Log, newLogEntry), Attested: turned(a.Attested, newAttested),
		Weakened: each(a.Weakened, shown), Cosigners: turned(a.Cosigners, newCosigner), Reason: shown(a.Reason),
		Proofs: turned(a.Proofs, newProof), Missed: shown(a.Missed),
	}
}

func (a *attestation) attestation() engine.Attestation {
	return engine.Attestation{
		Authority: meant(a.Authority), Format: meant(a.Format), Standing: a.Standing, Digest: a.Digest, Signer: meant(a.Signer), Role: meant(a.Role),
		Names: each(a.Names, meant), Issuer: meant(a.Issuer), Serial: meant(a.Serial), Key: meant(a.Key), Signature: a.Signature,
		SignedAt: a.SignedAt, Expires: a.Expires, Log: turned(a.Log, (*logEntry).entry), Attested: turned(a.Attested, (*attested).attested),
		Weakened: each(a.Weakened, meant), Cosigners: turned(a.Cosigners, (*cosigner).cosigner), Reason: meant(a.Reason),
		Proofs: turned(a.Proofs, (*proof).proof), Missed: meant(a.Missed),
	}
}

type cosigner struct {
	Signer string `json:"signer,omitzero"`
	Role   string `json:"role,omitzero"`
	Key    string `json:"key,omitzero"`
}

func newCosigner(c *engine.Cosigner) cosigner {
	return cosigner{Signer: shown(c.Signer), Role: shown(c.Role), Key: shown(c.Key)}
}

func (c *cosigner) cosigner() engine.Cosigner {
	return engine.Cosigner{Signer: meant(c.Signer), Role: meant(c.Role), Key: meant(c.Key)}
}

type proof struct {
	Digest   image.Digest `json:"digest,omitzero"`
	Signers  []signer     `json:"signers,omitzero"`
	SignedAt time.Time    `json:"signedAt,omitzero"`
	Expires  time.Time    `json:"expires,omitzero"`
	Log      []logEntry   `json:"log,omitzero"`
	Weakened []string     `json:"weakened,omitzero"`
	Attested []attested   `json:"attested,omitzero"`
}

func newProof(p *trust.Proof) proof {
	return proof{
		Digest: p.Digest, Signers: turned(p.Signers, newSigner), SignedAt: p.SignedAt, Expires: p.Expires, Log: turned(p.Log, newLogEntry),
		Weakened: each(p.Weakened, shown), Attested: turned(p.Attested, newAttested),
	}
}

func (p *proof) proof() trust.Proof {
	return trust.Proof{
		Digest: p.Digest, Signers: turned(p.Signers, (*signer).signer), SignedAt: p.SignedAt, Expires: p.Expires, Log: turned(p.Log, (*logEntry).entry),
		Weakened: each(p.Weakened, meant), Attested: turned(p.Attested, (*attested).attested),
	}
}

type signer struct {
	Key       string        `json:"key,omitzero"`
	Issuer    string        `json:"identityIssuer,omitzero"`
	Subject   string        `json:"identitySubject,omitzero"`
	Names     []string      `json:"names,omitzero"`
	Chain     []certificate `json:"chain,omitzero"`
	Role      string        `json:"role,omitzero"`
	SignedAt  time.Time     `json:"signedAt,omitzero"`
	Under     []string      `json:"under,omitzero"`
	Signature []byte        `json:"signature,omitzero"`
}

func newSigner(s *trust.Signer) signer {
	return signer{
		Key: shown(s.Key), Issuer: shown(s.Identity.Issuer), Subject: shown(s.Identity.Subject), Names: each(s.Names, shown),
		Chain: turned(s.Chain, newCertificate), Role: shown(s.Role), SignedAt: s.SignedAt, Under: each(s.Under, shown), Signature: s.Signature,
	}
}

func (s *signer) signer() trust.Signer {
	return trust.Signer{
		Key: meant(s.Key), Identity: trust.Identity{Issuer: meant(s.Issuer), Subject: meant(s.Subject)}, Names: each(s.Names, meant),
		Chain: turned(s.Chain, (*certificate).certificate), Role: meant(s.Role), SignedAt: s.SignedAt, Under: each(s.Under, meant), Signature: s.Signature,
	}
}

type certificate struct {
	Subject string `json:"subject,omitzero"`
	Issuer  string `json:"issuer,omitzero"`
	Serial  string `json:"serial,omitzero"`
	Key     string `json:"key,omitzero"`
}

func newCertificate(c *trust.Certificate) certificate {
	return certificate{Subject: shown(c.Subject), Issuer: shown(c.Issuer), Serial: shown(c.Serial), Key: shown(c.Key)}
}

func (c *certificate) certificate() trust.Certificate {
	return trust.Certificate{Subject: meant(c.Subject), Issuer: meant(c.Issuer), Serial: meant(c.Serial), Key: meant(c.Key)}
}

type logEntry struct {
	ID                   string    `json:"id,omitzero"`
	Index                int64     `json:"index,omitzero"`
	IntegratedTime       time.Time `json:"integratedTime,omitzero"`
	SignedEntryTimestamp []byte    `json:"signedEntryTimestamp,omitzero"`
}

func newLogEntry(l *trust.LogEntry) logEntry {
	return logEntry{ID: shown(l.ID), Index: l.Index, IntegratedTime: l.IntegratedTime, SignedEntryTimestamp: l.SignedEntryTimestamp}
}

func (l *logEntry) entry() trust.LogEntry {
	return trust.LogEntry{ID: meant(l.ID), Index: l.Index, IntegratedTime: l.IntegratedTime, SignedEntryTimestamp: l.SignedEntryTimestamp}
}

type attested struct {
	PredicateType string    `json:"predicateType,omitzero"`
	Signer        string    `json:"signer,omitzero"`
	SignedAt      time.Time `json:"signedAt,omitzero"`
}

func newAttested(a *trust.Attested) attested {
	return attested{PredicateType: shown(a.PredicateType), Signer: shown(a.Signer), SignedAt: a.SignedAt}
}

func (a *attested) attested() trust.Attested {
	return trust.Attested{PredicateType: meant(a.PredicateType), Signer: meant(a.Signer), SignedAt: a.SignedAt}
}
