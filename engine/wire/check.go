package wire

import (
	"errors"
	"fmt"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
)

// Check is an error for a verdict that no engine gives, or that is no answer to a question, see About.
func Check(req engine.Request, v *engine.Verdict) error {
	if err := check(v); err != nil {
		return err
	}
	return About(req, v)
}

// check is an error for a verdict that no engine gives. What allows must say by what.
func check(v *engine.Verdict) error {
	switch {
	case v.Allowed && !lets(&v.Decision):
		return fmt.Errorf("it allows, and its decision is %q in mode %.32q", v.Outcome, v.Mode)
	case v.Child && v.Digest.IsZero():
		return errors.New("a child without a digest")
	}
	if err := checkAuthorities(&v.Decision); err != nil {
		return err
	}
	for i := range v.Also {
		d := &v.Also[i]
		if v.Allowed && !lets(d) {
			return fmt.Errorf("it allows, and a further decision is %q in mode %.32q", d.Outcome, d.Mode)
		}
		if err := checkAuthorities(d); err != nil {
			return err
		}
	}
	return nil
}

// lets reports whether a decision does not stop an image.
func lets(d *engine.Decision) bool {
	switch d.Mode {
	case "enforce":
		return d.Outcome == engine.Allowed
	case "warn", "audit":
		return true
	}
	return false
}

// checkAuthorities wants a proof of each authority that vouches, and none of others.
func checkAuthorities(d *engine.Decision) error {
	for i := range d.Authorities {
		a := &d.Authorities[i]
		if (a.Standing == engine.Proved) != (len(a.Proofs) > 0) {
			return fmt.Errorf("authority %.64q: %s with %d proofs", a.Authority, a.Standing, len(a.Proofs))
		}
		for j := range a.Proofs {
			if a.Proofs[j].Digest.IsZero() || len(a.Proofs[j].Signers) == 0 {
				return fmt.Errorf("authority %.64q: a proof that proves nothing", a.Authority)
			}
		}
	}
	return nil
}

// About is an error unless a verdict is an answer to a question: about the same image, and for one with a digest about that digest. A child
// of it, or what the tag beside it stands for, may be in its place where the verdict says so.
func About(req engine.Request, v *engine.Verdict) error {
	if v.Image != req.Image {
		return fmt.Errorf("the verdict is about another image: %.128q", v.Image)
	}
	ref, err := image.Parse(req.Image)
	switch {
	case err != nil && v.Allowed:
		return fmt.Errorf("the verdict allows an image without a name: %w", err)
	case err != nil:
		return nil
	case v.Canonical != "" && v.Canonical != ref.String():
		return fmt.Errorf("the verdict is about another image: %.128q", v.Canonical)
	case v.Allowed && !v.Digest.IsZero() && !ref.Digest().IsZero() && v.Digest != ref.Digest() && !v.Child && (v.Pin == "" || ref.Tag() == ""):
		return fmt.Errorf("the verdict is about another digest: %s", v.Digest)
	case len(v.Chain) > 0 && !req.Content:
		return errors.New("the verdict has a chain that nobody asked for")
	case v.Pin != "" && (v.Digest.IsZero() || v.Pin != ref.Pinned(v.Digest).String()):
		return fmt.Errorf("the verdict pins another image: %.128q", v.Pin)
	}
	return nil
}
