//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// logsSince is from when on the trust material says that the logs exist.
const logsSince = "2024-01-01T00:00:00Z"

// sigstore is a Sigstore of our own that all stories share: identity provider, certificate log, Fulcio, Rekor v2 and a time-stamp
// authority, and, where a story asks for it, Rekor v1. Each part starts when the first story needs it.
type sigstore struct {
	folder string // keys, certificates, logs, and the files that cosign is given
	bin    string
	path   string // PATH

	// start and startRekor1 start what they name, once.
	start       func() error
	startRekor1 func() error

	mu        sync.Mutex
	processes []*process
	servers   []interface{ Close() }

	pki      *pki
	hosts    *hosts
	identity identityProvider
	ctURL    string
	fulcio   string // URLs
	noSCT    string // a Fulcio with the same certificates that asks no certificate log
	rekor    string
	rekor1   string
	tsa      string
}

// newSigstore returns a Sigstore that has not started, and stops it when the test ends.
func newSigstore(t testing.TB) *sigstore {
	bin, err := peersFolder()
	if err != nil {
		t.Fatal(err)
	}
	s := &sigstore{folder: t.TempDir(), bin: bin, path: bin + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
	s.start = sync.OnceValue(s.startAll)
	s.startRekor1 = sync.OnceValue(s.rekorV1)
	t.Cleanup(func() { s.stop(t) })
	return s
}

// peersFolder is where e2e/peers/install puts what it builds.
func peersFolder() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "assay-peers", "bin"), err
}

// stop stops what was started, the last first. A part that has ended before is an error: the stories cannot tell what they met.
func (s *sigstore) stop(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		select {
		case <-p.done:
			t.Errorf("%s has ended:\n%s", p.cmd.Path, p.output())
		default:
		}
	}
	for i := len(s.processes) - 1; i >= 0; i-- {
		s.processes[i].end()
	}
	for _, server := range s.servers {
		server.Close()
	}
}

func (s *sigstore) startAll() error {
	lock, err := lockHost()
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.servers = append(s.servers, closer{lock})
	s.mu.Unlock()
	if s.pki, err = newPKI(s.folder); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.identity = identityProvider{key: key}
	if s.hosts, err = newHosts(s.file("hosts.pem"), append(s.identity.names(), recordedHost)...); err != nil {
		return err
	}
	for _, name := range s.identity.names() {
		s.hosts.handle(name, s.identity)
	}
	ct := httptest.NewServer(certificateLog{key: s.pki.ct})
	s.ctURL = ct.URL + "/lab"
	s.servers = append(s.servers, ct, s.hosts)
	for _, start := range []func() error{s.startFulcios, s.startRekor, s.startTimestamps} {
		if err := start(); err != nil {
			return err
		}
	}
	return s.material()
}

func (s *sigstore) startFulcios() error {
	if err := os.WriteFile(s.file("fulcio.yaml"), []byte(fulcioConfig), 0o600); err != nil {
		return err
	}
	var err error
	s.fulcio, err = s.startFulcio("fulcio", "--ct-log-url", s.ctURL, "--ct-log-public-key-path", s.file("ct.pub"))
	if err != nil {
		return err
	}
	s.noSCT, err = s.startFulcio("fulcio-no-sct", "--ct-log-url=")
	return err
}

func (s *sigstore) startFulcio(name string, logFlags ...string) (string, error) {
	ports, err := freePorts(3)
	if err != nil {
		return "", err
	}
	return s.serve(name, "fulcio", ports[0], "/api/v2/trustBundle", append([]string{"serve",
		"--host", "127.0.0.1", "--port", fmt.Sprint(ports[0]), "--grpc-host", "127.0.0.1", "--grpc-port", fmt.Sprint(ports[1]),
		"--metrics-port", fmt.Sprint(ports[2]), "--legacy-unix-domain-socket=@assay-" + fmt.Sprint(ports[0]),
		"--ca", "fileca", "--fileca-cert", s.file("fulcio-chain.pem"), "--fileca-key", s.file("fulcio.key"),
		"--fileca-key-passwd", "none", "--fileca-watch=false",
		"--config-path", s.file("fulcio.yaml")}, logFlags...)...)
}

func (s *sigstore) startRekor() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	// The host name is the origin of the checkpoints, and must be that of the URL in the trusted root.
	if _, err = s.serve("rekor2", "rekor2", ports[0], "/healthz", "serve", "--http-port", fmt.Sprint(ports[0]),
		"--grpc-port", fmt.Sprint(ports[1]), "--http-metrics-port", fmt.Sprint(ports[2]), "--hostname", "localhost",
		"--storage-dir", s.file("rekor2"), "--signer-filepath", s.file("rekor.key"),
		"--checkpoint-interval", "500ms", "--batch-max-age", "100ms",
	); err != nil {
		return err
	}
	s.rekor = fmt.Sprintf("http://localhost:%d", ports[0])
	return nil
}

func (s *sigstore) startTimestamps() error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	url, err := s.serve("tsa", "timestamp-server", ports[0], "/ping", "serve", "--host", "127.0.0.1", "--port", fmt.Sprint(ports[0]),
		"--timestamp-signer", "file", "--file-signer-key-path", s.file("tsa.key"), "--file-signer-passwd", "",
		"--certificate-chain-path", s.file("tsa-chain.pem"), "--disable-ntp-monitoring", "--graceful-timeout", "1s")
	s.tsa = url + "/api/v1/timestamp"
	return err
}

// serve runs a peer until the test ends, and waits until it answers at a path of its URL.
func (s *sigstore) serve(name, program string, port int, ready string, args ...string) (string, error) {
	p, err := s.launch(name, program, args...)
	if err != nil {
		return "", err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	client := insecureClient()
	return url, p.await(func() error {
		resp, err := client.Get(url + ready)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", ready, resp.Status)
		}
		return nil
	})
}

func (s *sigstore) launch(name, program string, args ...string) (*process, error) {
	path, err := s.program(program)
	if err != nil {
		return nil, err
	}
	p, err := launch(s.folder, s.file(name+".log"), s.env(), path, args...)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, p)
	return p, nil
}

func (s *sigstore) program(name string) (string, error) {
	for _, folder := range filepath.SplitList(s.path) {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w; e2e/peers/install installs it", name, exec.ErrNotFound)
}

// env is the environment of everything that belongs to this Sigstore: it knows no home but its own, and no network but hosts.
func (s *sigstore) env() []string {
	env := []string{"PATH=" + s.path, "HOME=" + s.folder, "TMPDIR=" + os.TempDir(), "TUF_ROOT=" + s.file("tuf"), "COSIGN_PASSWORD="}
	return append(env, s.hosts.env()...)
}

// run runs a program to its end.
func (s *sigstore) run(program string, args ...string) error {
	path, err := s.program(program)
	if err != nil {
		return err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.folder
	cmd.Env = s.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", program, args, err, out)
	}
	return nil
}

func (s *sigstore) file(name string) string { return filepath.Join(s.folder, name) }
