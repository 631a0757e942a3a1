package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/assay-dev/assay/enforce/kubernetes/identity"
)

const (
	// identityEvery is how often the identity is looked at, beside whenever something of it changes.
	identityEvery = time.Second
	// identitySettle is how long an authority is in the webhook's configurations before it issues: there can be several API servers, and
	// each has to hear of it.
	identitySettle = 15 * time.Second
	// identityGrace is how long an authority that is not in the Secret stays in the webhook's configurations.
	identityGrace = 10 * time.Minute
	// identityPause is how long after a change the same thing is not changed again, so that two who want different things waste little.
	identityPause = time.Second
	// identityRequest bounds one request of it to the API server.
	identityRequest = 10 * time.Second
)

// IdentityConfig says where the identity of a webhook is kept, and who has to trust it.
type IdentityConfig struct {
	Namespace string // of the Secret and of the Service
	Secret    string // that keeps it; it is made if it is not there
	Service   string // by whose names the webhook is called
	Webhook   string // the name of the mutating and of the validating configuration; each may be missing

	Lifetimes identity.Lifetimes // zero: the default
	Settle    time.Duration      // how long an authority is trusted before it issues; zero: 15 s
	Now       func() time.Time   // zero: time.Now
}

// Identity is the webhook's own authority of certificates, which replicas share by a Secret and which the API server learns from the
// webhook's configurations. It needs to be allowed to get, list, watch and update that Secret, to create Secrets in its namespace, and to
// get, list, watch and patch those two configurations.
type Identity struct {
	config  IdentityConfig
	log     *slog.Logger
	client  dynamic.Interface
	secret  *single
	trust   []*single // the webhook's configurations
	changed chan struct{}
	every   time.Duration
	shown   atomic.Pointer[shown]

	// What follows belongs to Run.
	seen     map[string]time.Time // since when an authority is trusted everywhere
	injector injector
	told     map[string]string // the troubles that were logged
}

// shown is what a replica shows, and whose word it is.
type shown struct {
	server    *tls.Certificate
	authority *x509.Certificate
}

// Identity prepares it. Nothing is asked yet.
func (c *Cluster) Identity(config IdentityConfig) (*Identity, error) {
	for _, required := range []struct{ what, value string }{
		{"namespace", config.Namespace}, {"Secret", config.Secret}, {"Service", config.Service}, {"webhook configuration", config.Webhook},
	} {
		if required.value == "" {
			return nil, fmt.Errorf("own certificates: no %s is named", required.what)
		}
	}
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	if config.Lifetimes == (identity.Lifetimes{}) {
		config.Lifetimes = identity.DefaultLifetimes
	}
	if config.Settle == 0 {
		config.Settle = identitySettle
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	i := &Identity{
		config: config, log: c.log, client: client, changed: make(chan struct{}, 1), every: identityEvery,
		seen: map[string]time.Time{}, injector: newInjector(config.Webhook, c.log), told: map[string]string{},
	}
	if i.secret, err = newSingle(client.Resource(secrets).Namespace(config.Namespace), client, config.Secret, func() { poke(i.changed) }); err != nil {
		return nil, err
	}
	for _, resource := range webhookConfigurations {
		one, err := newSingle(client.Resource(resource), client, config.Webhook, func() { poke(i.changed) })
		if err != nil {
			return nil, err
		}
		i.trust = append(i.trust, one)
	}
	return i, nil
}

// Certificate returns what to show; nil until there is something that the API server trusts.
func (i *Identity) Certificate() *tls.Certificate {
	if now := i.shown.Load(); now != nil {
		return now.server
	}
	return nil
}

// Ready reports whether there is something to show.
func (i *Identity) Ready() bool { return i.Certificate() != nil }

// Run keeps the identity until ctx ends.
func (i *Identity) Run(ctx context.Context) {
	var watches sync.WaitGroup
	defer watches.Wait()
	synced := []cache.InformerSynced{}
	for _, one := range append([]*single{i.secret}, i.trust...) {
		watches.Go(func() { one.informer.RunWithContext(ctx) })
		synced = append(synced, one.informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return
	}
	ticker := time.NewTicker(i.every)
	defer ticker.Stop()
	for {
		if err := i.step(ctx); ctx.Err() == nil {
			i.tell("own certificates", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-i.changed:
		}
	}
}

// step brings everything one step further, from what the watches have told. Whatever it changes comes back by them.
func (i *Identity) step(ctx context.Context) error {
	now := i.config.Now()
	secret := i.secret.object()
	data, damaged := secretData(secret)
	state, unusable := identity.Parse(data, identity.Names(i.config.Service, i.config.Namespace), i.config.Lifetimes, now)
	i.tell("Secret of own certificates: what cannot be used is made anew", errors.Join(damaged, unusable))
	i.observe(state, now)
	next, changed, err := state.Advance(now, i.settled)
	if err != nil {
		return err
	}
	if changed {
		// A failure holds nothing up: what is there already is served, and trusted.
		var wrote bool
		if wrote, err = i.write(ctx, secret, next); wrote {
			return nil
		}
	}
	for n := range i.trust {
		err = errors.Join(err, i.injector.inject(ctx, i.trust[n], state.Bundle(), now))
	}
	i.show(state, now)
	return err
}

// observe notes since when authorities are trusted everywhere.
func (i *Identity) observe(state identity.State, now time.Time) {
	known := map[string]time.Time{}
	for _, cert := range state.Bundle() {
		if !i.trusted(cert) {
			continue
		}
		known[string(cert.Raw)] = now
		if since, found := i.seen[string(cert.Raw)]; found {
			known[string(cert.Raw)] = since
		}
	}
	i.seen = known
}

// trusted reports whether every webhook of every configuration that is there trusts an authority.
func (i *Identity) trusted(cert *x509.Certificate) bool {
	for _, one := range i.trust {
		for _, text := range bundles(one.object()) {
			if bundle, err := identity.ParseBundle(text); err != nil || !identity.Contains(bundle, cert) {
				return false
			}
		}
	}
	return true
}

// settled reports whether it has been trusted for so long that every API server knows.
func (i *Identity) settled(cert *x509.Certificate) bool {
	since, found := i.seen[string(cert.Raw)]
	return found && i.config.Now().Sub(since) >= i.config.Settle
}

// show puts in force what the Secret has, unless the API server would not trust it yet.
func (i *Identity) show(state identity.State, now time.Time) {
	server, authority, before := state.Server(), state.Authority(), i.shown.Load()
	if server == nil || authority == nil || !i.trusted(authority) {
		return
	}
	if before != nil {
		if bytes.Equal(before.server.Leaf.Raw, server.Leaf.Raw) {
			return
		}
		if !before.authority.Equal(authority) && now.Before(before.server.Leaf.NotAfter) && !i.settled(authority) {
			return
		}
	}
	i.shown.Store(&shown{server: server, authority: authority})
	i.log.Info("own certificate in force", "authority", authority.Subject.CommonName, "ends", server.Leaf.NotAfter)
}

// write puts a state into the Secret, if nobody else has changed it since: what they have put there comes by the watch. It reports
// whether the Secret has changed.
func (i *Identity) write(ctx context.Context, present *unstructured.Unstructured, state identity.State) (bool, error) {
	now := i.config.Now()
	if now.Sub(i.injector.wrote[i.secret]) < identityPause {
		return false, nil
	}
	i.injector.wrote[i.secret] = now
	data, err := state.Data()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, identityRequest)
	defer cancel()
	err = i.secret.keep(ctx, present, data)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("secret %s: %w", i.config.Secret, err)
	}
	i.log.Info("own certificates written", "secret", i.config.Secret, "authorities", len(state.Bundle()))
	return true, nil
}

// tell logs a trouble once, for as long as it stays the same.
func (i *Identity) tell(what string, err error) {
	if err == nil {
		delete(i.told, what)
		return
	}
	if i.told[what] != err.Error() {
		i.told[what] = err.Error()
		i.log.Warn(what, "error", err.Error())
	}
}
