package sigstore

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
	"github.com/assay-dev/assay/trust/trusttest"
)

// Whatever cannot be enforced, or says nothing, is an error with its place and the next step.
func TestCompileErrors(t *testing.T) {
	l := home()
	key := bare(ecKey(elliptic.P256()))
	keyless, keyed, own := l.keyless(), l.keyed(key), l.own()
	files := map[string][]byte{"cosign.pub": []byte(pemKey(key.key.Public())), "junk": []byte("junk")}
	identity := func(o IdentityOptions) func(*Options) {
		return func(all *Options) { all.Keyless = &KeylessOptions{Identities: []IdentityOptions{o}} }
	}
	pki := func(change func(*PKIOptions)) func(*Options) {
		return func(o *Options) {
			o.PKI = &PKIOptions{Roots: pemOf(l.root.cert), Names: []NameOptions{{URI: workflow}}}
			change(o.PKI)
		}
	}
	root := func(r TrustedRootOptions) func(*Options) { return func(o *Options) { o.TrustedRoot = &r } }
	demand := func(a AttestationOptions) func(*Options) {
		return func(o *Options) { o.Attestations = []AttestationOptions{a} }
	}
	key1 := func(k KeyOptions) func(*Options) { return func(o *Options) { o.Key = &k } }
	leafPEM := pemOf(l.person(leaf{}).cert)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key.key))}))
	for name, c := range map[string]struct {
		from   Options
		change func(*Options)
		want   string
	}{
		"an unknown shape":                     {keyless, func(o *Options) { o.Formats = []string{"signature", "oci"} }, `section.formats[1]: "oci" is unknown; write signature or bundle`},
		"a shape twice":                        {keyless, func(o *Options) { o.Formats = []string{"bundle", "bundle"} }, "section.formats[1]: bundle stands there twice"},
		"nothing is wanted":                    {keyless, func(o *Options) { o.Signature = "none" }, "section.signature: none leaves nothing"},
		"an unknown word for the signature":    {keyless, func(o *Options) { o.Signature = "optional" }, `section.signature: "optional" is unknown`},
		"annotations without a signature":      {keyless, func(o *Options) { onlyAttested(o); o.Annotations = map[string]string{"a": "b"} }, "section.annotations: are those of the signature"},
		"a repository without a signature":     {keyless, func(o *Options) { onlyAttested(o); o.SignedRepository.Mode = "match" }, "section.signedRepository: is about the signature"},
		"no log, and two logs":                 {keyless, func(o *Options) { ignoreLog(o); o.LogThreshold = 2 }, "section.insecureIgnoreLog: contradicts logThreshold"},
		"no log, and a log to ask":             {keyless, func(o *Options) { ignoreLog(o); o.RekorURL = "https://rekor.example" }, "section.insecureIgnoreLog: contradicts rekorURL"},
		"no SCT, and two SCTs":                 {keyless, func(o *Options) { o.InsecureIgnoreSCT, o.SCTThreshold = true, 2 }, "section.insecureIgnoreSCT: contradicts sctThreshold"},
		"T6 an empty value":                    {keyless, func(o *Options) { o.Annotations = map[string]string{"a": ""} }, "section.annotations: an empty name or value"},
		"T6 an empty name":                     {keyless, func(o *Options) { o.Annotations = map[string]string{"": "a"} }, "section.annotations: an empty name or value"},
		"nobody":                               {keyless, func(o *Options) { o.SignerOptions = SignerOptions{} }, "section.: nobody is trusted"},
		"a key and identities":                 {keyless, func(o *Options) { o.Key = keyed.Key }, "section.key: keyless and key exclude each other"},
		"keys and pki":                         {own, func(o *Options) { o.Keys = []KeyOptions{*keyed.Key} }, "section.pki: keys and pki exclude each other"},
		"a key and keys":                       {keyed, func(o *Options) { o.Keys = []KeyOptions{*keyed.Key} }, "section.keys: key and keys exclude each other"},
		"no keys":                              {keyed, func(o *Options) { o.Key, o.Keys = nil, []KeyOptions{} }, "section.keys: is empty"},
		"DOCKER-11 no identities":              {keyless, func(o *Options) { o.Keyless = &KeylessOptions{} }, "section.keyless.identities: is empty"},
		"T6 no issuer":                         {keyless, identity(IdentityOptions{Subject: "a"}), "section.keyless.identities[0].issuer: missing"},
		"T6 no subject":                        {keyless, identity(IdentityOptions{Issuer: "a"}), "section.keyless.identities[0].subject: missing"},
		"two issuers":                          {keyless, identity(IdentityOptions{Issuer: "a", IssuerRegExp: "a", Subject: "a"}), "section.keyless.identities[0].issuerRegExp: issuer and issuerRegExp exclude each other"},
		"two subjects":                         {keyless, identity(IdentityOptions{Issuer: "a", SubjectRegExp: "a", Subject: "a"}), "section.keyless.identities[0].subjectRegExp: subject and subjectRegExp exclude each other"},
		"three stars":                          {keyless, identity(IdentityOptions{Issuer: "***", Subject: "a"}), "section.keyless.identities[0].issuer: \"***\": three stars mean nothing"},
		"three stars in a claim":               {keyless, identity(IdentityOptions{Issuer: "a", Subject: "a", Claims: ClaimsOptions{BuildTrigger: "***"}}), "section.keyless.identities[0].claims.buildTrigger: "},
		"a long pattern":                       {keyless, identity(IdentityOptions{Issuer: "a", Subject: strings.Repeat("a", maxPattern+1)}), "4097 bytes, at most 4096 are allowed"},
		"a long expression":                    {keyless, identity(IdentityOptions{Issuer: "a", SubjectRegExp: strings.Repeat("a", maxPattern+1)}), "4097 bytes, at most 4096 are allowed"},
		"a star where an expression is wanted": {keyless, identity(IdentityOptions{Issuer: "a", SubjectRegExp: "*"}), "section.keyless.identities[0].subjectRegExp: "},
		"T3 an expression that breaks out":     {keyless, identity(IdentityOptions{Issuer: "a", SubjectRegExp: "a)|(b"}), "section.keyless.identities[0].subjectRegExp: "},
		"no key in a key":                      {keyed, key1(KeyOptions{}), "section.key: wants exactly one of pem, file and kms"},
		"two keys in a key":                    {keyed, key1(KeyOptions{PEM: keyed.Key.PEM, File: "cosign.pub"}), "section.key: wants exactly one of pem, file and kms"},
		"no PEM":                               {keyed, key1(KeyOptions{PEM: "junk"}), "section.key: holds no public key in PEM"},
		"T18 a certificate in place of a key":  {keyed, key1(KeyOptions{PEM: leafPEM}), "is a certificate, not a public key"},
		"a private key":                        {keyed, key1(KeyOptions{PEM: private}), "is a private key"},
		"a file that is not there":             {keyed, key1(KeyOptions{File: "x"}), "section.key.file: read x"},
		"a file that is none":                  {keyed, key1(KeyOptions{File: "junk"}), "section.key: holds no public key in PEM"},
		"an unknown service":                   {keyed, key1(KeyOptions{KMS: "other://key"}), "section.key.kms: "},
		"T9 one key twice":                     {keyed, func(o *Options) { o.Key, o.Keys = nil, []KeyOptions{{File: "cosign.pub"}, *keyed.Key} }, "section.keys[1]: the same key stands there twice"},
		"a key that ends before it begins":     {keyed, key1(KeyOptions{PEM: keyed.Key.PEM, ValidFrom: now, ValidUntil: signed}), "section.key.validUntil: is not after validFrom"},
		"a key that ends as it begins":         {keyed, key1(KeyOptions{PEM: keyed.Key.PEM, ValidFrom: now, ValidUntil: now}), "section.key.validUntil: is not after validFrom"},
		"T19 a key for a time, and no time": {keyed, func(o *Options) {
			ignoreLog(o)
			withoutMaterial(o)
			key1(KeyOptions{PEM: keyed.Key.PEM, ValidFrom: now})(o)
		}, "section.key: validFrom and validUntil need a trusted time"},
		"pki without roots":                       {own, pki(func(o *PKIOptions) { o.Roots = "" }), "section.pki.roots: there is no root certificate"},
		"pki, roots that are none":                {own, pki(func(o *PKIOptions) { o.Roots = "junk" }), "section.pki.roots: does not contain any certificate"},
		"pki, a leaf as root":                     {own, pki(func(o *PKIOptions) { o.Roots = leafPEM }), "is not an authority's (CA:TRUE)"},
		"pki, a key as root":                      {own, pki(func(o *PKIOptions) { o.Roots = keyed.Key.PEM }), `holds a PEM block "PUBLIC KEY"`},
		"pki, a broken certificate":               {own, pki(func(o *PKIOptions) { o.Roots = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }), "section.pki.roots: "},
		"pki, too many roots":                     {own, pki(func(o *PKIOptions) { o.Roots = strings.Repeat(o.Roots, maxAuthorities+1) }), "more than 100 certificates"},
		"pki, a leaf as intermediate":             {own, pki(func(o *PKIOptions) { o.Intermediates = leafPEM }), "section.pki.intermediates: certificate"},
		"pki, a file of roots that is not there":  {own, pki(func(o *PKIOptions) { o.RootsFiles = []string{"x"} }), "section.pki.rootsFiles[0]: read x"},
		"pki, a file of others that is not there": {own, pki(func(o *PKIOptions) { o.IntermediatesFiles = []string{"x"} }), "section.pki.intermediatesFiles[0]: read x"},
		"T6 pki without names":                    {own, pki(func(o *PKIOptions) { o.Names = nil }), "section.pki.names: is empty"},
		"T6 pki with an empty rule":               {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{}} }), "section.pki.names[0]: wants exactly one of"},
		"pki with any host of a domain":           {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{DNS: "*.acme.example"}} }), `section.pki.names[0].dns: "*.acme.example" can never match`},
		"pki with two names in a rule":            {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{DNS: "a", URI: "b"}} }), "section.pki.names[0]: wants exactly one of"},
		"pki with an address that is none":        {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{IP: "a"}} }), `section.pki.names[0].ip: "a" is no IP address`},
		"pki with an expression that is none":     {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{URIRegExp: "("}} }), "section.pki.names[0].uriRegExp: "},
		"pki with three stars":                    {own, pki(func(o *PKIOptions) { o.Names = []NameOptions{{Email: "***"}} }), "section.pki.names[0].email: "},
		"an unknown choice":                       {keyless, demand(AttestationOptions{PredicateType: "link", Select: "first"}), `section.attestations[0].select: "first" is unknown`},
		"T16 no type":                             {keyless, demand(AttestationOptions{}), "section.attestations[0].predicateType: is empty"},
		"T16 a short name with a slip":            {keyless, demand(AttestationOptions{PredicateType: "slsaprovenance3"}), `section.attestations[0].predicateType: "slsaprovenance3" is neither a short name nor a URI; did you mean slsaprovenance`},
		"T16 a short name with a version":         {keyless, demand(AttestationOptions{PredicateType: "SLSAprovenance/v1"}), "; did you mean slsaprovenance1?"},
		"T16 a type without a scheme":             {keyless, demand(AttestationOptions{PredicateType: "acme.example/scan"}), "; write the type's URI, or one of slsaprovenance, "},
		"T16 a scheme alone":                      {keyless, demand(AttestationOptions{PredicateType: "https://"}), "is neither a short name nor a URI"},
		"T16 the type of signatures":              {keyless, demand(AttestationOptions{PredicateType: "https://sigstore.dev/cosign/sign/v1"}), "section.attestations[0].predicateType: is that of signatures"},
		"an age below zero":                       {keyless, demand(AttestationOptions{PredicateType: "link", MaxAge: -1}), "section.attestations[0].maxAge: is negative"},
		"T19 the age of what a key signs":         {keyed, demand(AttestationOptions{PredicateType: "link", MaxAge: 1}), "section.attestations[0].maxAge: nobody can tell how old a bare key's signature is"},
		"T19 the age of what another key signs":   {keyless, demand(AttestationOptions{PredicateType: "link", MaxAge: 1, SignedBy: &keyed.SignerOptions}), "section.attestations[0].maxAge: nobody can tell"},
		"an attestation by nobody":                {keyless, demand(AttestationOptions{PredicateType: "link", SignedBy: &SignerOptions{}}), "section.attestations[0].signedBy: nobody is trusted"},
		"an attestation by somebody unknown":      {keyless, demand(AttestationOptions{PredicateType: "link", SignedBy: &SignerOptions{Key: &KeyOptions{PEM: "x"}}}), "section.attestations[0].signedBy.key: "},
		"a condition that is none":                {keyless, demand(AttestationOptions{PredicateType: "link", Conditions: []ConditionOptions{{CEL: "true"}, {CEL: "1 +"}}}), "section.attestations[0].conditions"},
		"T9 logs below zero":                      {keyless, func(o *Options) { o.LogThreshold = -1 }, "a threshold is negative"},
		"T9 time stamps below zero":               {keyless, func(o *Options) { o.TimestampThreshold = -1 }, "a threshold is negative"},
		"T9 SCTs below zero":                      {keyless, func(o *Options) { o.SCTThreshold = -1 }, "a threshold is negative"},
		"no SCT for keys":                         {keyed, func(o *Options) { o.InsecureIgnoreSCT = true }, "section.insecureIgnoreSCT: is about keyless certificates"},
		"no SCT for pki":                          {own, func(o *Options) { o.InsecureIgnoreSCT = true }, "section.insecureIgnoreSCT: is about keyless certificates"},
		"SCTs for keys":                           {keyed, func(o *Options) { o.SCTThreshold = 1 }, "section.sctThreshold: is about certificates"},
		"a repository that is none":               {keyless, func(o *Options) { o.SignedRepository.Exact = "app" }, "section.signedRepository: exact: "},
		"a repository, and a mapping": {keyless, func(o *Options) {
			o.SignedRepository = trust.SignedRepository{Exact: elsewhere, Remap: &trust.RepositoryRemap{From: "a.example", To: "b.example"}}
		}, "section.signedRepository: exact and remap exclude"},
		"a log without a host":             {keyless, func(o *Options) { o.RekorURL = "https://" }, "section.rekorURL: "},
		"a log by another protocol":        {keyless, func(o *Options) { o.RekorURL = "file:///etc" }, "section.rekorURL: "},
		"a log with a password":            {keyless, func(o *Options) { o.RekorURL = "https://a:b@rekor.example" }, "section.rekorURL: credentials, query and fragment"},
		"a log with a query":               {keyless, func(o *Options) { o.RekorURL = "https://rekor.example?x" }, "section.rekorURL: credentials, query and fragment"},
		"material that is never looked at": {keyed, ignoreLog, "section.trustedRoot: is never looked at"},
		"a file and an own text":           {keyless, root(TrustedRootOptions{File: "a", Inline: "b"}), "section.trustedRoot.inline: file and inline exclude each other"},
		"parts and a mirror":               {keyless, root(TrustedRootOptions{TUF: &TUFOptions{}, Parts: &PartsOptions{}}), "section.trustedRoot.parts: tuf and parts exclude each other"},
		"an age of what does not age":      {keyless, root(TrustedRootOptions{Inline: "a", MaxStale: 1}), "section.trustedRoot.maxStale: material that is given does not age"},
		"material's age below zero":        {keyless, root(TrustedRootOptions{MaxStale: -1}), "section.trustedRoot.maxStale: is negative"},
		"a root file that is not there":    {keyless, root(TrustedRootOptions{File: "x"}), "section.trustedRoot.file: read x"},
		"a root file that is none":         {keyless, root(TrustedRootOptions{File: "junk"}), "section.trustedRoot.file: "},
		"a root that is none":              {keyless, root(TrustedRootOptions{Inline: "{}"}), "section.trustedRoot.inline: "},
		"an unknown word for the root":     {keyless, root(TrustedRootOptions{Word: "public"}), `section.trustedRoot: "public" is unknown`},
		"a mirror without a first root":    {keyless, root(TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://tuf.example"}}), "section.trustedRoot.tuf: wants exactly one of root and rootFile"},
		"a mirror with two first roots":    {keyless, root(TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://tuf.example", Root: "a", RootFile: "b"}}), "section.trustedRoot.tuf: wants exactly one of root and rootFile"},
		"a first root that is not there":   {keyless, root(TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://tuf.example", RootFile: "x"}}), "section.trustedRoot.tuf.rootFile: read x"},
		"a first root that is none":        {keyless, root(TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://tuf.example", Root: "x"}}), "section.trustedRoot.tuf: "},
		"parts that are none":              {keyless, root(TrustedRootOptions{Parts: &PartsOptions{Fulcio: "x"}}), "section.trustedRoot.parts: "},
		"a part that is not there":         {keyless, root(TrustedRootOptions{Parts: &PartsOptions{RekorKeysFiles: []string{"x"}}}), "section.trustedRoot.parts.rekorKeysFiles[0]: read x"},
		"a chain that is not there":        {keyless, root(TrustedRootOptions{Parts: &PartsOptions{TimestampCertificatesFiles: []string{"x"}}}), "section.trustedRoot.parts.timestampCertificatesFiles[0]: read x"},
		"T9 more logs than there are":      {keyless, func(o *Options) { o.LogThreshold = 5 }, "section.trustedRoot: has 4 transparency logs, and 5 are asked for"},
		"T9 more TSAs than there are":      {keyless, func(o *Options) { o.TimestampThreshold = 3 }, "has 2 time-stamp authorities, and 3 are asked for"},
		"T9 more SCTs than there are logs": {keyless, func(o *Options) { o.SCTThreshold = 3 }, "has 2 certificate transparency logs, and 3 are asked for"},
		"no authority for certificates": {keyless, root(TrustedRootOptions{Inline: l.trusted(func(pb *prototrustroot.TrustedRoot) { pb.CertificateAuthorities = nil })}),
			"has 0 certificate authorities, and 1 are asked for"},
		"T20 no log at all": {keyed, root(TrustedRootOptions{Inline: l.trusted(func(pb *prototrustroot.TrustedRoot) { pb.Tlogs = nil })}), "has 0 transparency logs, and 1 are asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			o := deepCopy(c.from)
			c.change(&o)
			_, err := New(Config{Material: must(material.New(material.Config{}))}).New(trusttest.Section{Options: o, Files: files})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error = %v, want one with %q", err, c.want)
			}
			if !strings.Contains(err.Error(), "; ") {
				t.Errorf("error without a next step: %v", err)
			}
			if strings.Contains(err.Error(), "; give the public one") && strings.Contains(err.Error(), "; give a public key") {
				t.Errorf("error with two next steps: %v", err)
			}
			if strings.Contains(err.Error(), "MIG") {
				t.Errorf("the error repeats a private key: %v", err)
			}
		})
	}
}

// Without a keeper of material, what needs one is refused.
func TestWithoutKeeper(t *testing.T) {
	l := home()
	for name, change := range map[string]func(*Options){
		"default": withoutMaterial, "public good": func(o *Options) { o.TrustedRoot = &TrustedRootOptions{Word: "public-good"} },
		"tuf": func(o *Options) {
			o.TrustedRoot = &TrustedRootOptions{TUF: &TUFOptions{Mirror: "https://tuf.example", Root: "{}"}}
		},
		"kms": func(o *Options) { o.SignerOptions = SignerOptions{Key: &KeyOptions{KMS: "vault://key"}} },
	} {
		_, err := New(Config{}).New(trusttest.Section{Options: l.keyless(change)})
		if err == nil || !strings.Contains(err.Error(), errNoMaterial.Error()) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

// tenant is a section of a namespace's policy.
type tenant struct{ trusttest.Section }

func (tenant) Namespace() string { return "payments" }

// T38: who writes a namespace's policy does not ask a key service in Assay's name.
func TestT38_TenantsNameNoKeyService(t *testing.T) {
	l := home()
	options := l.keyless(func(o *Options) { o.SignerOptions = SignerOptions{Key: &KeyOptions{KMS: "vault://key"}} })
	_, err := New(Config{}).New(tenant{trusttest.Section{Options: options}})
	if err == nil || !strings.Contains(err.Error(), "section.key.kms: a policy of a namespace cannot use the credentials that Assay has there") {
		t.Errorf("error = %v", err)
	}
}

// T38, T48: who writes a namespace's policy chooses no addresses that Assay sends requests to and keeps in mind, perhaps past a network policy.
func TestT38_TenantsNameNoAddresses(t *testing.T) {
	l := home()
	for name, change := range map[string]func(*Options){
		"trustedRoot.tuf": func(o *Options) {
			o.TrustedRoot = &TrustedRootOptions{TUF: &TUFOptions{Mirror: "http://vault.internal:8200", Root: string(material.PublicGoodRoot())}}
		},
		"rekorURL": func(o *Options) { o.RekorURL = "http://vault.internal:8200" },
	} {
		options, keeper := l.keyless(change), must(material.New(material.Config{}))
		_, err := New(Config{Material: keeper}).New(tenant{trusttest.Section{Options: options}})
		if err == nil || !strings.Contains(err.Error(), "section."+name+": a policy of a namespace cannot choose") {
			t.Errorf("%s: error = %v", name, err)
		}
		if got := keeper.Statuses(now); len(got) != 0 {
			t.Errorf("%s: the keeper keeps %v", name, got)
		}
		if _, err := New(Config{Material: keeper}).New(trusttest.Section{Options: options}); err != nil {
			t.Errorf("%s of the cluster's policy: %v", name, err)
		}
	}
}

func TestFormat(t *testing.T) {
	f := New(Config{})
	if _, ok := f.Options().(*Options); f.Name() != "sigstore" || !ok {
		t.Errorf("format %q with options %T", f.Name(), f.Options())
	}
	if _, err := f.New(trusttest.Section{Options: struct{}{}}); err == nil {
		t.Error("a section of another type is taken")
	}
}

// T3: an unescaped dot is pointed out, with its place.
func TestWarnings(t *testing.T) {
	l := home()
	for expression, want := range map[string]bool{
		`https://git.example/.*`: true, `https://git\.example/.*`: false, `.*`: false, `[^.]+@acme\.example`: false, `dev@acme.example`: true, `a\.b.c`: true,
	} {
		a := newAuthority(t, l.keyless(func(o *Options) {
			o.Keyless.Identities[0].Subject, o.Keyless.Identities[0].SubjectRegExp = "", expression
		}))
		got := a.Warnings(now)
		if want != (len(got) == 1 && strings.HasPrefix(got[0], "section.keyless.identities[0].subjectRegExp: the dot in")) || len(got) > 1 {
			t.Errorf("%s: %q, want one: %v", expression, got, want)
		}
	}
	stale := must(material.New(material.Config{}))
	a := newAuthorityWith(t, Config{Material: stale}, l.keyless(withoutMaterial))
	if got := a.Warnings(embeddedTime(stale).Add(30 * 24 * time.Hour)); len(got) != 1 || !strings.Contains(got[0], "last proved to be current") {
		t.Errorf("warnings %q", got)
	}
	if got := a.Warnings(embeddedTime(stale)); len(got) != 0 {
		t.Errorf("warnings %q", got)
	}
	if got := a.Stale(embeddedTime(stale)); len(got) != 0 {
		t.Errorf("stale: %q", got)
	}
	month := a.Stale(embeddedTime(stale).Add(30 * 24 * time.Hour))
	if len(month) != 1 || !strings.Contains(month[0], "sigstore") {
		t.Errorf("stale: %q", month)
	}
	if later := a.Stale(embeddedTime(stale).Add(31 * 24 * time.Hour)); !slices.Equal(later, month) {
		t.Errorf("a day later it is called %q, not %q", later, month)
	}
}

// T3: an identity that is hardly meant so is pointed out, with its place.
func TestWarningsAboutIdentities(t *testing.T) {
	const issuer, anybody = "section.keyless.identities[0].issuer: ", "section.keyless.identities[0]: any signer fits"
	for name, c := range map[string]struct {
		o    IdentityOptions
		want string
	}{
		"a URL":                        {IdentityOptions{Issuer: provider, Subject: "a"}, ""},
		"no scheme":                    {IdentityOptions{Issuer: "token.actions.githubusercontent.com", Subject: "a"}, issuer + `"token.actions.githubusercontent.com" has no scheme`},
		"any scheme":                   {IdentityOptions{Issuer: "**.acme.example", Subject: "a"}, ""},
		"only stars":                   {IdentityOptions{Issuer: "**", Subject: "*"}, anybody},
		"any of one or more":           {IdentityOptions{IssuerRegExp: ".*", SubjectRegExp: ".+"}, anybody},
		"stars and an expression":      {IdentityOptions{Issuer: "**", SubjectRegExp: `^.*$`}, anybody},
		"any subject of one provider":  {IdentityOptions{Issuer: provider, SubjectRegExp: ".*"}, ""},
		"one subject of any provider":  {IdentityOptions{Issuer: "**", Subject: "a"}, ""},
		"anybody, but with one claim":  {IdentityOptions{Issuer: "**", Subject: "**", Claims: ClaimsOptions{BuildTrigger: "push"}}, ""},
		"an expression that says more": {IdentityOptions{IssuerRegExp: `https://.*`, SubjectRegExp: ".*"}, ""},
	} {
		got := newAuthority(t, home().keyless(func(o *Options) { o.Keyless.Identities[0] = c.o })).Warnings(now)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want) || !strings.Contains(got[0], "; ")) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The short forms of keys, roots and conditions.
func TestUnmarshalText(t *testing.T) {
	var k KeyOptions
	if err := k.UnmarshalText([]byte("pem")); err != nil || k != (KeyOptions{PEM: "pem"}) {
		t.Errorf("%+v, %v", k, err)
	}
	if err := k.UnmarshalText(nil); err == nil {
		t.Error("an empty key is taken")
	}
	var r TrustedRootOptions
	if err := r.UnmarshalText([]byte("default")); err != nil || r.Word != "default" {
		t.Errorf("%+v, %v", r, err)
	}
	var c ConditionOptions
	if err := c.UnmarshalText([]byte("true")); err != nil || c != (ConditionOptions{CEL: "true"}) {
		t.Errorf("%+v, %v", c, err)
	}
}
