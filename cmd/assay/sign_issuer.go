package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/sign/local"
	"github.com/assay-dev/assay/sign/vault"
	"github.com/assay-dev/assay/trust/certificate"
)

// vaultOptions are the flags about Vault.
type vaultOptions struct {
	pkiPath, authPath, role string
	insecurePlainHTTP       bool
}

// issuer returns where the certificate comes from, and what follows from that for its form.
func (o *signOptions) issuer() (sign.Issuer, sign.Options, error) {
	files := o.caCert != "" || o.caKey != ""
	switch {
	case o.cert != "" && (files || o.vault.pkiPath != ""), files && o.vault.pkiPath != "":
		return nil, sign.Options{}, usageError("a certificate comes from one place: --cert, --ca-cert and --ca-key, or --vault-pki-path")
	case o.cert != "":
		return o.existing()
	case files:
		ca, err := o.localCA()
		return ca, sign.Options{Prefix: o.prefix, TTL: o.ttl}, err
	case o.vaultPKIPath() != "":
		return o.vaultCA()
	}
	return nil, sign.Options{}, withHint(usageError("nothing says where the certificate comes from"),
		"give --ca-cert and --ca-key, or --vault-pki-path (VAULT_PKI_PATH), or --cert")
}

// existing reads the certificate that --cert names.
func (o *signOptions) existing() (sign.Issuer, sign.Options, error) {
	content, err := readLimited(o.cert, local.MaxFile)
	if err != nil {
		return nil, sign.Options{}, usageError("%w", err)
	}
	if !bytes.Contains(content, []byte("-----BEGIN")) {
		packed := strings.Join(strings.Fields(string(content)), "")
		if content, err = base64.StdEncoding.DecodeString(packed); err != nil {
			return nil, sign.Options{}, usageError("%s: is neither PEM nor base64 of PEM", o.cert)
		}
	}
	bundle, err := certificate.ParsePEM(content)
	if err != nil {
		return nil, sign.Options{}, usageError("%s: %w", o.cert, err)
	}
	existing := sign.Existing(bundle)
	options := sign.Options{FileName: filepath.Base(o.cert)}
	if o.compat != "dia" {
		options.Stamper = existing
	}
	return existing, options, nil
}

func (o *signOptions) localCA() (*local.CA, error) {
	if o.caCert == "" || o.caKey == "" {
		return nil, usageError("--ca-cert and --ca-key belong together")
	}
	cert, err := readLimited(o.caCert, local.MaxFile)
	if err != nil {
		return nil, usageError("%w", err)
	}
	key, err := readLimited(o.caKey, local.MaxFile)
	if err != nil {
		return nil, usageError("%w", err)
	}
	passphrase := []byte(o.app.getenv("ASSAY_CA_KEY_PASSPHRASE"))
	if o.passphrase != "" {
		if passphrase, err = readLimited(o.passphrase, local.MaxFile); err != nil {
			return nil, usageError("%w", err)
		}
		passphrase = bytes.TrimRight(passphrase, "\r\n")
	}
	ca, err := local.New(local.Config{Certificate: cert, Key: key, Passphrase: passphrase, Now: o.app.now})
	if err != nil {
		return nil, withHint(usageError("%w", err), "see --ca-cert, --ca-key and --ca-key-passphrase-file")
	}
	return ca, nil
}

func (o *signOptions) vaultPKIPath() string { return o.flagOrEnv(o.vault.pkiPath, "VAULT_PKI_PATH") }

func (o *signOptions) flagOrEnv(flag, name string) string {
	if flag != "" {
		return flag
	}
	return o.app.getenv(name)
}

// vaultCA is Vault as the environment describes it. The names of its certificates carry the project and the job, which is what a role
// of Vault binds.
func (o *signOptions) vaultCA() (sign.Issuer, sign.Options, error) {
	config, err := o.vaultConfig()
	if err != nil {
		return nil, sign.Options{}, err
	}
	options := sign.Options{Prefix: o.prefix, TTL: o.ttl}
	if options.TTL == 0 {
		if options.TTL, err = parseTTL(o.app.getenv("VAULT_PKI_TTL")); err != nil {
			return nil, sign.Options{}, usageError("VAULT_PKI_TTL: %w", err)
		}
	}
	project, job := o.app.getenv("CI_PROJECT_ID"), o.app.getenv("CI_JOB_ID")
	if project != "" && options.Prefix == "" {
		options.Prefix = "dia-" + project + "-"
	}
	if project != "" && job != "" {
		options.AltNames = []string{"dia-" + project + "-" + job}
	}
	client, err := vault.New(config)
	if err != nil {
		return nil, sign.Options{}, withHint(usageError("%w", err), "see VAULT_ADDR, --vault-auth-path and the environment in assay sign --help")
	}
	return client, options, nil
}

func (o *signOptions) vaultConfig() (vault.Config, error) {
	env := o.app.getenv
	c := vault.Config{
		Address:           env("VAULT_ADDR"),
		Namespace:         env("VAULT_NAMESPACE"),
		CAFile:            env("VAULT_CACERT"),
		CAFolder:          env("VAULT_CAPATH"),
		CA:                []byte(env("VAULT_CACERT_BYTES")),
		CertFile:          env("VAULT_CLIENT_CERT"),
		KeyFile:           env("VAULT_CLIENT_KEY"),
		ServerName:        env("VAULT_TLS_SERVER_NAME"),
		ProxyAddress:      env("VAULT_PROXY_ADDR"),
		InsecurePlainHTTP: o.vault.insecurePlainHTTP,
		IssuePath:         o.vaultPKIPath(),
	}
	if agent := env("VAULT_AGENT_ADDR"); agent != "" {
		c.Address = agent
	}
	if text := env("VAULT_SKIP_VERIFY"); text != "" {
		skip, err := strconv.ParseBool(text)
		if err != nil {
			return vault.Config{}, usageError("VAULT_SKIP_VERIFY: %q is neither true nor false", text)
		}
		if c.InsecureSkipTLSVerify = skip; skip {
			fmt.Fprintln(o.app.stderr, "assay: warning: VAULT_SKIP_VERIFY accepts any server in Vault's place, and sends it the job's token")
		}
	}
	var err error
	if c.Timeout, err = parseTTL(env("VAULT_CLIENT_TIMEOUT")); err != nil {
		return vault.Config{}, usageError("VAULT_CLIENT_TIMEOUT: %w", err)
	}
	return c, o.vaultLogin(&c)
}

// vaultLogin says how to log in: with the job's token where there is a path to do so, else with a token of Vault's own.
func (o *signOptions) vaultLogin(c *vault.Config) error {
	authPath := o.flagOrEnv(o.vault.authPath, "VAULT_AUTH_PATH")
	token := o.app.getenv("VAULT_TOKEN")
	jwt := o.idToken()
	switch {
	case authPath != "" && jwt != "":
		c.AuthPath, c.Role, c.JWT = authPath, o.flagOrEnv(o.vault.role, "VAULT_AUTH_ROLE"), jwt
	case token != "":
		c.Token = token
	case authPath == "":
		return withHint(usageError("nothing says how to log in to Vault"), "give --vault-auth-path and --vault-auth-role, or set VAULT_TOKEN")
	default:
		return withHint(usageError("%s: holds no token of the job", strings.Join(o.idTokenNames(), " and ")),
			"declare id_tokens: in the GitLab job, and name its variable by --id-token-env")
	}
	return nil
}

// idTokenNames are the variables in which the job's token may be, the first one first.
func (o *signOptions) idTokenNames() []string {
	if o.idTokenEnv != "" {
		return []string{o.idTokenEnv, "CI_JOB_JWT"}
	}
	return []string{"CI_JOB_JWT"}
}

func (o *signOptions) idToken() string {
	for _, name := range o.idTokenNames() {
		if token := strings.TrimSpace(o.app.getenv(name)); token != "" {
			return token
		}
	}
	return ""
}

// parseTTL reads a duration, or a number of seconds as Vault's tools do. No text is 0.
func parseTTL(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		text = strconv.FormatInt(seconds, 10) + "s"
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is neither a duration such as 10m nor a number of seconds", text)
	case d <= 0:
		return 0, errors.New("must be longer than nothing")
	}
	return d, nil
}
