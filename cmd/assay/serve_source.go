package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust"
)

// registrySource is all that an engine asks of registries.
type registrySource interface {
	trust.Source
	trust.TrustServer
	engine.Tags
}

// currentClient is a client of registries that can be replaced while it is used.
type currentClient struct {
	client atomic.Pointer[registry.Client]
}

var (
	_ registrySource = (*registry.Client)(nil)
	_ registrySource = (*currentClient)(nil)
)

var errNoRegistries = errors.New("the server has ended")

// use replaces the client; nil ends it.
func (c *currentClient) use(client *registry.Client) {
	if old := c.client.Swap(client); old != nil {
		old.CloseIdleConnections()
	}
}

// Resolve implements engine.Tags.
func (c *currentClient) Resolve(ctx context.Context, ref image.Ref) (trust.Descriptor, error) {
	if client := c.client.Load(); client != nil {
		return client.Resolve(ctx, ref)
	}
	return trust.Descriptor{}, errNoRegistries
}

// Manifest implements trust.Source.
func (c *currentClient) Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error) {
	if client := c.client.Load(); client != nil {
		return client.Manifest(ctx, ref)
	}
	return trust.Manifest{}, errNoRegistries
}

// Blob implements trust.Source.
func (c *currentClient) Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error) {
	if client := c.client.Load(); client != nil {
		return client.Blob(ctx, ref, d, limit)
	}
	return nil, errNoRegistries
}

// Referrers implements trust.Source.
func (c *currentClient) Referrers(ctx context.Context, ref image.Ref) ([]trust.Descriptor, error) {
	if client := c.client.Load(); client != nil {
		return client.Referrers(ctx, ref)
	}
	return nil, errNoRegistries
}

// TrustData implements trust.TrustServer.
func (c *currentClient) TrustData(ctx context.Context, server, gun, name string, limit int64) ([]byte, error) {
	if client := c.client.Load(); client != nil {
		return client.TrustData(ctx, server, gun, name, limit)
	}
	return nil, errNoRegistries
}
