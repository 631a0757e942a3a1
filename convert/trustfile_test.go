package convert_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// packed returns a block as a trust file has it.
func packed(kind string, der []byte) string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func packedKey(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return packed("PUBLIC KEY", der)
}

func packedCertificate(t *testing.T, from, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "jenkins"}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return packed("CERTIFICATE", der)
}

func weakRSA(t *testing.T) *rsa.PublicKey {
	t.Helper()
	n, _ := new(big.Int).SetString("1"+strings.Repeat("0", 255)+"1", 16) // 1025 bit
	return &rsa.PublicKey{N: n, E: 65537}
}

// CSE-9: each of these is an error with its line, and tells what to do.
func TestCSE9_ErrorsHaveTheirLine(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signers := func(lines ...string) string {
		return "repositories:\n- name: r.example/.*\n  trust:\n    enabled: true\n    trustServer: https://n.example\n    signers:\n    - " + strings.Join(lines, "\n    - ") + "\n"
	}
	good := packed("CERTIFICATE", certificateBytes(t))
	signer := func(key string) string { return signers("role: targets/jenkins\n      publicKey: " + key) }
	trust := func(lines string) string {
		return "repositories:\n- name: r.example/.*\n  trust:\n    enabled: true\n" + lines + "\n"
	}
	rows := []struct{ name, doc, want string }{
		{"an unknown key", "repositories:\n- name: x\n  trust: {enabled: false}\n  namespace: x\n", "trust.yaml:4:3: repositories[0].namespace: unknown field; fields here are: name, priority, trust"},
		{"a mistyped key", trust("    trustServr: https://n.example"), `trust.yaml:5:5: repositories[0].trust.trustServr: unknown field; did you mean "trustServer"?`},
		{"a key in two spellings", trust("    trustServer: https://n.example\n    trustserver: https://m.example"), "trust.yaml:6:5: repositories[0].trust.trustserver: the key trustServer, which stands on line 5 already, in another spelling; keep one of the two"},
		{"a missing trust", "repositories:\n- name: x\n- name: y\n  trust: {enabled: false}\n", "trust.yaml:2:3: repositories[0].trust: missing; write trust: {enabled: false} for images that are accepted without a look"},
		{"an empty trust", "repositories:\n- name: x\n  trust:\n", "trust.yaml:3:3: repositories[0].trust: has no value; give it one or remove it"},
		{"a missing name", "repositories:\n- trust: {enabled: false}\n", "trust.yaml:2:3: repositories[0].name: missing; write an expression over names of images, such as registry\\.example/.*"},
		{"no repositories", "strict: true\n", "trust.yaml:1:1: repositories: missing; without any, every image is denied, which needs no import"},
		{"empty repositories", "repositories: []\n", "trust.yaml:1:1: repositories: is empty; without any, every image is denied, which needs no import"},
		{"an empty file", "", "trust.yaml:1:1: the document is empty"},
		{"a bad expression", "repositories:\n- name: a(b; c\n  trust: {enabled: false}\n", "trust.yaml:2:9: repositories[0].name: error parsing regexp: missing closing ): `a(b, c`; write RE2 syntax"},
		{"an expression that is no RE2", "repositories:\n- name: a(?!b)\n  trust: {enabled: false}\n", "trust.yaml:2:9: repositories[0].name: error parsing regexp"},
		{"an endless expression", "repositories:\n- name: " + strings.Repeat("a", 1025) + "\n  trust: {enabled: false}\n", "trust.yaml:2:9: repositories[0].name: 1025 bytes, at most 1024 are allowed"},
		{"an expression of two lines", "repositories:\n- name: |\n    a\n  trust: {enabled: false}\n", "trust.yaml:2:9: repositories[0].name: has a line break"},
		{"an expression that cannot be kept from tags", "repositories:\n- name: " + ".*t.{0,1000}s" + "\n  trust: {enabled: false}\n", "too complex to be kept from looking at tags"},
		{"upper case", "repositories:\n- name: Registry\\.example/.*\n  trust: {enabled: false}\n", "trust.yaml:2:9: repositories[0].name: \"Registry.example/\" stands in no name of an image: names are in lower case; write it so, or (?i) before it"},
		{"the port 443", "repositories:\n- name: registry\\.example:443/.*\n  trust: {enabled: false}\n", "the port 443 is no part of a name; leave it out"},
		{"another name of Docker Hub", "repositories:\n- name: index\\.docker\\.io/.*\n  trust: {enabled: false}\n", "Docker Hub has one name; write docker\\.io"},
		{"no server", trust(""), "trust.yaml:3:3: repositories[0].trust: trust is enabled without a trustServer; add its URL, as in trustServer: https://notary.example:4443"},
		{"a server that is none", trust("    trustServer: ftp://n.example"), "trust.yaml:5:18: repositories[0].trust.trustServer: is neither https:// nor http://; write it as in https://notary.example:4443"},
		{"no base64", signer("'%%%'"), "trust.yaml:8:18: repositories[0].trust.signers[0].publicKey: is no base64; write the output of base64 -w0 for the PEM file"},
		{"no PEM", signer("aGVsbG8="), "publicKey: is no base64 of PEM; write the output of base64 -w0 for the PEM file"},
		{"PEM itself", signer("'-----BEGIN PUBLIC KEY-----'"), "publicKey: is no base64; write"},
		{"another block", signer(packed("DH PARAMETERS", []byte("x"))), "publicKey: is neither a CERTIFICATE nor a PUBLIC KEY in PEM; export it as one of them"},
		{"a private key", signer(packed("EC PRIVATE KEY", []byte("secret"))), "publicKey: a private key, which belongs to the signer alone; give the public one"},
		{"a broken certificate", signer(packed("CERTIFICATE", []byte("x"))), "publicKey: the certificate cannot be read; export it again"},
		{"a broken key", signer(packed("PUBLIC KEY", []byte("x"))), "publicKey: the public key cannot be read; export it again"},
		{"a chain", signer(base64.StdEncoding.EncodeToString([]byte(read(t, "jenkins.crt") + read(t, "roots.pem")))), "publicKey: is more than one PEM block"},
		{"an expired certificate", signer(packedCertificate(t, now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0))), "trust.yaml:8:18: repositories[0].trust.signers[0].publicKey: the certificate has expired on 2026-01-01; give the signer's new one"},
		{"a certificate of the future", signer(packedCertificate(t, now.AddDate(1, 0, 0), now.AddDate(2, 0, 0))), "the certificate is not valid before 2028-01-01"},
		{"a short RSA key", signer(packedKey(t, weakRSA(t))), "publicKey: an RSA key of 1025 bit, at least 2048 are needed; have the signer make a new one"},
		{"an unknown curve", signer(packedKey(t, curve.Public())), "publicKey: a kind of key that is not known"},
		{"a role given twice", signers("role: targets/jenkins\n      publicKey: "+good, "role: targets/jenkins\n      publicKey: "+good), "trust.yaml:9:13: repositories[0].trust.signers[1].role: the role targets/jenkins stands on line 7 already"},
		{"a short role", signers("role: jenkins\n      publicKey: " + good), `trust.yaml:7:13: repositories[0].trust.signers[0].role: "jenkins" is no full name of a role, and is never found; did you mean targets/jenkins?`},
		{"a role that is none", signers("role: targets/Jenkins\n      publicKey: " + good), `"targets/Jenkins" is no name of a role; write targets/ and lower-case letters`},
		{"a role that leaves its folder", signers("role: targets/../x\n      publicKey: " + good), `"targets/../x" is no name of a role`},
		{"a signer without a key", signers("role: targets/jenkins"), "trust.yaml:7:7: repositories[0].trust.signers[0].publicKey: missing; write base64 of a certificate or a public key in PEM"},
		{"a user without a password", trust("    trustServer: https://n.example\n    auth: {user: x}"), "trust.yaml:6:5: repositories[0].trust.auth: a user without pass; write both or none"},
		{"a password without a user", trust("    trustServer: https://n.example\n    auth: {pass: x}"), "trust.yaml:6:5: repositories[0].trust.auth: a password without user; write both or none"},
		{"a user with a colon", trust("    trustServer: https://n.example\n    auth: {user: 'a:b', pass: x}"), "repositories[0].trust.auth.user: contains a colon"},
		{"a host that no settings name", trust("    trustServer: https://notary-server\n    auth: {user: a, pass: x}"), "settings of registries cannot name the host notary-server, which has no dot and no port; write its full name"},
		{"several at once, in order", "repositories:\n- name: (\n  trust: {enabled: false}\n- name: )\n  trust: {enabled: true}\n", "trust.yaml:2:9: "},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := convert.TrustFile("trust.yaml", []byte(row.doc), convert.TrustFileOptions{Options: convert.Options{Now: now}})
			var all policy.Errors
			if !errors.As(err, &all) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got  %v\nwant %s\n%s", err, row.want, row.doc)
			}
		})
	}
}

func certificateBytes(t *testing.T) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, "jenkins.crt")))
	return block.Bytes
}

// Certificates are looked at by the clock that was given; without one none is valid.
func TestCSE9_NoTimeNoCertificate(t *testing.T) {
	if _, err := convert.TrustFile("trust.yaml", []byte(read(t, "trust.yaml")), convert.TrustFileOptions{}); err == nil || !strings.Contains(err.Error(), "is not valid before") {
		t.Errorf("got %v", err)
	}
}

// Options that contradict themselves, or that nothing obeys, are errors.
func TestContradictions(t *testing.T) {
	signed, unsigned, disabled := read(t, "values.yaml"), document(one("^r[.]example/.*")), document([]repository{{name: ".*"}})
	for _, row := range []struct {
		name, doc string
		options   convert.TrustFileOptions
		want      string
	}{
		{"two kinds of root", unsigned, convert.TrustFileOptions{Options: convert.Options{Roots: convert.Roots{CA: "x", Keys: "y"}}}, "keep one kind"},
		{"roots for nobody", disabled, convert.TrustFileOptions{Options: convert.Options{Roots: convert.Roots{CA: "x"}}}, "roots: no repository has trust enabled"},
		{"roles for nobody", signed, convert.TrustFileOptions{Options: convert.Options{Roles: []string{"targets"}}}, "roles: no repository is without signers"},
		{"a short role", unsigned, convert.TrustFileOptions{Options: convert.Options{Roles: []string{"ci"}}}, "did you mean targets/ci?"},
		{"an empty role", unsigned, convert.TrustFileOptions{Options: convert.Options{Roles: []string{""}}}, `"" is no name of a role`},
		{"a name that is none", unsigned, convert.TrustFileOptions{Options: convert.Options{Name: "My Policy"}}, `name "My Policy": "My Policy" is malformed; give a name of lower-case letters`},
		{"half a label", unsigned, convert.TrustFileOptions{IgnoredNamespaces: "sighup.io/webhook"}, "want key=value"},
		{"a label that is none", unsigned, convert.TrustFileOptions{IgnoredNamespaces: "a b=c"}, "want key=value"},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.options.Now = now
			if _, err := convert.TrustFile("trust.yaml", []byte(row.doc), row.options); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}

// CSE-40: a login belongs to one server, and two logins for one are an error rather than a guess.
func TestCSE40_LoginsBelongToTheirServer(t *testing.T) {
	entry := func(name, server, auth string) string {
		return fmt.Sprintf("- name: ^%s[.]example/.*\n  trust: {enabled: true, trustServer: %q%s}\n", name, server, auth)
	}
	login := func(user, pass string) string { return fmt.Sprintf(", auth: {user: %s, pass: %s}", user, pass) }
	hosts := func(entries ...string) (string, error) {
		r, err := convert.TrustFile("trust.yaml", []byte("repositories:\n"+strings.Join(entries, "")), convert.TrustFileOptions{})
		if err != nil {
			return "", err
		}
		var all []string
		for _, h := range r.Hosts {
			all = append(all, h.Name+" "+h.Username+" "+h.Password+" "+h.Source)
			if shown := fmt.Sprintf("%v %+v %#v", h, h, h); strings.Contains(shown, h.Password) && h.Password != "" {
				t.Errorf("the password is shown: %s", shown)
			}
		}
		return strings.Join(all, ", "), nil
	}
	for _, row := range []struct {
		name    string
		entries []string
		want    string
	}{
		{"two servers", []string{entry("a", "https://n.example", login("u1", "password1")), entry("b", "https://m.example:4443/", login("u2", "password2"))}, "n.example u1 password1 trust.yaml:3, m.example:4443 u2 password2 trust.yaml:5"},
		{"one server twice", []string{entry("a", "https://n.example", login("u", "password")), entry("b", "https://N.example:443", login("u", "password"))}, "n.example u password trust.yaml:3"},
		{"a login in the second place", []string{entry("a", "https://n.example", ""), entry("b", "https://n.example", login("u", "password"))}, "n.example u password trust.yaml:5"},
		{"plain first, login in the second place", []string{entry("a", "http://n.example", ""), entry("b", "http://n.example", login("u", "password"))}, "n.example u password trust.yaml:5"},
		{"another user", []string{entry("a", "https://n.example", login("u", "password")), entry("b", "https://n.example", login("v", "password"))}, "trust.yaml:5:60: repositories[1].trust.auth: another login for the server n.example stands at trust.yaml:3; give one user the right to read both"},
		{"another password", []string{entry("a", "https://n.example", login("u", "password")), entry("b", "https://n.example", login("u", "another1"))}, "another login for the server n.example"},
		{"TLS and none", []string{entry("a", "https://n.example", login("u", "password")), entry("b", "http://n.example", "")}, "is written with https and with http"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := hosts(row.entries...)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, row.want) {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// A password stands in no policy, report or error, whatever YAML makes of it.
func TestPasswordsAreNeverShown(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, written := range []string{secret, "'" + secret + "'", "*" + secret, "&" + secret + " x", "!" + secret + " x", "{" + secret + ": 1}", "[" + secret + "]", "{'" + secret + "'}", "@" + secret,
		"`" + secret, "|\n        " + secret, "\n        *" + secret, "12345678" + "9", "{12345: x}", "x: " + secret, "\t" + secret, "%" + secret, "\"" + secret, "yes", "\n\n        *" + secret} {
		for _, key := range []string{"pass", "Pass", "password", "'pass'"} {
			doc := "repositories:\n- name: ^r[.]example/.*\n  trust:\n    enabled: true\n    trustServer: https://n.example\n    auth:\n      user: reader\n      " + key + ": " + written + "\n"
			r, err := convert.TrustFile("trust.yaml", []byte(doc), convert.TrustFileOptions{})
			shown := fmt.Sprint(err)
			if err == nil {
				shown = report(r) + string(r.Policy) + fmt.Sprintf("%v %+v %#v", r.Hosts, r.Hosts, r.Hosts)
			}
			for _, part := range []string{secret, "12345", `"yes"`} {
				if strings.Contains(shown, part) {
					t.Errorf("%s: %q is shown:\n%s", written, part, shown)
				}
			}
			if err != nil && !strings.Contains(shown, "trust.yaml:") {
				t.Errorf("%s: an error without a place: %s", written, shown)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		password := rapid.StringMatching(`[ -~]{6,20}`).Draw(rt, "password")
		doc := "repositories:\n- name: ^r[.]example/.*\n  trust:\n    enabled: true\n    trustServer: https://n.example\n    auth:\n      user: reader\n      pass: " + policy.Quote(password) + "\n"
		r, err := convert.TrustFile("trust.yaml", []byte(doc), convert.TrustFileOptions{})
		if err != nil || len(r.Hosts) != 1 || r.Hosts[0].Password != password {
			rt.Fatalf("got %+v, %v", r, err)
		}
		if strings.Contains(string(r.Policy)+report(r), password) {
			rt.Fatal("the password is shown")
		}
	})
	for _, server := range []string{"https://reader:" + secret + "@n.example", "reader:" + secret + "@n.example", "https://n.example/?token=" + secret, "https://" + secret + " x/"} {
		_, err := convert.TrustFile("trust.yaml", []byte(document([]repository{{".*", 0, true, server}})), convert.TrustFileOptions{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", server, err)
		}
	}
}

// Servers are written in one form.
func TestServers(t *testing.T) {
	for text, want := range map[string]string{
		"https://n.example":             "https://n.example",
		"https://N.Example:443/":        "https://n.example",
		"https://n.example:4443/base//": "https://n.example:4443/base",
		"n.example:4443":                "https://n.example:4443",
		"localhost:4443":                "https://localhost:4443",
		"http://n.example:80":           "http://n.example:80",
		"http://n.example:443":          "http://n.example:443",
		"https://[::1]:4443":            "https://[::1]:4443",
		"https://notary-server":         "https://notary-server",
		"https://notary-server:4443":    "https://notary-server:4443",
		"https://index.docker.io":       "https://index.docker.io",
		"https://n.example.":            "has a malformed host",
		"https://":                      "has no host",
		"https://n.example:x":           "is no URL",
		"https://n.example/a%2fb":       "has a path with escapes",
		"https://n.example/#x":          "has a query or a fragment",
		"https://n.example?":            "has a query or a fragment",
		"HTTPS://n.example":             "https://n.example",
		"ssh://n.example":               "is neither https:// nor http://",
		"https://a_b.example:70000":     "has a malformed host",
		"https://-":                     "has a malformed host",
	} {
		r, err := convert.Plugin(convert.PluginSettings{Notary: text}, convert.Options{})
		if strings.HasPrefix(text, "http:") {
			var f *convert.Result
			if f, err = convert.TrustFile("trust.yaml", []byte(document([]repository{{".*", 0, true, text}})), convert.TrustFileOptions{}); err == nil {
				r = f
			} else if strings.Contains(err.Error(), "settings of registries cannot name the host") {
				continue
			}
		}
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", text, err, want)
			}
			continue
		}
		if !bytes.Contains(r.Policy, []byte("server: \""+want+"\"\n")) {
			t.Errorf("%s: want %s in\n%s", text, want, r.Policy)
		}
	}
}

// Authorities get names that say whose word it is, are distinct, and do not depend on what else there is.
func TestNamesOfAuthorities(t *testing.T) {
	crt, pub := packed("CERTIFICATE", certificateBytes(t)), base64.StdEncoding.EncodeToString([]byte(read(t, "qa.pub")))
	entry := func(server string, signers ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "- name: ^r[.]example/.*\n  trust:\n    enabled: true\n    trustServer: %q\n", server)
		for i, s := range signers {
			if i == 0 {
				b.WriteString("    signers:\n")
			}
			role, key, _ := strings.Cut(s, " ")
			fmt.Fprintf(&b, "    - {role: %q, publicKey: %s}\n", role, key)
		}
		return b.String()
	}
	long := "targets/" + strings.Repeat("very-long-name-", 10) + "x"
	doc := "repositories:\n" +
		entry("https://n.example", "targets/jenkins "+crt) +
		entry("https://n.example", "targets/jenkins "+pub) + // another key
		entry("https://m.example:4443", "targets/jenkins "+crt) + // another server
		entry("https://n.example", "targets/qa "+pub, "targets/jenkins "+crt) +
		entry("https://n.example", "targets/jenkins "+crt, "targets/qa "+pub) + // the same
		entry("https://n.example", "targets/on "+pub) +
		entry("https://n.example", "targets "+pub) +
		entry("https://n.example", "targets/a/b "+pub) +
		entry("https://n.example", "targets/123 "+pub) +
		entry("https://n.example", "targets/___ "+pub) +
		entry("https://n.example", long+" "+pub) +
		entry("https://n.example") +
		entry("https://n.example/base") +
		entry("https://[::1]:4443")
	r, err := convert.TrustFile("trust.yaml", []byte(doc), convert.TrustFileOptions{Options: convert.Options{Now: now}})
	if err != nil {
		t.Fatal(err)
	}
	p, authorities := parsed(t, r.Policy)
	var got []string
	for _, a := range p.Authorities {
		got = append(got, a.Name)
	}
	want := "jenkins jenkins-n.example jenkins-m.example-4443 jenkins-qa on targets a-b 123 signer very-long-name-very-long-name-very-long-name-very-long-a52932bd n.example n.example-2 1-4443"
	if strings.Join(got, " ") != want || len(authorities) != len(got) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
}

// The same bytes give the same policy and the same report.
func TestDeterministic(t *testing.T) {
	first := trustFile(t, "trust.yaml", convert.TrustFileOptions{Options: convert.Options{Now: now}})
	for range 5 {
		again := trustFile(t, "trust.yaml", convert.TrustFileOptions{Options: convert.Options{Now: now}})
		if !bytes.Equal(first.Policy, again.Policy) || report(first) != report(again) {
			t.Fatal("two imports of one file differ")
		}
	}
}

// T43: a file is read up to the limit of a policy.
func TestT43_FilesAreLimited(t *testing.T) {
	_, err := convert.TrustFile("trust.yaml", bytes.Repeat([]byte("#"), policy.MaxPolicy+1), convert.TrustFileOptions{})
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 (1 MiB) are allowed") {
		t.Errorf("got %v", err)
	}
	var b strings.Builder
	b.WriteString("repositories:\n")
	for range 340 {
		fmt.Fprintf(&b, "- {name: 'r[.]example/%s/.*', trust: {enabled: false}}\n", strings.Repeat("x", 1000))
	}
	if _, err := convert.TrustFile("trust.yaml", []byte(b.String()), convert.TrustFileOptions{}); err == nil || !strings.Contains(err.Error(), "the policy that comes out cannot be read") {
		t.Errorf("got %v", err)
	}
}

// CSE-2: an image that no repository is about is denied in the words that users know.
func TestCSE2_NoRepositoryMatched(t *testing.T) {
	r := importedOne(t, []repository{{`^registry[.]example/.*`, 0, true, "https://n.example"}}, false)
	p, _ := parsed(t, r.Policy)
	rule, _, err := p.Match(policy.Query{Ref: image.MustParse("other.example/app:1")})
	if err != nil || rule == nil || rule.Deny != "No repository matched" {
		t.Errorf("got %+v, %v", rule, err)
	}
}

// CSE-3: where trust is disabled, images are allowed as they are named: nobody's word is asked for, and so nothing is pinned by it.
func TestCSE3_TrustDisabled(t *testing.T) {
	r := importedOne(t, []repository{{`^registry[.]example/.*`, 0, false, ""}}, false)
	p, authorities := parsed(t, r.Policy)
	rule, _, err := p.Match(policy.Query{Ref: image.MustParse("registry.example/app:1")})
	if err != nil || rule == nil || rule.Allow == "" || rule.Require != nil || len(authorities) > 0 {
		t.Errorf("got %+v, %v, authorities %v", rule, err, authorities)
	}
}
