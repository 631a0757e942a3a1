package notaryv1

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// moment is the trust data of a repository at one time, made by the real tools (see testdata/recorded/README.md).
type moment struct {
	GUN     string                  `json:"gun"`
	Time    time.Time               `json:"time"`
	Digests map[string]image.Digest `json:"digests"`
	files   map[string][]byte       // as a server keeps them
	root    string                  // PEM of the root's certificates
}

const recordedFolder = "testdata/recorded"

func recordedKey(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(recordedFolder, "keys", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// recorded reads a moment.
func recorded(t testing.TB, name string) moment {
	t.Helper()
	folder := filepath.Join(recordedFolder, name)
	var m moment
	about, err := os.ReadFile(filepath.Join(folder, "about.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(about, &m); err != nil {
		t.Fatal(err)
	}
	m.files = map[string][]byte{}
	err = fs.WalkDir(os.DirFS(folder), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || file == "about.json" {
			return err
		}
		content, err := os.ReadFile(filepath.Join(folder, file))
		sum, long := sha256.Sum256(content), sha512.Sum512(content)
		role := strings.TrimSuffix(file, ".json")
		m.files[file] = content
		m.files[role+"."+hex.EncodeToString(sum[:])+".json"] = content
		m.files[role+"."+hex.EncodeToString(long[:])+".json"] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.root = rootPEM(t, m.files["root.json"])
	return m
}

// rootPEM returns the certificates of a root role.
func rootPEM(t testing.TB, content []byte) string {
	t.Helper()
	f, err := parseFile(content)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readRoot(f, content)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, k := range r.roles[roleRoot].keys {
		all.WriteString(pemOf(k.chain[0].Raw))
	}
	return all.String()
}

func (m moment) world(o Options) *world {
	o.Server = server
	if o.Root == nil && !o.InsecureTrustOnFirstUse {
		o.Root = &RootOptions{Certificates: m.root}
	}
	w := newWorld(o)
	w.clock = m.Time
	w.serveFiles(m.GUN, m.files)
	return w
}

// ref names a tag of the moment's repository with a digest.
func (m moment) ref(t testing.TB, tag string, d image.Digest) image.Ref {
	t.Helper()
	ref, err := image.Parse(m.GUN + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref.Pinned(d)
}

func signer(role, key string) SignerOptions { return SignerOptions{Role: role, PublicKey: key} }

// The trust data that real tools made are decided as these tools mean them.
func TestRecorded(t *testing.T) {
	jenkins := recordedKey(t, "cli-app-jenkins.pub")
	jenkinsCert := recordedKey(t, "cli-app-jenkins.pem")
	for _, c := range []struct {
		moment, tag, digest string // digest: the tag in about.json whose digest is asked about; "" the tag itself
		options             Options
		want                string // "" proved; else text of the refusal
	}{
		{moment: "docker-unsigned", tag: "1", want: "No valid trust data for 1"},
		{moment: "docker-signed", tag: "1"},
		{moment: "docker-resigned", tag: "1"},
		{moment: "docker-resigned", tag: "2"},
		{moment: "docker-resigned", tag: "2", digest: "1", want: "digest changed, new digest: sha256:"},
		{moment: "docker-revoked", tag: "2", want: "No valid trust data for 2"},
		{moment: "docker-revoked", tag: "1"},
		{moment: "cli-empty", tag: "1", want: "No valid trust data for 1"},
		{moment: "cli-targets", tag: "1"},
		{moment: "cli-server-snapshot", tag: "1"},
		{moment: "cli-signed", tag: "2"},
		{moment: "cli-signed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/jenkins", jenkins)}}},
		{moment: "cli-signed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/jenkins", jenkinsCert)}}},
		{moment: "cli-signed", tag: "2", options: Options{Signers: []SignerOptions{{Role: "targets/jenkins", Certificate: jenkinsCert}}}},
		{moment: "cli-signed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/alice", jenkins)}}, want: "Public keys are different"},
		{moment: "cli-signed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/nobody", jenkins)}}, want: "Role not found with for a specified signer"},
		{moment: "cli-removed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/jenkins", jenkins)}}},
		{moment: "cli-delegation-removed", tag: "2", options: Options{Signers: []SignerOptions{signer("targets/jenkins", jenkins)}}, want: "Role not found with for a specified signer"},
		{moment: "root-wildcard", tag: "1"},
		{moment: "root-rsa", tag: "1"},
		{moment: "root-legacy", tag: "1"},
		{moment: "root-4", tag: "1"},
		{moment: "root-ca", tag: "1"},
		{moment: "root-ca", tag: "1", options: Options{Root: &RootOptions{CA: recordedKey(t, "root-ca-ca.pem")}}},
		{moment: "keys-kinds", tag: "1", want: "No valid trust data for 1"},
		{moment: "keys-kinds", tag: "1", options: Options{Roles: []string{"targets/rsa"}}},
		{moment: "keys-kinds", tag: "1", options: Options{Roles: []string{"targets/rsa-bare"}}},
		{moment: "keys-kinds", tag: "1", options: Options{Roles: []string{"targets/p384"}}},
		{moment: "keys-kinds", tag: "1", options: Options{Roles: []string{"targets/p384-bare"}}},
		{moment: "keys-kinds", tag: "1", options: Options{Roles: []string{"targets/many"}}},
		{moment: "keys-kinds", tag: "1", options: Options{Signers: []SignerOptions{
			signer("targets/rsa", recordedKey(t, "keys-kinds-rsa.pub")), signer("targets/p384", recordedKey(t, "keys-kinds-p384.pub")),
		}}},
		{moment: "cli-deep", tag: "v1", options: Options{Signers: []SignerOptions{signer("targets/a/b", recordedKey(t, "cli-deep-b.pub"))}}},
		{moment: "cli-deep", tag: "v1", options: Options{Signers: []SignerOptions{signer("targets/a/b", recordedKey(t, "cli-deep-a.pub"))}}, want: "Public keys are different"},
		{moment: "cli-deep", tag: "v2", options: Options{Roles: []string{"targets/a"}}},
		{moment: "cli-disagree", tag: "3", digest: "1", options: Options{Signers: []SignerOptions{
			signer("targets/jenkins", jenkins), signer("targets/alice", recordedKey(t, "cli-app-alice.pub")),
		}}, want: "Incompatible digest"},
		{moment: "keys-expired", tag: "1", want: "the timestamp expired"},
		{moment: "keys-both", tag: "1"},
		{moment: "keys-new", tag: "1"},
	} {
		name := c.moment + " " + c.tag + " " + c.want
		t.Run(name, func(t *testing.T) {
			m := recorded(t, c.moment)
			of := c.digest
			if of == "" {
				of = c.tag
			}
			d := m.Digests[of]
			if d.IsZero() {
				d = other
			}
			w := m.world(c.options)
			a := w.authority(t)
			ref := m.ref(t, c.tag, d)
			proofs, err := w.decide(t, a, ref)
			if c.want == "" {
				if err != nil || len(proofs) == 0 || proofs[0].Digest != d {
					t.Fatalf("proofs %v, error %v", proofs, err)
				}
				return
			}
			if !trust.IsNo(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want a no with %q", err, c.want)
			}
		})
	}
}

// Every file of every moment is read, and its canonical form is what was signed.
func TestRecordedFilesAreRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recordedFolder, "*", "*.json"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		if path.Base(file) == "about.json" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseFile(content); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// T28: what real tools publish one after another is followed, and nothing of it counts again once something newer was seen.
func TestT28_RecordedRollback(t *testing.T) {
	for collection, moments := range map[string][]string{
		"docker": {"docker-unsigned", "docker-signed", "docker-resigned", "docker-revoked", "docker-signer-removed"},
		"cli": {
			"cli-empty", "cli-targets", "cli-server-snapshot", "cli-delegations", "cli-signed", "cli-disagree", "cli-removed", "cli-delegation-removed",
		},
		"keys": {"keys-old", "keys-both", "keys-new", "keys-targets-rotated"},
		"root": {"root-1", "root-2", "root-3", "root-4"},
	} {
		t.Run(collection, func(t *testing.T) {
			w := recorded(t, moments[0]).world(Options{})
			for i, name := range moments {
				m := recorded(t, name)
				w.serveFiles(m.GUN, m.files)
				w.clock = m.Time
				w.restart()
				a := w.authority(t)
				if _, err := w.decide(t, a, m.ref(t, "none", other)); err == nil || !strings.Contains(err.Error(), "No valid trust data for none") {
					t.Fatalf("%s: %v", name, err)
				}
				for _, before := range moments[:i] {
					old := recorded(t, before)
					w.serveFiles(old.GUN, old.files)
					if _, err := w.decide(t, a, old.ref(t, "none", other)); err == nil || strings.Contains(err.Error(), "No valid trust data") {
						t.Errorf("%s after %s: %v", before, name, err)
					}
				}
			}
		})
	}
}

// A policy that pins an old root follows the rotations that real tools made; one that pins the current root needs none of them.
func TestRecordedRootRotation(t *testing.T) {
	first, last := recorded(t, "root-1"), recorded(t, "root-4")
	for name, c := range map[string]struct {
		root     string
		requests int
	}{
		"the first root":   {first.root, 4 + 3},
		"the current root": {last.root, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := last.world(Options{Root: &RootOptions{Certificates: c.root}})
			ref := last.ref(t, "2", last.Digests["2"])
			proofs, err := w.decide(t, w.authority(t), ref)
			if err != nil || len(proofs) == 0 {
				t.Fatal(err)
			}
			if got := w.Requests(); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
		})
	}
}
