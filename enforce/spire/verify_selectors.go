package spire

import (
	"strconv"
	"unicode/utf8"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust"
)

// oldPassed is the selector of every image that passes a block with old keys.
const oldPassed = "sigstore-validation:passed"

// sigstoreFormat is the format whose proofs have all that selectors can say.
const sigstoreFormat = "sigstore"

// enforceMode is the mode of a policy that stops images, in a verdict.
const enforceMode = "enforce"

// selectorList collects selectors in order, each once. What is not there, or cannot be sent, is left out.
type selectorList struct {
	list []string
	seen map[string]bool
}

func (l *selectorList) add(name, value string) {
	if value == "" || !utf8.ValidString(value) {
		return
	}
	one := name + ":" + value
	if l.seen[one] {
		return
	}
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	l.seen[one] = true
	l.list = append(l.list, one)
}

// selectors returns what a verdict that vouches gives.
func (d *demanded) selectors(s *Subject, v *engine.Verdict) []string {
	switch {
	case d.old():
		return oldSelectors(s, v)
	case d.Sigstore != nil:
		return d.sigstoreSelectors(v)
	}
	return policySelectors(v)
}

// sigstoreSelectors are those of a sigstore block.
func (d *demanded) sigstoreSelectors(v *engine.Verdict) []string {
	var l selectorList
	signature := proved(&v.Decision, v, SignatureAuthority)
	if len(signature) == 0 {
		return nil
	}
	l.add("image-signature", "verified")
	if len(proved(&v.Decision, v, AttestationAuthority)) > 0 {
		l.add("image-attestations", "verified")
	}
	for _, p := range signature {
		l.signature(p)
	}
	return l.list
}

// oldSelectors are those of a block with old keys. Without a container ID, which stands before them, there is only the last.
func oldSelectors(s *Subject, v *engine.Verdict) []string {
	var l selectorList
	for _, p := range proved(&v.Decision, v, SignatureAuthority) {
		if s.ContainerID == "" {
			break
		}
		signer := &p.Signers[0]
		l.add(s.ContainerID+":image-signature-subject", subjectOf(signer))
		l.add(s.ContainerID+":image-signature-content", encoded(signer.Signature))
		for _, e := range p.Log {
			l.add(s.ContainerID+":image-signature-logid", e.ID)
			l.add(s.ContainerID+":image-signature-integrated-time", integrated(&e))
		}
	}
	return append(l.list, oldPassed)
}

// policySelectors are those of the policies that enforce and that are satisfied by proofs. What only warns or audits proves nothing, whatever it
// would have said; nor does a rule that lets images pass.
func policySelectors(v *engine.Verdict) []string {
	var l selectorList
	decisions := append([]engine.Decision{v.Decision}, v.Also...)
	attested := false
	var satisfied []*engine.Decision
	for i := range decisions {
		d := &decisions[i]
		if d.Mode != enforceMode || d.Outcome != engine.Allowed {
			continue
		}
		found := false
		for _, a := range d.Authorities {
			for _, p := range proofsOf(&a, v) {
				found, attested = true, attested || len(p.Attested) > 0
			}
		}
		if found {
			satisfied = append(satisfied, d)
		}
	}
	if len(satisfied) == 0 {
		return nil
	}
	l.add("image-signature", "verified")
	if attested {
		l.add("image-attestations", "verified")
	}
	for _, d := range satisfied {
		l.add("image-policy", d.Policy)
		for _, a := range d.Authorities {
			for _, p := range proofsOf(&a, v) {
				l.add("image-authority", a.Authority)
				if a.Format == sigstoreFormat {
					l.signature(p)
					continue
				}
				l.signer(&p.Signers[0])
			}
		}
	}
	return l.list
}

// signer adds who signed, as far as it is known by a name.
func (l *selectorList) signer(s *trust.Signer) {
	l.add("image-signature-subject", subjectOf(s))
	l.add("image-signature-issuer", issuerOf(s))
}

// signature adds all that a proof of the sigstore format says.
func (l *selectorList) signature(p *trust.Proof) {
	s := &p.Signers[0]
	l.signer(s)
	l.add("image-signature-value", encoded(s.Signature))
	for i := range p.Log {
		e := &p.Log[i]
		l.add("image-signature-log-id", e.ID)
		l.add("image-signature-log-index", strconv.FormatInt(e.Index, 10))
		l.add("image-signature-integrated-time", integrated(e))
		l.add("image-signature-signed-entry-timestamp", encoded(e.SignedEntryTimestamp))
	}
}

// integrated is when a log took an entry; "" if it does not say.
func integrated(e *trust.LogEntry) string {
	if e.IntegratedTime.IsZero() {
		return ""
	}
	return strconv.FormatInt(e.IntegratedTime.Unix(), 10)
}

// subjectOf is the first name of a signer's certificate that is not empty, in the order DNS, e-mail, IP, URI, other.
func subjectOf(s *trust.Signer) string {
	for _, name := range s.Names {
		if name != "" {
			return name
		}
	}
	if s.Identity.Subject != "" {
		return s.Identity.Subject
	}
	if len(s.Chain) > 0 {
		return s.Chain[0].Subject
	}
	return ""
}

// issuerOf is who stands behind a signer: an identity provider, or else whoever issued the certificate.
func issuerOf(s *trust.Signer) string {
	if s.Identity.Issuer != "" {
		return s.Identity.Issuer
	}
	if len(s.Chain) > 0 {
		return s.Chain[0].Issuer
	}
	return ""
}

// proved returns the proofs of an authority.
func proved(d *engine.Decision, v *engine.Verdict, authority string) []*trust.Proof {
	for i := range d.Authorities {
		if d.Authorities[i].Authority == authority {
			return proofsOf(&d.Authorities[i], v)
		}
	}
	return nil
}

// proofsOf returns the proofs of an authority that are about the digest of the verdict.
func proofsOf(a *engine.Attestation, v *engine.Verdict) []*trust.Proof {
	if a.Standing != engine.Proved {
		return nil
	}
	var found []*trust.Proof
	for i := range a.Proofs {
		if p := &a.Proofs[i]; p.Digest == v.Digest && len(p.Signers) > 0 {
			found = append(found, p)
		}
	}
	return found
}
