package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/assay-dev/assay/enforce"
)

// Limits of a file of tokens.
const (
	MaxTokensFile = 1 << 20 // bytes
	maxTokens     = 1000
	maxTokenName  = 64 // bytes
	maxToken      = 4 << 10
	networkBits   = 64  // of an address of IPv6 that say whose it is
	maxClientName = 256 // bytes of a certificate's subject; a longer one is known by its hash
)

// Tokens is the bearer tokens whose holders may ask. The zero value has none. It is safe for concurrent use.
type Tokens struct{ known atomic.Pointer[[]token] }

type token struct {
	name string
	sum  [sha256.Size]byte
}

// Use puts the tokens of a file in force, all of them or none: a line for each, its holder's name and the SHA-256 of the token, "ci
// sha256:5e88…". Empty lines and those that begin with # say nothing. A file without a token is an error.
func (t *Tokens) Use(file []byte) error {
	if len(file) > MaxTokensFile {
		return fmt.Errorf("more than %d bytes", MaxTokensFile)
	}
	var all []token
	names := map[string]bool{}
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parseToken(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
		if names[one.name] {
			return fmt.Errorf("line %d: %s is there twice", i+1, one.name)
		}
		names[one.name] = true
		all = append(all, one)
	}
	switch {
	case len(all) == 0:
		return errors.New("there is no token in it")
	case len(all) > maxTokens:
		return fmt.Errorf("%d tokens; at most %d", len(all), maxTokens)
	}
	t.known.Store(&all)
	return nil
}

// parseToken says nothing of the line's content in its errors: it may be the token itself.
func parseToken(line string) (token, error) {
	fields := strings.Fields(line)
	if len(fields) != 2 || len(fields[0]) > maxTokenName || enforce.RequestID(fields[0]) != fields[0] {
		return token{}, errors.New("want a name and sha256:HEX")
	}
	digits, found := strings.CutPrefix(fields[1], "sha256:")
	sum, err := hex.DecodeString(digits)
	if !found || err != nil || len(sum) != sha256.Size {
		return token{}, errors.New("want a name and sha256: with 64 digits, which is printf %s TOKEN | sha256sum")
	}
	return token{name: fields[0], sum: [sha256.Size]byte(sum)}, nil
}

// holder returns the name of a token's holder; "" if it is nobody's. How long it takes says nothing of the tokens.
func (t *Tokens) holder(given string) string {
	all := t.known.Load()
	if all == nil || given == "" || len(given) > maxToken {
		return ""
	}
	sum := sha256.Sum256([]byte(given))
	found := ""
	for _, one := range *all {
		if subtle.ConstantTimeCompare(sum[:], one.sum[:]) == 1 {
			found = one.name
		}
	}
	return found
}

// who returns by which name a client is known; "" if it may not ask. A failure says why not, where there is more to say.
func (p *Point) who(r *http.Request) (string, *failure) {
	if p.config.ClientCertificates != nil && r.TLS != nil && slices.ContainsFunc(r.TLS.VerifiedChains, p.config.ClientCertificates) {
		return "certificate " + subject(r.TLS.VerifiedChains[0][0]), nil
	}
	if scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		if name, f := p.bearer(r.Context(), strings.TrimSpace(given)); name != "" || f != nil {
			return name, f
		}
	}
	// Everybody is every program, and no page in a browser: any site could have one ask here. Browsers send an Origin with every POST.
	if p.config.InsecureNoAuth && r.Header.Get("Origin") == "" {
		return "address " + network(r.RemoteAddr), nil
	}
	return "", nil
}

// bearer returns by which name the holder of a token is known. Tokens that are known here are sent nowhere.
func (p *Point) bearer(ctx context.Context, token string) (string, *failure) {
	if p.config.Tokens != nil {
		if name := p.config.Tokens.holder(token); name != "" {
			return "token " + name, nil
		}
	}
	if p.reviews == nil {
		return "", nil
	}
	return p.reviews.holder(ctx, token)
}

// network names an address for logs and for the rate limit. The addresses of one network of IPv6 are one client: whoever has one has all.
func network(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	address := at.Addr().Unmap()
	if address.Is6() && !address.IsLoopback() {
		return netip.PrefixFrom(address.WithZone(""), networkBits).Masked().String()
	}
	return address.String()
}

// subject names a certificate for logs and for the rate limit: all certificates of one name are one client.
func subject(c *x509.Certificate) string {
	name := c.Subject.String()
	switch {
	case name != "":
	case len(c.URIs) > 0:
		name = c.URIs[0].String()
	case len(c.DNSNames) > 0:
		name = c.DNSNames[0]
	default:
		name = "without a name"
	}
	if len(name) > maxClientName {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:])
	}
	return enforce.Plain(name)
}
