package material

import (
	"context"
	"crypto"
	"net/url"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// Clouds returns the providers of clouds that were built in, by the schemes of their references: build tags kms_aws (awskms), kms_gcp
// (gcpkms) and kms_azure (azurekms). They find their credentials as the SDK of each cloud does.
func Clouds() map[string]Provider {
	found := map[string]Provider{}
	for _, prefix := range kms.SupportedProviders() {
		found[strings.TrimSuffix(prefix, "://")] = cloudKey
	}
	return found
}

// cloudKey reads a public key. It is called for built-in schemes only: for others the library would look for a program to run.
func cloudKey(ctx context.Context, ref *url.URL) (*Key, error) {
	service, err := kms.Get(ctx, ref.String(), crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public, err := service.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	return NewKey(public)
}
