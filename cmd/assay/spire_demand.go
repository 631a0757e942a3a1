package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/node"
	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/notation"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// spireDemands makes what the configurations of a SPIRE attestor demand of images. What one configuration was decided with goes on being used
// by the next, caches included, where nothing that decides is different.
type spireDemands struct {
	app      *app
	plugin   *spire.Plugin
	stateDir string // as --state-dir

	mu   sync.Mutex
	last *spireDecider // that was made last; nil: none is in use
}

// spireVerifier makes what a configuration demands of images. Each attestor has one of its own, which keeps what it has learned over its
// configurations.
func (a *app) spireVerifier(p *spire.Plugin) spire.NewVerifier {
	return (&spireDemands{app: a, plugin: p}).newVerifier
}

// spireDecider is an engine with all that is kept current for it.
type spireDecider struct {
	fileWatcher
	owner    *spireDemands
	key      string // of all that it was made of; files that are watched are not in it
	users    int    // guarded by the owner's mu
	source   *currentClient
	keeper   *material.Keeper
	revoked  *notation.Revocations
	engine   *engine.Engine
	policies *policySet
	point    *enforce.Point

	looking sync.Mutex // held by whoever loads what is watched
	stale   string     // trust material that should have been refreshed, as it was told last; guarded by looking
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// newVerifier is a spire.NewVerifier. It reads files and connects to nothing: what is to be fetched is fetched in the background.
func (d *spireDemands) newVerifier(v spire.Verification, kind string) (spire.Verifier, error) {
	if !v.Demanded() {
		return nil, nil
	}
	if v.Sigstore != nil && v.Policy != "" {
		return nil, usageError("only one of [sigstore, policy] can be used")
	}
	if v.Node != "" {
		return d.atNode(v, kind)
	}
	made, err := d.decider(v)
	if err != nil {
		if v.Sigstore != nil {
			return nil, fmt.Errorf("error initializing sigstore verifier: %w", err)
		}
		return nil, fmt.Errorf("error initializing policy: %w", err)
	}
	for _, key := range weakenedBy(v.Sigstore) {
		d.plugin.Count("weakened_checks", "attestor", kind, "key", key)
	}
	return spire.NewDemand(spire.DemandConfig{
		Kind: kind, Sigstore: v.Sigstore, Point: made.point, Log: d.plugin.Log(), Meter: d.plugin,
		Lenient: func(r engine.Request) bool { return made.engine.Lenient(r.Request) },
		Close:   sync.OnceFunc(func() { d.release(made) }),
	}), nil
}

// atNode has the daemon of the node decide, which need not be there yet. What cannot even be asked about passes never, whatever the daemon's
// policies are: it answers for images, and an answer that nobody was asked for is none.
func (d *spireDemands) atNode(v spire.Verification, kind string) (spire.Verifier, error) {
	if v.Sigstore != nil || v.Policy != "" {
		return nil, usageError("only one of [sigstore, policy, node_socket] can be used")
	}
	daemon := node.Open(v.Node)
	return spire.NewDemand(spire.DemandConfig{
		Kind: kind, Point: &enforce.Point{Decider: daemon, Timeout: spire.EvidenceTimeout}, Log: d.plugin.Log(), Meter: d.plugin,
		Close: daemon.Close,
	}), nil
}

// weakenedBy lists the keys of a block that make a check weaker.
func weakenedBy(s *spire.SigstoreSettings) []string {
	var keys []string
	if s == nil {
		return keys
	}
	for key, set := range map[string]bool{
		"ignore_tlog": s.IgnoreTlog, "ignore_sct": s.IgnoreSCT, "insecure_partial_patterns": s.PartialPatterns, "allowed_identities": len(s.Identities) == 0 && !s.Old,
	} {
		if set {
			keys = append(keys, key)
		}
	}
	return keys
}

// decider returns what to decide with: that of the configuration before, if nothing is different.
func (d *spireDemands) decider(v spire.Verification) (*spireDecider, error) {
	given, err := d.app.installedMaterialBy(readPlain) // the agent waits, and would wait for whoever writes to a pipe
	if err != nil {
		return nil, err
	}
	given.Folder = d.app.materialFolder("")
	text, err := spirePolicy(v.Sigstore)
	if err != nil {
		return nil, err
	}
	key := spireKey(v, text, &given)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && d.last.key == key {
		if err := d.last.readAgain(); err != nil {
			return nil, err
		}
		d.last.users++
		return d.last, nil
	}
	made := &spireDecider{owner: d, key: key, users: 1, source: &currentClient{}}
	if err := made.make(v, text, given); err != nil {
		made.source.use(nil)
		return nil, err
	}
	made.run()
	d.last = made
	return made, nil
}

// spireKey names all that decides.
func spireKey(v spire.Verification, text []byte, given *material.Default) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q", text, v.Policy, given.Folder, given.Mirror)
	for _, f := range []material.File{given.RootFile, given.RekorKeys, given.CTLogKeys, given.TimestampChain, given.FirstRoot} {
		fmt.Fprintf(h, " %q %q", f.Name, f.Content)
	}
	if v.Sigstore != nil {
		for _, registry := range slices.Sorted(maps.Keys(v.Sigstore.Credentials)) {
			c := v.Sigstore.Credentials[registry]
			fmt.Fprintf(h, " %q %q %q", registry, c.Username, c.Password)
		}
	}
	return string(h.Sum(nil))
}

// make opens everything.
func (s *spireDecider) make(v spire.Verification, text []byte, given material.Default) error {
	a, plugin := s.owner.app, s.owner.plugin
	s.fileWatcher = fileWatcher{log: plugin.Log(), loaded: func(what string, err error) {
		result := "used"
		if err != nil {
			result = "refused"
		}
		plugin.Count("loads", "what", what, "result", result)
	}}
	config := a.materialConfig(given, "")
	config.Log = plugin.Log()
	var err error
	if s.keeper, err = material.New(config); err != nil {
		return fmt.Errorf("trust material: %w", err)
	}
	registries, err := a.spireRegistries(v.Sigstore)
	if err != nil {
		return err
	}
	if err := s.watch("registries", func(r *reading) error {
		client, err := registries.clientOf(r)
		if err != nil {
			return err
		}
		s.source.use(client)
		return nil
	}); err != nil {
		return err
	}
	s.revoked = notation.NewRevocations(nil, a.now)
	if s.engine, err = a.makeEngine(nil, peers{source: s.source, keeper: s.keeper, revoked: s.revoked, seen: a.seenIn(s.owner.stateDir), timeout: spire.EvidenceTimeout}); err != nil {
		return err
	}
	s.policies = &policySet{engine: s.engine, log: plugin.Log()}
	s.point = &enforce.Point{Decider: s.engine, Timeout: spire.EvidenceTimeout}
	part := s.policies.part()
	if v.Sigstore != nil {
		p, err := policy.Parse(policy.Source{Name: "sigstore", Data: text}, formatNames())
		if err != nil {
			return err
		}
		return part.use([]*policy.Policy{p})
	}
	return s.watch("policies", func(r *reading) error {
		policies, err := r.policies([]string{v.Policy})
		if err != nil {
			return err
		}
		return part.use(policies)
	})
}

// readAgain reads what is watched as it is now: a configuration names it anew, and is refused if it cannot be used.
func (s *spireDecider) readAgain() error {
	s.looking.Lock()
	defer s.looking.Unlock()
	for _, w := range s.watches {
		next := &reading{}
		if err := w.load(next); err != nil {
			return err
		}
		w.last, w.seen = next, ""
	}
	return nil
}

// run keeps everything current until release.
func (s *spireDecider) run() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	start := func(name string, fn func()) {
		s.running.Add(1)
		s.owner.plugin.Go(name, func() {
			defer s.running.Done()
			fn()
		})
	}
	start("trust material", func() { s.keeper.Run(ctx) })
	start("revocations", func() { s.revoked.Run(ctx) })
	start("files", func() {
		every(ctx, s.owner.app.pace.orUsual().files, func() {
			_ = s.owner.plugin.Guard("files", s.lookOnce) // it is logged, and the next look is made all the same
		})
	})
}

// lookOnce looks at files, and at the age of trust material.
func (s *spireDecider) lookOnce() {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.look()
	now := s.owner.app.now()
	var old []string
	for _, one := range s.keeper.Statuses(now) {
		if one.Stale || one.Err != nil {
			old = append(old, one.Name)
		}
	}
	if stale := strings.Join(old, ", "); stale != s.stale {
		s.stale = stale
		if stale == "" {
			s.log.Info("trust material is fresh")
			return
		}
		s.owner.plugin.Count("stale_trust_material")
		for _, one := range s.keeper.Statuses(now) {
			if one.Stale || one.Err != nil {
				s.log.Warn("trust material is not fresh", "source", one.Name, "age", one.Age.String(), "warning", one.Warning, slog.Any("error", one.Err))
			}
		}
	}
}

// release lets go of a decider that nobody uses any more.
func (d *spireDemands) release(s *spireDecider) {
	d.mu.Lock()
	s.users--
	over := s.users == 0
	if over && d.last == s {
		d.last = nil
	}
	d.mu.Unlock()
	if !over {
		return
	}
	s.cancel()
	s.running.Wait()
	s.source.use(nil)
}
