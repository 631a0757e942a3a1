package registry

import "time"

// Limits of what is read from and done for registries, beside those of package trust.
const (
	MaxReferrers  = 20_000           // descriptors in a list of referrers, all pages together
	MaxRetryAfter = 15 * time.Second // the longest Retry-After that is waited for

	maxReferrerPages   = 100       // pages of a list of referrers
	maxErrorBody       = 64 << 10  // bytes of an answer that says what is wrong
	maxTokenBody       = 128 << 10 // bytes of a token service's answer
	maxToken           = 48 << 10  // bytes of a token
	maxHeader          = 64 << 10  // bytes of an answer's headers
	maxChallenge       = 8 << 10   // bytes of a WWW-Authenticate header that are looked at
	maxLink            = 8 << 10   // bytes of a Link header that are looked at
	maxRedirects       = 5         // redirects of one request
	maxTrustPath       = 2 << 10   // bytes of each name in the path of trust data
	maxFileBytes       = 1 << 20   // bytes of a CA, certificate, key or password file
	maxForeignText     = 300       // bytes of each text of a registry that go into a message
	maxForeignErrors   = 3         // errors of one error document that go into a message
	maxDepth           = 64        // nested objects and arrays in a manifest
	maxEndpoints       = 256       // hosts whose connections are kept
	maxLogins          = 8         // logins of whoever asks that are tried for one request
	maxSessions        = 4096      // repositories whose tokens are kept
	maxConnections     = 64        // to one host at a time
	maxIdleConnections = 16        // to one host, kept for the next request

	defaultRequestTimeout = 10 * time.Second
	defaultRetries        = 2
	firstBackoff          = 100 * time.Millisecond // doubled with every attempt
	dialTimeout           = 5 * time.Second
	idleTimeout           = 90 * time.Second
	tokenLeeway           = 5 * time.Second // a token is renewed so long before it expires, or a tenth of its life if that is less
	noReferrersFor        = time.Hour       // so long a registry is believed to lack the referrers API
)
