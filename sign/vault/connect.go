package vault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/vault/api"
)

// maxAnswer is how long an answer of Vault may be, in bytes: a certificate with its chain has some 10 KiB.
const maxAnswer = 1 << 20

// errTooLong says that an answer is longer than maxAnswer.
var errTooLong = fmt.Errorf("the answer is longer than %d bytes", maxAnswer)

// connect makes the client of Vault's library. The library fills gaps from the environment; everything that it would take from
// there is set here.
func connect(c Config) (*api.Client, error) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
	if c.ProxyAddress != "" {
		proxy, err := url.Parse(c.ProxyAddress)
		if err != nil || proxy.Host == "" {
			return nil, errors.New("the proxy's address is no URL")
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	settings := &api.Config{
		Address:    c.Address,
		HttpClient: &http.Client{Transport: transport, CheckRedirect: keepRedirect},
		Timeout:    c.Timeout,
		MaxRetries: 0,
	}
	err := settings.ConfigureTLS(&api.TLSConfig{
		CACert: c.CAFile, CAPath: c.CAFolder, CACertBytes: c.CA,
		ClientCert: c.CertFile, ClientKey: c.KeyFile,
		TLSServerName: c.ServerName, Insecure: c.InsecureSkipTLSVerify,
	})
	if err != nil {
		return nil, err
	}
	settings.HttpClient.Transport = bounded{transport}
	settings.DisableRedirects = true
	client, err := api.NewClient(settings)
	if err != nil {
		return nil, err
	}
	client.ClearToken()
	client.ClearNamespace()
	headers := make(http.Header)
	headers.Set(api.RequestHeaderName, "true")
	client.SetHeaders(headers)
	if c.Namespace != "" {
		client.SetNamespace(c.Namespace)
	}
	client.SetWrappingLookupFunc(func(string, string) string { return "" })
	return client, nil
}

func keepRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// bounded limits answers, and refuses to be sent elsewhere: the token would go there.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		_ = response.Body.Close()
		return nil, fmt.Errorf("redirects to %q, which is refused; set the address to the active node", response.Header.Get("Location"))
	}
	response.Body = &boundedBody{ReadCloser: response.Body, left: maxAnswer}
	return response, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader. One byte over the limit is an error.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLong
	}
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxText is how much of Vault's own words goes into an error, in bytes.
const maxText = 500

// explain says what Vault answered. The words of a server can repeat what was sent, so every token is struck out of them; the cause
// is therefore not wrapped.
func (v *Client) explain(err error) error {
	text := err.Error()
	var response *api.ResponseError
	if errors.As(err, &response) {
		text = fmt.Sprintf("%d %s: %s", response.StatusCode, http.StatusText(response.StatusCode), strings.Join(response.Errors, "; "))
	}
	for _, secret := range []string{v.config.JWT, v.config.Token, v.api.Token()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[token]")
		}
	}
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	text = strings.Map(printable, text)
	return errors.New(text)
}

func printable(r rune) rune {
	if r == '\n' || r == '\t' {
		return ' '
	}
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// String returns the address and the path. It keeps tokens out of logs.
func (c Config) String() string { return c.Address + "/v1/" + c.IssuePath }

// GoString keeps tokens out of %#v.
func (c Config) GoString() string { return c.String() }
