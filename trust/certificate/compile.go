package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// maxAuthorities is how many certificates a bundle of the policy may hold: the lists of public web authorities have some 150.
const maxAuthorities = 500

// errNoRoots is what is said where certificates should be and are not.
var errNoRoots = errors.New("does not contain any certificate in PEM format")

// compile checks a section whole and makes the authority that it describes. Its errors carry the place in the policy.
func compile(o Options, s trust.Section) (*authority, error) {
	a := &authority{described: map[*x509.Certificate]trust.Certificate{}, ignoreDates: o.InsecureIgnoreDates}
	steps := []func(Options, trust.Section) error{
		a.compileDates, a.compileAuthorities, a.compileNames, a.compileTimestamps, a.compileCRLs, a.compileDenied,
	}
	for _, step := range steps {
		if err := step(o, s); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *authority) compileDates(o Options, s trust.Section) error {
	switch o.Validity {
	case "", "now":
		a.validity = validNow
	case "issued":
		a.validity = validWhenIssued
	case "timestamp":
		a.validity = validAtTimestamp
	default:
		return s.Errorf("validity", "%q is unknown; write now, issued or timestamp", clip(o.Validity))
	}
	if o.MaxAge < 0 {
		return s.Errorf("maxAge", "is negative; write a length of time such as 720h")
	}
	a.maxAge = o.MaxAge
	if !a.ignoreDates {
		return nil
	}
	if o.Validity != "" || o.MaxAge != 0 {
		return s.Errorf("insecureIgnoreDates", "validity and maxAge are about dates that this field ignores; remove it or them")
	}
	a.weakened = append(a.weakened, "insecureIgnoreDates")
	return nil
}

func (a *authority) compileAuthorities(o Options, s trust.Section) error {
	roots, err := loadCertificates(s, "roots", o.Roots, o.RootsFiles)
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return s.Errorf("roots", "there is no root certificate; give roots in PEM or rootsFiles")
	}
	intermediates, err := loadCertificates(s, "intermediates", o.Intermediates, o.IntermediatesFiles)
	if err != nil {
		return err
	}
	if a.ignoreDates {
		roots, intermediates = stretchAll(roots), stretchAll(intermediates)
	}
	a.rootCerts = roots
	a.roots = a.pool(roots)
	a.intermediates = a.pool(intermediates)
	return nil
}

func (a *authority) pool(certs []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
		a.described[c] = trust.DescribeCertificate(c)
	}
	return pool
}

// loadCertificates reads certificates of authorities from a field of the section and from the files of the field beside it.
func loadCertificates(s trust.Section, field, inline string, files []string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	if inline != "" {
		certs, err := parseAuthorities([]byte(inline))
		if err != nil {
			return nil, s.Errorf(field, "%w; paste the certificates of authorities, each from BEGIN CERTIFICATE to END CERTIFICATE", err)
		}
		all = certs
	}
	for i, name := range files {
		place := fmt.Sprintf("%sFiles[%d]", field, i)
		content, err := s.ReadFile(name)
		if err != nil {
			return nil, s.Errorf(place, "%w; give a path relative to the policy's folder", err)
		}
		certs, err := parseAuthorities(content)
		if err != nil {
			return nil, s.Errorf(place, "%s %w; give a file with certificates of authorities in PEM", name, err)
		}
		all = append(all, certs...)
	}
	return all, nil
}

// parseAuthorities reads certificates that can issue others.
func parseAuthorities(file []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(file, maxAuthorities)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errNoRoots
	}
	var certs []*x509.Certificate
	for _, block := range blocks {
		if block.Type != pemCertificate {
			return nil, fmt.Errorf("holds a PEM block %q, want %q", clip(block.Type), pemCertificate)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("failed to parse certificate: %w", err)
		}
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %q is not an authority's (CA:TRUE)", clip(c.Subject.String()))
		}
		if err := checkKey(c); err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func (a *authority) compileNames(o Options, s trust.Section) error {
	if !slices.Contains([]string{"", "accepted", "required"}, o.SAN) {
		return s.Errorf("san", "%q is unknown; write accepted or required", clip(o.SAN))
	}
	a.names.sanRequired = o.SAN == "required"
	if !slices.Contains([]string{"", "codeSigning"}, o.ExtKeyUsage) {
		return s.Errorf("extKeyUsage", "%q is unknown; write codeSigning or leave it out", clip(o.ExtKeyUsage))
	}
	a.codeSigning = o.ExtKeyUsage != ""
	if err := o.SignedRepository.Validate(); err != nil {
		return s.Errorf("signedRepository", "%w; write names as in registry.example/team/app", err)
	}
	a.names.repository = o.SignedRepository
	switch {
	case o.SignedRepository.Ignored():
		a.weakened = append(a.weakened, "signedRepository")
	case o.SignedRepository != trust.SignedRepository{} && !a.names.sanRequired:
		return s.Errorf("signedRepository", "a common name carries no repository, so certificates without an oci:// name would pass unchecked; add san: required")
	}
	return a.compileCommonName(o, s)
}

func (a *authority) compileCommonName(o Options, s trust.Section) error {
	c := o.CommonName
	if c == nil {
		c = &CommonNameOptions{}
	} else if a.names.sanRequired {
		return s.Errorf("commonName", "is never looked at under san: required; remove one of them")
	}
	text := c.Slice
	if text == "" {
		text = defaultSlice
	}
	part, err := parseSlice(text)
	if err != nil {
		return s.Errorf("commonName.slice", "%w; write for example %s", err, defaultSlice)
	}
	if !slices.Contains([]string{"", "contains", "equals"}, c.Match) {
		return s.Errorf("commonName.match", "%q is unknown; write contains or equals", clip(c.Match))
	}
	if n := len([]rune(c.Prefix)) + part.end - part.start; n > maxCommonName {
		return s.Errorf("commonName.prefix", "prefix and slice make %d characters, and a common name has at most %d; shorten one of them", n, maxCommonName)
	}
	a.names.slice, a.names.equals, a.names.prefix = part, c.Match == "equals", c.Prefix
	return nil
}

func (a *authority) compileTimestamps(o Options, s trust.Section) error {
	given := o.TimestampRoots != "" || len(o.TimestampRootsFiles) > 0
	if given && a.validity != validAtTimestamp {
		return s.Errorf("timestampRoots", "time stamps are looked at under validity: timestamp only; add that or remove timestampRoots")
	}
	roots, err := loadCertificates(s, "timestampRoots", o.TimestampRoots, o.TimestampRootsFiles)
	if err != nil {
		return err
	}
	if a.validity == validAtTimestamp && len(roots) == 0 {
		return s.Errorf("validity", "timestamp needs to know whose time stamps count; add timestampRoots or timestampRootsFiles")
	}
	a.timestampRoots = roots
	return nil
}

func (a *authority) compileCRLs(o Options, s trust.Section) error {
	for i, crl := range o.CRLs {
		place := fmt.Sprintf("crls[%d].file", i)
		if crl.File == "" {
			return s.Errorf(place, "is empty; give the path of a CRL in DER or PEM")
		}
		content, err := s.ReadFile(crl.File)
		if err != nil {
			return s.Errorf(place, "%w; give a path relative to the policy's folder", err)
		}
		lists, err := parseCRLs(content)
		if err != nil {
			return s.Errorf(place, "%s: %w; give a complete CRL in DER or PEM", crl.File, err)
		}
		for _, l := range lists {
			for c := range a.described {
				l.learn(c)
			}
		}
		a.crls = append(a.crls, lists...)
	}
	return nil
}

func (a *authority) compileDenied(o Options, s trust.Section) error {
	if o.Denied == nil {
		return nil
	}
	d := denied{serials: map[string]bool{}, keys: map[string]bool{}, digests: map[image.Digest]bool{}}
	for i, text := range o.Denied.Serials {
		serial, err := parseSerial(text)
		if err != nil {
			return s.Errorf(fmt.Sprintf("denied.serials[%d]", i), "%w; write it as in 4f:a2", err)
		}
		d.serials[serial] = true
	}
	for i, key := range o.Denied.Keys {
		if err := checkFingerprint(key); err != nil {
			return s.Errorf(fmt.Sprintf("denied.keys[%d]", i), "fingerprint %q: %w; write SHA256: and unpadded base64", clip(key), err)
		}
		d.keys[key] = true
	}
	for i, digest := range o.Denied.Digests {
		if digest.IsZero() {
			return s.Errorf(fmt.Sprintf("denied.digests[%d]", i), "is empty; write sha256: and 64 digits")
		}
		d.digests[digest] = true
	}
	a.denied = d
	return nil
}
