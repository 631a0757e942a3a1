package sign

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
)

// current returns what a tag names now, and nil if that is nothing. What holds no readable certificate is described without one:
// it will be replaced, and the user is told so.
func current(ctx context.Context, store Store, tagged image.Ref) (*Replaced, error) {
	m, err := store.Manifest(ctx, tagged)
	if errors.Is(err, trust.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate so far: %w", err)
	}
	found := &Replaced{Manifest: m.Digest}
	layer, err := certificate.Layer(m.MediaType, m.Bytes)
	if err != nil {
		return found, nil
	}
	blob, err := store.Blob(ctx, tagged, layer, trust.MaxEvidence)
	if errors.Is(err, trust.ErrNotFound) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate so far: %w", err)
	}
	if b, err := certificate.Unpack(blob); err == nil {
		found.Leaf = b.Certificates[0]
	}
	return found, nil
}

// namedDigits is the least that a common name must carry of a digest: no policy accepts fewer.
const namedDigits = 32

// mismatch says why leaf vouches for another image than ref, or "".
func mismatch(leaf *x509.Certificate, ref image.Ref) string {
	for _, u := range leaf.URIs {
		if u.Scheme != "oci" {
			continue
		}
		if want := certificate.SAN(ref).String(); u.String() != want {
			return fmt.Sprintf("the certificate is for %s, not for %s", u, want)
		}
		return ""
	}
	if !strings.Contains(leaf.Subject.CommonName, ref.Digest().Hex()[:namedDigits]) {
		return fmt.Sprintf("the common name %q does not name the digest %s", leaf.Subject.CommonName, ref.Digest())
	}
	return ""
}

// Existing is a certificate that was issued elsewhere, as an Issuer of itself and, for the time stamp that came with it, a Stamper.
// It vouches for the image that it names, whatever it is attached to.
type Existing certificate.Bundle

var (
	_ Issuer  = Existing{}
	_ Stamper = Existing{}
)

// Issue implements Issuer. It returns the certificates as they are.
func (e Existing) Issue(context.Context, Request) ([]*x509.Certificate, error) {
	return e.Certificates, nil
}

// Stamp implements Stamper.
func (e Existing) Stamp(context.Context, *x509.Certificate) ([]byte, error) { return e.Timestamp, nil }
