package material

import (
	_ "embed"
	"time"
)

//go:embed embedded/trusted_root.json
var embeddedJSON []byte

// embeddedAsOf is the day from which on the embedded material was published, see embedded/README.md; its age counts from then on.
const embeddedAsOf = "2026-05-12T00:00:00Z"

// embeddedRoot returns the material of the public good instance that is in the program.
func embeddedRoot() (*Root, error) {
	at, err := time.Parse(time.RFC3339, embeddedAsOf)
	if err != nil {
		return nil, err
	}
	r, err := parseRoot(embeddedJSON)
	if err != nil {
		return nil, err
	}
	return r.asOf(at), nil
}
