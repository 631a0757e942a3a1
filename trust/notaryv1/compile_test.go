package notaryv1

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
	"github.com/assay-dev/assay/trust/trusttest"
)

func ecdsaPEM() string { return notarytest.NewKey("P-256").PublicPEM() }

// CSE-9: whatever cannot be enforced is an error, with its place.
func TestCSE9_SectionsThatAreRefused(t *testing.T) {
	r := newRepository()
	root := pinned(r).Root
	good := ecdsaPEM()
	expired := notarytest.NewKey("P-256").Certified("x", made, now.Add(-time.Second))
	leaf := string(rootKey(r).Public)
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"no root":                        {Options{Server: server}, "section.root: whose root counts is not said"},
		"an empty root":                  {Options{Server: server, Root: &RootOptions{}}, "section.root: 0 of keys, certificates and ca"},
		"two kinds of roots":             {Options{Server: server, Root: &RootOptions{Keys: good, CA: leaf}}, "section.root: 2 of keys, certificates and ca"},
		"a root and first use":           {Options{Server: server, Root: root, InsecureTrustOnFirstUse: true}, "section.insecureTrustOnFirstUse: a root is given"},
		"a root that is no PEM":          {Options{Server: server, Root: &RootOptions{Certificates: "junk"}}, "section.root.certificates: holds no certificate"},
		"a key as certificate":           {Options{Server: server, Root: &RootOptions{Certificates: good}}, `section.root.certificates: holds a PEM block "PUBLIC KEY"`},
		"a leaf as CA":                   {Options{Server: server, Root: &RootOptions{CA: leaf}}, "section.root.ca: certificate"},
		"a file that is missing":         {Options{Server: server, Root: &RootOptions{CAFiles: []string{"gone.pem"}}}, "section.root.caFiles[0]: "},
		"a private key":                  {Options{Server: server, Root: &RootOptions{Keys: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}}, `section.root.keys: holds a PEM block "PRIVATE KEY"`},
		"no server":                      {Options{Root: root}, "section.server: "},
		"a server without a scheme":      {Options{Server: "notary.example:4443", Root: root}, "section.server: "},
		"a server by another scheme":     {Options{Server: "ftp://notary.example", Root: root}, "speak https"},
		"credentials in the server":      {Options{Server: "https://u:secret@notary.example", Root: root}, "credentials do not belong"},
		"a query in the server":          {Options{Server: "https://notary.example?x=y", Root: root}, "query"},
		"T29 a GUN without repository":   {Options{Server: server, Root: root, GUN: "registry.example/app"}, "section.gun: "},
		"T29 a GUN with dots":            {Options{Server: server, Root: root, GUN: "../{{repository}}"}, "section.gun: "},
		"a GUN with another placeholder": {Options{Server: server, Root: root, GUN: "{{registry}}/{{repository}}/{{tag}}"}, "section.gun: "},
		"signedRepository: ignore":       {Options{Server: server, Root: root, SignedRepository: trust.SignedRepository{Mode: "ignore"}}, "section.signedRepository: "},
		"a negative grace":               {Options{Server: server, Root: root, OfflineGrace: -1}, "section.offlineGrace: "},
		"roles and signers":              {Options{Server: server, Root: root, Roles: []string{"targets"}, Signers: []SignerOptions{signer("targets/a", good)}}, "section.roles: "},
		"a role twice":                   {Options{Server: server, Root: root, Roles: []string{"targets", "targets"}}, "section.roles[1]: targets is there twice"},
		"a short role":                   {Options{Server: server, Root: root, Roles: []string{"jenkins"}}, "did you mean targets/jenkins?"},
		"T29 a role with dots":           {Options{Server: server, Root: root, Roles: []string{"targets/../x"}}, "section.roles[0]: "},
		"a role that is too deep":        {Options{Server: server, Root: root, Roles: []string{"targets" + strings.Repeat("/a", MaxDepth+1)}}, "delegations deep"},
		"the snapshot as role":           {Options{Server: server, Root: root, Roles: []string{"snapshot"}}, "section.roles[0]: "},
		"too many roles":                 {Options{Server: server, Root: root, Roles: strings.Split(strings.Repeat("targets ", 40), " ")}, "more than 32"},
		"a short signer":                 {demanding(r, signer("jenkins", good)), "section.signers[0].role: role \"jenkins\": is not targets or below it; did you mean targets/jenkins?"},
		"a signer twice":                 {demanding(r, signer("targets/a", good), signer("targets/a", ecdsaPEM())), "section.signers[1].role: targets/a is there twice"},
		"a signer without a key":         {demanding(r, SignerOptions{Role: "targets/a"}), "section.signers[0]: has no key"},
		"a key that is no PEM":           {demanding(r, signer("targets/a", "%%%")), "section.signers[0].publicKey: is neither PEM nor base64"},
		"base64 of junk":                 {demanding(r, signer("targets/a", base64.StdEncoding.EncodeToString([]byte("junk")))), "section.signers[0].publicKey: holds no key"},
		"a weak key":                     {demanding(r, signer("targets/a", notarytest.NewKey("P-224").PublicPEM())), "P-224"},
		"an expired certificate":         {demanding(r, SignerOptions{Role: "targets/a", Certificate: string(expired.Public)}), "section.signers[0].certificate: certificate \"CN=x\" expired"},
		"expired, as publicKey":          {demanding(r, signer("targets/a", string(expired.Public))), "expired"},
		"a key as a certificate":         {demanding(r, SignerOptions{Role: "targets/a", Certificate: good}), `section.signers[0].certificate: holds a PEM block "PUBLIC KEY"`},
		"the second key is bad":          {demanding(r, SignerOptions{Role: "targets/a", PublicKeys: []string{good, "x"}}), "section.signers[0].publicKeys[1]: "},
		"a file of keys that is missing": {demanding(r, SignerOptions{Role: "targets/a", Files: []string{"gone.pub"}}), "section.signers[0].files[0]: "},
		"T9 a threshold over the keys":   {demanding(r, SignerOptions{Role: "targets/a", PublicKeys: []string{good, good}, Threshold: 2}), "section.signers[0].threshold: 2 of 1 different keys"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(c.options)
			_, err := w.format.New(trusttest.Section{Options: c.options})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("%v tells a password", err)
			}
		})
	}
}

func TestSectionsWithFiles(t *testing.T) {
	r, jenkins, _ := twoSigners()
	files := map[string][]byte{"root.pem": rootKey(r).Public, "jenkins.pub": []byte(jenkins.PublicPEM())}
	for name, o := range map[string]Options{
		"certificates": {Root: &RootOptions{CertificatesFiles: []string{"root.pem"}}},
		"keys":         {Root: &RootOptions{KeysFiles: []string{"root.pem"}}},
		"signers":      {Root: &RootOptions{KeysFiles: []string{"root.pem"}}, Signers: []SignerOptions{{Role: "targets/jenkins", Files: []string{"jenkins.pub"}}}},
	} {
		o.Server = server + "/"
		w := newWorld(o)
		w.serve(r)
		a, err := w.format.New(trusttest.Section{Options: o, Files: files})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := w.decide(t, a.(*authority), app); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// T2: other spellings of a server have one past.
func TestT2_SpellingsOfAServer(t *testing.T) {
	for text, want := range map[string]string{
		"https://Notary.example": "https://notary.example", "https://notary.example:443/": "https://notary.example", "http://notary.example:80": "http://notary.example",
		"https://notary.example:4443//": "https://notary.example:4443", "https://[::1]:443/a": "https://[::1]/a", "http://notary.example:443": "http://notary.example:443",
	} {
		if got, err := parseServer(text); err != nil || got != want {
			t.Errorf("parseServer(%s) = %s, %v, want %s", text, got, err, want)
		}
	}
}

// One holder of two roles is pointed out.
func TestT9_OneKeyForTwoRolesIsPointedOut(t *testing.T) {
	r, jenkins, _ := twoSigners()
	o := demanding(r, signer("targets/jenkins", jenkins.PublicPEM()), signer("targets/qa", jenkins.PublicPEM()))
	if w := newWorld(o).authority(t).Warnings(now); len(w) != 1 || !strings.Contains(w[0], "one holder signs for both") {
		t.Errorf("warnings = %q", w)
	}
}

func TestT29_Names(t *testing.T) {
	for _, gun := range []string{"", "/", "a//b", "../a", "a/..", "a/./b", "a/_trust/b", "a?b", "a#b", "a%2fb", "a\\b", "a b", "a\x00", "ä", strings.Repeat("a", maxGUN+1)} {
		if err := checkGUN(gun); err == nil {
			t.Errorf("%q is a name", gun)
		}
	}
	for _, gun := range []string{"docker.io/library/alpine", "localhost:5000/a-b_c.d", "[::1]:5000/x", "Team/App"} {
		if err := checkGUN(gun); err != nil {
			t.Error(err)
		}
	}
	for _, role := range []string{"", "targets/", "/targets", "targets//a", "targets/A", "targets/a.b", "targets/a%", "target", "targetsx", "root", "targets/" + strings.Repeat("a", maxRole)} {
		if err := checkRole(role); err == nil {
			t.Errorf("%q is a role", role)
		}
	}
}

// Kinds of keys and ways to sign that clients write.
func TestKeysAndMethods(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "P-521", "rsa", "ed25519"} {
		for _, method := range []string{"", "rsapkcs1v15", "pycrypto-pkcs#1 pss"} {
			if method != "" && kind != "rsa" {
				continue
			}
			for _, certified := range []bool{false, true} {
				if certified && kind == "ed25519" {
					continue
				}
				k := notarytest.NewKey(kind)
				k.Method = method
				if certified {
					k = k.Certified("jenkins", made, made.Add(year))
				}
				r := newRepository()
				r.Delegate("targets/jenkins", k)
				r.Sign("targets/jenkins", "1", app.Digest())
				if _, err := decideFor(t, r, demanding(r, signer("targets/jenkins", k.PublicPEM())), app); err != nil {
					t.Errorf("%s %s, certificate %v: %v", kind, method, certified, err)
				}
			}
		}
	}
}

// A signature under the name of a method that is not the key's does not count.
func TestMethodsDoNotMix(t *testing.T) {
	for kind, method := range map[string]string{"P-256": "eddsa", "ed25519": "ecdsa", "rsa": "rsapss-none"} {
		k := notarytest.NewKey(kind)
		k.Method = method
		r := newRepository()
		r.Delegate("targets/jenkins", k)
		r.Sign("targets/jenkins", "1", app.Digest())
		proofs, err := decideFor(t, r, demanding(r, signer("targets/jenkins", k.PublicPEM())), app)
		wantNoWith(t, proofs, err, "signed by 0")
	}
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":2}`:              `{"a":2,"b":1}`,
		" { \"a\" : [ 1 , true ] } ": `{"a":[1,true]}`,
		`"\u003c\u0026\u003e\/"`:     `"<&>/"`,
		`"\"\\"`:                     `"\"\\"`,
		`"\ud83d\ude00"`:             `"😀"`,
		`{"\u0061":1,"b":null}`:      `{"a":1,"b":null}`,
		`{"a\"":1,"a!":2}`:           `{"a!":2,"a\"":1}`,
		`[]`:                         `[]`,
		`{}`:                         `{}`,
		nested(maxNesting):           nested(maxNesting),
		`-12`:                        `-12`,
	} {
		if got, err := canonical([]byte(in)); err != nil || string(got) != want {
			t.Errorf("canonical(%s) = %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		``, `{`, `[`, `"`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[1 2]`, `nul`, `{"a":1}{`, `1.5`, `1e3`, `01`, `--1`, `-`, `12345678901234567890123`, "\"\n\"",
		`"\x"`, `"\u12"`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00"`, "\"\xff\"", `{"a":1,"\u0061":2}`, `{"b":1,"a":1,"b":2}`, nested(maxNesting + 2),
	} {
		if got, err := canonical([]byte(in)); err == nil {
			t.Errorf("canonical(%q) = %s, want an error", in, got)
		}
	}
}
