package certificate

import (
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Options is the section of an authority in a policy. Roots are required; the zero value of everything else is the strict choice.
type Options struct {
	Roots              string   `yaml:"roots,omitempty" doc:"certificates of the authorities that count, in PEM"`
	RootsFiles         []string `yaml:"rootsFiles,omitempty" doc:"files with such certificates"`
	Intermediates      string   `yaml:"intermediates,omitempty" doc:"certificates between a root and a leaf, in PEM, where artifacts do not carry them"`
	IntermediatesFiles []string `yaml:"intermediatesFiles,omitempty" doc:"files with such certificates"`

	SAN              string                 `yaml:"san,omitempty" enum:"accepted,required" doc:"accepted (default): an oci:// name decides where the certificate has one, else the common name; required: a certificate without one is refused"`
	CommonName       *CommonNameOptions     `yaml:"commonName,omitempty" doc:"how the common name of a certificate without an oci:// name must name the image"`
	SignedRepository trust.SignedRepository `yaml:"signedRepository,omitempty" doc:"the repository that an oci:// name must carry; match (default) is the one asked for"`
	ExtKeyUsage      string                 `yaml:"extKeyUsage,omitempty" enum:"codeSigning" doc:"demanded of certificates without an oci:// name as well; those with one always need codeSigning (in a Vault role: code_signing_flag=true)"`

	Validity            string        `yaml:"validity,omitempty" enum:"now,issued,timestamp" doc:"when the whole chain must be valid: now (default), when the leaf was issued (its notBefore), or at the time of a trusted time stamp"`
	TimestampRoots      string        `yaml:"timestampRoots,omitempty" doc:"certificates of the time-stamp authorities that count, in PEM; for validity: timestamp"`
	TimestampRootsFiles []string      `yaml:"timestampRootsFiles,omitempty" doc:"files with such certificates"`
	MaxAge              time.Duration `yaml:"maxAge,omitempty" doc:"the leaf was issued (its notBefore) at most this long ago"`
	InsecureIgnoreDates bool          `yaml:"insecureIgnoreDates,omitempty" doc:"the dates of all certificates are ignored"`

	CRLs   []CRLOptions   `yaml:"crls,omitempty" doc:"revocation lists; where there are any, every issuer in a chain needs a current one"`
	Denied *DeniedOptions `yaml:"denied,omitempty" doc:"certificates and images that are refused whatever else holds"`
}

// CommonNameOptions says how a common name must name an image. The zero value asks for the first 40 digits anywhere in it.
type CommonNameOptions struct {
	Slice  string `yaml:"slice,omitempty" doc:"digits of the digest that the common name carries, start-end, from zero, without the end; 0-40 by default, at least 32 digits"`
	Match  string `yaml:"match,omitempty" enum:"contains,equals" doc:"contains (default): anything may stand around the digits; equals: prefix and digits are the whole name"`
	Prefix string `yaml:"prefix,omitempty" doc:"what the common name begins with"`
}

// CRLOptions names a certificate revocation list (RFC 5280, section 5).
type CRLOptions struct {
	File string `yaml:"file" doc:"a file with one list in DER, or one or more in PEM"`
}

// DeniedOptions lists what is refused at once.
type DeniedOptions struct {
	Serials []string       `yaml:"serials,omitempty" doc:"serial numbers in hexadecimal, of any certificate in a chain"`
	Keys    []string       `yaml:"keys,omitempty" doc:"fingerprints of public keys, SHA256:…, of any certificate in a chain"`
	Digests []image.Digest `yaml:"digests,omitempty" doc:"digests of images"`
}
