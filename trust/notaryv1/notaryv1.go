package notaryv1

import (
	"time"

	"github.com/assay-dev/assay/trust"
)

// Name is the key of this format in a policy's authorities.
const Name = "notaryv1"

// Config is what the format works with. The zero value remembers what it saw as long as the format lives.
type Config struct {
	// Store keeps what was seen, so that a server cannot go back behind it; nil: in memory.
	Store Store
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// New returns the format. The authorities that it makes share what they know of repositories.
func New(c Config) trust.Format {
	if c.Store == nil {
		c.Store = new(Memory)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &format{store: c.Store, now: c.Now, reader: newReader()}
}

// format is what all authorities share.
type format struct {
	store   Store   // for policies of the installation
	tenants tenants // for those of namespaces
	now     func() time.Time
	reader  *reader
	asking  flight
	outages outages
}

var _ trust.Format = (*format)(nil)

// Name implements trust.Format.
func (*format) Name() string { return Name }

// Options implements trust.Format; it returns a *Options.
func (*format) Options() any { return new(Options) }

// New implements trust.Format.
func (f *format) New(s trust.Section) (trust.Authority, error) {
	var o Options
	if err := s.Decode(&o); err != nil {
		return nil, err
	}
	a, err := f.compile(o, s)
	if err != nil {
		return nil, err
	}
	return a, nil
}
