package spire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/enforce/spire/proto/initv1"
)

// Limits of the plugin's server.
const (
	maxRequest = 4 << 20               // bytes of a request; a configuration is the largest
	maxCalls   = 8192                  // attestations at once, with those that nobody waits for any more
	maxLate    = 50 * time.Millisecond // how long an attestation may go on after its time
	maxEnd     = 2 * time.Second       // to end what is running when nobody calls any more

	configureTimeout = 10 * time.Second // for a configuration: a file that it names may be on a disk that hangs
)

// callerKey is the metadata key by which the agent's broker says for whom it asks.
const callerKey = "spire-agent-broker-caller-id"

// services are what the agent may bind beside Init.
var services = [...]string{attestorv1.WorkloadAttestor_ServiceDesc.ServiceName, configv1.Config_ServiceDesc.ServiceName}

// Config is what a Server is made of.
type Config struct {
	Plugin   *Plugin
	Attestor Attestor
}

// Server is the services of a plugin. It is safe for concurrent use.
type Server struct {
	initv1.UnimplementedInitServer
	configv1.UnimplementedConfigServer
	attestorv1.UnimplementedWorkloadAttestorServer

	plugin    *Plugin
	attestor  Attestor
	current   current
	configure chan struct{} // held by whoever makes a state of a configuration
	patience  time.Duration // for a configuration
	calls     atomic.Int64

	dial    dialer
	dialled sync.Once
	ended   context.Context
	end     context.CancelFunc
	telling sync.WaitGroup
}

// NewServer makes a server. It panics if its configuration is incomplete.
func NewServer(c Config) *Server {
	if c.Plugin == nil || c.Attestor == nil {
		panic("spire: a server needs a plugin and an attestor")
	}
	s := &Server{plugin: c.Plugin, attestor: c.Attestor, current: current{plugin: c.Plugin}, configure: make(chan struct{}, 1), patience: configureTimeout}
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// Options are what a gRPC server has to be made with for the services.
func (s *Server) Options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(s.plugin.unary), grpc.ChainStreamInterceptor(s.plugin.stream), grpc.MaxRecvMsgSize(maxRequest),
	}
}

// Register adds the services to a gRPC server. Dial reaches the agent's own services; it is called once, if the agent offers to count.
func (s *Server) Register(to grpc.ServiceRegistrar, dial func() (grpc.ClientConnInterface, error)) {
	s.dial = dial
	initv1.RegisterInitServer(to, s)
	configv1.RegisterConfigServer(to, s)
	attestorv1.RegisterWorkloadAttestorServer(to, s)
}

// Close ends what the server keeps running, when no call is made any more. It waits for it, but not for calls that hang.
func (s *Server) Close() {
	s.end()
	s.current.replace(nil)
	done := make(chan struct{})
	s.plugin.Go("end", func() {
		defer close(done)
		s.telling.Wait()
		s.current.open.Wait()
	})
	late := time.NewTimer(maxEnd)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
	}
}

// Init implements the agent's first question.
func (s *Server) Init(_ context.Context, r *initv1.InitRequest) (*initv1.InitResponse, error) {
	for _, name := range r.GetHostServiceNames() {
		if name == metricsService && s.dial != nil {
			s.dialled.Do(s.startTelling)
		}
	}
	return &initv1.InitResponse{PluginServiceNames: services[:]}, nil
}

func (s *Server) startTelling() {
	s.telling.Add(1)
	s.plugin.Go("tell the agent what is counted", func() {
		defer s.telling.Done()
		s.plugin.keepTelling(s.ended, s.dial)
	})
}

// Deinit implements the announcement of the end. There is nothing to be done before it.
func (s *Server) Deinit(context.Context, *initv1.DeinitRequest) (*initv1.DeinitResponse, error) {
	return &initv1.DeinitResponse{}, nil
}

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

// Attest returns the selectors of a process.
func (s *Server) Attest(ctx context.Context, r *attestorv1.AttestRequest) (*attestorv1.AttestResponse, error) {
	values, err := s.call(ctx, slog.Int("pid", int(r.GetPid())), func(ctx context.Context, state State) ([]string, error) {
		return state.Attest(ctx, r.GetPid())
	})
	if err != nil {
		return nil, err
	}
	return &attestorv1.AttestResponse{SelectorValues: values}, nil
}

// AttestReference returns the selectors of a workload that is named in another way.
func (s *Server) AttestReference(ctx context.Context, r *attestorv1.AttestReferenceRequest) (*attestorv1.AttestReferenceResponse, error) {
	callers := metadata.ValueFromIncomingContext(ctx, callerKey)
	about := slog.String("reference", r.GetReference().GetTypeUrl())
	values, err := s.call(ctx, about, func(ctx context.Context, state State) ([]string, error) {
		return state.AttestReference(ctx, r.GetReference(), callers)
	})
	if err != nil {
		return nil, err
	}
	return &attestorv1.AttestReferenceResponse{SelectorValues: values}, nil
}

// answer is what came of a call.
type answer struct {
	values []string
	err    error
}

// call asks the state in force. It ends soon after the caller has left or the time is up, whatever the state does.
func (s *Server) call(ctx context.Context, about slog.Attr, ask func(context.Context, State) ([]string, error)) ([]string, error) {
	start := time.Now()
	a := s.ask(ctx, ask)
	if a.err == nil {
		a.err = sound(a.values)
	}
	if a.err != nil {
		a = answer{err: told(a.err, ctx.Err())}
	}
	s.record(a, about, time.Since(start))
	return a.values, a.err
}

func (s *Server) ask(ctx context.Context, ask func(context.Context, State) ([]string, error)) answer {
	h := s.current.take()
	if h == nil {
		return answer{err: errNotConfigured}
	}
	if s.calls.Add(1) > maxCalls {
		s.calls.Add(-1)
		s.current.giveBack(h)
		return answer{err: Refuse(enforce.CannotTell, codes.Unavailable, fmt.Sprintf("%sthere are %d calls already", tryAgain, maxCalls))}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.patience, fmt.Errorf("no answer within %v", h.patience))
	defer cancel()
	answers := make(chan answer, 1) // nobody may wait for it any more
	s.plugin.Go("attestation", func() {
		a := answer{err: errBug} // unless the end is reached
		defer func() {
			s.calls.Add(-1)
			s.current.giveBack(h)
			answers <- a
		}()
		_ = s.plugin.Guard("attestation", func() { // a is what comes of a bug
			values, err := ask(ctx, h.state)
			a = answer{values: values, err: err}
		})
	})
	return await(ctx, answers)
}

// await waits for an answer, and after the end of the context only as long as it takes to say why there is none.
func await(ctx context.Context, answers <-chan answer) answer {
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
	}
	late := time.NewTimer(maxLate)
	defer late.Stop()
	select {
	case a := <-answers:
		if errors.Is(a.err, context.DeadlineExceeded) {
			a.err = context.Cause(ctx)
		}
		return a
	case <-late.C:
		return answer{err: context.Cause(ctx)}
	}
}

// sound refuses selectors that could not be sent.
func sound(values []string) error {
	for i, v := range values {
		if v == "" || !utf8.ValidString(v) {
			return fmt.Errorf("selector %d of %d is no text", i+1, len(values))
		}
	}
	return nil
}

// record counts what came of a call, and logs what failed. The agent logs errors as well, but not what they mean.
func (s *Server) record(a answer, about slog.Attr, took time.Duration) {
	outcome, level := outcomeOf(a)
	s.plugin.Count("attestations", "attestor", s.attestor.Name(), "outcome", outcome)
	if a.err == nil {
		return
	}
	s.plugin.log.LogAttrs(context.Background(), level, "attestation failed", about, slog.String("meaning", outcome),
		slog.String("error", status.Convert(a.err).Message()), slog.String("code", status.Code(a.err).String()), slog.Duration("took", took))
}

// outcomeOf returns what came of a call in a word or two, and how much it matters to operators. A refusal to answer is no denial.
func outcomeOf(a answer) (string, slog.Level) {
	if a.err == nil && len(a.values) == 0 {
		return "none", slog.LevelDebug
	}
	if a.err == nil {
		return "selectors", slog.LevelDebug
	}
	switch status.Code(a.err) {
	case codes.Canceled:
		return "canceled", slog.LevelDebug
	case codes.Unimplemented: // the agent asks in the other way
		return "not supported", slog.LevelDebug
	case codes.InvalidArgument:
		return "wrong request", slog.LevelWarn
	}
	return meaningOf(a.err).String(), slog.LevelWarn
}
