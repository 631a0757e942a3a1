package spire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
)

// configureTimeout is for a configuration: a file that it names may be on a disk that hangs.
const configureTimeout = 10 * time.Second

// Configure puts a configuration into force, or leaves the one before where it is. It ends in time, whatever the files are that the
// configuration names: what is made of them too late is never in force.
func (s *Server) Configure(ctx context.Context, r *configv1.ConfigureRequest) (*configv1.ConfigureResponse, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience, fmt.Errorf("the files that the configuration names could not be read within %v", s.patience))
	defer cancel()
	select {
	case s.configure <- struct{}{}:
	case <-ctx.Done():
		return nil, s.late(errors.New("another configuration is still being read"))
	}
	outcome := make(chan error, 1) // nobody may wait for it any more
	var asked asking
	s.plugin.Go("configuration", func() {
		err := errBug // unless the end is reached
		defer func() {
			<-s.configure
			outcome <- err
		}()
		if bug := s.plugin.Guard("configuration", func() { err = s.use(&asked, r) }); bug != nil {
			err = bug
		}
	})
	select {
	case err := <-outcome:
		return inForce(err)
	case <-ctx.Done():
	}
	if asked.leave() {
		return nil, s.late(context.Cause(ctx))
	}
	return inForce(<-outcome) // it has come into force meanwhile
}

func inForce(err error) (*configv1.ConfigureResponse, error) {
	if err != nil {
		return nil, err
	}
	return &configv1.ConfigureResponse{}, nil
}

// asking is a configuration for which somebody waits, until it is in force.
type asking struct {
	mu         sync.Mutex
	left, over bool
}

// leave reports whether the configuration is not in force, and never will be.
func (a *asking) leave() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = !a.over
	return a.left
}

// end puts the configuration into force, if somebody still waits for it. It reports whether it did.
func (a *asking) end(use func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left {
		return false
	}
	use()
	a.over = true
	return true
}

// use puts a configuration into force, if somebody still waits for it.
func (s *Server) use(asked *asking, r *configv1.ConfigureRequest) error {
	settings, trustDomain, notes := s.read(r.GetCoreConfiguration(), r.GetHclConfiguration())
	var problem string
	for _, n := range notes {
		switch {
		case n.Usual:
			s.plugin.log.Info("configuration", "remark", n.Text)
		case !n.Problem:
			s.plugin.log.Warn("configuration", "remark", n.Text)
		case problem == "":
			problem = n.Text
		}
	}
	if problem != "" {
		return s.refused(codes.InvalidArgument, problem)
	}
	var previous State
	if h := s.current.held.Load(); h != nil { // in force until the end of this call
		previous = h.state
	}
	made, err := s.attestor.Make(settings, trustDomain, previous)
	if err != nil {
		return s.refused(codes.InvalidArgument, err.Error())
	}
	if made == nil {
		panic("spire: an attestor made nothing of its settings")
	}
	if s.ended.Err() != nil || !asked.end(func() { s.current.replace(made) }) {
		made.Close() // whoever asked was told that it is not in force
		return errNotConfigured
	}
	s.plugin.Count("configurations", "outcome", "in force")
	s.plugin.log.Info("configured", "attestor", s.attestor.Name(), "trust_domain", trustDomain)
	return nil
}

// late is the answer where nobody can tell yet whether a configuration can be used.
func (s *Server) late(err error) error {
	return s.refused(codes.Unavailable, tryAgain+err.Error())
}

// refused is the answer to a configuration that does not come into force.
func (s *Server) refused(code codes.Code, problem string) error {
	s.plugin.Count("configurations", "outcome", "refused")
	s.plugin.log.Error("configuration refused; what was in force before stays", "attestor", s.attestor.Name(), "error", problem)
	return status.Error(code, problem)
}

// Validate says what is to be said about a configuration.
func (s *Server) Validate(_ context.Context, r *configv1.ValidateRequest) (*configv1.ValidateResponse, error) {
	_, _, notes := s.read(r.GetCoreConfiguration(), r.GetHclConfiguration())
	answer := &configv1.ValidateResponse{Valid: true}
	for _, n := range notes {
		answer.Valid = answer.Valid && !n.Problem
		answer.Notes = append(answer.Notes, n.Text)
	}
	return answer, nil
}

// read reads the text of a configuration, and nothing else.
func (s *Server) read(core *configv1.CoreConfiguration, hcl string) (settings any, trustDomain string, notes []Note) {
	problem := func(format string, args ...any) {
		notes = append(notes, Note{Text: fmt.Sprintf(format, args...), Problem: true})
	}
	switch {
	case core == nil:
		problem("server core configuration is required")
	case core.GetTrustDomain() == "":
		problem("server core configuration must contain trust_domain")
	default:
		var err error
		if trustDomain, err = parseTrustDomain(core.GetTrustDomain()); err != nil {
			problem("server core configuration trust_domain is malformed: %v", err)
		}
	}
	settings, more := s.attestor.Read(hcl)
	return settings, trustDomain, append(notes, more...)
}
