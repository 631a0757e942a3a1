// Package vault is a certificate authority in the PKI engine of HashiCorp Vault or OpenBao.
//
// One certificate costs at most two calls: a login with a job's own token (JWT), and an issue. Vault makes the certificate's key and
// answers with it; it is never looked at, kept or written.
package vault

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
)

// Config says where Vault is, how to trust it and how to log in. Each call is made once: a call that is repeated could issue a second
// certificate.
type Config struct {
	Address               string // "https://vault.example:8200"
	Namespace             string
	CAFile                string // PEM file of the CAs that may vouch for Vault's TLS certificate
	CAFolder              string // or a folder of such files
	CA                    []byte // or such a file's content; none of the three: the system's
	CertFile, KeyFile     string // client certificate, both or none
	ServerName            string // expected in Vault's TLS certificate; "" is the address's host
	ProxyAddress          string // proxy on the way to Vault; "" is none
	InsecureSkipTLSVerify bool   // accept any TLS certificate
	InsecurePlainHTTP     bool   // send tokens without TLS to hosts that are not loopback addresses
	Timeout               time.Duration

	IssuePath string // of the issue endpoint with its role: "pki/issue/by-gitlab-id"
	AuthPath  string // of the login method, for example "auth/jwt/gitlab"; with Role and JWT
	Role      string
	JWT       string
	Token     string // in place of a login
}

// DefaultTimeout bounds one call where the configuration says nothing else.
const DefaultTimeout = 30 * time.Second

// Client issues certificates at one issue endpoint. It logs in once, when the first certificate is asked for.
type Client struct {
	config Config
	api    *api.Client

	mu     sync.Mutex
	logged bool // whether api has its token
}

var _ sign.Issuer = (*Client)(nil)

// New checks a configuration whole. It reads the files that the configuration names, and connects to nothing.
func New(c Config) (*Client, error) {
	c.IssuePath, c.AuthPath = strings.Trim(c.IssuePath, "/"), strings.Trim(c.AuthPath, "/")
	c.JWT, c.Token = strings.TrimSpace(c.JWT), strings.TrimSpace(c.Token)
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	client, err := connect(c)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	v := &Client{config: c, api: client}
	if c.Token != "" {
		client.SetToken(c.Token)
		v.logged = true
	}
	return v, nil
}

func (c Config) check() error {
	login := c.AuthPath != "" || c.Role != "" || c.JWT != ""
	switch {
	case c.IssuePath == "":
		return errors.New("no path to issue at, for example pki/issue/by-gitlab-id")
	case c.Token == "" && !login:
		return errors.New("neither a token nor a login path, a role and a JWT")
	case c.Token != "" && login:
		return errors.New("both a token and a login; one of them is enough")
	case login && (c.AuthPath == "" || c.Role == "" || c.JWT == ""):
		return errors.New("a login needs a path, a role and a JWT")
	}
	u, err := url.Parse(c.Address)
	switch {
	case err != nil || u.Host == "":
		return errors.New("the address is no URL with a host, as in https://vault.example:8200")
	case u.User != nil:
		return errors.New("the address holds a password")
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !c.InsecurePlainHTTP:
		return fmt.Errorf("%s: tokens would be sent in plain text; use https", u.Host)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the address begins with %q, want https", u.Scheme)
	}
	return nil
}

// Issue implements sign.Issuer, by one login, unless that was done before or there is a token, and one issue call.
func (v *Client) Issue(ctx context.Context, req sign.Request) ([]*x509.Certificate, error) {
	if err := v.login(ctx); err != nil {
		return nil, fmt.Errorf("vault: login at %s: %w", v.config.AuthPath, err)
	}
	certs, err := v.issue(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("vault: issue at %s: %w", v.config.IssuePath, err)
	}
	return certs, nil
}

func (v *Client) login(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.logged {
		return nil
	}
	secret, err := v.write(ctx, v.config.AuthPath+"/login", map[string]any{"role": v.config.Role, "jwt": v.config.JWT})
	if err != nil {
		return err
	}
	if secret.Auth == nil || secret.Auth.ClientToken == "" {
		return errors.New("the answer has no token")
	}
	v.api.SetToken(secret.Auth.ClientToken)
	v.logged = true
	return nil
}

func (v *Client) issue(ctx context.Context, req sign.Request) ([]*x509.Certificate, error) {
	fields := map[string]any{
		"common_name": req.CommonName,
		"ttl":         strconv.FormatInt(int64(req.TTL/time.Second), 10),
	}
	if len(req.AltNames) > 0 {
		fields["alt_names"] = strings.Join(req.AltNames, ",")
	}
	if len(req.URIs) > 0 {
		names := make([]string, len(req.URIs))
		for i, u := range req.URIs {
			names[i] = u.String()
		}
		fields["uri_sans"] = strings.Join(names, ",")
	}
	secret, err := v.write(ctx, v.config.IssuePath, fields)
	if err != nil {
		return nil, err
	}
	certs, err := chainOf(secret.Data)
	if err != nil {
		return nil, err
	}
	return certs, fits(certs[0], req)
}

// write makes one call. Whatever it says of a failure holds no token.
func (v *Client) write(ctx context.Context, path string, fields map[string]any) (*api.Secret, error) {
	secret, err := v.api.Logical().WriteWithContext(ctx, path, fields)
	if err != nil {
		return nil, v.explain(err)
	}
	if secret == nil {
		return nil, errors.New("the answer is empty")
	}
	return secret, nil
}

// chainOf returns the certificates of an answer, the leaf first, without the root. It looks at nothing else in it, and at the private
// key least of all.
func chainOf(data map[string]any) ([]*x509.Certificate, error) {
	text, _ := data["certificate"].(string)
	if text == "" {
		return nil, errors.New("the answer has no certificate")
	}
	issuers := textsOf(data["ca_chain"])
	if len(issuers) == 0 {
		issuers = textsOf(data["issuing_ca"])
	}
	bundle, err := certificate.ParsePEM([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	certs := bundle.Certificates[:1]
	if len(issuers) > trust.MaxChain {
		return nil, fmt.Errorf("CA chain: %d certificates, at most %d are allowed", len(issuers), trust.MaxChain)
	}
	for _, issuer := range issuers {
		parsed, err := certificate.ParsePEM([]byte(issuer))
		if err != nil {
			return nil, fmt.Errorf("CA chain: %w", err)
		}
		c := parsed.Certificates[0]
		if bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil {
			break // the root: whoever verifies has it
		}
		if err := certs[len(certs)-1].CheckSignatureFrom(c); err != nil {
			return nil, fmt.Errorf("CA chain: %q did not issue the certificate before it: %w", c.Subject, err)
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// textsOf returns a text, or a list of texts, of an answer.
func textsOf(value any) []string {
	switch value := value.(type) {
	case string:
		if value != "" {
			return []string{value}
		}
	case []any:
		var texts []string
		for _, v := range value {
			if s, ok := v.(string); ok {
				texts = append(texts, s)
			}
		}
		return texts
	}
	return nil
}

// fits says what a certificate lacks of what was asked for. A role of Vault can drop names, and what then comes vouches for nothing.
func fits(leaf *x509.Certificate, req sign.Request) error {
	if leaf.Subject.CommonName != req.CommonName {
		return fmt.Errorf("the certificate has the common name %q, not %q", leaf.Subject.CommonName, req.CommonName)
	}
	for _, want := range req.URIs {
		if !slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == want.String() }) {
			return fmt.Errorf("the certificate lacks the name %s; the role needs allowed_uri_sans=oci://*", want)
		}
		if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
			return errors.New("the certificate lacks the extended key usage code signing; the role needs code_signing_flag=true")
		}
	}
	return nil
}
