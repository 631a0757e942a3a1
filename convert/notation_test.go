package convert_test

import (
	"strings"
	"testing"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// notationOptions is the section of a notation authority, as far as imports write it.
type notationOptions struct {
	TrustStores struct {
		CA               []notationStore `yaml:"ca"`
		SigningAuthority []notationStore `yaml:"signingAuthority"`
		TSA              []notationStore `yaml:"tsa"`
	} `yaml:"trustStores"`
	Identities      []string `yaml:"identities"`
	AnyIdentity     bool     `yaml:"insecureAnyIdentity"`
	Level           string   `yaml:"level"`
	Timestamp       string   `yaml:"authenticTimestamp"`
	Expiry          string   `yaml:"expiry"`
	Revocation      string   `yaml:"revocation"`
	VerifyTimestamp string   `yaml:"verifyTimestamp"`
}

type notationStore struct {
	File string `yaml:"file"`
	PEM  string `yaml:"pem"`
}

// A trustpolicy.json becomes the policy of the golden file, and each place that means something else is told.
func TestNotationGolden(t *testing.T) {
	r, err := convert.Notation("trustpolicy.json", []byte(read(t, "trustpolicy.json")), convert.NotationOptions{Stores: map[string]string{"ca:acme": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "trustpolicy.notation.yaml", string(r.Policy))
	golden(t, "trustpolicy.report.txt", report(r))
	p, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: r.Policy}, []string{"notation"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]notationOptions{}
	for _, a := range p.Authorities {
		var o notationOptions
		if err := a.Section.Decode(&o); err != nil {
			t.Fatal(err)
		}
		got[a.Name] = o
	}
	if o := got["tools"]; o.Level != "insecurePermissive" || o.Expiry != "enforce" || o.Revocation != "insecureSkip" || o.Timestamp != "" || !o.AnyIdentity || o.VerifyTimestamp != "afterCertExpiry" || len(o.TrustStores.CA) != 2 {
		t.Errorf("%+v", o)
	}
	if o := got["new"]; o.Level != "" || len(o.Identities) != 1 || len(o.TrustStores.TSA) != 0 {
		t.Errorf("%+v", o)
	}
	// A repository's own statement comes before that of the wildcard.
	for ref, want := range map[string]string{
		"registry.acme.example/tools:1": "tools", "busybox": "tools", "registry.acme.example/tools/more:1": "everything-else", "registry.acme.example/scratch:2": "", "other.example/x": "everything-else",
	} {
		rule, _, err := p.Match(policy.Query{Ref: image.MustParse(ref)})
		if err != nil || rule == nil {
			t.Fatal(rule, err)
		}
		text := ""
		if rule.Require != nil {
			text = rule.Require.Authority + strings.Join(children(rule.Require), ",")
		}
		if text != want {
			t.Errorf("%s: %q decides, want %q", ref, text, want)
		}
	}
}

func TestNotationThatCannotBeMeant(t *testing.T) {
	statement := func(inside string) string {
		return `{"version":"1.0","trustPolicies":[{` + inside + `}]}`
	}
	const rest = `,"trustStores":["ca:a"],"trustedIdentities":["x509.subject: O=a"]`
	const strict = `"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict"}`
	if _, err := convert.Notation("f", []byte(statement(strict+rest)), convert.NotationOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"nothing":            ``,
		"no JSON":            `{`,
		"no version":         `{"trustPolicies":[]}`,
		"version":            `{"version":"2.0","trustPolicies":[{}]}`,
		"no statement":       `{"version":"1.0","trustPolicies":[]}`,
		"more behind":        statement(strict+rest) + `{}`,
		"unknown field":      statement(strict + rest + `,"x":1`),
		"no name":            statement(`"registryScopes":["*"],"signatureVerification":{"level":"strict"}` + rest),
		"one name twice":     `{"version":"1.0","trustPolicies":[{` + strict + rest + `},{"name":"a","registryScopes":["a.example/b"],"signatureVerification":{"level":"strict"}` + rest + `}]}`,
		"one scope twice":    `{"version":"1.0","trustPolicies":[{` + strict + rest + `},{"name":"b","registryScopes":["*"],"signatureVerification":{"level":"strict"}` + rest + `}]}`,
		"no scope":           statement(`"name":"a","signatureVerification":{"level":"strict"}` + rest),
		"wildcard and more":  statement(`"name":"a","registryScopes":["a.example/b","*"],"signatureVerification":{"level":"strict"}` + rest),
		"pattern":            statement(`"name":"a","registryScopes":["a.example/*"],"signatureVerification":{"level":"strict"}` + rest),
		"tag":                statement(`"name":"a","registryScopes":["a.example/b:1"],"signatureVerification":{"level":"strict"}` + rest),
		"no level":           statement(`"name":"a","registryScopes":["*"],"signatureVerification":{}` + rest),
		"level":              statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"x"}` + rest),
		"skip with a store":  statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"skip"}` + rest),
		"integrity":          statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict","override":{"integrity":"log"}}` + rest),
		"skip of expiry":     statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict","override":{"expiry":"skip"}}` + rest),
		"skip of who signed": statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict","override":{"authenticity":"skip"}}` + rest),
		"override":           statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict","override":{"revocation":"x"}}` + rest),
		"verifyTimestamp":    statement(`"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict","verifyTimestamp":"x"}` + rest),
		"no store":           statement(strict + `,"trustedIdentities":["*"]`),
		"store":              statement(strict + `,"trustStores":["a"],"trustedIdentities":["*"]`),
		"store's type":       statement(strict + `,"trustStores":["x:a"],"trustedIdentities":["*"]`),
		"store's name":       statement(strict + `,"trustStores":["ca:../a"],"trustedIdentities":["*"]`),
		"only time stamps":   statement(strict + `,"trustStores":["tsa:a"],"trustedIdentities":["*"]`),
		"no identity":        statement(strict + `,"trustStores":["ca:a"]`),
		"any and one":        statement(strict + `,"trustStores":["ca:a"],"trustedIdentities":["*","x509.subject: O=a"]`),
		"only a plugin's":    statement(strict + `,"trustStores":["ca:a"],"trustedIdentities":["aws:x"]`),
		"empty subject":      statement(strict + `,"trustStores":["ca:a"],"trustedIdentities":["x509.subject: "]`),
		"no separator":       statement(strict + `,"trustStores":["ca:a"],"trustedIdentities":["O=a"]`),
	} {
		if r, err := convert.Notation("f", []byte(doc), convert.NotationOptions{}); err == nil {
			t.Errorf("%s: want an error\n%s", name, r.Policy)
		}
	}
}

// FuzzNotation: what comes out can be read, and nobody vouches for an image without a statement that names it.
func FuzzNotation(f *testing.F) {
	f.Add([]byte(read(f, "trustpolicy.json")))
	f.Add([]byte(`{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],"signatureVerification":{"level":"skip"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := convert.Notation("f", data, convert.NotationOptions{})
		if err != nil {
			return
		}
		p, err := policy.Parse(policy.Source{Name: "policy.yaml", Data: r.Policy}, []string{"notation"})
		if err != nil {
			t.Fatalf("%v\n%s", err, r.Policy)
		}
		if len(p.Rules) == 0 {
			t.Fatalf("no rule\n%s", r.Policy)
		}
	})
}

func children(r *policy.Requirement) []string {
	var names []string
	for _, one := range r.Of {
		names = append(names, one.Authority)
	}
	return names
}

// A trust store that the folder lacks is told otherwise than where no folder was given.
func TestNotationLacksTrustStore(t *testing.T) {
	const document = `{"version":"1.0","trustPolicies":[{"name":"a","registryScopes":["*"],"signatureVerification":{"level":"strict"},"trustStores":["ca:gone"],"trustedIdentities":["*"]}]}`
	for _, row := range []struct {
		stores map[string]string
		told   bool
	}{{nil, false}, {map[string]string{"ca:acme": "x"}, true}} {
		r, err := convert.Notation("trustpolicy.json", []byte(document), convert.NotationOptions{Stores: row.stores})
		if err != nil {
			t.Fatal(err)
		}
		if got := report(r); strings.Contains(got, "x509/ca/gone has certificates: what was given has none") != row.told || !strings.Contains(got, "import again with --trust-store") {
			t.Errorf("with %d stores: %s", len(row.stores), got)
		}
	}
}
