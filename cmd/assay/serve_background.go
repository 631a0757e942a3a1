package main

import (
	"context"
	"net/http"
	"sync"

	"github.com/assay-dev/assay/enforce/kubernetes"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
)

// background is what a server knows of its cluster, and what keeps that current.
type background struct {
	namespaces *cluster.Namespaces
	needs      []knowledge
	runs       []func(context.Context)
	own        *cluster.Identity  // nil: no --own-ca
	events     *kubernetes.Events // nil: nobody is told
}

// know prepares what is to be known of the cluster. Nothing is asked yet.
func (s *server) know(api *cluster.Cluster, o *serveKubernetesOptions) (*background, error) {
	b := &background{}
	watches := &contacts{log: s.log, metrics: s.metrics}
	s.metrics.look = append(s.metrics.look, watches.measure)
	var err error
	if b.namespaces, err = api.Namespaces(); err != nil {
		return nil, err
	}
	b.needs = append(b.needs, knowledge{"the namespaces of the cluster", b.namespaces.Ready})
	b.runs = append(b.runs, b.namespaces.Run, watches.run)
	watches.watch("namespaces", b.namespaces.Silence)
	if b.own, err = s.ownIdentity(api, o); err != nil {
		return nil, err
	}
	if b.own != nil {
		b.runs = append(b.runs, b.own.Run)
	}
	trusted, err := s.trustedByWebhook(api, o)
	if err != nil {
		return nil, err
	}
	if trusted != nil {
		b.runs = append(b.runs, trusted.Run)
	}
	if b.events, err = s.events(api, o); err != nil {
		return nil, err
	}
	if b.events != nil {
		b.runs = append(b.runs, b.events.Run)
	}
	if o.resources {
		_, err := s.knowPolicies(b, watches, api, o.ownNamespace)
		return b, err
	}
	return b, nil
}

// knowPolicies prepares what --policy-resources asks for; own is the own namespace.
func (s *server) knowPolicies(b *background, watches *contacts, api *cluster.Cluster, own string) (*resources, error) {
	r, err := s.newResources(api, own)
	if err != nil {
		return nil, err
	}
	s.awaited = r.loaded
	b.needs = append(b.needs, knowledge{"the policies of the cluster", r.ready.Load})
	b.runs = append(b.runs, r.run)
	watches.watch("policies", r.policies.Silence)
	watches.watch("files", r.files.Silence)
	return r, nil
}

// begin keeps everything current until end is called.
func (b *background) begin(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	for _, run := range b.runs {
		group.Go(func() { run(ctx) })
	}
	return func() {
		cancel()
		group.Wait()
	}
}

// ownIdentity is the identity of --own-ca; nil without it.
func (s *server) ownIdentity(api *cluster.Cluster, o *serveKubernetesOptions) (*cluster.Identity, error) {
	if o.ownCA == "" {
		return nil, nil
	}
	own, err := api.Identity(cluster.IdentityConfig{
		Namespace: o.ownNamespace, Secret: o.ownCA, Service: o.service, Webhook: o.webhook, Now: s.app.now,
	})
	if err == nil {
		s.known(own)
	}
	return own, err
}

// trustedByWebhook has the webhook's configurations trust who is above --tls-cert; nil without --webhook-ca.
func (s *server) trustedByWebhook(api *cluster.Cluster, o *serveKubernetesOptions) (*cluster.Trusted, error) {
	if o.webhookCA == "" {
		return nil, nil
	}
	above := &webhookAuthorities{file: o.webhookCA}
	if err := s.watch("webhook-authorities", above.load); err != nil {
		return nil, err
	}
	return api.Trusted(o.webhook, above.certificates, s.app.now)
}

// trusting is not ready before the API server trusts what is shown.
func trusting(own *cluster.Identity, ready http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own != nil && !own.Ready() {
			http.Error(w, "not ready: the API server does not trust the own certificate yet", http.StatusServiceUnavailable)
			return
		}
		ready.ServeHTTP(w, r)
	})
}

// events tells people in the cluster of refusals, where that is wanted.
func (s *server) events(api *cluster.Cluster, o *serveKubernetesOptions) (*kubernetes.Events, error) {
	if !o.events {
		return nil, nil
	}
	writer, err := api.Events(kubernetes.ErrNoEvent)
	if err != nil {
		return nil, err
	}
	return kubernetes.NewEvents(writer, s.metrics.event, s.log, s.app.now), nil
}
