package sigstore

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// source returns where the trust material comes from.
func (c *compiler) source(o *TrustedRootOptions) (material.Source, error) {
	var given []string
	for _, choice := range []struct {
		name  string
		given bool
	}{{"file", o.File != ""}, {"inline", o.Inline != ""}, {"tuf", o.TUF != nil}, {"parts", o.Parts != nil}} {
		if choice.given {
			given = append(given, choice.name)
		}
	}
	if len(given) > 1 {
		return nil, c.Errorf("trustedRoot."+given[1], "%s and %s exclude each other; remove one of them", given[0], given[1])
	}
	if o.MaxStale != 0 && len(given) == 1 && given[0] != "tuf" {
		return nil, c.Errorf("trustedRoot.maxStale", "material that is given does not age; remove it")
	}
	if o.MaxStale < 0 {
		return nil, c.Errorf("trustedRoot.maxStale", "is negative; write a length of time such as 30d")
	}
	switch {
	case o.File != "":
		content, err := c.ReadFile(o.File)
		if err != nil {
			return nil, c.Errorf("trustedRoot.file", "%w; give a path relative to the policy's folder", err)
		}
		return c.given("trustedRoot.file", o.File, content)
	case o.Inline != "":
		return c.given("trustedRoot.inline", "inline", []byte(o.Inline))
	case o.TUF != nil:
		return c.tuf(o)
	case o.Parts != nil:
		return c.parts(o.Parts)
	}
	return c.installed(o)
}

func (c *compiler) installed(o *TrustedRootOptions) (material.Source, error) {
	if c.format.config.Material == nil {
		return nil, c.Errorf("trustedRoot", "%w", errNoMaterial)
	}
	switch o.Word {
	case "public-good":
		return c.format.config.Material.PublicGood(o.MaxStale), nil
	case "", "default":
		source, err := c.format.config.Material.Default(o.MaxStale)
		if err != nil {
			return nil, c.Errorf("trustedRoot", "what the installation gives cannot be used: %w", err)
		}
		return source, nil
	}
	return nil, c.Errorf("trustedRoot", "%q is unknown; write default, public-good, or a mapping", clip(o.Word))
}

func (c *compiler) given(at, name string, content []byte) (material.Source, error) {
	source, err := material.Given(name, content)
	if err != nil {
		return nil, c.Errorf(at, "%w; give a trusted_root.json", err)
	}
	return source, nil
}

func (c *compiler) tuf(o *TrustedRootOptions) (material.Source, error) {
	if c.ofNamespace() { // what is fetched is kept, too
		return nil, c.Errorf("trustedRoot.tuf", "a policy of a namespace cannot choose where Assay sends requests; give the trusted_root.json in file or inline")
	}
	first := []byte(o.TUF.Root)
	switch {
	case (o.TUF.Root != "") == (o.TUF.RootFile != ""):
		return nil, c.Errorf("trustedRoot.tuf", "wants exactly one of root and rootFile; give the first root.json that is trusted")
	case o.TUF.RootFile != "":
		var err error
		if first, err = c.ReadFile(o.TUF.RootFile); err != nil {
			return nil, c.Errorf("trustedRoot.tuf.rootFile", "%w; give a path relative to the policy's folder", err)
		}
	}
	if c.format.config.Material == nil {
		return nil, c.Errorf("trustedRoot.tuf", "%w", errNoMaterial)
	}
	source, err := c.format.config.Material.TUF(material.TUF{Mirror: o.TUF.Mirror, Root: first, RootName: o.TUF.RootFile}, o.MaxStale)
	if err != nil {
		return nil, c.Errorf("trustedRoot.tuf", "%w", err)
	}
	return source, nil
}

func (c *compiler) parts(o *PartsOptions) (material.Source, error) {
	var p material.Parts
	for _, part := range []struct {
		field  string
		inline string
		files  []string
		into   *[]byte
	}{
		{"fulcio", o.Fulcio, o.FulcioFiles, &p.Fulcio},
		{"rekorKeys", o.RekorKeys, o.RekorKeysFiles, &p.RekorKeys},
		{"ctLogKeys", o.CTLogKeys, o.CTLogKeysFiles, &p.CTLogKeys},
	} {
		blocks, err := c.gather("trustedRoot.parts."+part.field, part.inline, part.files)
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			*part.into = append(append(*part.into, b...), '\n')
		}
	}
	chains, err := c.gather("trustedRoot.parts.timestampCertificates", o.TimestampCertificates, o.TimestampCertificatesFiles)
	if err != nil {
		return nil, err
	}
	p.TimestampCertificates = chains
	source, err := material.FromParts("parts", p)
	if err != nil {
		return nil, c.Errorf("trustedRoot.parts", "%w; give keys and certificates in PEM", err)
	}
	return source, nil
}

// gather returns the contents of a field and of the files of the field beside it.
func (c *compiler) gather(field, inline string, files []string) ([][]byte, error) {
	var all [][]byte
	if inline != "" {
		all = append(all, []byte(inline))
	}
	for i, name := range files {
		content, err := c.ReadFile(name)
		if err != nil {
			return nil, c.Errorf(fmt.Sprintf("%sFiles[%d]", field, i), "%w; give a path relative to the policy's folder", err)
		}
		all = append(all, content)
	}
	return all, nil
}

// maxAuthorities is how many certificates of authorities the policy may give for one field.
const maxAuthorities = 100

// pki compiles an own certificate authority.
func (c *compiler) pki(set *signerSet, at string, o *PKIOptions) error {
	roots, err := c.certificates(at+"roots", o.Roots, o.RootsFiles)
	if err != nil {
		return err
	}
	if len(roots) == 0 {
		return c.Errorf(at+"roots", "there is no root certificate; give roots in PEM or rootsFiles")
	}
	intermediates, err := c.certificates(at+"intermediates", o.Intermediates, o.IntermediatesFiles)
	if err != nil {
		return err
	}
	p := &pki{roots: x509.NewCertPool(), intermediates: intermediates}
	for _, r := range roots {
		p.roots.AddCert(r)
	}
	if len(o.Names) == 0 {
		return c.Errorf(at+"names", "is empty; say which names in certificates may sign")
	}
	for i := range o.Names {
		rule, err := c.nameRule(fmt.Sprintf("%snames[%d]", at, i), &o.Names[i])
		if err != nil {
			return err
		}
		p.names = append(p.names, rule)
	}
	set.pki = p
	return nil
}

func (c *compiler) nameRule(at string, o *NameOptions) (rule nameRule, err error) {
	choices := []struct {
		field, kind, text string
		compile           func(string) (matcher, error)
	}{
		{"dns", "dns", o.DNS, newHost}, {"email", "email", o.Email, newGlob}, {"uri", "uri", o.URI, newGlob},
		{"ip", "ip", o.IP, newAddress}, {"uriRegExp", "uri", o.URIRegExp, newRegExp},
	}
	given := 0
	for _, choice := range choices {
		if choice.text == "" {
			continue
		}
		given++
		rule.kind = choice.kind
		if rule.want, err = choice.compile(choice.text); err != nil {
			return rule, c.Errorf(at+"."+choice.field, "%w; write the name as it stands in certificates", err)
		}
	}
	if given != 1 {
		return rule, c.Errorf(at, "wants exactly one of dns, email, uri, ip and uriRegExp; write one rule for each")
	}
	return rule, nil
}

func newExact(s string) (matcher, error) { return matcher{exact: s, text: s}, nil }

// newHost refuses wildcards: those who write one want it to match, and host names are compared exactly.
func newHost(s string) (matcher, error) {
	if strings.Contains(s, "*") {
		return matcher{}, fmt.Errorf("%q can never match, for a host name is compared exactly and * stands for nothing there", clip(s))
	}
	return newExact(s)
}

// newAddress brings an IP address into the form in which those of certificates are compared.
func newAddress(s string) (matcher, error) {
	ip := net.ParseIP(s)
	if ip == nil {
		return matcher{}, fmt.Errorf("%q is no IP address", clip(s))
	}
	return newExact(ip.String())
}

func (c *compiler) certificates(field, inline string, files []string) ([]*x509.Certificate, error) {
	contents, err := c.gather(field, inline, files)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, content := range contents {
		certs, err := parseAuthorities(content)
		if err != nil {
			return nil, c.Errorf(field, "%w; give certificates of authorities, each from BEGIN CERTIFICATE to END CERTIFICATE", err)
		}
		all = append(all, certs...)
	}
	return all, nil
}

// parseAuthorities reads certificates that can issue others.
func parseAuthorities(content []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a PEM block %q", clip(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if !cert.BasicConstraintsValid || !cert.IsCA {
			return nil, fmt.Errorf("certificate %q is not an authority's (CA:TRUE)", clip(cert.Subject.String()))
		}
		if len(all) == maxAuthorities {
			return nil, fmt.Errorf("more than %d certificates", maxAuthorities)
		}
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, errors.New("does not contain any certificate in PEM format")
	}
	return all, nil
}
