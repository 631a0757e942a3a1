package sigstore

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"net/url"
	"testing"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// route is a way to publish what vouches for an image.
type route struct {
	shape  shape
	demand func(*Options) // what the policy asks for then
}

// paths are the four on which every field of the policy must hold.
func routes() map[string]route {
	required := func(*Options) {}
	return map[string]route{
		"signature":               {legacySignature, required},
		"signature in a bundle":   {bundleSignature, required},
		"attestation":             {legacyAttestation, onlyAttested},
		"attestation in a bundle": {bundleAttestation, onlyAttested},
	}
}

func emails(names ...string) edit {
	return func(c *x509.Certificate) { c.URIs, c.EmailAddresses = nil, names }
}

func uris(names ...string) edit {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, n := range names {
			c.URIs = append(c.URIs, must(url.Parse(n)))
		}
	}
}

// T3: every matcher compares the whole text.
func TestT3_Anchors(t *testing.T) {
	const text = "https://git.example/acme/app"
	matchers := map[string]func() (matcher, error){
		"a literal":         func() (matcher, error) { return newGlob(text) },
		"an exact name":     func() (matcher, error) { return newExact(text) },
		"a star":            func() (matcher, error) { return newGlob("https://git.example/*/app") },
		"a star at the end": func() (matcher, error) { return newGlob("https://git.example/acme/a*") },
		"an expression":     func() (matcher, error) { return newRegExp(`https://git\.example/acme/app`) },
		"an expression with alternatives": func() (matcher, error) {
			return newRegExp(`https://git\.example/acme/app|https://git\.example/acme/web`)
		},
		"an expression with anchors":     func() (matcher, error) { return newRegExp(`^https://git\.example/acme/app$`) },
		"an expression of several lines": func() (matcher, error) { return newRegExp(`(?m)^https://git\.example/acme/app$`) },
		"an expression in part":          func() (matcher, error) { return newRegExp(`(?:https://git\.example)/acme/app`) },
	}
	for name, make := range matchers {
		t.Run(name, func(t *testing.T) {
			m := must(make())
			if !m.matches(text) {
				t.Fatal("does not match")
			}
			for _, around := range []string{"evil", "/", "\n", " ", ".", "https://evil.example/?", "/.evil/x", "\x00", "é", "https://git.example/acme/app"} {
				for _, other := range []string{around + text, text + "/" + around, "x" + around + text + around} {
					if m.matches(other) {
						t.Errorf("matches %q", other)
					}
				}
			}
			for i := range text {
				if m.matches(text[:i]) && name != "a star at the end" {
					t.Errorf("matches %q", text[:i])
				}
			}
		})
	}
	for _, expression := range []string{"a)|(b", "(", `\`, "a{2000}", "(?P<x"} {
		if _, err := newRegExp(expression); err == nil {
			t.Errorf("expression %q is taken", expression)
		}
	}
	for pattern, texts := range map[string]map[string]bool{
		"*":              {"a": true, "a/b": false, "": false, "a\nb": false},
		"**":             {"a": true, "a/b": true, "": false, "a\n/b": true},
		"a.b":            {"a.b": true, "axb": false},
		"a+b":            {"a+b": true, "aab": false},
		"a/*/c":          {"a/b/c": true, "a/b/b/c": false, "a//c": true},
		"a/**/c":         {"a/b/b/c": true, "a/c": false},
		"*@acme.example": {"x@acme.example": true, "x@acme.example.evil": false, "x@evil/@acme.example": false},
	} {
		m := must(newGlob(pattern))
		for text, want := range texts {
			if got := m.matches(text); got != want {
				t.Errorf("%q matches %q: %v, want %v", pattern, text, got, want)
			}
		}
	}
	if zero := (matcher{}); zero.matches("") || zero.matches("x") {
		t.Error("the zero matcher matches")
	}
}

// T3, DOCKER-11: on every path, an identity with something before or after it is denied, and a partial fit says so.
func TestT3_IdentitiesAreCompared_Whole(t *testing.T) {
	l := home()
	partial := func(o *Options) {
		o.Keyless.Identities[0] = IdentityOptions{IssuerRegExp: `https://issuer\.example`, SubjectRegExp: `https://git\.example/acme/`}
	}
	literal := func(o *Options) { o.Keyless.Identities[0].Subject = "dev+ci@acme.example" }
	for name, p := range routes() {
		t.Run(name, func(t *testing.T) {
			deny := func(o Options, by *signer, want string) {
				t.Helper()
				check(t, newAuthority(t, o), now, want, l.sign(app, signing{shape: p.shape, by: by}))
			}
			someone := l.person(leaf{})
			deny(l.keyless(p.demand), someone, "")
			deny(l.keyless(p.demand, partial), someone, "the expression fits a part only")
			deny(l.keyless(p.demand), l.person(leaf{issuer: provider + ".evil"}), "issuer is")
			deny(l.keyless(p.demand), l.person(leaf{issuer: "x" + provider}), "issuer is")
			deny(l.keyless(p.demand), l.person(leaf{edits: []edit{uris(workflow + "0")}}), "subject is")
			deny(l.keyless(p.demand), l.person(leaf{edits: []edit{uris("https://evil.example/" + workflow)}}), "subject is")
			deny(l.keyless(p.demand, literal), l.person(leaf{edits: []edit{emails("dev+ci@acme.example")}}), "")
			deny(l.keyless(p.demand, literal), l.person(leaf{edits: []edit{emails("devvci@acme.example")}}), "subject is")
		})
	}
}

// T6: what is absent satisfies nothing, and constraints of one identity hold together.
func TestT6_AbsentAndTogether(t *testing.T) {
	l := home()
	any := func(o *Options) { o.Keyless.Identities[0] = IdentityOptions{IssuerRegExp: ".*", SubjectRegExp: ".*"} }
	stars := func(o *Options) { o.Keyless.Identities[0] = IdentityOptions{Issuer: "**", Subject: "**"} }
	claim := func(o *Options) { o.Keyless.Identities[0].Claims.BuildTrigger = "**" }
	both := func(o *Options) {
		o.Keyless.Identities = []IdentityOptions{{Issuer: provider, Subject: "other"}, {Issuer: "https://other.example", Subject: workflow}}
	}
	nameless := l.person(leaf{edits: []edit{uris()}})
	issuerless := l.person(leaf{issuer: "-"})
	for name, p := range routes() {
		t.Run(name, func(t *testing.T) {
			for row, c := range map[string]struct {
				options Options
				by      *signer
				want    string
			}{
				"no name, any is wanted":                  {l.keyless(p.demand, any), nameless, "no subject"},
				"no name, two stars":                      {l.keyless(p.demand, stars), nameless, "no subject"},
				"no issuer, any is wanted":                {l.keyless(p.demand, any), issuerless, "no issuer"},
				"no issuer, two stars":                    {l.keyless(p.demand, stars), issuerless, "no issuer"},
				"no claim, any is wanted":                 {l.keyless(p.demand, claim), nil, "no buildTrigger"},
				"an issuer in the older extension":        {l.keyless(p.demand), l.person(leaf{old: true}), ""},
				"issuer of one identity, name of another": {l.keyless(p.demand, both), nil, "nearest of 2 identities"},
				"pki without a name":                      {l.own(p.demand), nameless, "no subject alternative name"},
			} {
				t.Run(row, func(t *testing.T) {
					check(t, newAuthority(t, c.options), now, c.want, l.sign(app, signing{shape: p.shape, by: c.by}))
				})
			}
		})
	}
}

// T6: an annotation of another type, or an empty one, is not the one that is wanted.
func TestT6_Annotations(t *testing.T) {
	l := home()
	a := newAuthority(t, l.keyless(func(o *Options) { o.Annotations = map[string]string{"build": "42"} }))
	for _, shape := range []shape{legacySignature, bundleSignature} {
		check(t, a, now, "", l.sign(app, signing{shape: shape, annotations: map[string]any{"build": "42", "more": 1}}))
		for want, annotations := range map[string]map[string]any{
			`has no annotation "build"`:     nil,
			`no annotation "build"; `:       {"Build": "42"},
			`annotation "build" is no text`: {"build": 42},
			`annotation "build" is ""`:      {"build": ""},
			`no annotation "build"`:         {"build": nil},
			`"build" is no text; "42"`:      {"build": []string{"42"}},
			`annotation "build" is "421"`:   {"build": "421"},
		} {
			check(t, a, now, want, l.sign(app, signing{shape: shape, annotations: annotations}))
		}
	}
	check(t, a, now, "has no annotation", l.sign(app, signing{shape: bundleMessage}))
}

// T7: two signatures that fit by halves do not make one that fits.
func TestT7_TwoHalves(t *testing.T) {
	l := home()
	right := map[string]any{"build": "42"}
	want := func(o *Options) { o.Annotations = map[string]string{"build": "42"} }
	claims := func(o *Options) { o.Keyless.Identities[0].Claims.BuildTrigger = "push" }
	nobody, pushed := l.nobody(), l.person(leaf{issuer: "https://other.example", claims: map[int]string{20: "push"}})
	for _, one := range []shape{legacySignature, bundleSignature} {
		for _, two := range []shape{legacySignature, bundleSignature} {
			check(t, newAuthority(t, l.keyless(want)), now, "none of 2 signatures counts",
				l.sign(app, signing{shape: one}), l.sign(app, signing{shape: two, by: nobody, annotations: right}))
			check(t, newAuthority(t, l.keyless(claims)), now, "none of 2 signatures counts",
				l.sign(app, signing{shape: one}), l.sign(app, signing{shape: two, by: pushed}))
			other := signing{shape: two, reference: "registry.example/team/other"}
			check(t, newAuthority(t, l.keyless()), now, "",
				l.sign(app, signing{shape: one}), l.sign(app, other))
		}
	}
	// One signature by the right key, another with a log entry.
	key, otherKey := bare(ecKey(elliptic.P256())), bare(ecKey(elliptic.P256()))
	check(t, newAuthority(t, l.keyed(key)), now, "none of 2 signatures counts",
		l.sign(app, signing{by: key, logs: []*rekorLog{}}), l.sign(app, signing{by: otherKey}))
}

// T7: a policy's attestation may be by somebody else than the signature, but type, signer and condition hold on one attestation.
func TestT7_AttestationsByHalves(t *testing.T) {
	l := home()
	scanner := l.person(leaf{edits: []edit{uris("https://scanner.example/")}})
	for _, selected := range []string{"any", "latest", "all"} {
		a := newAuthority(t, l.keyless(func(o *Options) {
			o.Attestations = []AttestationOptions{{
				PredicateType: "https://acme.example/scan", Select: selected, Conditions: []ConditionOptions{{CEL: `predicate.passed == true`}},
				SignedBy: &SignerOptions{Keyless: &KeylessOptions{Identities: []IdentityOptions{{Issuer: provider, Subject: "https://scanner.example/"}}}},
			}}
		}))
		for _, shape := range []shape{legacyAttestation, bundleAttestation} {
			good := signing{shape: shape, by: scanner, predicateType: "https://acme.example/scan", predicate: map[string]any{"passed": true}}
			byOther, failed, other := good, good, good
			byOther.by, failed.predicate, other.predicateType = nil, map[string]any{"passed": false}, "https://acme.example/other"
			signature := l.sign(app, signing{})
			check(t, a, now, "", signature, l.sign(app, good))
			check(t, a, now, "subject is", signature, l.sign(app, byOther))
			check(t, a, now, "is not true", signature, l.sign(app, failed), l.sign(app, byOther), l.sign(app, other))
			check(t, a, now, "no attestation of type", signature, l.sign(app, other))
			check(t, a, now, "there are attestations and no signature", l.sign(app, good))
		}
	}
}

// T11, DOCKER-12: what is signed is the digest that was asked for, on every path.
func TestT11_OtherDigests(t *testing.T) {
	l := home()
	other := image.SHA256([]byte("other"))
	for name, p := range routes() {
		a := newAuthority(t, l.keyless(p.demand))
		t.Run(name, func(t *testing.T) {
			check(t, a, now, "about another image", l.sign(app, signing{shape: p.shape, digest: other}))
			check(t, a, now, "about another image", l.sign(app.At(other), signing{shape: p.shape}))
			check(t, a, now, "", l.sign(app.At(other), signing{shape: p.shape}), l.sign(app, signing{shape: p.shape}))
			for _, text := range []string{"sha256", "SHA256:" + app.Digest().Hex(), "sha512:" + app.Digest().Hex(), app.Digest().Hex(), ""} {
				change := func(b []byte) []byte {
					if p.shape == legacySignature {
						return bytes.ReplaceAll(b, []byte(app.Digest().String()), []byte(text))
					}
					return bytes.ReplaceAll(b, []byte(app.Digest().Hex()), []byte(text))
				}
				if p.shape != legacySignature && text == app.Digest().Hex() {
					continue // as it should be
				}
				check(t, a, now, " ", l.sign(app, signing{shape: p.shape, payload: change}))
			}
		})
	}
	a := newAuthority(t, l.keyless())
	check(t, a, now, "about other bytes", l.sign(app, signing{shape: bundleMessage, digest: other}))
	proofs, err := a.Check(app.At(image.Digest{}), items(l.sign(app, signing{})), now)
	wantUnclear(t, proofs, err, "nothing to check against")
}

// T12: a signature that names a repository counts for that one.
func TestT12_SignedRepository(t *testing.T) {
	l := home()
	const here, elsewhere = "registry.example/team/app", "upstream.example/x/app"
	modes := map[string]trust.SignedRepository{
		"default": {}, "match": {Mode: "match"}, "ignore": {Mode: "ignore"}, "exact": {Exact: elsewhere},
		"remap": {Remap: &trust.RepositoryRemap{From: "upstream.example/x", To: "registry.example/team"}},
	}
	denied := "is for the repository"
	for name, want := range map[string]map[string]string{
		"default": {here: "", elsewhere: denied, "-": "", "registry.example:443/team/app:1": "", "registry.example/team": denied, "registry.example/team/app/x": denied, "no name!": "names a repository that is none", "app": denied},
		"match":   {here: "", elsewhere: denied, "-": ""},
		"ignore":  {here: "", elsewhere: "", "-": ""},
		"exact":   {here: denied, elsewhere: "", "-": "names no repository"},
		"remap":   {here: denied, elsewhere: "", "upstream.example/y/app": denied, "-": ""},
	} {
		a := newAuthority(t, l.keyless(func(o *Options) { o.SignedRepository = modes[name] }))
		for reference, part := range want {
			t.Run(name+" "+reference, func(t *testing.T) {
				proofs := check(t, a, now, part, l.sign(app, signing{reference: reference}))
				if part == "" && (len(proofs[0].Weakened) > 0) != (name == "ignore") {
					t.Errorf("weakened: %v", proofs[0].Weakened)
				}
			})
		}
		for _, shape := range []shape{bundleSignature, bundleMessage} {
			want := ""
			if name == "exact" {
				want = "names no repository"
			}
			check(t, a, now, want, l.sign(app, signing{shape: shape}))
		}
	}
}

// T14, T16: an attestation counts if it is signed, and says what is demanded in what is signed.
func TestT14_T16_Attestations(t *testing.T) {
	l := home()
	const wanted = "https://acme.example/predicate"
	for _, shape := range []shape{legacyAttestation, bundleAttestation} {
		a := newAuthority(t, l.keyless(onlyAttested))
		check(t, a, now, "", l.sign(app, signing{shape: shape}))
		for name, c := range map[string]struct {
			signing signing
			want    string
		}{
			"T14 no signature in the envelope":        {signing{made: func(m *made) { m.signatures = 0 }}, "signature"},
			"T14 an empty signature":                  {signing{made: func(m *made) { m.signature = nil }}, ""},
			"T14 a signature that is none":            {signing{made: func(m *made) { m.signature = []byte("junk") }}, ""},
			"T14 the signature of something else":     {signing{made: func(m *made) { m.signature = m.by.sign([]byte("x"), m.hash) }}, ""},
			"T14 two signatures":                      {signing{made: func(m *made) { m.signatures = 2 }}, "2 signatures"},
			"T14 neither certificate nor key":         {signing{made: func(m *made) { m.cert, m.chain = nil, nil }}, "bare key"},
			"T16 another type":                        {signing{predicateType: wanted + "/v2"}, "no attestation of type"},
			"T16 a shorter type":                      {signing{predicateType: wanted[:len(wanted)-1]}, "no attestation of type"},
			"T16 another type, outside the right one": {signing{predicateType: "https://acme.example/other", made: func(m *made) { m.predicateType = wanted }}, "no attestation of type"},
			"T16 another type of payload":             {signing{made: func(m *made) { m.payloadType = "text/plain" }}, "text/plain"},
			"T16 no JSON":                             {signing{payload: func([]byte) []byte { return []byte("junk") }}, "malformed"},
			"T16 no statement":                        {signing{payload: func([]byte) []byte { return []byte(`{"_type":"x"}`) }}, "_type"},
			"T16 a statement without a type":          {signing{payload: func(b []byte) []byte { return bytes.Replace(b, []byte(`"predicateType"`), []byte(`"x"`), 1) }}, "predicateType"},
			"T16 two types":                           {signing{payload: func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], `,"predicateType":"x"}`...) }}, "twice"},
			"T16 a changed payload":                   {signing{made: func(m *made) { m.payload = append(m.payload, ' ') }}, ""},
			"T16 an image signature's statement":      {signing{predicateType: "https://sigstore.dev/cosign/sign/v1"}, "no attestation of type"},
		} {
			t.Run(name, func(t *testing.T) {
				c.signing.shape = shape
				if c.want == "" {
					c.want = " "
				}
				check(t, a, now, c.want, l.sign(app, c.signing))
			})
		}
	}
}

// T16: an attestation is no signature of the image, and the claims of one are no attestation.
func TestT16_KindsDoNotMix(t *testing.T) {
	l := home()
	signature := newAuthority(t, l.keyless())
	for _, shape := range []shape{legacyAttestation, bundleAttestation} {
		check(t, signature, now, "there are attestations and no signature", l.sign(app, signing{shape: shape}))
	}
	attestation := newAuthority(t, l.keyless(onlyAttested))
	for _, shape := range []shape{legacySignature, bundleSignature, bundleMessage} {
		check(t, attestation, now, "no attestation of type", l.sign(app, signing{shape: shape}))
	}
	// The bytes of one kind under the media type of another.
	for _, shape := range []shape{legacySignature, legacyAttestation, bundleSignature} {
		for _, kind := range []string{typeSimpleSigning, typeEnvelope, typeBundlePrefix + ".v0.3+json", "", "text/plain", typeStatement} {
			p := l.sign(app, signing{shape: shape})
			if p.MediaType == kind {
				continue
			}
			p.MediaType = kind
			check(t, signature, now, "", l.sign(app, signing{shape: legacySignature}))
			check(t, signature, now, " ", p)
			check(t, attestation, now, " ", p)
		}
	}
}
