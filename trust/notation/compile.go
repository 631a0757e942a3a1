package notation

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"

	"github.com/assay-dev/assay/trust"
)

// compile checks a section whole and makes the authority that it describes. Its errors carry the place in the policy.
func compile(o Options, s trust.Section) (*authority, error) {
	a := &authority{stores: map[scheme][]*x509.Certificate{}, thumbprints: map[string]bool{}, annotations: maps.Clone(o.Annotations)}
	for _, step := range []func(Options, trust.Section) error{a.compileStores, a.compileIdentities, a.compileActions, a.compileTimestamps} {
		if err := step(o, s); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *authority) compileStores(o Options, s trust.Section) error {
	for _, store := range []struct {
		name    string
		options []StoreOptions
		into    func([]*x509.Certificate)
	}{
		{"ca", o.TrustStores.CA, func(c []*x509.Certificate) { a.stores[schemeX509] = c }},
		{"signingAuthority", o.TrustStores.SigningAuthority, func(c []*x509.Certificate) { a.stores[schemeAuthority] = c }},
		{"tsa", o.TrustStores.TSA, func(c []*x509.Certificate) { a.tsa = c }},
	} {
		certs, err := loadStore(store.options, "trustStores."+store.name, s)
		if err != nil {
			return err
		}
		store.into(certs)
	}
	if len(a.stores[schemeX509]) == 0 && len(a.stores[schemeAuthority]) == 0 {
		return s.Errorf("trustStores", "there is no certificate that counts; add ca or signingAuthority")
	}
	if len(a.tsa) > 0 && len(a.stores[schemeX509]) == 0 {
		return s.Errorf("trustStores.tsa", "time stamps are looked at for signatures of ca only, and there is none; add ca or remove tsa")
	}
	for _, certs := range a.stores {
		for _, c := range certs {
			sum := sha256.Sum256(c.Raw)
			a.thumbprints[hex.EncodeToString(sum[:])] = true
		}
	}
	for _, c := range a.tsa {
		if !c.BasicConstraintsValid || !c.IsCA {
			return s.Errorf("trustStores.tsa", "certificate %q is not an authority's (CA:TRUE); give the root of the time-stamp authority", clip(c.Subject.String()))
		}
	}
	return nil
}

func loadStore(options []StoreOptions, field string, s trust.Section) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for i, o := range options {
		place, content := fmt.Sprintf("%s[%d]", field, i), []byte(o.PEM)
		if (o.File == "") == (o.PEM == "") {
			return nil, s.Errorf(place, "wants exactly one of file and pem; give a file with certificates in PEM")
		}
		if o.File != "" {
			var err error
			place += ".file"
			if content, err = s.ReadFile(o.File); err != nil {
				return nil, s.Errorf(place, "%w; give a path relative to the policy's folder", err)
			}
		}
		certs, err := parseCertificates(content)
		if err != nil {
			return nil, s.Errorf(place, "%w; give certificates, each from BEGIN CERTIFICATE to END CERTIFICATE", err)
		}
		all = append(all, certs...)
	}
	if len(all) > maxTrusted {
		return nil, s.Errorf(field, "%d certificates, at most %d are allowed; leave out some", len(all), maxTrusted)
	}
	return all, nil
}

// parseCertificates reads a file of certificates. The decoder skips a block that it cannot read; here that is an error.
func parseCertificates(file []byte) ([]*x509.Certificate, error) {
	begun := bytes.Count(file, []byte("-----BEGIN"))
	if begun > maxTrusted {
		return nil, fmt.Errorf("%d PEM blocks, at most %d are allowed", begun, maxTrusted)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, file = pem.Decode(file); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("holds a PEM block that is no certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("malformed certificate: %w", err)
		}
		if err := checkKey(c); err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	switch {
	case len(certs) == 0:
		return nil, errors.New("holds no certificate in PEM format")
	case len(certs) != begun:
		return nil, fmt.Errorf("%d of %d PEM blocks are malformed", begun-len(certs), begun)
	}
	return certs, nil
}

// checkKey refuses keys that are too weak to vouch or too large to check.
func checkKey(c *x509.Certificate) error {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("certificate %q: RSA key of %d bits, want %d to %d", clip(c.Subject.String()), bits, minRSABits, maxRSABits)
	}
	return nil
}

func (a *authority) compileIdentities(o Options, s trust.Section) error {
	switch {
	case o.InsecureAnyIdentity && len(o.Identities) > 0:
		return s.Errorf("insecureAnyIdentity", "identities would not be looked at; remove one of them")
	case o.InsecureAnyIdentity:
		a.anyIdentity = true
		a.weakened = append(a.weakened, "insecureAnyIdentity")
		return nil
	case len(o.Identities) == 0:
		return s.Errorf("identities", "nobody is named who may sign; write x509.subject: C=…, ST=…, O=…, or insecureAnyIdentity: true")
	case len(o.Identities) > maxIdentities:
		return s.Errorf("identities", "%d identities, at most %d are allowed; make several authorities", len(o.Identities), maxIdentities)
	}
	for i, text := range o.Identities {
		id, err := parseIdentity(text)
		if err != nil {
			return s.Errorf(fmt.Sprintf("identities[%d]", i), "%w; write it as in x509.subject: C=US, ST=WA, O=Acme, CN=ci", err)
		}
		a.identities = append(a.identities, id)
	}
	return nil
}

// noLevel says of the levels and words of a trustpolicy.json that are none here what to do.
var noLevel = map[string]string{
	"permissive": "is called insecurePermissive here, since it lets through what is expired or revoked; write that",
	"audit":      "proves nothing, since anybody can sign under it; keep strict and have the policy's own mode be audit",
	"skip":       "proves nothing; have a rule allow the image with a reason",
}

func (a *authority) compileActions(o Options, s trust.Section) error {
	base := "enforce"
	switch o.Level {
	case "", "strict":
	case "insecurePermissive":
		base = "insecureLog"
	default:
		if why, known := noLevel[o.Level]; known {
			return s.Errorf("level", "%s %s", o.Level, why)
		}
		return s.Errorf("level", "%q is unknown; write strict or insecurePermissive", clip(o.Level))
	}
	for _, one := range []struct {
		field, word string
		skip        bool
		into        *action
	}{
		{"authenticTimestamp", o.AuthenticTimestamp, false, &a.timestamp},
		{"expiry", o.Expiry, false, &a.expiry},
		{"revocation", o.Revocation, true, &a.revocation},
	} {
		word := one.word
		if word == "" {
			word = base
		}
		switch {
		case word == "enforce":
			continue
		case word == "insecureLog":
			*one.into = insecureLog
		case word == "insecureSkip" && one.skip:
			*one.into = insecureSkip
		case word == "log" || word == "skip" && one.skip:
			return s.Errorf(one.field, "%s is called %s here, since it weakens the check; write that", word, map[string]string{"log": "insecureLog", "skip": "insecureSkip"}[word])
		default:
			return s.Errorf(one.field, "%q is unknown; write enforce or insecureLog", clip(word))
		}
		a.weakened = append(a.weakened, one.field)
	}
	if n, ok := s.(trust.OfNamespace); ok && n.Namespace() != "" && a.revocation != insecureSkip {
		return s.Errorf("revocation", "a policy of a namespace cannot choose where Assay sends requests, and certificates name revocation servers; write insecureSkip, and revoke by the policy's revoked")
	}
	return nil
}

func (a *authority) compileTimestamps(o Options, s trust.Section) error {
	switch o.VerifyTimestamp {
	case "", "always":
	case "afterCertExpiry":
		a.afterExpiry = true
	default:
		return s.Errorf("verifyTimestamp", "%q is unknown; write always or afterCertExpiry", clip(o.VerifyTimestamp))
	}
	if o.VerifyTimestamp != "" && len(a.tsa) == 0 {
		return s.Errorf("verifyTimestamp", "time stamps are looked at with a tsa store only; add trustStores.tsa or remove verifyTimestamp")
	}
	return nil
}
