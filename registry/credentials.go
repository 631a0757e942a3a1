package registry

import (
	"context"
	"fmt"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credential returns the client's own credential for a registry: of its settings, else of a cloud's keychain, else of the docker config, a
// credential helper or a further file, else none. A helper that fails is an error, not "none": an anonymous answer must not pass for the answer to a user.
func (c *Client) credential(ctx context.Context, registry string) (auth.Credential, error) {
	if h := c.settingsOf(registry); h != nil && h.Username != "" {
		password, err := h.password()
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("credentials for %s: %w", registry, err)
		}
		return auth.Credential{Username: h.Username, Password: password}, nil
	}
	if cred, found, err := c.ofKeychains(ctx, registry); found || err != nil {
		return cred, err
	}
	for _, store := range c.stores {
		if cred, err := c.stored(ctx, store, registry); err != nil || cred != auth.EmptyCredential {
			return cred, err
		}
	}
	return auth.EmptyCredential, nil
}

func (c *Client) stored(ctx context.Context, store credentials.Store, registry string) (auth.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	cred, err := store.Get(ctx, credentials.ServerAddressFromRegistry(registry))
	if err != nil {
		return auth.EmptyCredential, fmt.Errorf("credentials for %s: the docker config or its credential helper does not give any: %s", registry, clean(err.Error()))
	}
	return cred, nil
}
