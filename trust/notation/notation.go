package notation

import (
	"crypto/x509"

	"github.com/assay-dev/assay/trust"
)

// Name is the key of this format in a policy's authorities.
const Name = "notation"

// Config is what the format works with. The zero value is ready.
type Config struct {
	// Revocations are asked about certificates. Nil: a Revocations of its own, which nobody refreshes.
	Revocations *Revocations
}

// Format is the format; see New.
type Format struct {
	servers *Revocations
}

var _ trust.Format = (*Format)(nil)

// New returns the format. What its authorities learn from revocation servers is kept in common.
func New(c Config) *Format {
	if c.Revocations == nil {
		c.Revocations = NewRevocations(nil, nil)
	}
	return &Format{servers: c.Revocations}
}

// Name implements trust.Format.
func (*Format) Name() string { return Name }

// Options implements trust.Format; it returns a *Options.
func (*Format) Options() any { return new(Options) }

// New implements trust.Format.
func (f *Format) New(s trust.Section) (trust.Authority, error) {
	var o Options
	if err := s.Decode(&o); err != nil {
		return nil, err
	}
	a, err := compile(o, s)
	if err != nil {
		return nil, err
	}
	a.servers = f.servers
	return a, nil
}

// action says what becomes of a check that fails. The zero value stops.
type action int

const (
	enforce action = iota
	insecureLog
	insecureSkip // is not even made
)

// authority is the section of a policy, ready to check. It does not change.
type authority struct {
	stores      map[scheme][]*x509.Certificate
	tsa         []*x509.Certificate
	identities  []identity
	anyIdentity bool
	annotations map[string]string
	timestamp   action
	expiry      action
	revocation  action
	afterExpiry bool // time stamps are looked at where certificates have expired
	weakened    []string
	servers     *Revocations
	thumbprints map[string]bool // SHA-256 of the certificates of stores, in hex: a hint for the order of the search
}

var (
	_ trust.Authority = (*authority)(nil)
	_ trust.Searcher  = (*authority)(nil)
	_ trust.Unshared  = (*authority)(nil)
)

// Unshared implements trust.Unshared: what revocation servers said is kept by each process, and one may have heard of a revocation before
// another one does.
func (a *authority) Unshared() bool { return a.revocation != insecureSkip }
