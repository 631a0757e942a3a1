package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// maxMaterial is how many bytes of a file with keys, certificates or trust material are read.
const maxMaterial = 1 << 20

// keeper makes the keeper of trust material that the environment describes. It connects to nothing.
func (a *app) keeper() (*material.Keeper, error) { return a.keeperIn("") }

// keeperIn does the same with another folder for copies on disk.
func (a *app) keeperIn(cache string) (*material.Keeper, error) {
	given, err := a.installedMaterial()
	if err != nil {
		return nil, usageError("%w", err)
	}
	given.Folder = a.materialFolder(cache)
	k, err := material.New(a.materialConfig(given, cache))
	if err != nil {
		return nil, usageError("trust material: %w", err)
	}
	return k, nil
}

// materialFolder is where copies of trust material are kept on disk; empty: nowhere.
func (a *app) materialFolder(cache string) string {
	if cache != "" {
		return cache
	}
	if folder := a.getenv("TUF_ROOT"); folder != "" {
		return folder
	}
	if home := a.getenv("HOME"); home != "" {
		return filepath.Join(home, ".sigstore", "root")
	}
	return ""
}

func (a *app) materialConfig(given material.Default, cache string) material.Config {
	config := material.Config{
		Cache:     a.materialFolder(cache),
		Default:   given,
		Proxy:     http.ProxyFromEnvironment,
		UserAgent: "assay/" + versionText(),
		Now:       a.now,
		KMS:       material.Clouds(),
	}
	config.KMS[material.VaultScheme] = a.vaultKey
	if skip, err := strconv.ParseBool(a.getenv("SIGSTORE_NO_CACHE")); err == nil && skip && cache == "" {
		config.Cache = ""
	}
	return config
}

// installedMaterial reads what cosign's variables name.
func (a *app) installedMaterial() (material.Default, error) {
	return a.installedMaterialBy(readLimited)
}

// installedMaterialBy does so with a function.
func (a *app) installedMaterialBy(read readFunc) (material.Default, error) {
	d := material.Default{Mirror: a.getenv("TUF_MIRROR")}
	for _, file := range []struct {
		variable string
		into     *material.File
	}{
		{"SIGSTORE_ROOT_FILE", &d.RootFile},
		{"SIGSTORE_REKOR_PUBLIC_KEY", &d.RekorKeys},
		{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", &d.CTLogKeys},
		{"SIGSTORE_TSA_CERTIFICATE_FILE", &d.TimestampChain},
		{"TUF_ROOT_JSON", &d.FirstRoot},
	} {
		name := a.getenv(file.variable)
		if name == "" {
			continue
		}
		content, err := read(name, maxMaterial)
		if err != nil {
			return d, fmt.Errorf("%s: %w", file.variable, err)
		}
		*file.into = material.File{Name: file.variable + " (" + name + ")", Content: content}
	}
	return d, nil
}

// vaultKey reads a public key from Vault as the environment describes it at that moment: tokens and certificates are renewed.
func (a *app) vaultKey(ctx context.Context, ref *url.URL) (*material.Key, error) {
	t, err := a.vaultTLS()
	if err != nil {
		return nil, err
	}
	c := material.VaultConfig{
		Address:   a.getenv("VAULT_ADDR"),
		Namespace: a.getenv("VAULT_NAMESPACE"),
		Mount:     a.getenv("TRANSIT_SECRET_ENGINE_PATH"),
		Token:     a.vaultToken,
		TLS:       t,
		Proxy:     http.ProxyFromEnvironment,
	}
	if agent := a.getenv("VAULT_AGENT_ADDR"); agent != "" {
		c.Address = agent
	}
	return material.Vault(c)(ctx, ref)
}

// vaultToken is VAULT_TOKEN, else what vault login left at home.
func (a *app) vaultToken() (string, error) {
	if token := a.getenv("VAULT_TOKEN"); token != "" {
		return token, nil
	}
	home := a.getenv("HOME")
	if home == "" {
		return "", errors.New("there is none; set VAULT_TOKEN")
	}
	token, err := readLimited(filepath.Join(home, ".vault-token"), maxMaterial)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("there is none; set VAULT_TOKEN, or run vault login")
	}
	return strings.TrimSpace(string(token)), err
}

// vaultTLS is how to know Vault's server, and how to be known by it.
func (a *app) vaultTLS() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.getenv("VAULT_TLS_SERVER_NAME")}
	if text := a.getenv("VAULT_SKIP_VERIFY"); text != "" {
		skip, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("VAULT_SKIP_VERIFY: %q is neither true nor false", text)
		}
		if skip {
			return nil, errors.New("VAULT_SKIP_VERIFY: a key from any server in Vault's place would be trusted; set VAULT_CACERT")
		}
	}
	authorities, err := a.vaultAuthorities()
	if err != nil {
		return nil, err
	}
	if len(authorities) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(authorities) {
			return nil, errors.New("VAULT_CACERT, VAULT_CACERT_BYTES or VAULT_CAPATH: no certificate in PEM")
		}
	}
	if cert := a.getenv("VAULT_CLIENT_CERT"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, a.getenv("VAULT_CLIENT_KEY"))
		if err != nil {
			return nil, fmt.Errorf("VAULT_CLIENT_CERT and VAULT_CLIENT_KEY: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// vaultAuthorities reads the certificates that may vouch for Vault's server; none means the system's.
func (a *app) vaultAuthorities() ([]byte, error) {
	if text := a.getenv("VAULT_CACERT_BYTES"); text != "" {
		return []byte(text), nil
	}
	if name := a.getenv("VAULT_CACERT"); name != "" {
		content, err := readLimited(name, maxMaterial)
		if err != nil {
			return nil, fmt.Errorf("VAULT_CACERT: %w", err)
		}
		return content, nil
	}
	folder := a.getenv("VAULT_CAPATH")
	if folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("VAULT_CAPATH: %w", err)
	}
	var all []byte
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		content, err := readLimited(filepath.Join(folder, e.Name()), maxMaterial)
		if err != nil {
			return nil, fmt.Errorf("VAULT_CAPATH: %w", err)
		}
		all = append(append(all, content...), '\n')
	}
	return all, nil
}
