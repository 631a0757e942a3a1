package notaryv1

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
	"github.com/assay-dev/assay/trust/trusttest"
)

// variant is one way to trust a root and to select signers; each passes the whole suite.
type variant struct {
	options func(root, jenkins *notarytest.Key) Options
	role    string
	rootAs  func(key *notarytest.Key, gun string) *notarytest.Key
}

func selfCertified(key *notarytest.Key, gun string) *notarytest.Key {
	return key.Certified(gun, made.Add(-time.Hour), made.Add(10*365*24*time.Hour))
}

func TestSuite(t *testing.T) {
	ca := notarytest.NewKey("P-256").Authority("roots", made.Add(-time.Hour), made.Add(20*365*24*time.Hour))
	byKey := func(root, _ *notarytest.Key) Options {
		return Options{Server: server, Root: &RootOptions{Keys: root.PublicPEM()}}
	}
	signed := func(form func(*notarytest.Key) SignerOptions) func(root, jenkins *notarytest.Key) Options {
		return func(root, jenkins *notarytest.Key) Options {
			o := byKey(root, jenkins)
			o.Signers = []SignerOptions{form(jenkins)}
			return o
		}
	}
	for name, v := range map[string]variant{
		"targets/releases": {byKey, notarytest.Releases, selfCertified},
		"targets":          {byKey, notarytest.Targets, selfCertified},
		"root by CA": {func(_, _ *notarytest.Key) Options {
			return Options{Server: server, Root: &RootOptions{CA: string(ca.Public)}}
		}, notarytest.Releases, func(key *notarytest.Key, gun string) *notarytest.Key {
			return key.CertifiedBy(ca, gun, made.Add(-time.Hour), made.Add(10*365*24*time.Hour))
		}},
		"CSE-24 signer by bare key": {signed(func(k *notarytest.Key) SignerOptions {
			return SignerOptions{Role: "targets/jenkins", PublicKey: k.PublicPEM()}
		}), "targets/jenkins", selfCertified},
		"CSE-24 signer by certificate": {signed(func(k *notarytest.Key) SignerOptions {
			return SignerOptions{Role: "targets/jenkins", Certificate: string(selfCertified(k, "jenkins").Public)}
		}), "targets/jenkins", selfCertified},
		"a signer further down": {signed(func(k *notarytest.Key) SignerOptions {
			return SignerOptions{Role: "targets/ci/jenkins", PublicKey: k.PublicPEM()}
		}), "targets/ci/jenkins", selfCertified},
	} {
		t.Run(name, func(t *testing.T) { trusttest.Run(t, v.suite()) })
	}
}

// holders are the keys of a suite: those that count, and equal ones that do not.
type holders struct{ root, jenkins *notarytest.Key }

func newHolders() holders { return holders{notarytest.NewKey("P-256"), notarytest.NewKey("P-256")} }

func (v variant) suite() trusttest.Suite {
	ours, theirs := newHolders(), newHolders()
	if v.options(ours.root, ours.jenkins).Root.CA != "" {
		v.rootAs = byHolder(ours, v.rootAs)
	}
	return trusttest.Suite{
		Authority: func(t *testing.T) trust.Authority {
			return newWorld(v.options(ours.root, ours.jenkins)).authority(t)
		},
		Now:     now,
		Outside: []time.Time{made.Add(-2 * time.Hour), made.Add(15 * 24 * time.Hour), made.Add(20 * 365 * 24 * time.Hour)},
		Publish: func(_ *testing.T, src *trusttest.Source, ref image.Ref) { put(src, v.repository(ours, ref)) },
		PublishForeign: func(_ *testing.T, src *trusttest.Source, ref image.Ref) {
			put(src, v.repository(theirs, ref))
		},
		PublishCopy: func(_ *testing.T, src *trusttest.Source, ref, of image.Ref) {
			for name, content := range v.repository(ours, of).Files() {
				src.PutTrustData(server, ref.Name(), name, content)
			}
		},
		PublishMalformed: v.malformed(ours),
		NamesRepository:  true,
	}
}

// byHolder has only our own root key certified by the authority.
func byHolder(ours holders, rootAs func(*notarytest.Key, string) *notarytest.Key) func(*notarytest.Key, string) *notarytest.Key {
	return func(key *notarytest.Key, gun string) *notarytest.Key {
		if key == ours.root {
			return rootAs(key, gun)
		}
		return selfCertified(key, gun)
	}
}

// repository makes trust data in which the role of the variant has signed ref.
func (v variant) repository(h holders, ref image.Ref) *notarytest.Repository {
	r := notarytest.New(ref.Name(), made)
	root := v.rootAs(h.root, ref.Name())
	r.Roles[notarytest.Root].Keys, r.Roles[notarytest.Root].Signers = []*notarytest.Key{root}, []*notarytest.Key{root}
	for _, name := range lineage(v.role) {
		if name != notarytest.Targets {
			r.Delegate(name, h.jenkins)
		}
	}
	r.Sign(v.role, "1", ref.Digest())
	return r
}

func put(src *trusttest.Source, r *notarytest.Repository) {
	for name, content := range r.Files() {
		src.PutTrustData(server, r.GUN, name, content)
	}
}

// malformed are trust data that prove nothing, each for one reason.
func (v variant) malformed(h holders) map[string]func(*testing.T, *trusttest.Source, image.Ref) {
	all := map[string]func(*testing.T, *trusttest.Source, image.Ref){}
	file := func(role, what string, change func([]byte) []byte) {
		all[role+" "+what] = func(_ *testing.T, src *trusttest.Source, ref image.Ref) {
			r := v.repository(h, ref)
			r.Roles[role].File = change
			put(src, r)
		}
	}
	for _, role := range []string{notarytest.Root, notarytest.Timestamp, notarytest.Snapshot, notarytest.Targets, v.role} {
		file(role, "is no JSON", func([]byte) []byte { return []byte("junk") })
		file(role, "is cut", func(b []byte) []byte { return b[:len(b)/2] })
		file(role, "T44 is deep", func([]byte) []byte { return []byte(strings.Repeat("[", 100_000)) })
		file(role, "T31 has a key twice", func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"signatures"`), []byte(`{"signed":{},"signatures"`), 1)
		})
		file(role, "is null", func([]byte) []byte { return []byte("null") })
		file(role, "has no signature", func(b []byte) []byte {
			start, end := bytes.IndexByte(b, '['), bytes.LastIndex(b, []byte(`],"signed"`))
			return append(append(bytes.Clone(b[:start+1]), b[end:]...), ' ')
		})
	}
	return all
}
