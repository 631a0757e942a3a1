package certificate

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// testdata reads a test vector; testdata/make.sh made them.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vector(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	b, err := ParsePEM(testdata(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b.Certificates[0]
}

// wantNo fails unless a check ended in a "no" whose text has a part.
func wantNo(t *testing.T, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if len(proofs) > 0 {
		t.Fatal("proved, want a no")
	}
	if !trust.IsNo(err) {
		t.Fatalf("error = %v, want a no", err)
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("error = %v, want one with %q", err, part)
	}
}

// expect checks for a proof if part is "", else for a "no" with that part.
func expect(t *testing.T, proofs []trust.Proof, err error, part string) {
	t.Helper()
	if part != "" {
		wantNo(t, proofs, err, part)
		return
	}
	if err != nil || len(proofs) == 0 {
		t.Fatalf("%d proofs, error %v, want a proof", len(proofs), err)
	}
}

func digits(n int) string { return app.Digest().Hex()[:n] }

func TestCommonNames(t *testing.T) {
	root := newCA(t, nil)
	for name, c := range map[string]struct {
		options CommonNameOptions
		cn      string
		want    string
	}{
		"DIA-5 40 digits":                          {CommonNameOptions{}, "dia-" + digits(40), ""},
		"DIA-5 45 digits":                          {CommonNameOptions{}, "dia-" + digits(45), ""},
		"DIA-5 anything around":                    {CommonNameOptions{}, "x " + digits(40) + " y", ""},
		"DIA-5 39 digits":                          {CommonNameOptions{}, "dia-" + digits(39), invalid},
		"DIA-6 slice 0-45, 45 digits":              {CommonNameOptions{Slice: "0-45"}, "dia-" + digits(45), ""},
		"DIA-6 slice 0-45, 40 digits":              {CommonNameOptions{Slice: "0-45"}, "dia-" + digits(40), invalid},
		"DIA-7 upper case":                         {CommonNameOptions{}, "dia-" + strings.ToUpper(digits(40)), invalid},
		"DIA-8 equal":                              {CommonNameOptions{Match: "equals", Prefix: "dia-"}, "dia-" + digits(40), ""},
		"DIA-8 more digits":                        {CommonNameOptions{Match: "equals", Prefix: "dia-"}, "dia-" + digits(41), invalid},
		"DIA-8 something before":                   {CommonNameOptions{Match: "equals", Prefix: "dia-"}, "xdia-" + digits(40), invalid},
		"DIA-8 something after":                    {CommonNameOptions{Match: "equals", Prefix: "dia-"}, "dia-" + digits(40) + " ", invalid},
		"DIA-8 no prefix":                          {CommonNameOptions{Match: "equals"}, digits(40), ""},
		"DIA-8 prefix where none is wanted":        {CommonNameOptions{Match: "equals"}, "dia-" + digits(40), invalid},
		"a prefix, and anything after it":          {CommonNameOptions{Prefix: "dia-42-"}, "dia-42-" + digits(45), ""},
		"another project's prefix":                 {CommonNameOptions{Prefix: "dia-42-"}, "dia-43-" + digits(45), invalid},
		"the prefix not at the beginning":          {CommonNameOptions{Prefix: "dia-42-"}, "xdia-42-" + digits(45), invalid},
		"a later slice":                            {CommonNameOptions{Slice: "24-64"}, "dia-" + app.Digest().Hex()[24:], ""},
		"T6 no common name":                        {CommonNameOptions{}, "", invalid},
		"T11 another image":                        {CommonNameOptions{}, "dia-" + image.SHA256([]byte("b")).Hex()[:40], invalid},
		"T6 prefix fits, digits do not":            {CommonNameOptions{Prefix: "dia-"}, "dia-", invalid},
		"T6 digits fit, prefix does not":           {CommonNameOptions{Prefix: "dia-"}, digits(40), invalid},
		"digits interrupted":                       {CommonNameOptions{}, digits(20) + "-" + app.Digest().Hex()[20:40], invalid},
		"DIA-33 the text of a name that is amiss":  {CommonNameOptions{}, "other", "Invalid certificate"},
		"a slice that begins inside another slice": {CommonNameOptions{Slice: "8-48"}, "dia-" + digits(40), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, Options{Roots: root.pem(), CommonName: &c.options})
			proofs, err := a.Check(app, layerOf(t, root.leaf(t, named(c.cn))), now)
			expect(t, proofs, err, c.want)
		})
	}
}

func TestCommonNameOfSHA512Digest(t *testing.T) {
	root := newCA(t, nil)
	d := image.MustParseDigest("sha512:" + strings.Repeat("0123456789abcdef", 8))
	a := newAuthority(t, Options{Roots: root.pem()})
	proofs, err := a.Check(app.At(d), layerOf(t, root.leaf(t, named(CommonName("dia-", d)))), now)
	expect(t, proofs, err, "")
	proofs, err = a.Check(app.At(d), layerOf(t, root.leaf(t, vouching(app.At(d)))), now)
	expect(t, proofs, err, "")
}

// Of two common names, one program reads the first and another the last.
func TestTwoCommonNamesAreRefused(t *testing.T) {
	root := newCA(t, nil)
	a := newAuthority(t, Options{Roots: root.pem()})
	leaf := root.leaf(t, func(c *x509.Certificate) {
		cn := asn1.ObjectIdentifier{2, 5, 4, 3}
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: cn, Value: "dia-x"}, {Type: cn, Value: "dia-" + digits(40)}}}
	})
	proofs, err := a.Check(app, layerOf(t, leaf), now)
	wantNo(t, proofs, err, "2 common names")
}

func uris(t *testing.T, texts ...string) edit {
	t.Helper()
	var list []*url.URL
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, u)
	}
	return func(c *x509.Certificate) {
		vouching(app)(c) // the common name fits
		c.URIs = list
	}
}

func TestSubjectAlternativeNames(t *testing.T) {
	root := newCA(t, nil)
	d, otherDigest := app.Digest().String(), image.SHA256([]byte("b")).String()
	required := Options{SAN: "required"}
	exact, remap, match, ignore := required, required, required, required
	exact.SignedRepository = trust.SignedRepository{Exact: "registry.example/release/app"}
	remap.SignedRepository = trust.SignedRepository{Remap: &trust.RepositoryRemap{From: "upstream.example/x", To: "registry.example/team"}}
	match.SignedRepository = trust.SignedRepository{Mode: "match"}
	ignore.SignedRepository = trust.SignedRepository{Mode: "ignore"}
	for name, c := range map[string]struct {
		options Options
		leaf    edit
		want    string
	}{
		"repository and digest":                           {Options{}, vouching(app), ""},
		"DIA-15 T12 another repository":                   {Options{}, uris(t, "oci://registry.example/team/other@"+d), invalid},
		"T12 another registry":                            {Options{}, uris(t, "oci://evil.example/team/app@"+d), invalid},
		"T12 match":                                       {match, uris(t, "oci://registry.example/team/other@"+d), invalid},
		"T12 a longer repository":                         {Options{}, uris(t, "oci://registry.example/team/app/x@"+d), invalid},
		"T12 any repository where that is said":           {ignore, uris(t, "oci://evil.example/team/other@"+d), ""},
		"DIA-16 another digest, though it may be a copy":  {ignore, uris(t, "oci://registry.example/team/app@"+otherDigest), invalid},
		"T12 exactly one repository":                      {exact, uris(t, "oci://registry.example/release/app@"+d), ""},
		"T12 the repository asked for, not the exact one": {exact, vouching(app), invalid},
		"T12 a mirror with a mapping":                     {remap, uris(t, "oci://upstream.example/x/app@"+d), ""},
		"T12 a mirror with a mapping, signed as itself":   {remap, vouching(app), invalid},
		"DIA-16 T11 another digest":                       {Options{}, uris(t, "oci://registry.example/team/app@"+otherDigest), invalid},
		"T7 two names that fit by halves":                 {Options{}, uris(t, "oci://registry.example/team/app@"+otherDigest, "oci://registry.example/team/other@"+d), invalid},
		"two names, one fits":                             {Options{}, uris(t, "oci://registry.example/team/other@"+otherDigest, "oci://registry.example/team/app@"+d), ""},
		"DIA-16 a name that cannot be read":               {Options{}, uris(t, "oci://registry.example/team/app"), invalid},
		"DIA-16 an opaque name":                           {Options{}, uris(t, "oci:registry.example/team/app@"+d), invalid},
		"T2 a tag in the name":                            {Options{}, uris(t, "oci://registry.example/team/app:1@"+d), invalid},
		"T2 a port in the name":                           {Options{}, uris(t, "oci://registry.example:443/team/app@"+d), invalid},
		"T2 an escape in the name":                        {Options{}, uris(t, "oci://registry.example/team/%61pp@"+d), invalid},
		"T2 a query behind the name":                      {Options{}, uris(t, "oci://registry.example/team/app@"+d+"?x"), invalid},
		"T2 a user in the name":                           {Options{}, uris(t, "oci://registry.example@registry.example/team/app@"+d), invalid},
		"T6 SAN required, none there":                     {required, byNameSigning, invalid},
		"T6 SAN required, one of another scheme":          {required, uris(t, "https://registry.example/team/app@"+d), invalid},
		"another scheme leaves it to the common name":     {Options{}, uris(t, "spiffe://registry.example/app"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Roots = root.pem()
			proofs, err := newAuthority(t, c.options).Check(app, layerOf(t, root.leaf(t, c.leaf)), now)
			expect(t, proofs, err, c.want)
		})
	}
}

var byNameSigning = codeSigningByName(app)

func TestExtendedKeyUsage(t *testing.T) {
	root := newCA(t, nil)
	serverCA := newCA(t, nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	with := func(e edit, usages ...x509.ExtKeyUsage) edit {
		return func(c *x509.Certificate) { e(c); c.ExtKeyUsage = usages }
	}
	bound := Options{ExtKeyUsage: "codeSigning"}
	for name, c := range map[string]struct {
		options Options
		ca      *ca
		leaf    edit
		want    string
	}{
		"SAN with code signing":                   {Options{}, root, vouching(app), ""},
		"T6 SAN without usages":                   {Options{}, root, with(vouching(app)), "code_signing_flag"},
		"SAN for servers":                         {Options{}, root, with(vouching(app), x509.ExtKeyUsageServerAuth), "code signing"},
		"SAN for any use":                         {Options{}, root, with(vouching(app), x509.ExtKeyUsageAny), "code signing"},
		"name without usages":                     {Options{}, root, byName(app), ""},
		"name for servers":                        {Options{}, root, with(byName(app), x509.ExtKeyUsageServerAuth), ""},
		"T6 name without usages where demanded":   {bound, root, byName(app), "code signing"},
		"name with code signing where demanded":   {bound, root, with(byName(app), x509.ExtKeyUsageCodeSigning), ""},
		"an authority that may not issue for it":  {Options{}, serverCA, vouching(app), "incompatible key usage"},
		"an authority that may issue for servers": {Options{}, serverCA, byName(app), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Roots = c.ca.pem()
			proofs, err := newAuthority(t, c.options).Check(app, layerOf(t, c.ca.leaf(t, c.leaf)), now)
			expect(t, proofs, err, c.want)
		})
	}
}

func TestChains(t *testing.T) {
	root, second, foreign := newCA(t, nil), newCA(t, nil, named("Second CA")), newCA(t, nil)
	inter := newCA(t, root, named("Intermediate"))
	short := newCA(t, nil, named("Short"), func(c *x509.Certificate) { c.MaxPathLenZero = true })
	beyond := newCA(t, short, named("Beyond"))
	noSign := newCA(t, root, named("No sign"), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	noCA := newCA(t, root, named("No CA"), func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 })
	elsewhere := newCA(t, root, named("Elsewhere"), func(c *x509.Certificate) { c.PermittedURIDomains = []string{"other.example"} })
	here := newCA(t, root, named("Here"), func(c *x509.Certificate) { c.PermittedURIDomains = []string{"registry.example"} })
	twin := newCA(t, nil) // the name of root, another key
	const unknown = "Certificate signed by unknown authority, "
	roots := root.pem() + second.pem() + short.pem()
	for name, c := range map[string]struct {
		intermediates string
		certs         []*x509.Certificate
		want          string
	}{
		"DIA-10 the first root":                         {"", []*x509.Certificate{root.leaf(t, byName(app))}, ""},
		"DIA-10 the second root":                        {"", []*x509.Certificate{second.leaf(t, byName(app))}, ""},
		"DIA-10 DIA-33 another authority":               {"", []*x509.Certificate{foreign.leaf(t, byName(app))}, unknown},
		"an authority of the same name":                 {"", []*x509.Certificate{twin.leaf(t, byName(app))}, unknown},
		"another authority brings its own root":         {"", []*x509.Certificate{foreign.leaf(t, byName(app)), foreign.cert}, unknown},
		"DIA-11 intermediate in the artifact":           {"", []*x509.Certificate{inter.leaf(t, byName(app)), inter.cert}, ""},
		"DIA-11 intermediate and root in the artifact":  {"", []*x509.Certificate{inter.leaf(t, byName(app)), inter.cert, root.cert}, ""},
		"DIA-11 intermediate in the policy":             {inter.pem(), []*x509.Certificate{inter.leaf(t, byName(app))}, ""},
		"DIA-11 intermediate nowhere":                   {"", []*x509.Certificate{inter.leaf(t, byName(app))}, unknown},
		"the leaf comes first":                          {"", []*x509.Certificate{inter.cert, inter.leaf(t, byName(app))}, invalid},
		"path length":                                   {"", []*x509.Certificate{beyond.leaf(t, byName(app)), beyond.cert}, "too many intermediates"},
		"an intermediate that may not issue":            {"", []*x509.Certificate{noSign.leaf(t, byName(app)), noSign.cert}, unknown},
		"a leaf as issuer":                              {"", []*x509.Certificate{noCA.leaf(t, byName(app)), noCA.cert}, unknown},
		"name constraints of the issuer":                {"", []*x509.Certificate{elsewhere.leaf(t, vouching(app)), elsewhere.cert}, "not permitted"},
		"name constraints that fit":                     {"", []*x509.Certificate{here.leaf(t, vouching(app)), here.cert}, ""},
		"T47 junk in the chain":                         {"", []*x509.Certificate{root.leaf(t, byName(app)), foreign.cert, twin.cert}, ""},
		"a certificate of the chain names the image":    {"", []*x509.Certificate{root.leaf(t, named("x")), root.leaf(t, byName(app))}, invalid},
		"T6 authority fits, name does not":              {"", []*x509.Certificate{root.leaf(t, named("x"))}, invalid},
		"T6 name fits, authority does not (own chain)":  {inter.pem(), []*x509.Certificate{twin.leaf(t, vouching(app))}, unknown},
		"DIA-12 a self-signed leaf that says the right": {"", []*x509.Certificate{newCA(t, nil, byName(app)).cert}, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, Options{Roots: roots, Intermediates: c.intermediates})
			proofs, err := a.Check(app, layerOf(t, c.certs...), now)
			expect(t, proofs, err, c.want)
		})
	}
}

func TestProof(t *testing.T) {
	root := newCA(t, nil, named("Root"))
	inter := newCA(t, root, named("Intermediate"))
	leaf := inter.leaf(t, vouching(app))
	a := newAuthority(t, Options{Roots: root.pem()})
	got, err := a.Check(app, layerOf(t, leaf, inter.cert), now)
	if err != nil {
		t.Fatal(err)
	}
	key := trust.Fingerprint(leaf.RawSubjectPublicKeyInfo)
	want := []trust.Proof{{
		Digest: app.Digest(),
		Signers: []trust.Signer{{Key: key, Chain: []trust.Certificate{
			{Subject: "CN=" + CommonName("dia-", app.Digest()), Issuer: "CN=Intermediate", Serial: trust.Serial(leaf.SerialNumber), Key: key},
			trust.DescribeCertificate(inter.cert),
			trust.DescribeCertificate(root.cert),
		}}},
		SignedAt: issued,
		Expires:  leaf.NotAfter,
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b image.Digest) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// Each chain is a proof of its own, so that revoking one issuer does not hide another one.
func TestProofPerChain(t *testing.T) {
	one, two := newCA(t, nil, named("One")), newCA(t, nil, named("Two"))
	key := ecKey(t)
	viaOne := newCAWithKey(t, one, key, named("Intermediate"))
	viaTwo := newCAWithKey(t, two, key, named("Intermediate"))
	leaf := viaOne.leaf(t, byName(app))
	options := Options{Roots: one.pem() + two.pem()}
	proofs, err := newAuthority(t, options).Check(app, layerOf(t, leaf, viaOne.cert, viaTwo.cert), now)
	if err != nil || len(proofs) != 2 {
		t.Fatalf("%d proofs, error %v, want two", len(proofs), err)
	}
	options.Denied = &DeniedOptions{Serials: []string{trust.Serial(viaOne.cert.SerialNumber)}}
	proofs, err = newAuthority(t, options).Check(app, layerOf(t, leaf, viaOne.cert, viaTwo.cert), now)
	if err != nil || len(proofs) != 1 || proofs[0].Signers[0].Chain[2].Subject != "CN=Two" {
		t.Fatalf("%+v, error %v, want the chain over Two", proofs, err)
	}
}

// RSA keys that openssl and Vault make, and the weak ones that count for nothing.
func TestVectorsOfOpenSSL(t *testing.T) {
	root := string(testdata(t, "rsa-root.pem"))
	for name, c := range map[string]struct {
		leaf string
		want string
	}{
		"DIA's GitLab form":        {"rsa-leaf.pem", ""},
		"Assay's form":             {"san-leaf.pem", ""},
		"signed with SHA-1":        {"sha1-leaf.pem", "SHA1"},
		"T18 a key of 1024 bits":   {"rsa1024-leaf.pem", "1024 bits"},
		"the root as its own leaf": {"rsa-root.pem", invalid},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := vector(t, c.leaf)
			a := newAuthority(t, Options{Roots: root})
			proofs, err := a.Check(app, layerOf(t, leaf), leaf.NotBefore.Add(time.Hour))
			expect(t, proofs, err, c.want)
		})
	}
}

// DIA-33: the cause is the one that DIA gives, from Go's crypto/rsa.
func TestDIA33_CauseOfUnknownAuthority(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	twin := newCAWithKey(t, nil, key, func(c *x509.Certificate) {
		c.Subject = pkix.Name{Organization: []string{"Test"}, CommonName: "RSA root"}
	})
	a := newAuthority(t, Options{Roots: string(testdata(t, "rsa-root.pem"))})
	proofs, err := a.Check(app, layerOf(t, twin.leaf(t, byName(app))), now)
	wantNo(t, proofs, err, "Certificate signed by unknown authority, crypto/rsa: verification error")
}

// T47: chains cost time to build. No more than ten certificates are looked at, and none with an outsize key.
func TestT47_Chains(t *testing.T) {
	chainOf := func(n int) (root *ca, certs []*x509.Certificate) {
		root = newCA(t, nil, named("0"))
		issuer := root
		for range n - 2 {
			issuer = newCA(t, issuer, named("CA "+time.Now().String()))
			certs = append([]*x509.Certificate{issuer.cert}, certs...)
		}
		return root, append([]*x509.Certificate{issuer.leaf(t, byName(app))}, certs...)
	}
	t.Run("ten certificates", func(t *testing.T) {
		root, certs := chainOf(trust.MaxChain)
		proofs, err := newAuthority(t, Options{Roots: root.pem()}).Check(app, layerOf(t, certs...), now)
		expect(t, proofs, err, "")
	})
	t.Run("eleven certificates with the root", func(t *testing.T) {
		root, certs := chainOf(trust.MaxChain + 1)
		proofs, err := newAuthority(t, Options{Roots: root.pem()}).Check(app, layerOf(t, certs...), now)
		wantNo(t, proofs, err, "chain of 11 certificates, at most 10")
	})
	t.Run("twelve certificates in the file", func(t *testing.T) {
		root, certs := chainOf(trust.MaxChain + 2)
		a := artifactWithFile(t, "image.crt", []byte(pemOf(certs...)+pemOf(root.cert)), OCI)
		proofs, err := newAuthority(t, Options{Roots: root.pem()}).Check(app, evidence(a.Blobs[1]), now)
		wantNo(t, proofs, err, "at most 11 are allowed")
	})
	t.Run("many ways through the chain", func(t *testing.T) {
		root := newCA(t, nil)
		// Nine authorities with one name and one key issue each other: every order of them would be a chain.
		key := ecKey(t)
		var certs []*x509.Certificate
		maze := &ca{cert: &x509.Certificate{Subject: pkix.Name{CommonName: "maze"}}, key: key}
		for range trust.MaxChain - 1 {
			certs = append(certs, newCAWithKey(t, maze, key, named("maze"), func(c *x509.Certificate) { c.DNSNames = []string{time.Now().Format("150405.000000000") + ".example"} }).cert)
		}
		started := time.Now()
		proofs, err := newAuthority(t, Options{Roots: root.pem()}).Check(app, layerOf(t, append([]*x509.Certificate{maze.leaf(t, byName(app))}, certs...)...), now)
		wantNo(t, proofs, err, "")
		if d := time.Since(started); d > 5*time.Second {
			t.Errorf("took %s", d)
		}
	})
}
