package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust/notation/notationtest"
)

// parityNow is the time of all that is decided: shortly after the recordings were made.
var parityNow = time.Date(2026, 11, 23, 6, 50, 0, 0, time.UTC)

// parityFixture is one question, and what every point shall answer.
type parityFixture struct {
	group, name string
	image       string // as it is asked about where the point takes any name
	ref         image.Ref
	outcome     engine.Outcome
	says        string            // a part of the reason, or of that of an authority
	set         string            // of policies; "" is paritySigned
	nameless    bool              // there is no image on the host: ref is no image of a registry that is there: only the name is decided about
	made        bool              // the image was made on the host: no registry has it
	differs     map[string]string // by point: the note that explains it
}

// The sets of policies.
const (
	paritySigned  = "signed"  // one policy, with an authority for each kind of evidence
	parityRevoked = "revoked" // one that takes digests back
	paritySeveral = "several" // three: what one says, the others do not
	parityLocal   = "local"   // one with a rule about images that were made on the host
)

var paritySets = []string{paritySigned, parityRevoked, paritySeveral, parityLocal}

// parityWorld is registries with images and evidence, and the policies about them.
type parityWorld struct {
	*spireWorld
	stage       *demoStage
	fixtures    []*parityFixture
	authorities []string
	rules       map[string][]string // by set
	revoked     []string
	jws         func(image.Ref)                 // signs an image in JWS
	others      map[string]*registrytest.Server // by host
	written     map[string][]string             // files of policies, by mode and set
	onHost      *parityHost
	takenBack   string // an entry of the set parityRevoked
}

func newParityWorld(t testing.TB) *parityWorld {
	t.Helper()
	w := &parityWorld{spireWorld: newSpireWorld(t, registrytest.Options{Notary: true}), rules: map[string][]string{}, others: map[string]*registrytest.Server{}, written: map[string][]string{}}
	store, err := registry.New(registry.Config{LoopbackHTTP: true, Retries: -1, RequestTimeout: 5 * time.Second})
	must(t, err)
	t.Cleanup(store.CloseIdleConnections)
	w.at(parityNow)
	w.stage = &demoStage{app: w.demands.app, server: w.server, store: store}
	w.certificates()
	w.sigstoreKeys()
	w.sigstoreIdentities()
	w.notaryv1()
	w.notationOf("JWS", notationtest.JWS)
	w.notationOf("COSE", notationtest.COSE)
	w.thresholds()
	w.unsigned()
	w.at(parityNow) // recordings move it
	w.onHost = w.host()
	return w
}

// add adds a fixture, and the rule about its repository.
func (w *parityWorld) add(f parityFixture, rule string) *parityFixture {
	w.Helper()
	if f.set == "" {
		f.set = paritySigned
	}
	if f.image == "" {
		f.image = f.ref.String()
	}
	if rule != "" {
		w.rules[f.set] = append(w.rules[f.set], fmt.Sprintf("{images: [%q], %s}", f.ref.Name(), rule))
	}
	w.fixtures = append(w.fixtures, &f)
	return &f
}

// authority adds one to the policies.
func (w *parityWorld) authority(name, section string) {
	w.authorities = append(w.authorities, name+": "+section)
}

// push pushes an image to a repository of its own.
func (w *parityWorld) push(repository string) image.Ref {
	w.Helper()
	d := w.server.PushImage("parity/"+repository, "1", "linux/amd64", repository)
	return image.MustParse(w.server.Host() + "/parity/" + repository + "@" + d.String())
}

// broken is an image in a registry that answers some requests by a fault.
func (w *parityWorld) broken(match func(*http.Request) bool, fault registrytest.Fault) image.Ref {
	w.Helper()
	s := registrytest.New(w.TB, registrytest.Options{})
	w.others[s.Host()] = s
	d := s.PushImage("parity/broken", "1", "linux/amd64", s.Host())
	s.SetFault(match, fault)
	return image.MustParse(s.Host() + "/parity/broken@" + d.String())
}

// outages adds what no authority can tell: its first request meets a fault. Where several are sent at once, only one of them does, so that
// all points hear of the same.
func (w *parityWorld) outages(group, authority string, match func(*http.Request) bool) {
	busy := registrytest.Status(http.StatusTooManyRequests, nil, "")
	w.add(parityFixture{group: group, name: "registry: 429", ref: w.broken(match, busy), outcome: engine.CouldNotTell, says: "429"}, "require: "+authority)
	w.add(parityFixture{group: group, name: "registry cuts connections", ref: w.broken(match, registrytest.CutConnection()), outcome: engine.CouldNotTell}, "require: "+authority)
}

// policies writes the policies of a set once, and returns their files.
func (w *parityWorld) policies(mode, set string) []string {
	if w.written[mode+set] == nil {
		w.written[mode+set] = w.write(mode, set)
	}
	return w.written[mode+set]
}

func (w *parityWorld) write(mode, set string) []string {
	w.Helper()
	folder := w.TempDir()
	write := func(name, spec string) string {
		file := filepath.Join(folder, name+".yaml")
		must(w.TB, os.WriteFile(file, []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: "+name+"}\nspec:\n  mode: "+mode+"\n"+spec), 0o600))
		return file
	}
	list := func(title string, items []string, marks string) string {
		if len(items) == 0 {
			return ""
		}
		return "  " + title + ":\n" + marks + strings.Join(items, "\n"+marks) + "\n"
	}
	authorities, rules := list("authorities", w.authorities, "    "), list("rules", w.rules[set], "  - ")
	switch set {
	case parityRevoked:
		return []string{write("revoked", authorities+rules+list("revoked", []string{w.takenBack}, "  - "))}
	case parityLocal:
		return []string{write("local", list("rules", []string{"{local: {labels: {team: payments}}, allow: built here}"}, "  - "))}
	case paritySeveral:
		all := fmt.Sprintf("{images: [%q], allow: for the test}", w.server.Host()+"/**")
		no := fmt.Sprintf("{images: [%q], deny: closed by another policy}", w.server.Host()+"/parity/several-denied")
		return []string{
			write("a-closed", "  unmatched: ignore\n"+list("rules", []string{no}, "  - ")),
			write("b-signed", "  unmatched: ignore\n"+authorities+rules),
			write("c-open", "  unmatched: ignore\n"+list("rules", []string{all}, "  - ")),
		}
	}
	return []string{write(set, authorities+rules+list("revoked", w.revoked, "  - "))}
}

// quote writes a text in YAML.
func quote(s string) string { return strconv.Quote(s) }

// parse reads policies from files.
func (w *parityWorld) parse(files []string) []*policy.Policy {
	w.Helper()
	policies, err := loadPolicies(files)
	must(w.TB, err)
	return policies
}

// configOn is the digest of the config that the image of a fixture, or the first child of an index, has on the host.
func (w *parityWorld) configOn(f *parityFixture) string {
	w.Helper()
	server := w.server
	if other := w.others[f.ref.Registry()]; other != nil {
		server = other
	}
	return configIn(w.TB, server, f.ref)
}

func configIn(t testing.TB, server *registrytest.Server, ref image.Ref) string {
	t.Helper()
	_, content := server.Manifest(ref.Repository(), ref.Digest().String())
	var m struct {
		Config    struct{ Digest string }
		Manifests []struct{ Digest string }
	}
	must(t, json.Unmarshal(content, &m))
	if len(m.Manifests) > 0 {
		return configIn(t, server, ref.At(image.MustParseDigest(m.Manifests[0].Digest)))
	}
	return m.Config.Digest
}

// certify has an authority sign an image.
func (w *parityWorld) certify(by *demoAuthority, ref image.Ref) *x509.Certificate {
	w.Helper()
	leaf, err := w.stage.sign(context.Background(), by, ref)
	must(w.TB, err)
	return leaf
}

func (w *parityWorld) ca(name string) *demoAuthority {
	w.Helper()
	a, err := w.stage.newAuthority(name)
	must(w.TB, err)
	return a
}

func (a *demoAuthority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// bareSigner is somebody with a key and no certificate.
func bareSigner(t testing.TB) (s *ownSigner, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &ownSigner{key: key}, barePEM(t, key)
}

func barePEM(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := marshalPublic(key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func marshalPublic(key *ecdsa.PrivateKey) ([]byte, error) {
	return x509.MarshalPKIXPublicKey(key.Public())
}

// String names the fixture in messages.
func (f *parityFixture) String() string { return f.group + ": " + f.name }
