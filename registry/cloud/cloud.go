// Package cloud has the logins of clouds for their own registries, which they give to the machine or the pod that this program runs on.
//
// The clouds' libraries are heavy, so that they are built in only by the tag cloudkeychains. A keychain looks at the host first, and asks
// nobody about a host that is none of its cloud's.
package cloud

import (
	"context"
	"sync"
	"time"

	"github.com/assay-dev/assay/registry"
)

// Names are the keychains that there are: of Amazon ECR, Google Artifact and Container Registry, and Azure Container Registry.
var Names = []string{"ecr", "gcr", "acr"}

// Limits of keychains.
const (
	maxAnswer = 64 << 10         // bytes of an answer of a cloud
	loginTTL  = 10 * time.Minute // how long a login that lives for hours is reused
	maxLogins = 256              // registries whose logins are remembered
)

// keychain asks a cloud for logins.
type keychain struct {
	name  string
	mine  func(host string) bool
	login func(ctx context.Context, host string) (username, password string, err error)
	ttl   time.Duration // 0: login remembers by itself
	now   func() time.Time

	mu   sync.Mutex
	kept map[string]remembered
}

type remembered struct {
	username, password string
	until              time.Time
}

var _ registry.Keychain = (*keychain)(nil)

// Name implements registry.Keychain.
func (k *keychain) Name() string { return k.name }

// Login implements registry.Keychain. One login is asked for at a time: the next one mostly finds that it is there.
func (k *keychain) Login(ctx context.Context, host string) (username, password string, mine bool, err error) {
	if !k.mine(host) {
		return "", "", false, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if one, found := k.kept[host]; found && k.now().Before(one.until) {
		return one.username, one.password, true, nil
	}
	username, password, err = k.login(ctx, host)
	if err != nil || k.ttl == 0 {
		return username, password, err == nil, err
	}
	if k.kept == nil || len(k.kept) >= maxLogins {
		k.kept = map[string]remembered{}
	}
	k.kept[host] = remembered{username, password, k.now().Add(k.ttl)}
	return username, password, true, nil
}
