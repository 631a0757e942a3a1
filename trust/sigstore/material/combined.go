package material

import (
	"fmt"
	"sync/atomic"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/proto"
)

// combined is material of which some parts were given and the others come from elsewhere.
type combined struct {
	name  string
	parts *prototrustroot.TrustedRoot
	alone *Root  // the parts without anything else
	base  Source // nil: nothing else

	last atomic.Pointer[mixture]
}

// mixture is the material for one version of the base.
type mixture struct {
	version string
	root    *Root
	err     error
}

func newCombined(i *installed, base Source) (Source, error) {
	alone, err := newRoot(i.parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.name, err)
	}
	if base == nil {
		return &given{name: i.name, root: alone}, nil
	}
	return &combined{name: i.name, parts: i.parts, alone: alone, base: base}, nil
}

// Root implements Source. Where the base is too old, the parts alone are used if a certificate authority is among them: then nothing of
// the base was meant to be decisive.
func (c *combined) Root(now time.Time) (*Root, error) {
	base, err := c.base.Root(now)
	if err != nil {
		if len(c.parts.GetCertificateAuthorities()) > 0 {
			return c.alone, nil
		}
		return nil, err
	}
	last := c.last.Load()
	if last == nil || last.version != base.Version {
		last = &mixture{version: base.Version}
		if last.root, last.err = c.mix(base); last.err != nil {
			last.err = fmt.Errorf("trust material of %s: %w", c.name, last.err)
		}
		c.last.Store(last)
	}
	if last.err != nil {
		return nil, last.err
	}
	if last.root.AsOf.Equal(base.AsOf) {
		return last.root, nil
	}
	return last.root.asOf(base.AsOf), nil
}

// Version implements Source. The parts do not change, so that the base's version tells all.
func (c *combined) Version() string { return c.alone.Version + "/" + c.base.Version() }

// mix puts the parts that were given in the place of the base's.
func (c *combined) mix(base *Root) (*Root, error) {
	pb, err := root.NewTrustedRootProtobuf(base.JSON)
	if err != nil {
		return nil, err
	}
	if len(c.parts.GetCertificateAuthorities()) > 0 {
		pb.CertificateAuthorities = nil
	}
	if len(c.parts.GetTlogs()) > 0 {
		pb.Tlogs = nil
	}
	if len(c.parts.GetCtlogs()) > 0 {
		pb.Ctlogs = nil
	}
	if len(c.parts.GetTimestampAuthorities()) > 0 {
		pb.TimestampAuthorities = nil
	}
	proto.Merge(pb, c.parts)
	mixed, err := newRoot(pb)
	if err != nil {
		return nil, err
	}
	return mixed.asOf(base.AsOf), nil
}

// Status implements Source.
func (c *combined) Status(now time.Time) Status {
	s := c.base.Status(now)
	s.Name, s.Kind = c.name+", and "+s.Name, KindCombined
	r, err := c.Root(now)
	switch {
	case err != nil:
		s.Err, s.Warning = err, err.Error()
		return s
	case s.Err != nil:
		s.Err = nil
		s.Warning += "; only what was given is used"
	}
	s.Version = r.Version
	return s
}
