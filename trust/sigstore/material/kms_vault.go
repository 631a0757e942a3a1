package material

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// VaultScheme is the scheme of references to keys in Vault's transit engine.
const VaultScheme = "hashivault"

// maxVaultAnswer is how many bytes of an answer of Vault are read.
const maxVaultAnswer = 1 << 20

// VaultConfig says where the transit engine of HashiCorp Vault or OpenBao is.
type VaultConfig struct {
	Address           string                                // "https://vault.example:8200"
	Namespace         string                                //
	Mount             string                                // of the transit engine; empty: "transit"
	Token             func() (string, error)                // asked before each call; nil: no token is sent
	TLS               *tls.Config                           // nil: the system's authorities
	Transport         http.RoundTripper                     // nil: an own one, by TLS and Proxy
	Proxy             func(*http.Request) (*url.URL, error) // nil: none
	InsecurePlainHTTP bool                                  // send tokens without TLS to hosts that are not loopback addresses
}

// vault reads public keys from Vault's transit engine: one request for a key, which needs the right to read it and no other.
type vault struct{ config VaultConfig }

// Vault returns the provider for references such as hashivault://name. The newest version of a key counts, as it does for cosign.
func Vault(c VaultConfig) Provider { return (&vault{c}).key }

// vaultName is what the names of keys look like in references.
var vaultName = regexp.MustCompile(`^\w(?:[\w.-]*\w)?$`)

// vaultKeyName returns the name of the key that a reference is to; empty if it is none.
func vaultKeyName(ref *url.URL) string {
	name := ref.Host + ref.Path
	if !vaultName.MatchString(name) || ref.String() != VaultScheme+"://"+name {
		return ""
	}
	return name
}

func (v *vault) key(ctx context.Context, ref *url.URL) (*Key, error) {
	name := vaultKeyName(ref)
	if name == "" {
		return nil, errors.New("is no reference to a key in Vault; write hashivault://name")
	}
	base, err := v.endpoint()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/keys/"+url.PathEscape(name), nil)
	if err != nil {
		return nil, err
	}
	if err := v.authorize(request); err != nil {
		return nil, err
	}
	client := &http.Client{Transport: v.transport(), CheckRedirect: func(to *http.Request, _ []*http.Request) error {
		return fmt.Errorf("Vault redirects to %s, and the token is for the address that was given only; give the address of the active server", to.URL.Host)
	}}
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := readUpTo(answer.Body, maxVaultAnswer)
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, explainVault(answer)
	case err != nil:
		return nil, fmt.Errorf("answer of Vault: %w", err)
	}
	return parseTransit(body)
}

// endpoint returns the URL of the transit engine.
func (v *vault) endpoint() (string, error) {
	u, err := url.Parse(v.config.Address)
	switch {
	case v.config.Address == "":
		return "", errors.New("the address of Vault is not known; set VAULT_ADDR")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("the address of Vault is no URL with a host, as in https://vault.example:8200")
	case u.User != nil:
		return "", errors.New("the address of Vault holds a password; remove it")
	case u.Scheme == "http" && !loopback(u.Hostname()) && !v.config.InsecurePlainHTTP:
		return "", fmt.Errorf("%s: a token would be sent in plain text; use https", u.Host)
	}
	mount := strings.Trim(v.config.Mount, "/")
	if mount == "" {
		mount = "transit"
	}
	return strings.TrimRight(u.String(), "/") + "/v1/" + mount, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v *vault) authorize(request *http.Request) error {
	request.Header.Set("X-Vault-Request", "true")
	if v.config.Namespace != "" {
		request.Header.Set("X-Vault-Namespace", v.config.Namespace)
	}
	if v.config.Token == nil {
		return nil
	}
	token, err := v.config.Token()
	if err != nil {
		return fmt.Errorf("token for Vault: %w", err)
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("the token for Vault holds characters that no token has")
	}
	request.Header.Set("X-Vault-Token", token)
	return nil
}

func (v *vault) transport() http.RoundTripper {
	if v.config.Transport != nil {
		return v.config.Transport
	}
	return &http.Transport{
		Proxy: v.config.Proxy, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, TLSClientConfig: v.config.TLS,
		TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: maxHeader, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
}

// explainVault turns a status into an error with a next step. What Vault says is not repeated.
func explainVault(answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusForbidden:
		return errors.New("Vault: 403 permission denied; the token needs the capability read for the key, or is invalid")
	case http.StatusNotFound:
		return errors.New("Vault: 404, no such key or transit engine; see vault list transit/keys")
	case http.StatusServiceUnavailable:
		return errors.New("Vault: 503, sealed or in maintenance")
	}
	return fmt.Errorf("Vault: %s", answer.Status)
}

// transitKey is Vault's answer about a key, as far as it is looked at.
type transitKey struct {
	Data struct {
		Type          string                     `json:"type"`
		LatestVersion int64                      `json:"latest_version"`
		Keys          map[string]json.RawMessage `json:"keys"`
	} `json:"data"`
}

func parseTransit(body []byte) (*Key, error) {
	var answer transitKey
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("answer of Vault: %w", err)
	}
	newest, ok := answer.Data.Keys[strconv.FormatInt(answer.Data.LatestVersion, 10)]
	if !ok {
		return nil, errors.New("answer of Vault: has no newest version of the key")
	}
	var version struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(newest, &version); err != nil || version.PublicKey == "" {
		return nil, fmt.Errorf("a key of the type %q has no public half; use ecdsa-p256, rsa-2048 or ed25519", clip(answer.Data.Type))
	}
	if answer.Data.Type != "ed25519" {
		return ParseKey([]byte(version.PublicKey))
	}
	raw, err := base64.StdEncoding.DecodeString(version.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("answer of Vault: public key: %w", err)
	}
	return NewKey(ed25519.PublicKey(raw))
}
