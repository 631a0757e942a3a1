package material

import (
	"errors"
	"fmt"
	"time"
)

// DefaultMaxStale is how long fetched material may be used after it was last proved to be current, where nothing else is said.
const DefaultMaxStale = 365 * 24 * time.Hour

// Bounds of age that cannot be set.
const (
	renewAfter = 24 * time.Hour     // after which programs that decide once fetch what was fetched before
	staleAfter = 7 * 24 * time.Hour // after which there is a warning
	clockSlack = 24 * time.Hour     // by which a clock may be behind the time of a proof
)

// Source is where an authority takes its trust material from. It is safe for concurrent use.
type Source interface {
	// Root returns the material to use at now. It does no I/O. An error is a "cannot tell": the material was never fetched, or is older
	// than may be used.
	Root(now time.Time) (*Root, error)
	// Version names the content that Root returns, and is empty where there is none. It is cheap.
	Version() string
	// Status says where the material comes from and how old it is.
	Status(now time.Time) Status
}

// Kind is where material comes from.
type Kind string

// Kinds of sources.
const (
	KindGiven    Kind = "given"    // a file, a policy, or parts of the environment; it does not age
	KindEmbedded Kind = "embedded" // the copy in the program
	KindTUF      Kind = "tuf"      // a TUF repository
	KindCombined Kind = "combined" // a TUF repository, or the copy in the program, with parts that were given in the place of its own
	KindKMS      Kind = "kms"      // a key management service
)

// Status is what people and metrics are told about material.
type Status struct {
	Name        string        // a file's name, a mirror's URL, a key's fingerprint or reference
	Kind        Kind          //
	Version     string        // of the content; empty if there is none
	AsOf        time.Time     // last proved to be current; zero: never, or it does not age
	Age         time.Duration // since AsOf
	Expires     time.Time     // the end of what proved it to be current; zero: unknown
	MaxStale    time.Duration // up to which age it may be used; zero: it does not age
	Stale       bool          // it should have been refreshed, and was not
	Warning     string        // for people; empty: nothing to say
	Err         error         // why there is nothing to use now
	LastAttempt time.Time     // to fetch
	LastError   error         // of the last attempt to fetch; nil if it went well
	Unsaved     error         // why there is no copy on disk of what was fetched; nil if there is one, or shall be none
}

// given is material that does not age.
type given struct {
	name    string
	root    *Root
	warning string // to follow the name; or empty
}

// Given returns material from the content of a trusted_root.json.
func Given(name string, content []byte) (Source, error) {
	r, err := parseRoot(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &given{name: name, root: r}, nil
}

// FromParts returns material from keys and certificates in PEM.
func FromParts(name string, p Parts) (Source, error) {
	pb, err := p.wire()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r, err := newRoot(pb)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &given{name: name, root: r}, nil
}

// Root implements Source.
func (g *given) Root(time.Time) (*Root, error) { return g.root, nil }

// Version implements Source.
func (g *given) Version() string { return g.root.Version }

// Status implements Source.
func (g *given) Status(time.Time) Status {
	s := Status{Name: g.name, Kind: KindGiven, Version: g.root.Version}
	if g.warning != "" {
		s.Warning = "trust material of " + g.name + ": " + g.warning
	}
	return s
}

// aged is material that a mirror keeps, with a bound of its age.
type aged struct {
	from     *mirror
	maxStale time.Duration
}

// Root implements Source.
func (a *aged) Root(now time.Time) (*Root, error) {
	h := a.from.held.Load()
	if err := a.usable(h, now); err != nil {
		return nil, err
	}
	return h.root, nil
}

// Version implements Source.
func (a *aged) Version() string {
	if r := a.from.held.Load().root; r != nil {
		return r.Version
	}
	return ""
}

var errNeverFetched = errors.New("was never fetched")

// usable says why what a mirror holds may not be used at a time.
func (a *aged) usable(h *held, now time.Time) error {
	switch {
	case h.root == nil && h.lastErr != nil:
		return fmt.Errorf("trust material of %s: %w; %s", a.from.name, h.lastErr, a.from.renew)
	case h.root == nil && h.refused != nil:
		return fmt.Errorf("trust material of %s: %w; %s", a.from.name, h.refused, a.from.renew)
	case h.root == nil:
		return fmt.Errorf("trust material of %s: %w; %s", a.from.name, errNeverFetched, a.from.renew)
	}
	if err := checkAge(h.root.AsOf, now, a.maxStale, a.from.renew); err != nil {
		return fmt.Errorf("trust material of %s%s: %w", a.from.name, h.copied(), err)
	}
	return nil
}

// copied says if what is held is the copy in the program, which nothing proves to have been current on its date.
func (h *held) copied() string {
	if h.kind == KindEmbedded {
		return " (the copy in the program)"
	}
	return ""
}

// checkAge says why what was proved at one time may not be used at another; renew is the next step.
func checkAge(asOf, now time.Time, maxStale time.Duration, renew string) error {
	age := now.Sub(asOf)
	switch {
	case age < -clockSlack:
		return fmt.Errorf("was proved to be current at %s, and the clock says %s; set the clock", stamp(asOf), stamp(now))
	case age > maxStale:
		return fmt.Errorf("last proved to be current %s ago, at most %s are allowed; %s", days(age), days(maxStale), renew)
	}
	return nil
}

// Status implements Source.
func (a *aged) Status(now time.Time) Status {
	h := a.from.held.Load()
	s := Status{Name: a.from.name, Kind: h.kind, MaxStale: a.maxStale, LastAttempt: h.lastAttempt, LastError: h.lastErr, Unsaved: h.unsaved, Err: a.usable(h, now)}
	if h.root == nil {
		s.Warning = s.Err.Error()
		return s
	}
	s.Version, s.AsOf, s.Age, s.Expires = h.root.Version, h.root.AsOf, now.Sub(h.root.AsOf), h.expires
	s.Stale = s.Age > staleAfter || !h.expires.IsZero() && now.After(h.expires)
	switch {
	case s.Err != nil:
		s.Warning = s.Err.Error()
	case s.Stale:
		s.Warning = fmt.Sprintf("trust material of %s%s: last proved to be current %s ago; it is used until %s; %s",
			s.Name, h.copied(), days(s.Age), h.root.AsOf.Add(a.maxStale).UTC().Format(time.DateOnly), a.from.renew)
		if h.lastErr != nil {
			s.Warning += fmt.Sprintf(" (the last attempt: %v)", h.lastErr)
		}
	case h.refused != nil:
		s.Warning = fmt.Sprintf("trust material of %s: the copy on disk is not used: %v", s.Name, h.refused)
	case h.unsaved != nil:
		s.Warning = fmt.Sprintf("trust material of %s: cannot be kept on disk: %v", s.Name, h.unsaved)
	}
	return s
}

// days writes an age for people.
func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
