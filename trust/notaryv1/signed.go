package notaryv1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// readSignatures reads a list of signatures, one by one: anybody can write millions of empty ones, which take far more room when read.
func readSignatures(list []byte) ([]signature, error) {
	unreadable := errors.New("its signatures cannot be read")
	var all []signature
	d := json.NewDecoder(bytes.NewReader(list))
	if start, err := d.Token(); err != nil || start != json.Delim('[') {
		return nil, unreadable
	}
	for d.More() {
		if len(all) == maxSignatures {
			return nil, fmt.Errorf("more than %d signatures", maxSignatures)
		}
		var s signature
		if err := d.Decode(&s); err != nil {
			return nil, unreadable
		}
		all = append(all, s)
	}
	return all, nil
}

// signedBy returns the keys of a role that have signed the file, in the role's order; an error if they are fewer than the role's
// threshold asks for (TUF 5.4.2 and alike: each key counts once, however many signatures it made and IDs it has).
func (f *file) signedBy(r role) ([]*key, error) {
	var signers []*key
	for _, k := range r.keys {
		counted := slices.ContainsFunc(signers, func(other *key) bool { return other.fingerprint == k.fingerprint })
		if !counted && f.hasSignature(k) {
			signers = append(signers, k)
		}
	}
	if len(signers) < r.threshold || r.threshold < 1 {
		return nil, fmt.Errorf("signed by %d of the keys of the role %s, and %d must sign", len(signers), r.name, r.threshold)
	}
	return signers, nil
}

// hasSignature reports whether one of the signatures on the file is made by a key. What was found once is remembered with the file: most
// of a repository's files stay the same when one changes.
func (f *file) hasSignature(k *key) bool {
	for _, s := range f.signatures {
		if k.isCalled(s.KeyID) && f.checked(k, s) {
			return true
		}
	}
	return false
}

func (f *file) checked(k *key, s signature) bool {
	name := k.fingerprint + "\x00" + s.Method + "\x00" + string(s.Value)
	f.mu.Lock()
	holds, found := f.known[name]
	f.mu.Unlock()
	if found {
		return holds
	}
	if f.checks != nil {
		f.checks.Add(1)
	}
	holds = k.verifies(s, f.plain, f.sum)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[name] = holds
	return holds
}

// lasting returns n of some keys, those whose certificates are valid for the longest time.
func lasting(signers []*key, n int) []*key {
	signers = slices.Clone(signers)
	slices.SortStableFunc(signers, func(a, b *key) int { return b.until().Compare(a.until()) })
	return signers[:min(n, len(signers))]
}
