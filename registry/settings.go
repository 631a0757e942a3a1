package registry

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/assay-dev/assay/image"
)

// Settings says how one host is reached. Whatever is absent is the strict choice.
type Settings struct {
	Host                   string   `yaml:"host" doc:"host of a registry or a Notary server in canonical form, with its port unless that is 443: registry.example:5000"`
	CAFile                 string   `yaml:"caFile,omitempty" doc:"PEM file of the CAs that may vouch for the host's TLS certificate; absent: the system's"`
	CA                     string   `yaml:"-"` // the same in PEM, for callers that hold it in memory; excludes CAFile
	CertFile               string   `yaml:"certFile,omitempty" doc:"PEM file of a client certificate"`
	KeyFile                string   `yaml:"keyFile,omitempty" doc:"PEM file of the key of certFile"`
	InsecurePlainHTTP      bool     `yaml:"insecurePlainHTTP,omitempty" doc:"reach the host without TLS, credentials included"`
	InsecureSkipTLSVerify  bool     `yaml:"insecureSkipTLSVerify,omitempty" doc:"accept any TLS certificate"`
	InsecureAllowLoopback  bool     `yaml:"insecureAllowLoopback,omitempty" doc:"let the host's name resolve to loopback addresses"`
	InsecureAllowLinkLocal bool     `yaml:"insecureAllowLinkLocal,omitempty" doc:"let the host's name resolve to link-local and cloud metadata addresses"`
	Username               string   `yaml:"username,omitempty" doc:"user name at the registry; absent: the docker config's"`
	PasswordFile           string   `yaml:"passwordFile,omitempty" doc:"file with the password, read again at each login"`
	Password               string   `yaml:"-"` // for callers that hold it in memory; excludes PasswordFile
	Mirrors                []string `yaml:"mirrors,omitempty" doc:"hosts, or hosts with a path prefix, that are asked for content by digest before the registry itself, in this order"`
	TokenRealms            []string `yaml:"tokenRealms,omitempty" doc:"hosts that may issue tokens for this registry, beside its own host, the parent domain of a host called registry.*, and auth.docker.io for Docker Hub and notary.docker.io"`
}

// String returns the host. It keeps the password out of logs.
func (s Settings) String() string { return "registry settings of " + s.Host }

// GoString keeps the password out of %#v.
func (s Settings) GoString() string { return s.String() }

// host is Settings, checked, with the files that they name.
type host struct {
	Settings
	roots   *x509.CertPool    // nil: the system's
	client  []tls.Certificate // empty: none
	mirrors []image.Ref       // names with a last segment to be replaced, see mirrorOf
}

func newHost(s Settings) (*host, error) {
	if err := checkHost(s.Host); err != nil {
		return nil, err
	}
	h := &host{Settings: s}
	problems := []error{h.readTLS(), h.checkCredentials(), h.readMirrors()}
	for _, realm := range s.TokenRealms {
		if err := checkHost(realm); err != nil {
			problems = append(problems, fmt.Errorf("tokenRealms: %w", err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("host %s: %w", s.Host, err)
	}
	return h, nil
}

// checkHost accepts hosts in canonical form only, so that settings cannot silently miss the references they are meant for.
func checkHost(name string) error {
	if name == "" {
		return errors.New("host: is absent")
	}
	ref, err := image.Parse(name + "/x/x")
	switch {
	case err != nil || strings.Contains(name, "/"):
		return fmt.Errorf("host %q: is no host of a registry, want name or name:port without a scheme", name)
	case ref.Registry() != name:
		return fmt.Errorf("host %q: is not in canonical form, write %q", name, ref.Registry())
	}
	return nil
}

func (h *host) readTLS() error {
	if h.CA != "" && h.CAFile != "" {
		return errors.New("a CA in memory and caFile exclude each other")
	}
	if h.InsecurePlainHTTP && (h.CA != "" || h.CAFile != "" || h.CertFile != "" || h.KeyFile != "" || h.InsecureSkipTLSVerify) {
		return errors.New("insecurePlainHTTP excludes caFile, certFile, keyFile and insecureSkipTLSVerify")
	}
	if (h.CA != "" || h.CAFile != "") && h.InsecureSkipTLSVerify {
		return errors.New("caFile and insecureSkipTLSVerify exclude each other")
	}
	if h.CAFile != "" {
		content, err := readFile(h.CAFile)
		if err != nil {
			return fmt.Errorf("caFile: %w", err)
		}
		h.roots = x509.NewCertPool()
		if !h.roots.AppendCertsFromPEM(content) {
			return fmt.Errorf("caFile: %s: no certificate in PEM format", h.CAFile)
		}
	}
	if h.CA != "" {
		h.roots = x509.NewCertPool()
		if !h.roots.AppendCertsFromPEM([]byte(h.CA)) {
			return errors.New("CA: no certificate in PEM format")
		}
	}
	if (h.CertFile == "") != (h.KeyFile == "") {
		return errors.New("certFile and keyFile belong together")
	}
	if h.CertFile == "" {
		return nil
	}
	cert, err := readFile(h.CertFile)
	if err != nil {
		return fmt.Errorf("certFile: %w", err)
	}
	key, err := readFile(h.KeyFile)
	if err != nil {
		return fmt.Errorf("keyFile: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certFile %s with keyFile %s: %w", h.CertFile, h.KeyFile, err)
	}
	h.client = []tls.Certificate{pair}
	return nil
}

func (h *host) checkCredentials() error {
	switch {
	case h.Password != "" && h.PasswordFile != "":
		return errors.New("password and passwordFile exclude each other")
	case h.Username == "" && (h.Password != "" || h.PasswordFile != ""):
		return errors.New("a password without username")
	case h.Username != "" && h.Password == "" && h.PasswordFile == "":
		return errors.New("username without passwordFile")
	case strings.Contains(h.Username, ":"):
		return errors.New("username: contains a colon, which basic authentication cannot express")
	}
	if h.PasswordFile != "" {
		if _, err := h.password(); err != nil {
			return err
		}
	}
	return nil
}

// password returns the password as it is now: its file may change while the program runs.
func (h *host) password() (string, error) {
	if h.PasswordFile == "" {
		return h.Password, nil
	}
	content, err := readFile(h.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("passwordFile: %w", err)
	}
	password := strings.TrimRight(string(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))), "\r\n")
	if password == "" {
		return "", fmt.Errorf("passwordFile: %s: is empty", h.PasswordFile)
	}
	return password, nil
}

func (h *host) readMirrors() error {
	for _, mirror := range h.Mirrors {
		first, _, _ := strings.Cut(mirror, "/")
		ref, err := image.Parse(mirror + "/x/x")
		if err != nil || checkHost(first) != nil || ref.Name() != mirror+"/x/x" {
			return fmt.Errorf("mirrors: %q: want a host in canonical form, perhaps with a path prefix", mirror)
		}
		if ref.Registry() == h.Host {
			return fmt.Errorf("mirrors: %q: is the registry itself", mirror)
		}
		h.mirrors = append(h.mirrors, ref)
	}
	return nil
}

// speaksTLS reports whether the settings are about TLS, so that a loopback host is not taken for one without.
func (h *host) speaksTLS() bool {
	return h.CAFile != "" || h.CertFile != "" || h.InsecureSkipTLSVerify
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxFileBytes)
	}
	return content, nil
}

// isLoopbackName reports whether a host is written as loopback, so that whoever typed it meant this machine.
func isLoopbackName(hostname string) bool {
	if hostname == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(hostname, "[]"))
	return err == nil && addr.IsLoopback() && !addr.Is4In6()
}
