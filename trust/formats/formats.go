// Package formats is the one list of the formats that a policy can name.
package formats

import (
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notation"
	"github.com/assay-dev/assay/trust/sigstore"
)

// Config is what formats work with. The zero value serves to read policies, and refuses authorities that need more.
type Config struct {
	Sigstore sigstore.Config
	NotaryV1 notaryv1.Config
	Notation notation.Config
}

// All returns every format, in the order of the documentation.
func All(c Config) []trust.Format {
	return []trust.Format{
		sigstore.New(c.Sigstore),
		notaryv1.New(c.NotaryV1),
		notation.New(c.Notation),
		certificate.Format(),
	}
}
