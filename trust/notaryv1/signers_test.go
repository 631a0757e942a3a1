package notaryv1

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

// twoSigners makes trust data in which jenkins and qa have signed app.
func twoSigners() (r *notarytest.Repository, jenkins, qa *notarytest.Key) {
	r = newRepository()
	jenkins, qa = notarytest.NewKey("P-256"), notarytest.NewKey("P-256")
	r.Delegate("targets/jenkins", jenkins)
	r.Delegate("targets/qa", qa)
	r.Sign("targets/jenkins", "1", app.Digest())
	r.Sign("targets/qa", "1", app.Digest())
	return r, jenkins, qa
}

func demanding(r *notarytest.Repository, signers ...SignerOptions) Options {
	o := pinned(r)
	o.Signers = signers
	return o
}

func decideFor(t *testing.T, r *notarytest.Repository, o Options, ref image.Ref) ([]trust.Proof, error) {
	t.Helper()
	w := newWorld(o)
	w.serve(r)
	return w.decide(t, w.authority(t), ref)
}

func TestCSE4_AllRolesWithTheirKeys(t *testing.T) {
	r, jenkins, qa := twoSigners()
	proofs, err := decideFor(t, r, demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM())), app)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range proofs[0].Signers {
		got = append(got, s.Key)
	}
	if diff := cmp.Diff([]string{jenkins.Fingerprint(), qa.Fingerprint()}, got); len(proofs) != 1 || diff != "" {
		t.Errorf("%d proofs: %s", len(proofs), diff)
	}
	under := map[string]bool{}
	for _, print := range proofs[0].Signers[0].Under {
		under[print] = true
	}
	for _, role := range []string{notarytest.Root, notarytest.Timestamp, notarytest.Snapshot, notarytest.Targets} {
		if !under[r.Roles[role].Keys[0].Fingerprint()] {
			t.Errorf("the key of %s is not among those that the proof rests on", role)
		}
	}
}

func TestCSE5_OneRoleOfTwo(t *testing.T) {
	r, jenkins, qa := twoSigners()
	r.Revoke("targets/qa", "1")
	proofs, err := decideFor(t, r, demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM())), app)
	wantNoWith(t, proofs, err, "Role not found with for a specified signer: targets/qa")
	r.Roles["targets/qa"].Unlisted = true
	proofs, err = decideFor(t, r, demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM())), app)
	wantNoWith(t, proofs, err, "targets/qa has signed nothing yet")
}

// CSE-16: the first words of each refusal are those that users know.
func TestCSE16_Texts(t *testing.T) {
	r, jenkins, qa := twoSigners()
	missing := image.MustParse("registry.example/team/missing:1").Pinned(app.Digest())
	tag := func(name string) image.Ref {
		ref, err := app.Tagged(name)
		if err != nil {
			t.Fatal(err)
		}
		return ref.Pinned(app.Digest())
	}
	both := demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM()))
	for name, c := range map[string]struct {
		options Options
		ref     image.Ref
		kind    error
		want    string
	}{
		"nothing signed under this name": {pinned(r), missing, trust.ErrUnsigned, "notary.example:4443 does not have trust data for registry.example/team/missing"},
		"the tag is not signed":          {pinned(r), tag("3.11"), trust.ErrUnsigned, "No valid trust data for 3.11"},
		"nor by signers":                 {both, tag("3.11"), trust.ErrUnsigned, "No valid trust data for 3.11"},
		"no such role":                   {demanding(r, signer("targets/nobody", qa.PublicPEM())), app, trust.ErrUntrusted, "Role not found with for a specified signer: targets/nobody"},
		"another key":                    {demanding(r, signer("targets/jenkins", qa.PublicPEM())), app, trust.ErrUntrusted, "Public keys are different"},
		"a digest that is not signed":    {pinned(r), app.At(other), trust.ErrUntrusted, "No signed targets found"},
		"CSE-20 another digest":          {pinned(r), app.Pinned(other), trust.ErrUntrusted, "digest changed, new digest: " + app.Digest().String()},
	} {
		t.Run(name, func(t *testing.T) {
			proofs, err := decideFor(t, r, c.options, c.ref)
			wantNoWith(t, proofs, err, c.want)
			if !is(err, c.kind) {
				t.Errorf("%v is not %v", err, c.kind)
			}
		})
	}
}

// CSE-18: a digest alone is looked for under every tag, by all the signers that are needed.
func TestCSE18_DigestAlone(t *testing.T) {
	r, jenkins, qa := twoSigners()
	r.Sign("targets/jenkins", "2", other)
	both := demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM()))
	if _, err := decideFor(t, r, both, app.At(app.Digest())); err != nil {
		t.Error(err)
	}
	proofs, err := decideFor(t, r, both, app.At(other))
	wantNoWith(t, proofs, err, "No signed targets found")
	r.Sign("targets/qa", "3", other) // both have signed it, under different tags
	proofs, err = decideFor(t, r, both, app.At(other))
	wantNoWith(t, proofs, err, "No signed targets found")
	r.Sign("targets/qa", "2", other)
	if _, err := decideFor(t, r, both, app.At(other)); err != nil {
		t.Error(err)
	}
}

// CSE-23: the configured key must have signed; it is not enough that it may.
func TestCSE23_TheConfiguredKeyMustHaveSigned(t *testing.T) {
	r, jenkins, second := newRepository(), notarytest.NewKey("P-256"), notarytest.NewKey("P-256")
	r.Delegate("targets/jenkins", jenkins, second).Signers = []*notarytest.Key{second}
	r.Sign("targets/jenkins", "1", app.Digest())
	proofs, err := decideFor(t, r, demanding(r, signer("targets/jenkins", jenkins.PublicPEM())), app)
	wantNoWith(t, proofs, err, "Public keys are different", "signed by 0 of the configured keys", second.Fingerprint())
	if _, err := decideFor(t, r, demanding(r, signer("targets/jenkins", second.PublicPEM())), app); err != nil {
		t.Error(err)
	}
	// A key that is configured and signs, but is none of the role's.
	r.Roles["targets/jenkins"].Keys = []*notarytest.Key{second}
	r.Roles["targets/jenkins"].Signers = []*notarytest.Key{second, jenkins}
	proofs, err = decideFor(t, r, demanding(r, signer("targets/jenkins", jenkins.PublicPEM())), app)
	wantNoWith(t, proofs, err, "none of the configured keys is a key of the role")
}

// CSE-24: a key counts alike as a certificate and bare, on either side, and under both of its IDs.
func TestCSE24_CertificatesAndBareKeys(t *testing.T) {
	bare := notarytest.NewKey("P-256")
	cert := bare.Certified("jenkins", made.Add(-time.Hour), made.Add(year))
	byBareID := *cert
	byBareID.SignAs = cert.BareID()
	for name, listed := range map[string]*notarytest.Key{"bare": bare, "certificate": cert, "certificate, signed under the bare key's ID": &byBareID} {
		for form, s := range map[string]SignerOptions{
			"publicKey":                     {PublicKey: bare.PublicPEM()},
			"publicKey in base64":           {PublicKey: base64.StdEncoding.EncodeToString([]byte(bare.PublicPEM()))},
			"publicKey holds a certificate": {PublicKey: base64.StdEncoding.EncodeToString(cert.Public)},
			"certificate":                   {Certificate: string(cert.Public)},
			"publicKeys":                    {PublicKeys: []string{notarytest.NewKey("P-256").PublicPEM(), bare.PublicPEM()}},
			"certificates":                  {Certificates: []string{string(cert.Public)}},
		} {
			t.Run(name+" by "+form, func(t *testing.T) {
				r := newRepository()
				r.Delegate("targets/jenkins", listed)
				r.Sign("targets/jenkins", "1", app.Digest())
				s.Role = "targets/jenkins"
				proofs, err := decideFor(t, r, demanding(r, s), app)
				if err != nil || proofs[0].Signers[0].Key != bare.Fingerprint() {
					t.Fatalf("%v, %v", proofs, err)
				}
			})
		}
	}
}

// T19: a signer's certificate that has expired does not count, and ends the proof while it has not.
func TestT19_SignersCertificate(t *testing.T) {
	r := newRepository()
	short := notarytest.NewKey("P-256").Certified("jenkins", made, now.Add(time.Hour))
	r.Delegate("targets/jenkins", short)
	r.Sign("targets/jenkins", "1", app.Digest())
	w := newWorld(demanding(r, signer("targets/jenkins", short.PublicPEM())))
	w.serve(r)
	a := w.authority(t)
	proofs, err := w.decide(t, a, app)
	if err != nil || !proofs[0].Expires.Equal(now.Add(time.Hour+time.Nanosecond)) {
		t.Fatalf("%v, %v", proofs, err)
	}
	w.clock = now.Add(time.Hour + time.Second)
	proofs, err = w.decide(t, a, app)
	wantNoWith(t, proofs, err, "the certificate of the key", "expired")
}

// CSE-25: two roles that name different digests vouch for neither.
func TestCSE25_IncompatibleDigests(t *testing.T) {
	r, jenkins, qa := twoSigners()
	r.Sign("targets/qa", "1", other)
	both := demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM()))
	for _, ref := range []image.Ref{app, app.Pinned(other)} {
		proofs, err := decideFor(t, r, both, ref)
		wantNoWith(t, proofs, err, "Incompatible digest", app.Digest().String(), other.String())
	}
}

// CSE-26: without signers a signature by targets counts, and the policy's check says so.
func TestCSE26_WithoutSigners(t *testing.T) {
	r := newRepository()
	r.Revoke(notarytest.Releases, "1")
	r.Sign(notarytest.Targets, "1", app.Digest())
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	if _, err := w.decide(t, a, app); err != nil {
		t.Error(err)
	}
	if warnings := a.Warnings(now); len(warnings) != 1 || !strings.Contains(warnings[0], "signers are absent") {
		t.Errorf("warnings = %q", warnings)
	}
	chosen := pinned(r)
	chosen.Roles = []string{"targets"}
	if warnings := w.authorityWith(t, chosen).Warnings(now); len(warnings) > 0 {
		t.Errorf("roles are chosen, and it warns: %q", warnings)
	}
}

// T9: several keys of a role with a threshold count once each, and each choice of them is a proof.
func TestT9_ThresholdOfSigners(t *testing.T) {
	keys := []*notarytest.Key{notarytest.NewKey("P-256"), notarytest.NewKey("ed25519"), notarytest.NewKey("P-384")}
	var pems []string
	for _, k := range keys {
		pems = append(pems, k.PublicPEM())
	}
	r := newRepository()
	role := r.Delegate("targets/qa", keys...)
	r.Sign("targets/qa", "1", app.Digest())
	o := demanding(r, SignerOptions{Role: "targets/qa", PublicKeys: pems, Threshold: 2})
	proofs, err := decideFor(t, r, o, app)
	if err != nil || len(proofs) != 3 {
		t.Fatalf("%d proofs, %v, want one for each pair", len(proofs), err)
	}
	role.Signers = []*notarytest.Key{keys[0], keys[0]}
	proofs, err = decideFor(t, r, o, app)
	wantNoWith(t, proofs, err, "signed by 1 of the configured keys, and 2 must sign")
	// One key under two IDs: as a certificate and bare.
	twice := keys[0].Certified("qa", made, made.Add(year))
	role.Keys, role.Signers, role.Threshold = []*notarytest.Key{keys[0], twice}, []*notarytest.Key{keys[0], twice}, 2
	proofs, err = decideFor(t, r, o, app)
	wantNoWith(t, proofs, err, "a threshold of 2 with 1 different keys")
	role.Keys = append(role.Keys, keys[1]) // who has not signed
	proofs, err = decideFor(t, r, o, app)
	wantNoWith(t, proofs, err, "signed by 1 of the keys of the role targets/qa, and 2 must sign")
}

// Targets count only where every delegation on the way allows their names.
func TestDelegationsNarrow(t *testing.T) {
	r := newRepository()
	r.Delegate("targets/a").Paths = []string{"1", "2"}
	key := notarytest.NewKey("P-256")
	r.Delegate("targets/a/b", key).Paths = []string{"1", "3"}
	for _, tag := range []string{"1", "2", "3"} {
		r.Sign("targets/a/b", tag, app.Digest())
	}
	o := demanding(r, signer("targets/a/b", key.PublicPEM()))
	for tag, want := range map[string]bool{"1": true, "2": false, "3": false} {
		ref, err := app.Tagged(tag)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decideFor(t, r, o, ref.Pinned(app.Digest())); (err == nil) != want {
			t.Errorf("tag %s: %v", tag, err)
		}
	}
}

// The mirror's images are looked up under the name that was signed.
func TestT12_Mirror(t *testing.T) {
	r := newRepository()
	mirrored := image.MustParse("mirror.example/proxy/team/app:1").Pinned(app.Digest())
	o := pinned(r)
	proofs, err := decideFor(t, r, o, mirrored)
	wantNoWith(t, proofs, err, "does not have trust data for mirror.example/proxy/team/app")
	o.SignedRepository = trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "registry.example", To: "mirror.example/proxy"}}
	if _, err := decideFor(t, r, o, mirrored); err != nil {
		t.Error(err)
	}
	short := notarytest.New("team/app", made)
	short.Sign(notarytest.Targets, "1", app.Digest())
	o = pinned(short)
	o.GUN = "{{repository}}"
	if _, err := decideFor(t, short, o, app); err != nil {
		t.Error(err)
	}
}

// CSE-11: trust data are looked up under the canonical name; a port stays part of it.
func TestCSE11_NamesAtTheServer(t *testing.T) {
	n, err := newNaming("")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"alpine":                   "docker.io/library/alpine",
		"org/name:1":               "docker.io/org/name",
		"index.docker.io/org/name": "docker.io/org/name",
		"localhost:5000/name":      "localhost:5000/name",
		"Registry.Example:443/a/b": "registry.example/a/b",
	} {
		if got, err := n.gun(image.MustParse(text)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

// CSE-19: a tag beside its digest is proved, however the name is spelled.
func TestCSE19_TagBesideItsDigest(t *testing.T) {
	ref := image.MustParse("docker.io/library/alpine:3.20").Pinned(app.Digest())
	r := newRepositoryFor(ref)
	for _, text := range []string{"alpine:3.20", "library/alpine:3.20", "index.docker.io/alpine:3.20", "docker.io/library/alpine:3.20"} {
		if _, err := decideFor(t, r, pinned(r), image.MustParse(text+"@"+app.Digest().String())); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// T9: a digest counts only where every role has signed it, in its own algorithm: one of two signers must not put another image beside the
// digest on which both agree.
func TestT9_EveryRoleSignsTheDigest(t *testing.T) {
	long := image.MustParse("registry.example/team/app@sha512:" + strings.Repeat("e", 128)).Digest()
	for _, first := range []bool{true, false} {
		r, jenkins, qa := twoSigners()
		hash, err := hex.DecodeString(long.Hex())
		if err != nil {
			t.Fatal(err)
		}
		r.Roles["targets/jenkins"].Edit = func(signed map[string]any) {
			signed["targets"].(map[string]any)["1"].(map[string]any)["hashes"].(map[string]any)["sha512"] = hash
		}
		signers := []SignerOptions{signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", qa.PublicPEM())}
		if !first {
			slices.Reverse(signers)
		}
		o := demanding(r, signers...)
		for _, ref := range []image.Ref{app.Pinned(long), app.At(long)} {
			proofs, err := decideFor(t, r, o, ref)
			wantNoWith(t, proofs, err)
		}
		for _, ref := range []image.Ref{app, app.At(app.Digest())} {
			if _, err := decideFor(t, r, o, ref); err != nil {
				t.Error(err)
			}
		}
	}
}
