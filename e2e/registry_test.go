//go:build e2e

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// maxManifest is the most that is read of a manifest.
const maxManifest = 4 << 20

// registry is Debian's docker-registry with its storage in the story's folder.
type registry struct {
	name    string
	port    int
	config  string
	scheme  string
	process *process
}

// cmdRegistry is "registry start|stop|restart|kill [NAME] [--tls] [--auth USER:PASSWORD]". It sets $REGISTRY (or $NAME) to host and
// port; with --tls the CA is NAME-ca.pem.
func cmdRegistry(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "registry", neg)
	if len(args) == 0 {
		ts.Fatalf("usage: registry start|stop|restart|kill [NAME] [--tls] [--auth USER:PASSWORD]")
	}
	verb, name, withTLS, auth := args[0], "registry", false, ""
	for rest := args[1:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == "--tls":
			withTLS = true
		case rest[0] == "--auth" && len(rest) > 1:
			rest = rest[1:]
			auth = rest[0]
		default:
			name = rest[0]
		}
	}
	registries := worldOf(ts).registries
	if verb != "start" && registries[name] == nil {
		ts.Fatalf("registry %s was not started", name)
	}
	switch verb {
	case "start":
		registries[name] = newRegistry(ts, name, withTLS, auth)
	case "stop":
		registries[name].process.end()
	case "kill":
		registries[name].process.kill()
	case "restart":
		registries[name].process.end()
		registries[name].run(ts)
	default:
		ts.Fatalf("registry %s: unknown", verb)
	}
}

func newRegistry(ts *testscript.TestScript, name string, withTLS bool, auth string) *registry {
	r := &registry{name: name, port: freePort(ts), config: ts.MkAbs(name + ".yml"), scheme: "http"}
	config := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: true}\n", ts.MkAbs(name+"-storage"))
	config += fmt.Sprintf("http:\n  addr: 127.0.0.1:%d\n", r.port)
	if withTLS {
		r.scheme = "https"
		serverCertificate(ts, name)
		config += fmt.Sprintf("  tls: {certificate: %s, key: %s}\n", ts.MkAbs(name+"-tls.pem"), ts.MkAbs(name+"-tls.key"))
	}
	if auth != "" {
		config += fmt.Sprintf("auth:\n  htpasswd: {realm: stories, path: %s}\n", htpasswd(ts, name, auth))
	}
	ts.Check(os.WriteFile(r.config, []byte(config), 0o600))
	r.run(ts)
	ts.Setenv(strings.ToUpper(name), fmt.Sprintf("localhost:%d", r.port))
	return r
}

func (r *registry) run(ts *testscript.TestScript) {
	r.process = start(ts, r.name+".log", "docker-registry", "serve", r.config)
	client := insecureClient()
	ts.Check(r.process.await(func() error {
		resp, err := client.Get(fmt.Sprintf("%s://127.0.0.1:%d/v2/", r.scheme, r.port))
		if err != nil {
			return err
		}
		return resp.Body.Close()
	}))
}

// insecureClient talks to the stories' own registries, to see that they are up and what they hold.
func insecureClient() *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// serverCertificate makes NAME-ca.pem and NAME-tls.pem with NAME-tls.key, for localhost.
func serverCertificate(ts *testscript.TestScript, name string) {
	cmdCA(ts, false, []string{name + "-ca", "TLS CA of " + name})
	ts.Check(os.WriteFile(ts.MkAbs(name+"-tls.cnf"), []byte("subjectAltName = DNS:localhost, IP:127.0.0.1\n"), 0o600))
	ts.Check(ts.Exec("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
		"-keyout", name+"-tls.key", "-out", name+"-tls.csr"))
	ts.Check(ts.Exec("openssl", "x509", "-req", "-in", name+"-tls.csr", "-CA", name+"-ca.pem", "-CAkey", name+"-ca.key", "-CAcreateserial",
		"-days", "30", "-extfile", name+"-tls.cnf", "-out", name+"-tls.pem"))
}

func htpasswd(ts *testscript.TestScript, name, auth string) string {
	user, password, ok := strings.Cut(auth, ":")
	if !ok {
		ts.Fatalf("--auth %s: want USER:PASSWORD", auth)
	}
	file := ts.MkAbs(name + ".htpasswd")
	ts.Check(ts.Exec("htpasswd", "-Bbc", file, user, password))
	return file
}

// cmdDigest is "digest VAR NAME:TAG [REGISTRY]": the digest of what the tag names, computed from its bytes, becomes $VAR, and its
// digits become $VAR_HEX.
func cmdDigest(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "digest", neg)
	if len(args) < 2 {
		ts.Fatalf("usage: digest VAR NAME:TAG [REGISTRY]")
	}
	name := "registry"
	if len(args) > 2 {
		name = args[2]
	}
	r := worldOf(ts).registries[name]
	repository, tag, _ := strings.Cut(args[1], ":")
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s://127.0.0.1:%d/v2/%s/manifests/%s", r.scheme, r.port, repository, tag), nil)
	ts.Check(err)
	for _, mediaType := range []string{
		"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	} {
		req.Header.Add("Accept", mediaType)
	}
	resp, err := insecureClient().Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest))
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s: %s", args[1], resp.Status, body)
	}
	hex := fmt.Sprintf("%x", sha256.Sum256(body))
	ts.Setenv(args[0], "sha256:"+hex)
	ts.Setenv(args[0]+"_HEX", hex)
}
