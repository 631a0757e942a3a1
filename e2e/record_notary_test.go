//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// notaryRecordings is where recorded metadata of Notary v1 are.
const notaryRecordings = "../trust/notaryv1/testdata/recorded"

// recordedNotary is the file about.json beside the metadata of one moment of a collection.
type recordedNotary struct {
	GUN     string            `json:"gun"`
	Time    time.Time         `json:"time"`    // when it was recorded; timestamps end 14 days later
	Digests map[string]string `json:"digests"` // of the images, by the tag that the commands signed
}

// TestRecordNotary signs with Docker's and Notary's real tools and writes what the server then serves to trust/notaryv1/testdata/recorded,
// where unit tests read it. ASSAY_RECORD=1 asks for it: everything there changes, since the private keys of the last time are gone.
func TestRecordNotary(t *testing.T) {
	if os.Getenv("ASSAY_RECORD") != "1" {
		t.Skip("ASSAY_RECORD=1 records anew")
	}
	if err := os.MkdirAll(filepath.Dir(notaryRecordings), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.MkdirTemp(filepath.Dir(notaryRecordings), "recorded") // beside what it replaces, so that a rename does
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(out) }) // gone already, unless the recording failed
	if err := os.Chmod(out, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range notaryCollections() {
		if err := recordNotary(t, out, c); err != nil {
			t.Fatalf("%s: %v", c.gun, err)
		}
	}
	if err := notaryReadme(out); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(notaryRecordings), os.Rename(out, notaryRecordings)); err != nil {
		t.Fatal(err)
	}
}

// notaryRecorder records one collection.
type notaryRecorder struct {
	*notary
	out   string
	about recordedNotary
	env   []string
}

func recordNotary(t *testing.T, out string, c notaryCollection) error {
	folder := t.TempDir()
	n, err := newNotary(folder, os.Getenv("PATH")+":/usr/sbin:/sbin", c.options)
	if err != nil {
		return err
	}
	t.Cleanup(n.Close)
	r := &notaryRecorder{notary: n, out: out, about: recordedNotary{GUN: c.gun, Digests: map[string]string{}}}
	r.env = append([]string{"PATH=" + n.path, "HOME=" + folder, "DOCKER_CONFIG=" + n.file("docker-config")}, n.env()...)
	if err := errors.Join(n.clients(folder, n.file("docker-config")), os.CopyFS(folder, os.DirFS("testdata/notary"))); err != nil {
		return err
	}
	if c.docker {
		if err := r.startDocker(t); err != nil {
			return err
		}
	}
	for _, step := range c.steps {
		verb, name, _ := strings.Cut(step, " ")
		switch verb {
		case "record":
			err = r.record(name)
		case "expired":
			err = r.recordExpired(name)
		default:
			err = r.step(step)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	return r.keys()
}

// startDocker starts a registry that is called recordedHost, and a Docker engine that can reach nothing else.
func (r *notaryRecorder) startDocker(t *testing.T) error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: %s}\n"+
		"http: {addr: '127.0.0.1:%d', relativeurls: true}\n", r.file("storage"), ports[0])
	if err := os.WriteFile(r.file("registry.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := r.peer(t, "docker-registry", listens(ports[0]), "serve", r.file("registry.yml")); err != nil {
		return err
	}
	h, err := newHosts(r.file("hosts.pem"), recordedHost)
	if err != nil {
		return err
	}
	t.Cleanup(h.Close)
	h.handle(recordedHost, httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports[0])}))
	r.env = append(r.env, h.env()...)
	r.env = append(r.env, "DOCKER_HOST=unix://"+r.file("docker.sock"))
	return r.peer(t, "dockerd", func() error { return r.step("docker version") }, dockerdFlags(r.folder)...)
}

func (r *notaryRecorder) peer(t *testing.T, program string, ready func() error, args ...string) error {
	path, err := r.find(program)
	if err != nil {
		return err
	}
	p, err := launch(r.folder, r.file(program+".log"), r.env, path, args...)
	if err != nil {
		return err
	}
	t.Cleanup(p.end)
	return p.await(ready)
}

// step runs a command. $GUN is the collection, $A and $B are the digests of two images (their digits).
func (r *notaryRecorder) step(command string) error {
	cmd := exec.Command("bash", "-euc", command)
	cmd.Dir = r.folder
	cmd.Env = append(r.env, "GUN="+r.about.GUN, "A="+strings.Repeat("a1", 32), "B="+strings.Repeat("b2", 32))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// record writes down what the server serves now.
func (r *notaryRecorder) record(name string) error {
	folder := filepath.Join(r.out, name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	r.about.Time = time.Now().UTC().Truncate(time.Second)
	files, err := r.metadata()
	if err != nil {
		return err
	}
	if err := r.digests(); err != nil {
		return err
	}
	if files["about.json"], err = json.MarshalIndent(r.about, "", " "); err != nil {
		return err
	}
	for file, content := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// recordExpired is record with a timestamp that ended a day ago.
func (r *notaryRecorder) recordExpired(name string) error {
	if err := r.record(name); err != nil {
		return err
	}
	file := filepath.Join(r.out, name, "timestamp.json")
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if content, err = r.expired(content, r.about.Time.Add(-24*time.Hour)); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// keys keeps what is public of the keys that the steps made.
func (r *notaryRecorder) keys() error {
	folder := filepath.Join(r.out, "keys")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	_, collection, _ := strings.Cut(r.about.GUN, "/")
	for _, pattern := range []string{"*.pem", "*.pub"} {
		files, err := filepath.Glob(r.file(pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			name := filepath.Base(file)
			if strings.HasPrefix(name, "notary-") || name == "hosts.pem" {
				continue // TLS
			}
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name = strings.ReplaceAll(collection, "/", "-") + "-" + name
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// digests reads the file digests, to which commands add lines of a tag and a digest; the last one of a tag counts.
func (r *notaryRecorder) digests() error {
	text, err := os.ReadFile(r.file("digests"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 2 {
			r.about.Digests[words[0]] = words[1]
		}
	}
	return err
}

// metadata returns every file of the collection under its name at the server, each root also with its version where there are several.
func (r *notaryRecorder) metadata() (map[string][]byte, error) {
	files := map[string][]byte{}
	roles := []string{"root", "timestamp", "snapshot", "targets"}
	for len(roles) > 0 {
		name := roles[0] + ".json"
		content, err := r.get(r.about.GUN, name)
		if err != nil {
			return nil, err
		}
		var parsed struct {
			Signed struct {
				Version     int
				Delegations struct{ Roles []struct{ Name string } }
			}
		}
		if err := json.Unmarshal(content, &parsed); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = content
		for v := parsed.Signed.Version; roles[0] == "root" && parsed.Signed.Version > 1 && v > 0; v-- {
			name := fmt.Sprintf("%d.root.json", v)
			if files[name], err = r.get(r.about.GUN, name); err != nil {
				return nil, err
			}
		}
		roles = roles[1:]
		for _, d := range parsed.Signed.Delegations.Roles {
			if _, err := r.get(r.about.GUN, d.Name+".json"); err == nil { // a role that nobody has signed for has no file
				roles = append(roles, d.Name)
			}
		}
	}
	return files, nil
}
