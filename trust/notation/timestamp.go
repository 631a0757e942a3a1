package notation

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	nx509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/tspclient-go"

	"github.com/assay-dev/assay/trust"
)

// stamped is a time stamp that was checked.
type stamped struct {
	at    time.Time
	chain []*x509.Certificate
}

// stamp checks the time stamp over a signature: by a trusted authority that was valid then, at a time at which the certificates of the
// signature were valid for sure. It never panics.
func (a *authority) stamp(s *signed) (made stamped, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			made, err = stamped{}, fmt.Errorf("malformed: %v", caught)
		}
	}()
	switch {
	case len(s.token) == 0:
		return stamped{}, errNoToken
	case len(s.token) > maxToken:
		return stamped{}, fmt.Errorf("%d bytes, at most %d are looked at", len(s.token), maxToken)
	}
	token, err := tspclient.ParseSignedToken(s.token)
	if err != nil {
		return stamped{}, fmt.Errorf("malformed: %w", err)
	}
	info, err := token.Info()
	if err != nil {
		return stamped{}, fmt.Errorf("malformed: %w", err)
	}
	at, err := info.Validate(s.signature)
	if err != nil {
		return stamped{}, err
	}
	roots := x509.NewCertPool()
	for _, c := range a.tsa {
		roots.AddCert(c)
	}
	// The library looks nothing up: the context is not used for I/O.
	chain, err := token.Verify(context.Background(), x509.VerifyOptions{CurrentTime: at.Value, Roots: roots})
	if err != nil {
		return stamped{}, err
	}
	if len(chain) > trust.MaxChain {
		return stamped{}, errors.New("its chain is too long")
	}
	if err := nx509.ValidateTimestampingCertChain(chain); err != nil {
		return stamped{}, err
	}
	for _, c := range s.chain {
		if !at.BoundedAfter(c.NotBefore) || !at.BoundedBefore(c.NotAfter) {
			return stamped{}, fmt.Errorf("%w for sure at %s, when it was made", outside(c), stamp(at.Value))
		}
	}
	return stamped{at: at.Value, chain: chain}, nil
}
