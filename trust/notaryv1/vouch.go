package notaryv1

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// signerRule is a role that must have signed, and by which of its keys.
type signerRule struct {
	role      string
	keys      []string // fingerprints
	threshold int
}

// selection says whose targets count. Exactly one of its fields is set.
type selection struct {
	roles   []string     // any of these, the first that speaks of a tag decides about it
	signers []signerRule // all of these
}

// needs returns the targets roles to look at, each after those above it.
func (s selection) needs() []string {
	var all []string
	add := func(name string) {
		for _, one := range lineage(name) {
			if !slices.Contains(all, one) {
				all = append(all, one)
			}
		}
	}
	add(roleTargets)
	for _, name := range s.roles {
		add(name)
	}
	for _, rule := range s.signers {
		add(rule.role)
	}
	return all
}

// word is what a repository says about one tag by the roles that count: who has signed which digest.
type word struct {
	tag    string
	target wireTarget
	roles  []*targetsRole
}

// vouches returns every way in which a repository vouches for ref: for the digest under the tag, if ref has one, and else under any.
func (s selection) vouches(r *repository, ref image.Ref, now time.Time) ([]trust.Proof, error) {
	if tag := ref.Tag(); tag != "" {
		w, err := s.word(r, tag)
		if err != nil {
			return nil, err
		}
		return s.prove(w, ref, now)
	}
	var why error
	var proofs []trust.Proof
	for _, tag := range s.tagsOf(r, ref.Digest()) {
		w, err := s.word(r, tag)
		if err == nil && w.target.digest(ref.Digest().Algorithm()) != ref.Digest() {
			continue // a role that counts more has signed another digest under this tag
		}
		var found []trust.Proof
		if err == nil {
			found, err = s.prove(w, ref, now)
		}
		if err != nil {
			why = err
		}
		if proofs = append(proofs, found...); len(proofs) >= maxProofs {
			break
		}
	}
	if len(proofs) > 0 {
		return proofs, nil
	}
	if why == nil {
		why = trust.Untrusted("No signed targets found: no tag of %s is signed for %s", r.gun, ref.Digest())
	}
	return nil, why
}

// tagsOf returns the tags under which a digest is signed, sorted: by all signers, or by one of the roles that count.
func (s selection) tagsOf(r *repository, d image.Digest) []string {
	want, err := hex.DecodeString(d.Hex())
	if err != nil {
		return nil
	}
	signed := map[string]int{} // by how many roles
	for _, name := range s.counted() {
		t := r.targets[name]
		if t == nil {
			continue
		}
		for tag, target := range t.file.targets {
			if bytes.Equal(target.Hashes[d.Algorithm()], want) {
				signed[tag]++
			}
		}
	}
	var all []string
	for tag, n := range signed {
		if n >= max(1, len(s.signers)) {
			all = append(all, tag)
		}
	}
	slices.Sort(all)
	return all
}

// counted returns the roles whose word counts.
func (s selection) counted() []string {
	if len(s.signers) == 0 {
		return s.roles
	}
	names := make([]string, len(s.signers))
	for i := range s.signers {
		names[i] = s.signers[i].role
	}
	return names
}

// word returns what a repository says about a tag. The order of the refusals is the one that users of other checks of Docker Content
// Trust know, and so are the first words of each.
func (s selection) word(r *repository, tag string) (word, error) {
	w := word{tag: tag}
	if len(s.signers) == 0 {
		for _, name := range s.roles {
			t := r.targets[name]
			if t == nil {
				continue
			}
			if target, found := t.target(tag); found {
				w.target, w.roles = target, []*targetsRole{t}
				return w, nil
			}
		}
		return w, s.unsigned(r, tag)
	}
	missing := slices.ContainsFunc(s.signers, func(rule signerRule) bool { return r.targets[rule.role] == nil })
	if !missing && !slices.ContainsFunc(r.needed(), func(t *targetsRole) bool { _, found := t.target(tag); return found }) {
		return w, s.unsigned(r, tag)
	}
	return s.agreed(r, w)
}

// needed returns the targets that were looked at, in the order of their names.
func (r *repository) needed() []*targetsRole {
	var all []*targetsRole
	for _, t := range r.targets {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *targetsRole) int { return strings.Compare(a.name, b.name) })
	return all
}

func (s selection) unsigned(r *repository, tag string) error {
	hint := ""
	for _, t := range r.needed() {
		if _, found := t.target(tag); found {
			hint = fmt.Sprintf("; %s has signed it, which does not count here", t.name)
		}
	}
	return trust.Unsigned("No valid trust data for %s: it is not signed in %s%s", tag, r.gun, hint)
}

// agreed demands that every role of signers has signed the tag, by a key of its own that is configured, and with the same digest.
func (s selection) agreed(r *repository, w word) (word, error) {
	for _, rule := range s.signers {
		t := r.targets[rule.role]
		if t == nil {
			return w, trust.Untrusted("Role not found with for a specified signer: %s %s in %s", rule.role, r.absent[rule.role], r.gun)
		}
		target, found := t.target(w.tag)
		if !found {
			return w, trust.Untrusted("Role not found with for a specified signer: %s has not signed %s in %s", rule.role, w.tag, r.gun)
		}
		if err := rule.recognises(t); err != nil {
			return w, err
		}
		if len(w.roles) > 0 {
			both := common(w.target, target)
			if len(both.Hashes) == 0 {
				return w, trust.Untrusted("Incompatible digest from that of target %s: %s signed %s, %s signed %s",
					w.tag, w.roles[0].name, w.target, t.name, target)
			}
			target = both
		}
		w.target, w.roles = target, append(w.roles, t)
	}
	return w, nil
}

// recognises demands that the configured keys are keys of the role, and that as many of them as the rule asks for have signed.
func (rule signerRule) recognises(t *targetsRole) error {
	listed, signed := 0, 0
	for _, print := range t.fingerprints() {
		if slices.Contains(rule.keys, print) {
			listed++
		}
	}
	for _, k := range t.signers {
		if slices.Contains(rule.keys, k.fingerprint) {
			signed++
		}
	}
	switch {
	case listed == 0:
		return trust.Untrusted("Public keys are different: none of the configured keys is a key of the role %s, which has %s", rule.role, strings.Join(t.fingerprints(), ", "))
	case signed < rule.threshold:
		return trust.Untrusted("Public keys are different: %s is signed by %d of the configured keys, and %d must sign; it is signed by %s",
			rule.role, signed, rule.threshold, strings.Join(prints(t.signers), ", "))
	}
	return nil
}

func prints(keys []*key) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.fingerprint
	}
	return all
}

// common returns the digests that two targets agree on, none if they differ in any. What only one of them names is not the other's word:
// it could be another image.
func common(a, b wireTarget) wireTarget {
	both := map[string][]byte{}
	for algorithm, hash := range a.Hashes {
		if len(b.Hashes[algorithm]) == 0 {
			continue
		}
		if d := a.digest(algorithm); d.IsZero() || d != b.digest(algorithm) {
			return wireTarget{}
		}
		both[algorithm] = hash
	}
	return wireTarget{Hashes: both}
}

// String names the digest of a target for people.
func (t wireTarget) String() string {
	if d := t.preferred(); !d.IsZero() {
		return d.String()
	}
	return "no digest"
}

// preferred returns the digest that a target stands for: SHA-256, which registries use, before SHA-512.
func (t wireTarget) preferred() image.Digest {
	if d := t.digest("sha256"); !d.IsZero() {
		return d
	}
	return t.digest("sha512")
}

// prove returns the proofs that a word is for ref's digest: one for each set of keys that suffices. They end with the certificates of
// their keys, if those are certificates.
func (s selection) prove(w word, ref image.Ref, now time.Time) ([]trust.Proof, error) {
	if d := w.target.digest(ref.Digest().Algorithm()); d.IsZero() || d != ref.Digest() {
		return nil, trust.Untrusted("%s is signed for another digest than %s: digest changed, new digest: %s", w.tag, ref.Digest(), w.target)
	}
	proofs := []trust.Proof{{Digest: ref.Digest()}}
	for i, t := range w.roles {
		keys, threshold := t.signers, t.threshold
		if len(s.signers) > 0 {
			keys, threshold = s.signers[i].among(t.signers), s.signers[i].threshold
		}
		keys, why := valid(keys, now)
		if len(keys) < threshold {
			return nil, trust.Untrusted("%s of %s: %s", t.name, ref.Name(), why)
		}
		proofs = product(proofs, t, subsets(keys, threshold))
	}
	return proofs, nil
}

// valid leaves out keys whose certificates do not hold at a time; why is said of one of them.
func valid(keys []*key, now time.Time) (left []*key, why string) {
	for _, k := range keys {
		if len(k.chain) > 0 {
			if text := certificateWindow("the certificate of the key "+k.fingerprint, k.chain[0]).holds(now); text != "" {
				why = text
				continue
			}
		}
		left = append(left, k)
	}
	return left, why
}

// among returns the configured keys of some signers.
func (rule signerRule) among(signers []*key) []*key {
	return slices.DeleteFunc(slices.Clone(signers), func(k *key) bool { return !slices.Contains(rule.keys, k.fingerprint) })
}

// subsets returns the ways to choose n of some keys, at most maxProofs.
func subsets(keys []*key, n int) [][]*key {
	var all [][]*key
	var choose func(from int, chosen []*key)
	choose = func(from int, chosen []*key) {
		if len(all) == maxProofs {
			return
		}
		if len(chosen) == n {
			all = append(all, slices.Clone(chosen))
			return
		}
		for i := from; i < len(keys) && len(keys)-i >= n-len(chosen); i++ {
			choose(i+1, append(chosen, keys[i]))
		}
	}
	choose(0, nil)
	return all
}

// product adds a role's signers to each proof, in each way that the role offers, up to maxProofs ways.
func product(proofs []trust.Proof, t *targetsRole, offers [][]*key) []trust.Proof {
	var all []trust.Proof
	for _, proof := range proofs {
		for _, offer := range offers {
			if len(all) == maxProofs {
				return all
			}
			next := proof
			next.Signers = slices.Clone(proof.Signers)
			for _, k := range offer {
				next.Signers = append(next.Signers, trust.Signer{Key: k.fingerprint, Role: t.name, Chain: k.describe(), Under: t.under})
				if len(k.chain) > 0 {
					next.Expires = soonest(next.Expires, certificateWindow("", k.chain[0]).end())
				}
			}
			all = append(all, next)
		}
	}
	return all
}

// soonest returns the earlier of two times; the zero time is no time.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
