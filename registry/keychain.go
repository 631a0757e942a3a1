package registry

import (
	"context"
	"fmt"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// Keychain has logins of whoever runs this program for the registries of a cloud. It is safe for concurrent use.
type Keychain interface {
	// Name is the cloud's registry in a word, for messages.
	Name() string
	// Login returns a name and a password for a registry. mine is false if the host is none of the cloud's, and then nobody was asked.
	Login(ctx context.Context, registry string) (username, password string, mine bool, err error)
}

// ofKeychains returns the login of the first keychain to which a registry belongs. One that fails is an error, not "none".
func (c *Client) ofKeychains(ctx context.Context, registry string) (cred auth.Credential, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.RequestTimeout)
	defer cancel()
	for _, k := range c.config.Keychains {
		username, password, mine, err := k.Login(ctx, registry)
		if err != nil {
			return auth.EmptyCredential, false, fmt.Errorf("credentials for %s: keychain %s: %s", registry, k.Name(), clean(err.Error()))
		}
		if mine {
			return auth.Credential{Username: username, Password: password}, true, nil
		}
	}
	return auth.EmptyCredential, false, nil
}
