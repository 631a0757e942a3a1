//go:build e2e

package e2e

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// notaryOptions say what a Notary server is made of.
type notaryOptions struct {
	signer   string // algorithm of the keys that a notary-signer holds, ecdsa or ed25519; empty: notary-server holds them itself
	database bool   // all is kept in MariaDB; else in memory, and lost when a server stops. Needs a signer
	watched  bool   // all questions pass a watcher
}

// notary is Debian's notary-server with TLS at localhost, with its signer and database where it has them. The signer takes no calls but
// the server's, by mutual TLS.
type notary struct {
	notaryOptions
	folder     string // certificates, configurations and logs, all under names that begin with "notary"
	path       string // PATH
	port       int
	signerPort int
	tls        *authority // of both servers and their clients
	mu         sync.Mutex // start and stop: a story's fault may stop it too
	server     *process
	signs      *process
	db         *mariaDB
	watcher    *watcher
}

// newNotary makes the files of a Notary server and starts it.
func newNotary(folder, path string, options notaryOptions) (*notary, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	n := &notary{notaryOptions: options, folder: folder, path: path, port: ports[0], signerPort: ports[1]}
	for _, step := range []func() error{n.certificates, n.configure, n.watch, n.start} {
		if err := step(); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// certificates makes notary-ca.pem, and notary-tls.pem with notary-tls.key for both ends of every connection.
func (n *notary) certificates() error {
	root, err := newAuthority(caTemplate("TLS CA of notary"), nil)
	if err != nil {
		return err
	}
	n.tls, err = newAuthority(&x509.Certificate{
		Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, root)
	if err != nil {
		return err
	}
	files := pki{folder: n.folder}
	return errors.Join(files.certificates("notary-ca.pem", root), files.certificates("notary-tls.pem", n.tls),
		files.privateKey("notary-tls.key", n.tls.key))
}

// object is a JSON object.
type object = map[string]any

func (n *notary) configure() error {
	storage, keys := object{"backend": "memory"}, object{"backend": "memory"}
	if n.database {
		if err := n.createDatabase(); err != nil {
			return err
		}
		storage = object{"backend": "mysql", "db_url": n.db.source("notaryserver")}
		keys = object{"backend": "mysql", "db_url": n.db.source("notarysigner"), "default_alias": "lab"}
	}
	trust := object{"type": "local"}
	if n.signer != "" {
		trust = object{
			"type": "remote", "hostname": "localhost", "port": fmt.Sprint(n.signerPort), "key_algorithm": n.signer,
			"tls_ca_file": "notary-ca.pem", "tls_client_cert": "notary-tls.pem", "tls_client_key": "notary-tls.key",
		}
	}
	tls := func(address string, port int, more object) object {
		more[address] = fmt.Sprintf("127.0.0.1:%d", port)
		more["tls_cert_file"], more["tls_key_file"] = "notary-tls.pem", "notary-tls.key"
		return more
	}
	log := object{"level": "info"}
	return errors.Join(
		n.writeJSON("notary-server.json", object{
			"server": tls("http_addr", n.port, object{}), "trust_service": trust, "storage": storage, "logging": log,
		}),
		n.writeJSON("notary-signer.json", object{
			"server": tls("grpc_addr", n.signerPort, object{"client_ca_file": "notary-ca.pem"}), "storage": keys, "logging": log,
		}))
}

func (n *notary) writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(n.file(name), text, 0o600)
}

func (n *notary) createDatabase() error {
	var err error
	if n.db, err = newMariaDB(n.folder, "notary-mariadb", n.find); err != nil {
		return err
	}
	if err := n.db.start(); err != nil {
		return err
	}
	for name, file := range map[string]string{"notaryserver": "server.sql", "notarysigner": "signer.sql"} {
		schema, err := os.ReadFile(filepath.Join("testdata", "notary", file))
		if err != nil {
			return err
		}
		if err := n.db.create(name, string(schema)); err != nil {
			return err
		}
	}
	return nil
}

// start starts what does not run.
func (n *notary) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var err error
	if n.signer != "" && n.signs == nil {
		if n.signs, err = n.launch("notary-signer"); err != nil {
			return err
		}
		if err := n.signs.await(listens(n.signerPort)); err != nil {
			return err
		}
	}
	if n.server == nil {
		if n.server, err = n.launch("notary-server"); err != nil {
			return err
		}
	}
	if err := n.server.await(listens(n.port)); err != nil || n.watcher == nil {
		return err
	}
	return n.watcher.start()
}

func listens(port int) func() error {
	return func() error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

func (n *notary) launch(program string) (*process, error) {
	path, err := n.find(program)
	if err != nil {
		return nil, err
	}
	// The signer encrypts the keys that it keeps in a database under the passphrase NOTARY_SIGNER_<alias>.
	env := []string{"PATH=" + n.path, "HOME=" + n.folder, "TMPDIR=" + os.TempDir(), "NOTARY_SIGNER_LAB=" + notaryPassphrase}
	return launch(n.folder, n.file(program+".log"), env, path, "-config", program+".json")
}

// stop stops the servers, not the database. With kill they end as in a power cut.
func (n *notary) stop(kill bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watcher != nil {
		n.watcher.stop()
	}
	for _, p := range []**process{&n.server, &n.signs} {
		switch {
		case *p == nil:
		case kill:
			(*p).kill()
		default:
			(*p).end()
		}
		*p = nil
	}
}

// Close stops everything.
func (n *notary) Close() {
	n.stop(false)
	if n.db != nil {
		n.db.Close()
	}
}

// find looks a program up in PATH.
func (n *notary) find(name string) (string, error) {
	for _, folder := range filepath.SplitList(n.path) {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w; e2e/peers/install installs it", name, exec.ErrNotFound)
}

func (n *notary) file(name string) string { return filepath.Join(n.folder, name) }

func (n *notary) url() string { return "https://" + n.host() }

// host is where clients reach the server.
func (n *notary) host() string {
	if n.watcher != nil {
		return fmt.Sprintf("localhost:%d", n.watcher.port)
	}
	return fmt.Sprintf("localhost:%d", n.port)
}
