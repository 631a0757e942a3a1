package notation

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/assay-dev/assay/trust"
)

// stores is a trust store of notation-go in memory.
type stores map[truststore.Type][]*x509.Certificate

// GetCertificates implements truststore.X509TrustStore.
func (s stores) GetCertificates(_ context.Context, kind truststore.Type, _ string) ([]*x509.Certificate, error) {
	return s[kind], nil
}

// What counts here counts for notation-go's own verifier as well, at the present time, and the other way round; where Assay asks for more, that is marked.
func TestSameAnswerAsNotation(t *testing.T) {
	root, foreign, tsa, r := issue(t, nil), issue(t, nil), issue(t, nil, caNamed("tsa root")), newResponder(t)
	leaf := issue(t, root)
	somebody := issue(t, root, func(c *x509.Certificate) { c.Subject = name("somebody") })
	revoked, good := issue(t, root, withOCSP(r)), issue(t, root, withList(r))
	past := issue(t, root, func(c *x509.Certificate) { c.NotAfter = signedAt.Add(time.Minute) })
	r.ocsp = says(t, root, root, nil)
	r.list = lists(t, root, nil, revoked)
	for name, c := range map[string]struct {
		by       *holder
		edit     func(*signature.SignRequest)
		tsa      bool
		identity string
		kind     truststore.Type
		stricter bool // Assay asks for more
	}{
		"plain":              {by: leaf},
		"foreign":            {by: issue(t, foreign)},
		"another identity":   {by: somebody},
		"part of a subject":  {by: leaf, identity: "C=US, ST=WA, O=Acme"},
		"part of a value":    {by: leaf, identity: "C=US, ST=WA, O=Acm"},
		"by OCSP":            {by: revoked},
		"by a list":          {by: good},
		"expired":            {by: leaf, edit: func(r *signature.SignRequest) { r.Expiry = signedAt.Add(time.Minute) }},
		"not expired":        {by: leaf, edit: func(r *signature.SignRequest) { r.Expiry = signedAt.Add(10 * time.Hour) }},
		"old certificate":    {by: past},
		"stamped":            {by: leaf, tsa: true, edit: stampedBy(newStamper(t, tsa, signedAt))},
		"stamped, old":       {by: past, tsa: true, edit: stampedBy(newStamper(t, tsa, signedAt))},
		"stamped by another": {by: leaf, tsa: true, edit: stampedBy(newStamper(t, issue(t, nil, caNamed("tsa root")), signedAt))},
		"not stamped":        {by: leaf, tsa: true},
		"authority":          {by: past, kind: truststore.TypeSigningAuthority, edit: func(r *signature.SignRequest) { r.SigningScheme = schemeAuthority }},
		"authority in ca":    {by: leaf, edit: func(r *signature.SignRequest) { r.SigningScheme = schemeAuthority }},
		"plugin": {by: leaf, edit: func(r *signature.SignRequest) {
			r.ExtendedSignedAttributes = []signature.Attribute{{Key: pluginHeader, Critical: true, Value: "x"}}
		}},
		"critical": {by: leaf, edit: func(r *signature.SignRequest) {
			r.ExtendedSignedAttributes = []signature.Attribute{{Key: "x", Critical: true, Value: "x"}}
		}, stricter: true},
	} {
		for _, mediaType := range []string{typeJWS, typeCOSE} {
			t.Run(name+" "+mediaType, func(t *testing.T) {
				envelope := sign(t, request{mediaType: mediaType, by: c.by, digest: app.Digest(), edit: c.edit})
				o := options(root)
				if c.identity != "" {
					o.Identities = []string{subjectPrefix + c.identity}
				}
				if c.kind == truststore.TypeSigningAuthority {
					o.TrustStores = TrustStores{SigningAuthority: o.TrustStores.CA}
				}
				if c.tsa {
					o.TrustStores.TSA = []StoreOptions{{PEM: tsa.pem()}}
				}
				proofs, err := decide(t, o, time.Now(), trust.Item{MediaType: mediaType, Bytes: envelope})
				theirs := byNotation(t, root, tsa, c.tsa, c.kind, o.Identities[0], mediaType, envelope)
				if c.stricter && theirs != nil {
					t.Errorf("notation-go refuses it too: %v", theirs)
				}
				if (err == nil) != (theirs == nil && !c.stricter) {
					t.Errorf("%d proofs, error %v; notation-go: %v", len(proofs), err, theirs)
				}
			})
		}
	}
}

func byNotation(t *testing.T, root, tsa *holder, withTSA bool, kind truststore.Type, identity, mediaType string, envelope []byte) error {
	t.Helper()
	if kind == "" {
		kind = truststore.TypeCA
	}
	names := []string{fmt.Sprintf("%s:own", kind)}
	if withTSA {
		names = append(names, "tsa:own")
	}
	doc := &trustpolicy.Document{Version: "1.0", TrustPolicies: []trustpolicy.TrustPolicy{{
		Name: "own", RegistryScopes: []string{"*"}, SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: "strict"},
		TrustStores: names, TrustedIdentities: []string{identity},
	}}}
	v, err := verifier.New(doc, stores{kind: {root.cert}, truststore.TypeTSA: {tsa.cert}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), ocispec.Descriptor{MediaType: typeManifest, Digest: digest.Digest(app.Digest().String()), Size: 100}, envelope, notation.VerifierVerifyOptions{
		ArtifactReference: app.Name() + "@" + app.Digest().String(), SignatureMediaType: mediaType,
	})
	return err
}
