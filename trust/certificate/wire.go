package certificate

import (
	"net/url"

	"github.com/assay-dev/assay/image"
)

const (
	tagPrefix = "dia-"
	sanScheme = "oci"

	// maxTag is the longest tag that a registry takes, in characters (OCI distribution specification, "Pulling manifests").
	maxTag = 128
	// tagDigits is how many digits of a digest a tag carries.
	tagDigits = 64
	// commonNameDigits is how many digits CommonName takes.
	commonNameDigits = 40
)

// Tag returns the tag under which the certificate of the image with digest d lies, in the image's own repository: "dia-" and the 64
// digits of a sha256 digest. The 128 digits of a sha512 digest do not fit a tag: theirs is "dia-sha512-" and the first 64. The
// tag only finds the certificate; what is vouched for stands in the certificate. The tag of the zero Digest is "".
func Tag(d image.Digest) string {
	switch hex := d.Hex(); d.Algorithm() {
	case "sha256":
		return tagPrefix + hex
	case "sha512":
		return tagPrefix + "sha512-" + hex[:tagDigits]
	}
	return ""
}

// SAN returns the URI that a certificate for ref carries as a subject alternative name (RFC 5280, section 4.2.1.6):
// "oci://registry/repository@sha256:…", the repository in canonical form and the digest in full. A tag of ref is left out.
// The result is nil if ref has no digest, because such a name would bind nothing.
func SAN(ref image.Ref) *url.URL {
	if ref.IsZero() || ref.Digest().IsZero() {
		return nil
	}
	return &url.URL{Scheme: sanScheme, Host: ref.Registry(), Path: "/" + ref.Repository() + "@" + ref.Digest().String()}
}

// CommonName returns the common name that readers of DIA's form look for: prefix and the first 40 digits of d. X.520 limits a
// common name to 64 characters, so prefix has at most 24. The zero Digest gives "".
func CommonName(prefix string, d image.Digest) string {
	if d.IsZero() {
		return ""
	}
	return prefix + d.Hex()[:commonNameDigits]
}
