// Package formats is the one list of the formats that a policy can name.
package formats

import (
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
)

// All returns every format, in the order of the documentation.
func All() []trust.Format {
	return []trust.Format{
		certificate.Format(),
	}
}
