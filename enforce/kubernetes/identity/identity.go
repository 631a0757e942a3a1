// Package identity is the webhook's own authority of certificates: what it is made of, and what the next step of its life is. It does no
// I/O; package cluster keeps it in a Secret and has the API server trust it.
//
// The libraries that keep a webhook's certificates in a Secret hold one authority at a time. Here two are trusted at once, so that the
// authority itself changes while the API server goes on asking and no replica waits for another.
package identity

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"time"
)

// Keys of the Secret. The first two are those of a Secret of type kubernetes.io/tls.
const (
	ServerCertificate    = "tls.crt"      // what replicas show
	ServerKey            = "tls.key"      //
	AuthorityCertificate = "ca.crt"       // the authority that issues
	AuthorityKey         = "ca.key"       //
	NextCertificate      = "next-ca.crt"  // the one that issues soon, once it is trusted everywhere; absent most of the time
	NextKey              = "next-ca.key"  //
	OldCertificates      = "old-ca.crt"   // those that have issued what may be served still; absent most of the time
	OldUntil             = "old-ca.until" // when that ends, as RFC 3339 has it
)

// Lifetimes are how long certificates are valid. They are renewed when two thirds of that have passed.
type Lifetimes struct {
	Authority time.Duration
	Server    time.Duration
}

// DefaultLifetimes are a year for an authority and thirty days for what a server shows.
var DefaultLifetimes = Lifetimes{Authority: 365 * 24 * time.Hour, Server: 30 * 24 * time.Hour}

// State is what stands in the Secret, as far as it can be used: what cannot is nil.
type State struct {
	authority *authority
	server    *tls.Certificate
	next      *authority
	old       []*x509.Certificate
	until     time.Time

	names []string
	life  Lifetimes
}

// New returns a State in which nothing is, for servers of these names.
func New(names []string, life Lifetimes) State { return State{names: names, life: life} }

// Names are those by which an API server and others in a cluster call a Service.
func Names(service, namespace string) []string {
	name := service + "." + namespace
	return []string{service, name, name + ".svc", name + ".svc.cluster.local"}
}

// Authority returns the certificate of the authority that issues; nil if there is none.
func (s State) Authority() *x509.Certificate {
	if s.authority == nil {
		return nil
	}
	return s.authority.cert
}

// Server returns what replicas show, with its Leaf; nil if there is nothing to show.
func (s State) Server() *tls.Certificate { return s.server }

// Bundle returns whatever the API server has to trust: the authority that issues, the one that will, and those that did.
func (s State) Bundle() []*x509.Certificate {
	var all []*x509.Certificate
	for _, a := range []*authority{s.authority, s.next} {
		if a != nil {
			all = append(all, a.cert)
		}
	}
	return append(all, s.old...)
}

// Advance returns what should stand in the Secret at time now, and whether that is something else. trusted reports whether the API server
// has trusted an authority for so long that every part of it knows. What was lost is made anew; until that is trusted, replicas show what
// they have shown.
func (s State) Advance(now time.Time, trusted func(*x509.Certificate) bool) (next State, changed bool, err error) {
	next = s
	next.old = slices.Clone(s.old)
	changed = next.forget(now)
	for _, step := range []func(time.Time, func(*x509.Certificate) bool) (bool, error){next.found, next.prepare, next.promote, next.renew} {
		stepped, err := step(now, trusted)
		if err != nil {
			return State{}, false, err
		}
		changed = changed || stepped
	}
	return next, changed, nil
}

// forget drops old authorities of which nothing can be served any more.
func (s *State) forget(now time.Time) bool {
	if len(s.old) == 0 || now.Before(s.until) {
		return false
	}
	s.old, s.until = nil, time.Time{}
	return true
}

// found makes an authority where there is none.
func (s *State) found(now time.Time, _ func(*x509.Certificate) bool) (bool, error) {
	if s.authority != nil || s.next != nil {
		return false, nil
	}
	var err error
	s.authority, err = newAuthority(s.names, now, s.life.Authority)
	return true, err
}

// prepare makes the next authority when the time of the present one runs out, or if it cannot issue.
func (s *State) prepare(now time.Time, _ func(*x509.Certificate) bool) (bool, error) {
	if s.next != nil || s.authority.key != nil && !due(s.authority.cert, now) {
		return false, nil
	}
	var err error
	s.next, err = newAuthority(s.names, now, s.life.Authority)
	return true, err
}

// promote lets the next authority issue, once it is trusted; at once, if there is nothing to show until then.
func (s *State) promote(now time.Time, trusted func(*x509.Certificate) bool) (bool, error) {
	if s.next == nil || s.server != nil && !trusted(s.next.cert) {
		return false, nil
	}
	if s.authority != nil {
		s.retire(s.authority.cert, now)
	}
	s.authority, s.next, s.server = s.next, nil, nil
	return true, nil
}

// retire keeps an authority in the bundle for as long as something that it issued can be valid.
func (s *State) retire(cert *x509.Certificate, now time.Time) {
	s.old = append([]*x509.Certificate{cert}, s.old...)
	s.old = s.old[:min(len(s.old), maxOld)]
	if until := now.Add(s.life.Server); until.After(s.until) {
		s.until = until
	}
}

// renew issues what replicas show, when its time runs out.
func (s *State) renew(now time.Time, _ func(*x509.Certificate) bool) (bool, error) {
	if s.authority.key == nil || s.server != nil && !due(s.server.Leaf, now) {
		return false, nil
	}
	var err error
	s.server, err = s.authority.issue(s.names, now, s.life.Server)
	return true, err
}

// due reports whether two thirds of a certificate's time have passed.
func due(cert *x509.Certificate, now time.Time) bool {
	made := cert.NotBefore.Add(backdate)
	return !now.Before(made.Add(cert.NotAfter.Sub(made) * 2 / 3))
}

// Contains reports whether a certificate is in a bundle.
func Contains(bundle []*x509.Certificate, cert *x509.Certificate) bool {
	return slices.ContainsFunc(bundle, cert.Equal)
}
