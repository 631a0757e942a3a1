package notation

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/veraison/go-cose"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// wantProved and wantNo fail unless a check came to a yes, or to a no that says why.
func wantProved(t *testing.T, proofs []trust.Proof, err error) trust.Proof {
	t.Helper()
	if err != nil || len(proofs) == 0 {
		t.Fatalf("%d proofs, error %v, want a proof", len(proofs), err)
	}
	return proofs[0]
}

func wantNo(t *testing.T, proofs []trust.Proof, err error, why string) {
	t.Helper()
	if len(proofs) > 0 || !trust.IsNo(err) || !strings.Contains(err.Error(), why) {
		t.Errorf("%d proofs, error %v, want a no that says %q", len(proofs), err, why)
	}
}

func wantUnclear(t *testing.T, proofs []trust.Proof, err error, why string) {
	t.Helper()
	if len(proofs) > 0 || err == nil || trust.IsNo(err) || !strings.Contains(err.Error(), why) {
		t.Errorf("%d proofs, error %v, want a cannot tell that says %q", len(proofs), err, why)
	}
}

func TestProofSaysWhoSigned(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, digest: app.Digest()})))
	p := wantProved(t, proofs, err)
	s := p.Signers[0]
	if s.Key != trust.Fingerprint(leaf.cert.RawSubjectPublicKeyInfo) || s.Chain[0].Serial != trust.Serial(leaf.cert.SerialNumber) || s.Identity.Subject != leaf.cert.Subject.String() ||
		s.Identity.Issuer != root.cert.Subject.String() || len(s.Chain) != 2 || len(s.Signature) == 0 {
		t.Errorf("signer %+v", s)
	}
	if !p.SignedAt.IsZero() { // only the signer says when
		t.Errorf("signed at %s, want unknown: nobody else saw it", p.SignedAt)
	}
	if !p.Expires.Equal(leaf.cert.NotAfter) || len(p.Weakened) > 0 {
		t.Errorf("expires %s, weakened %v", p.Expires, p.Weakened)
	}
}

// T18, T6: every store vouches for its own scheme; the leaf itself can be trusted too.
func TestT18_StoresAreForTheirScheme(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	byAuthority := func(r *signature.SignRequest) { r.SigningScheme = schemeAuthority }
	plain, special := jws(sign(t, request{by: leaf, digest: app.Digest()})), jws(sign(t, request{by: leaf, digest: app.Digest(), edit: byAuthority}))
	onlyAuthority := options(root, func(o *Options) { o.TrustStores = TrustStores{SigningAuthority: o.TrustStores.CA} })
	proofs, err := decide(t, onlyAuthority, now, plain)
	wantNo(t, proofs, err, "in the ca store")
	proofs, err = decide(t, options(root), now, special)
	wantNo(t, proofs, err, "in the signingAuthority store")
	proofs, err = decide(t, onlyAuthority, now, special)
	if p := wantProved(t, proofs, err); !p.SignedAt.Equal(signedAt) {
		t.Errorf("signed at %s, want the authority's word, %s", p.SignedAt, signedAt)
	}
	proofs, err = decide(t, options(leaf), now, plain)
	wantProved(t, proofs, err)
	proofs, err = decide(t, options(issue(t, root)), now, plain)
	wantNo(t, proofs, err, "unknown authority")
}

// T10: attributes are compared, each whole and each once.
func TestT10_SubjectsAreComparedByAttributes(t *testing.T) {
	root := issue(t, nil)
	rdn := func(sets ...[]pkix.AttributeTypeAndValue) []byte {
		var all pkix.RDNSequence
		for _, s := range sets {
			all = append(all, s)
		}
		return mustMarshal(t, all)
	}
	cn, o, ou := []int{2, 5, 4, 3}, []int{2, 5, 4, 10}, []int{2, 5, 4, 11}
	one := func(kind []int, value string) []pkix.AttributeTypeAndValue {
		return []pkix.AttributeTypeAndValue{{Type: kind, Value: value}}
	}
	for name, c := range map[string]struct {
		subject  []byte
		identity string
		want     bool
	}{
		"all":                       {rdn(one(o, "Acme"), one(cn, "ci")), "O=Acme, CN=ci", true},
		"another order":             {rdn(one(o, "Acme"), one(cn, "ci")), "CN=ci,O=Acme", true},
		"some":                      {rdn(one(o, "Acme"), one(cn, "ci")), "O=Acme", true},
		"one too many":              {rdn(one(o, "Acme")), "O=Acme,CN=ci", false},
		"a longer value":            {rdn(one(o, "Acme Evil")), "O=Acme", false},
		"a shorter value":           {rdn(one(o, "Acm")), "O=Acme", false},
		"another case":              {rdn(one(o, "ACME")), "O=Acme", false},
		"an attribute in a value":   {rdn(one(cn, "x,O=Acme")), "O=Acme", false},
		"a multi-value in a value":  {rdn(one(cn, "x+O=Acme")), "O=Acme", false},
		"an equals sign in a value": {rdn(one(o, "Acme=x")), "O=Acme", false},
		"escaped":                   {rdn(one(o, `A, "b" \ c`)), `O=A\, \22b\22 \\ c`, true},
		"twice, the wanted first":   {rdn(one(o, "Acme"), one(o, "Evil")), "O=Acme", false},
		"twice, the wanted last":    {rdn(one(cn, "evil"), one(cn, "ci")), "CN=ci", false},
		"twice in one part":         {rdn(append(one(o, "Acme"), one(o, "Evil")...)), "O=Acme", false},
		"beside another in a part":  {rdn(append(one(o, "Acme"), one(ou, "x")...)), "O=Acme", true},
		"a look-alike letter":       {rdn(one(o, "Асme")), "O=Acme", false},
		"not normalised":            {rdn(one(o, "Cafe\u0301")), "O=Caf\u00e9", false},
		"a hash sign":               {rdn(one(o, "#1304")), `O=\#1304`, true},
		"hexadecimal of a text":     {rdn(one(o, "Acme")), "O=#0c0441636d65", true},
		"a text like hexadecimal":   {rdn(one(o, "#0c0441636d65")), "O=Acme", false},
		"a null character":          {rdn(one(o, "Acme\x00Evil")), "O=Acme", false},
		"spaces":                    {rdn(one(o, " Acme ")), "O=Acme", false},
		"empty value":               {rdn(one(o, "")), "O=Acme", false},
		"no subject":                {rdn(), "O=Acme", false},
		"an unknown type":           {rdn(one([]int{1, 2, 3}, "x")), "1.2.3=#130178", true},
	} {
		id, err := parseIdentity(subjectPrefix + c.identity)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := issue(t, root, func(cert *x509.Certificate) { cert.RawSubject = c.subject })
		a := &authority{identities: []identity{id}}
		if err := a.checkIdentity(leaf.cert); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestT10_IdentitiesThatMeanNothing(t *testing.T) {
	for _, text := range []string{
		"", "*", "C=US", "x509.subject", "x509.subject:", "x509.subject: ", "x509.subject:O", "x509.subject:O=", "x509.subject:O= ,CN=ci", "x509.subject:O=a,O=b", "x509.subject:O=a+O=b", "x509.subject:=a",
		"x509.subject:nonsense=a", `x509.subject:O=a\`, "x509.subject:O=#zz", "x509.subject:O=\xff", "x509.subject:" + strings.Repeat("O=a,", 100) + "CN=a", "x509.subject:CN=" + strings.Repeat("a", 10_000),
		"x509.issuer:O=a", "X509.subject:O=a",
	} {
		if id, err := parseIdentity(text); err == nil {
			t.Errorf("%.60q: %v, want an error", text, id)
		}
	}
}

// T11: the digest stands in the payload, whatever the manifest around it refers to.
func TestT11_PayloadNamesTheImage(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	other := image.SHA256([]byte("other"))
	for payload, why := range map[string]string{
		`{"targetArtifact":{"digest":"` + other.String() + `"}}`:                         "another image",
		`{"targetArtifact":{"digest":"` + strings.ToUpper(app.Digest().String()) + `"}}`: "payload",
		`{"targetArtifact":{"digest":"` + app.Digest().String()[:40] + `"}}`:             "payload",
		`{"targetArtifact":{"digest":"sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"}}`:  "payload",
		`{"targetArtifact":{}}`:                              "payload",
		`{"digest":"` + app.Digest().String() + `"}`:         "payload",
		`{"targetArtifact":"` + app.Digest().String() + `"}`: "payload",
	} {
		proofs, err := decide(t, options(root), now, jws(sign(t, request{by: leaf, payload: payload})))
		wantNo(t, proofs, err, why)
	}
}

func TestT16_PayloadOfAnotherType(t *testing.T) {
	root := issue(t, nil)
	for _, kind := range []string{typeJWS, typeCOSE} {
		made := sign(t, request{mediaType: kind, by: issue(t, root), digest: app.Digest(), edit: func(r *signature.SignRequest) { r.Payload.ContentType = "application/json" }})
		proofs, err := decide(t, options(root), now, trust.Item{MediaType: kind, Bytes: made})
		wantNo(t, proofs, err, "payload of type")
	}
}

// T4, T15: what a signer marks critical and nobody here knows is refused, in both shapes; a plugin is never run.
func TestT15_CriticalAttributesAndPlugins(t *testing.T) {
	root := issue(t, nil)
	for _, kind := range []string{typeJWS, typeCOSE} {
		for name, c := range map[string]struct {
			attribute signature.Attribute
			why       string // empty: proved
		}{
			"plugin":              {signature.Attribute{Key: pluginHeader, Critical: true, Value: "evil"}, `plugin "evil"`},
			"plugin, not crit":    {signature.Attribute{Key: pluginHeader, Value: "evil"}, `plugin "evil"`},
			"plugin of no name":   {signature.Attribute{Key: pluginHeader, Critical: true, Value: 1}, "plugin"},
			"version of a plugin": {signature.Attribute{Key: pluginHeader + "MinVersion", Critical: true, Value: "1.0.0"}, "plugin"},
			"critical":            {signature.Attribute{Key: "example.new", Critical: true, Value: "x"}, "critical attribute"},
			"not critical":        {signature.Attribute{Key: "example.new", Value: "x"}, ""},
		} {
			made := sign(t, request{mediaType: kind, by: issue(t, root), digest: app.Digest(), edit: func(r *signature.SignRequest) {
				r.ExtendedSignedAttributes = []signature.Attribute{c.attribute}
			}})
			proofs, err := decide(t, options(root), now, trust.Item{MediaType: kind, Bytes: made})
			if c.why == "" {
				wantProved(t, proofs, err)
				continue
			}
			t.Run(kind+" "+name, func(t *testing.T) { wantNo(t, proofs, err, c.why) })
		}
	}
}

func TestAnnotationsAreDemanded(t *testing.T) {
	root := issue(t, nil)
	made := jws(sign(t, request{by: issue(t, root), digest: app.Digest()}))
	for value, ok := range map[string]bool{"release": true, "release2": false, "": false} {
		proofs, err := decide(t, options(root, func(o *Options) { o.Annotations = map[string]string{"stage": value} }), now, made)
		if ok {
			wantProved(t, proofs, err)
			continue
		}
		wantNo(t, proofs, err, "annotation stage")
	}
}

// T18: the algorithm follows from the certificate's key, not from the envelope.
func TestT18_AlgorithmOfTheEnvelope(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	made := sign(t, request{by: leaf, digest: app.Digest()})
	for _, alg := range []string{"none", "None", "", "HS256", "ES384", "PS256", "RS256", "EdDSA"} {
		var envelope map[string]any
		if err := json.Unmarshal(made, &envelope); err != nil {
			t.Fatal(err)
		}
		protected, err := base64.RawURLEncoding.DecodeString(envelope["protected"].(string))
		if err != nil {
			t.Fatal(err)
		}
		protected = bytes.Replace(protected, []byte(`"alg":"ES256"`), []byte(`"alg":"`+alg+`"`), 1)
		envelope["protected"] = base64.RawURLEncoding.EncodeToString(protected)
		for _, sig := range []any{envelope["signature"], ""} {
			envelope["signature"] = sig
			changed, err := json.Marshal(envelope)
			if err != nil {
				t.Fatal(err)
			}
			proofs, err := decide(t, options(root), now, jws(changed))
			wantNo(t, proofs, err, "")
		}
	}
	var message cose.Sign1Message
	if err := message.UnmarshalCBOR(sign(t, request{mediaType: typeCOSE, by: leaf, digest: app.Digest()})); err != nil {
		t.Fatal(err)
	}
	for _, alg := range []cose.Algorithm{cose.AlgorithmES384, cose.AlgorithmPS256, 5} { // 5: HMAC 256/256
		message.Headers.RawProtected = nil
		message.Headers.Protected.SetAlgorithm(alg)
		changed, err := message.MarshalCBOR()
		if err != nil {
			t.Fatal(err)
		}
		proofs, err := decide(t, options(root), now, trust.Item{MediaType: typeCOSE, Bytes: changed})
		wantNo(t, proofs, err, "")
	}
}

// T13: bytes of one shape named as the other are no signature.
func TestT13_ShapeAndTypeAgree(t *testing.T) {
	root := issue(t, nil)
	leaf := issue(t, root)
	for kind, other := range map[string]string{typeJWS: typeCOSE, typeCOSE: typeJWS} {
		proofs, err := decide(t, options(root), now, trust.Item{MediaType: other, Bytes: sign(t, request{mediaType: kind, by: leaf, digest: app.Digest()})})
		wantNo(t, proofs, err, "malformed")
	}
}

// T47: a long chain is refused before its links are checked.
func TestT47_LongChain(t *testing.T) {
	root := issue(t, nil)
	last := root
	for range trust.MaxChain - 2 {
		last = issue(t, last, caNamed("x"))
	}
	proofs, err := decide(t, options(root), now, jws(sign(t, request{by: issue(t, last), digest: app.Digest()})))
	wantProved(t, proofs, err)
	last = issue(t, last, caNamed("x"))
	for _, kind := range []string{typeJWS, typeCOSE} {
		proofs, err = decide(t, options(root), now, trust.Item{MediaType: kind, Bytes: sign(t, request{mediaType: kind, by: issue(t, last), digest: app.Digest()})})
		wantNo(t, proofs, err, "chain of 11 certificates")
	}
}

// T19: certificates, signature and time stamp, before and after.
func TestT19_Times(t *testing.T) {
	root, tsa := issue(t, nil), issue(t, nil, caNamed("tsa root"))
	leaf := issue(t, root)
	stamped := jws(sign(t, request{by: leaf, digest: app.Digest(), edit: stampedBy(newStamper(t, tsa, signedAt))}))
	plain := jws(sign(t, request{by: leaf, digest: app.Digest()}))
	late := signedAt.AddDate(1, 0, 0)

	proofs, err := decide(t, options(root), late, stamped) // no tsa store: the time stamp is nobody's word
	wantNo(t, proofs, err, "sign again")
	proofs, err = decide(t, withTSA(root, tsa), late, stamped)
	p := wantProved(t, proofs, err)
	if !p.SignedAt.Equal(signedAt) || !p.Expires.IsZero() || len(p.Signers[0].Under) != 2 {
		t.Errorf("signed at %s, expires %s, under %v", p.SignedAt, p.Expires, p.Signers[0].Under)
	}
	proofs, err = decide(t, withTSA(root, tsa), now, plain)
	wantNo(t, proofs, err, "time stamp: there is none")
	needed := withTSA(root, tsa)
	needed.VerifyTimestamp = "afterCertExpiry"
	proofs, err = decide(t, needed, now, plain)
	wantProved(t, proofs, err)
	proofs, err = decide(t, needed, late, plain)
	wantNo(t, proofs, err, "time stamp: there is none")
	proofs, err = decide(t, needed, late, stamped)
	wantProved(t, proofs, err)

	proofs, err = decide(t, withTSA(root, issue(t, nil, caNamed("tsa root"))), now, stamped)
	wantNo(t, proofs, err, "time stamp")
	proofs, err = decide(t, withTSA(root, tsa), signedAt.Add(-time.Second), stamped)
	wantNo(t, proofs, err, "time stamp: made at")
	for name, at := range map[string]time.Time{"before": leaf.cert.NotBefore, "after": leaf.cert.NotAfter} { // for sure, with an accuracy of a second
		edge := jws(sign(t, request{by: leaf, digest: app.Digest(), edit: stampedBy(newStamper(t, tsa, at))}))
		proofs, err = decide(t, withTSA(root, tsa), late, edge)
		t.Run(name, func(t *testing.T) { wantNo(t, proofs, err, "for sure") })
	}
	// The stamp of one signature beside another.
	var from, to map[string]any
	if err := json.Unmarshal(stamped.Bytes, &from); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(plain.Bytes, &to); err != nil {
		t.Fatal(err)
	}
	to["header"] = from["header"]
	moved, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err = decide(t, withTSA(root, tsa), now, jws(moved))
	wantNo(t, proofs, err, "mismatched message")
}

// T20: a weaker check is a word of the policy, and the verdict shows it.
func TestT20_WeakerChecksAreShown(t *testing.T) {
	root := issue(t, nil)
	made := jws(sign(t, request{by: issue(t, root), digest: app.Digest(), edit: func(r *signature.SignRequest) { r.Expiry = signedAt.Add(time.Minute) }}))
	late := signedAt.AddDate(1, 0, 0)
	for name, c := range map[string]struct {
		edit  func(*Options)
		at    time.Time
		shown string // empty: refused
	}{
		"strict":                  {func(*Options) {}, now, ""},
		"expiry":                  {func(o *Options) { o.Expiry = "insecureLog" }, now, "expiry"},
		"expiry, certificates":    {func(o *Options) { o.Expiry = "insecureLog" }, late, ""},
		"both":                    {func(o *Options) { o.Expiry, o.AuthenticTimestamp = "insecureLog", "insecureLog" }, late, "authenticTimestamp,expiry"},
		"permissive":              {func(o *Options) { o.Level = "insecurePermissive" }, late, "authenticTimestamp,expiry,revocation"},
		"permissive, with expiry": {func(o *Options) { o.Level, o.Expiry = "insecurePermissive", "enforce" }, now, ""},
		"anybody":                 {func(o *Options) { o.Identities, o.InsecureAnyIdentity, o.Expiry = nil, true, "insecureLog" }, now, "insecureAnyIdentity,expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			proofs, err := decide(t, options(root, c.edit), c.at, made)
			if c.shown == "" {
				wantNo(t, proofs, err, "")
				return
			}
			if p := wantProved(t, proofs, err); strings.Join(p.Weakened, ",") != c.shown {
				t.Errorf("weakened %v, want %s", p.Weakened, c.shown)
			}
		})
	}
}

// T7: identity and annotation must hold for one signature.
func TestT7_OneSignatureHoldsAll(t *testing.T) {
	root := issue(t, nil)
	stage := func(s string) string {
		return `{"targetArtifact":{"digest":"` + app.Digest().String() + `","annotations":{"stage":"` + s + `"}}}`
	}
	one := jws(sign(t, request{by: issue(t, root), payload: stage("test")}))
	two := jws(sign(t, request{by: issue(t, root, func(c *x509.Certificate) { c.Subject = name("somebody") }), payload: stage("release")}))
	proofs, err := decide(t, options(root, func(o *Options) { o.Annotations = map[string]string{"stage": "release"} }), now, one, two)
	wantNo(t, proofs, err, "none of 2 signatures counts")
}

// T38: what is in a file that a policy names is shown in no error.
func TestT38_ErrorsDoNotShowFiles(t *testing.T) {
	for _, content := range []string{"hunter2", "-----BEGIN hunter2-----\nAAAA\n-----END hunter2-----\n", "-----BEGIN CERTIFICATE-----\nhunter2h\n-----END CERTIFICATE-----\n"} {
		o := Options{TrustStores: TrustStores{CA: []StoreOptions{{File: "f"}}}, Identities: []string{subject}}
		if _, err := New(Config{}).New(trusttest.Section{Options: o, Files: map[string][]byte{"f": []byte(content)}}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// T19: a signing authority's word about the time is held against the certificates.
func TestT19_SigningAuthority(t *testing.T) {
	root := issue(t, nil)
	o := options(root, func(o *Options) { o.TrustStores = TrustStores{SigningAuthority: o.TrustStores.CA} })
	byAuthority := func(r *signature.SignRequest) { r.SigningScheme = schemeAuthority }
	for name, c := range map[string]struct {
		edit edit
		why  string // empty: proved, whenever it is asked
	}{
		"valid then":    {func(c *x509.Certificate) { c.NotAfter = signedAt.Add(time.Minute) }, ""},
		"expired then":  {func(c *x509.Certificate) { c.NotAfter = signedAt }, "when it was signed"},
		"not yet valid": {func(c *x509.Certificate) { c.NotBefore = signedAt.Add(time.Second) }, "when it was signed"},
	} {
		leaf := issue(t, root, c.edit)
		made := withoutSigner(t, request{by: leaf, digest: app.Digest(), edit: byAuthority})
		proofs, err := decide(t, o, now, jws(made))
		if c.why == "" {
			wantProved(t, proofs, err)
			continue
		}
		t.Run(name, func(t *testing.T) { wantNo(t, proofs, err, c.why) })
	}
}

// withoutSigner signs where the library would refuse to: it looks at the signer's certificates at the time that is signed.
func withoutSigner(t *testing.T, r request) []byte {
	t.Helper()
	stand := issueFor(t, issue(t, nil), r.by.key)
	made := sign(t, request{by: stand, digest: r.digest, edit: r.edit})
	var doc map[string]any
	if err := json.Unmarshal(made, &doc); err != nil {
		t.Fatal(err)
	}
	chain := [][]byte{}
	for _, c := range r.by.chain {
		chain = append(chain, c.Raw)
	}
	doc["header"].(map[string]any)["x5c"] = chain
	changed, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// T47: long envelopes, long chains and large keys are refused before anything of them is checked.
func TestT47_KeysAndChains(t *testing.T) {
	root := issue(t, nil)
	chain := [][]byte{}
	for range trust.MaxChain + 1 {
		chain = append(chain, root.cert.Raw)
	}
	large := largeKey(t)
	for name, c := range map[string]struct {
		chain [][]byte
		why   string
	}{"chain": {chain, "chain of 11 certificates"}, "key": {[][]byte{large}, "RSA key of 9000 bits"}} {
		doc, err := json.Marshal(map[string]any{"header": map[string]any{"x5c": c.chain}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(typeJWS, doc); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := open(typeJWS, make([]byte, maxEnvelope+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("%v", err)
	}
}

// T31: a list of referrers is not believed: the manifest itself must refer to the image, even where the signature is a good one.
func TestT31_ManifestsReferToTheImage(t *testing.T) {
	root := issue(t, nil)
	src, a := new(trusttest.Source), newAuthority(t, options(root))
	other := app.At(image.SHA256([]byte("other")))
	d := publish(t, src, other, typeJWS, sign(t, request{by: issue(t, root), digest: app.Digest()}))
	src.PutReferrer(app, trust.Descriptor{MediaType: typeManifest, ArtifactType: typeSignature, Digest: d, Size: 100})
	ev, err := a.Find(t.Context(), src, app)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := a.Check(app, ev, now)
	wantNo(t, proofs, err, "the manifest does not refer to the image")
}
