//go:build cloudkeychains

package cloud

import (
	"context"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
	registries "github.com/google/go-containerregistry/pkg/v1/google"
)

func isGCR(host string) bool {
	return host == "gcr.io" || strings.HasSuffix(host, ".gcr.io") || strings.HasSuffix(host, ".pkg.dev")
}

// google has the token of the machine's or the pod's service account, which its library renews.
type google struct {
	mu   sync.Mutex
	auth authn.Authenticator
}

func (g *google) login(ctx context.Context, _ string) (username, password string, err error) {
	config, err := inTime(ctx, func() (*authn.AuthConfig, error) {
		a, err := g.open(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		return a.Authorization()
	})
	if err != nil {
		return "", "", err
	}
	return config.Username, config.Password, nil
}

// open finds out once where tokens come from. What fails is tried again the next time.
func (g *google) open(ctx context.Context) (authn.Authenticator, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.auth == nil {
		a, err := registries.NewEnvAuthenticator(ctx)
		if err != nil {
			return nil, err
		}
		g.auth = a
	}
	return g.auth, nil
}
