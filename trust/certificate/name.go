package certificate

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// binding is how an authority wants a certificate to name its image.
type binding struct {
	sanRequired bool
	repository  trust.SignedRepository
	slice       slice
	equals      bool
	prefix      string
}

// invalid is the text that users of DIA know for a certificate that names another image.
const invalid = "Invalid certificate"

// check decides whether leaf names ref. It reports whether an oci:// name did; then the common name was not looked at.
func (b binding) check(leaf *x509.Certificate, ref image.Ref) (bySAN bool, err error) {
	names := ociNames(leaf)
	switch {
	case len(names) > 0:
		return true, b.checkSAN(names, ref)
	case b.sanRequired:
		return false, trust.Untrusted("%s: no subject alternative name %s://…, and the policy says san: required", invalid, sanScheme)
	}
	return false, b.checkCommonName(leaf, ref.Digest())
}

// ociNames returns the names of a certificate that speak about images. They decide even if none of them can be read.
func ociNames(leaf *x509.Certificate) []*url.URL {
	var names []*url.URL
	for _, u := range leaf.URIs {
		if u.Scheme == sanScheme {
			names = append(names, u)
		}
	}
	return names
}

// checkSAN wants one name that carries both the repository and the digest; two names that carry one each are not enough.
func (b binding) checkSAN(names []*url.URL, ref image.Ref) error {
	want := b.repository.Want(ref)
	exact := sanScheme + "://" + want + "@" + ref.Digest().String()
	for _, u := range names {
		if u.String() == exact { // the common case, without parsing what stands in the certificate
			return nil
		}
		named, err := parseSAN(u)
		if err == nil && named.Digest() == ref.Digest() && (named.Name() == want || b.repository.Ignored()) {
			return nil
		}
	}
	return trust.Untrusted("%s: its subject alternative name is %s, not %s", invalid, clip(names[0].String()), want+"@"+ref.Digest().String())
}

// parseSAN reads what SAN writes and nothing else: another spelling of the same name could slip through a constraint of the
// authority that issued it.
func parseSAN(u *url.URL) (image.Ref, error) {
	ref, err := image.Parse(u.Host + u.Path)
	if err != nil {
		return image.Ref{}, err
	}
	if want := SAN(ref); want == nil || want.String() != u.String() {
		return image.Ref{}, fmt.Errorf("%q is not of the form %s://registry/repository@digest", clip(u.String()), sanScheme)
	}
	return ref, nil
}

func (b binding) checkCommonName(leaf *x509.Certificate, d image.Digest) error {
	name, err := commonName(leaf)
	if err != nil {
		return trust.Untrusted("%s: %w", invalid, err)
	}
	digits := d.Hex()[b.slice.start:b.slice.end]
	rest, found := strings.CutPrefix(name, b.prefix)
	switch {
	case !found:
		return trust.Untrusted("%s: its common name %q does not begin with %q", invalid, clip(name), b.prefix)
	case b.equals && rest != digits:
		return trust.Untrusted("%s: its common name %q is not %q", invalid, clip(name), b.prefix+digits)
	case !strings.Contains(rest, digits):
		return trust.Untrusted("%s: its common name %q does not contain %q", invalid, clip(name), digits)
	}
	return nil
}

// commonName returns the one common name of a certificate. Of several, programs read different ones.
func commonName(leaf *x509.Certificate) (string, error) {
	var name string
	count := 0
	for _, attribute := range leaf.Subject.Names {
		if attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) { // RFC 5280, appendix A, id-at-commonName
			name, _ = attribute.Value.(string)
			count++
		}
	}
	if count != 1 {
		return "", fmt.Errorf("it has %d common names, want one", count)
	}
	return name, nil
}
