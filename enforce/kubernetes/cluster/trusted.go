package cluster

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/assay-dev/assay/enforce/kubernetes/identity"
)

// injector has the configurations of a webhook trust authorities. It belongs to one goroutine.
type injector struct {
	webhook string
	log     *slog.Logger
	strange map[string]time.Time // since when an authority that nobody here knows is trusted
	wrote   map[*single]time.Time
	failed  map[*single]error // the last time
}

func newInjector(webhook string, log *slog.Logger) injector {
	return injector{webhook: webhook, log: log, strange: map[string]time.Time{}, wrote: map[*single]time.Time{}, failed: map[*single]error{}}
}

// inject has one configuration trust a bundle. What else it trusts is dropped only after a while.
func (i *injector) inject(ctx context.Context, one *single, bundle []*x509.Certificate, now time.Time) error {
	if len(bundle) == 0 {
		return nil
	}
	want, object := map[int][]byte{}, one.object()
	for n, text := range bundles(object) {
		present, err := identity.ParseBundle(text) // what is unreadable is replaced
		trusted := identity.Join(bundle, i.strangers(bundle, present, now), now)
		if err != nil || !same(trusted, present) {
			want[n] = identity.EncodeBundle(trusted)
		}
	}
	if len(want) > 0 && now.Sub(i.wrote[one]) < identityPause {
		return i.failed[one]
	}
	delete(i.failed, one)
	if len(want) == 0 {
		return nil
	}
	i.wrote[one] = now
	ctx, cancel := context.WithTimeout(ctx, identityRequest)
	defer cancel()
	err := one.trust(ctx, object, want)
	if apierrors.IsConflict(err) || apierrors.IsInvalid(err) {
		return nil // somebody was faster
	}
	if err != nil {
		i.failed[one] = fmt.Errorf("webhook configuration %s: %w", i.webhook, err)
		return i.failed[one]
	}
	i.log.Info("webhook configuration trusts authority", "name", i.webhook, "authorities", len(bundle))
	return nil
}

// same reports whether two bundles have the same certificates: in which order is nobody's to fight about.
func same(a, b []*x509.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for _, cert := range a {
		if !identity.Contains(b, cert) {
			return false
		}
	}
	return true
}

// strangers are those of a configuration's authorities that are not in the bundle, as long as somebody may show what is of them: after the
// Secret was lost, or when certificates came from elsewhere before.
func (i *injector) strangers(bundle, present []*x509.Certificate, now time.Time) []*x509.Certificate {
	var kept []*x509.Certificate
	for _, cert := range present {
		if identity.Contains(bundle, cert) {
			delete(i.strange, string(cert.Raw))
			continue
		}
		if _, found := i.strange[string(cert.Raw)]; !found {
			i.strange[string(cert.Raw)] = now
		}
		if now.Sub(i.strange[string(cert.Raw)]) < identityGrace {
			kept = append(kept, cert)
		}
	}
	return kept
}

// Trusted has the configurations of a webhook trust authorities that somebody else gives. It needs to be allowed to get, list, watch and
// patch those two configurations.
type Trusted struct {
	bundle   func() []*x509.Certificate
	now      func() time.Time
	injector injector
	trust    []*single
	changed  chan struct{}
	every    time.Duration
	told     string
}

// Trusted prepares it for the mutating and the validating configuration of one name; each may be missing. bundle is asked once a second,
// and whenever a configuration changes; while it is empty, nothing is done. Nothing is asked of the API server yet.
func (c *Cluster) Trusted(webhook string, bundle func() []*x509.Certificate, now func() time.Time) (*Trusted, error) {
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	t := &Trusted{bundle: bundle, now: now, injector: newInjector(webhook, c.log), changed: make(chan struct{}, 1), every: identityEvery}
	for _, resource := range webhookConfigurations {
		one, err := newSingle(client.Resource(resource), client, webhook, func() { poke(t.changed) })
		if err != nil {
			return nil, err
		}
		t.trust = append(t.trust, one)
	}
	return t, nil
}

// Run keeps it so until ctx ends.
func (t *Trusted) Run(ctx context.Context) {
	var watches sync.WaitGroup
	defer watches.Wait()
	synced := []cache.InformerSynced{}
	for _, one := range t.trust {
		watches.Go(func() { one.informer.RunWithContext(ctx) })
		synced = append(synced, one.informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return
	}
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		var err error
		for _, one := range t.trust {
			err = errors.Join(err, t.injector.inject(ctx, one, t.bundle(), t.now()))
		}
		if ctx.Err() == nil {
			t.tell(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-t.changed:
		}
	}
}

// tell logs a trouble once, for as long as it stays the same.
func (t *Trusted) tell(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != t.told {
		t.injector.log.Warn("the webhook's authority is not trusted", "error", text)
	}
	t.told = text
}

// poke wakes whoever waits for changes.
func poke(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}
