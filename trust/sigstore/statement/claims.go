package statement

import (
	"fmt"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// MaxClaims bounds the claims of an image signature, in bytes.
const MaxClaims = 64 << 10

// The types that claims may have: what cosign writes, and the older one of containers/image (containers-signature.5), from which
// cosign took the form. cosign itself does not look at the type when it verifies.
const (
	typeCosign = "cosign container image signature"
	typeAtomic = "atomic container signature"
)

// Claims is the signed payload of an image signature ("simple signing").
type Claims struct {
	Digest      image.Digest   // of the image that is vouched for
	Reference   string         // the name that the signer gave it, as written; may be empty
	Annotations map[string]any // what the signer added, numbers as in Statement.Predicate
}

// ParseClaims reads the payload of an image signature. What is critical must be known in full, as containers-signature.5 demands. An
// error is a "no".
func ParseClaims(payload []byte) (Claims, error) {
	c, err := parseClaims(payload)
	if err != nil {
		return Claims{}, trust.Untrusted("payload of the signature: %w", err)
	}
	return c, nil
}

func parseClaims(payload []byte) (Claims, error) {
	top, err := open(payload, MaxClaims)
	if err != nil {
		return Claims{}, err
	}
	if err := checkExactly(top, "critical", "optional"); err != nil {
		return Claims{}, err
	}
	critical, err := inside(top, "critical", "type", "image", "identity")
	if err != nil {
		return Claims{}, err
	}
	kind, err := textOf(critical, "type")
	if err != nil {
		return Claims{}, err
	}
	if kind != typeCosign && kind != typeAtomic {
		return Claims{}, fmt.Errorf("its type %q is neither %q nor %q", clip(kind), typeCosign, typeAtomic)
	}
	var c Claims
	if c.Digest, err = claimedDigest(critical); err != nil {
		return Claims{}, err
	}
	if c.Reference, err = claimedReference(critical); err != nil {
		return Claims{}, err
	}
	if c.Annotations, err = decodeObject(top.raw("optional")); err != nil {
		return Claims{}, fmt.Errorf("optional: %w", err)
	}
	return c, nil
}

func claimedDigest(critical fields) (image.Digest, error) {
	const member = "docker-manifest-digest"
	about, err := inside(critical, "image", member)
	if err != nil {
		return image.Digest{}, err
	}
	text, err := textOf(about, member)
	if err != nil {
		return image.Digest{}, err
	}
	return image.ParseDigest(text)
}

func claimedReference(critical fields) (string, error) {
	const member = "docker-reference"
	identity, err := inside(critical, "identity", member)
	if err != nil {
		return "", err
	}
	return textOf(identity, member)
}

// inside returns the members of an object that is a member, and refuses those that are not known.
func inside(members fields, name string, known ...string) (fields, error) {
	raw := members.raw(name)
	if raw == nil {
		return nil, fmt.Errorf("has no member %q", name)
	}
	inner, err := newReader(raw).members()
	if err == nil {
		err = checkExactly(inner, known...)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return inner, nil
}

// textOf returns a member that must be there and be a text.
func textOf(members fields, name string) (string, error) {
	raw := members.raw(name)
	if raw == nil {
		return "", fmt.Errorf("has no member %q", name)
	}
	text, err := decodeText(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}
