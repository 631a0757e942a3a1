package notaryv1

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/trust"
)

// compile checks a section whole and makes the authority that it describes. Its errors carry the place in the policy.
func (f *format) compile(o Options, s trust.Section) (*authority, error) {
	a := &authority{format: f, grace: o.OfflineGrace}
	a.store, a.namespace = f.storeFor(s)
	for _, step := range []func(Options, trust.Section) error{a.compileServer, a.compileRoot, a.compileSelection} {
		if err := step(o, s); err != nil {
			return nil, err
		}
	}
	a.trustsAs, a.needs = a.anchor.String(), a.selects.needs()
	a.verified = otter.Must(&otter.Options[verifiedKey, outcome]{
		MaximumWeight: maxVerified,
		Weigher:       func(_ verifiedKey, o outcome) uint32 { return uint32(min(2*o.size, maxVerified)) + perFile },
		Executor:      func(fn func()) { fn() },
	})
	return a, nil
}

func (a *authority) compileServer(o Options, s trust.Section) error {
	server, err := parseServer(o.Server)
	if err != nil {
		return s.Errorf("server", "%w; write it as in https://notary.example:4443", err)
	}
	a.server = server
	if a.naming, err = newNaming(o.GUN); err != nil {
		return s.Errorf("gun", "%w; write for example %s", err, defaultGUN)
	}
	if o.SignedRepository.Ignored() {
		return s.Errorf("signedRepository", "trust data always speak of one repository, so that this cannot be ignored; write match, exact or remap")
	}
	if err := o.SignedRepository.Validate(); err != nil {
		return s.Errorf("signedRepository", "%w; write names as in registry.example/team/app", err)
	}
	a.naming.repository = o.SignedRepository
	if o.OfflineGrace < 0 {
		return s.Errorf("offlineGrace", "is negative; write a length of time such as 24h")
	}
	return nil
}

// parseServer returns the URL of a server in one form, under which is kept what was seen: without its scheme's own port, and without a
// slash at its end.
func parseServer(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return "", fmt.Errorf("%q is no URL of a server", clip(text))
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("%q: Notary servers speak https", clip(text))
	case u.User != nil:
		return "", errors.New("credentials do not belong into a policy; the settings of registries have a place for them")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", fmt.Errorf("%q has a query or a fragment", clip(text))
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
	return strings.TrimRight(u.Scheme+"://"+host+u.EscapedPath(), "/"), nil
}

func (a *authority) compileRoot(o Options, s trust.Section) error {
	if o.InsecureTrustOnFirstUse {
		if o.Root != nil {
			return s.Errorf("insecureTrustOnFirstUse", "a root is given, so that none is trusted on first use; remove one of the two")
		}
		a.anchor.firstUse = true
		a.weakened = append(a.weakened, "insecureTrustOnFirstUse")
		return nil
	}
	if o.Root == nil {
		return s.Errorf("root", "whose root counts is not said; give root.certificates, root.keys or root.ca, or insecureTrustOnFirstUse: true")
	}
	r := *o.Root
	kinds := []rootKind{
		{"keys", r.Keys, r.KeysFiles, a.anchor.addKeys},
		{"certificates", r.Certificates, r.CertificatesFiles, a.anchor.addCertificates},
		{"ca", r.CA, r.CAFiles, a.anchor.addAuthorities},
	}
	kinds = slices.DeleteFunc(kinds, func(k rootKind) bool { return k.inline == "" && len(k.files) == 0 })
	if len(kinds) != 1 {
		return s.Errorf("root", "%d of keys, certificates and ca are given; give one of them", len(kinds))
	}
	return kinds[0].compile(s)
}

// rootKind is one way to say which roots count.
type rootKind struct {
	name   string
	inline string
	files  []string
	add    func([]byte) error
}

func (k rootKind) compile(s trust.Section) error {
	if k.inline != "" {
		if err := k.add([]byte(k.inline)); err != nil {
			return s.Errorf("root."+k.name, "%w; paste PEM from BEGIN to END", err)
		}
	}
	files := k.name + "Files"
	if k.name == "ca" {
		files = "caFiles"
	}
	for i, name := range k.files {
		place := fmt.Sprintf("root.%s[%d]", files, i)
		content, err := s.ReadFile(name)
		if err != nil {
			return s.Errorf(place, "%w; give a path relative to the policy's folder", err)
		}
		if err := k.add(content); err != nil {
			return s.Errorf(place, "%s: %w; give a file in PEM", name, err)
		}
	}
	return nil
}

// addKeys trusts bare keys; they may be written as certificates.
func (a *anchor) addKeys(content []byte) error {
	prints, err := parseSigners(content)
	if err != nil {
		return err
	}
	if a.keys == nil {
		a.keys = map[string]bool{}
	}
	for _, print := range prints {
		a.keys[print] = true
	}
	return nil
}

func (a *anchor) addCertificates(content []byte) error {
	certs, err := parseCertificates(content)
	if err != nil {
		return err
	}
	if a.certificates == nil {
		a.certificates = map[[sha256.Size]byte]bool{}
	}
	for _, c := range certs {
		if err := checkPublicKey(c.PublicKey); err != nil {
			return fmt.Errorf("certificate %q: %w", clip(c.Subject.String()), err)
		}
		a.certificates[sha256.Sum256(c.Raw)] = true
	}
	return nil
}

func (a *anchor) addAuthorities(content []byte) error {
	certs, err := parseCertificates(content)
	if err != nil {
		return err
	}
	if a.authorities == nil {
		a.authorities = x509.NewCertPool()
	}
	for _, c := range certs {
		if !c.BasicConstraintsValid || !c.IsCA {
			return fmt.Errorf("certificate %q is not an authority's (CA:TRUE); root.certificates names certificates of roots themselves", clip(c.Subject.String()))
		}
		if err := checkPublicKey(c.PublicKey); err != nil {
			return fmt.Errorf("certificate %q: %w", clip(c.Subject.String()), err)
		}
		a.authorities.AddCert(c)
		a.issuers = append(a.issuers, c)
	}
	return nil
}

func (a *authority) compileSelection(o Options, s trust.Section) error {
	switch {
	case len(o.Roles) > 0 && len(o.Signers) > 0:
		return s.Errorf("roles", "signers name their roles themselves; remove one of the two")
	case len(o.Roles) > maxSigners, len(o.Signers) > maxSigners:
		return s.Errorf("", "more than %d roles or signers; name fewer", maxSigners)
	case len(o.Signers) > 0:
		return a.compileSigners(o.Signers, s)
	}
	a.selects.roles = o.Roles
	if len(o.Roles) == 0 {
		a.warnings = append(a.warnings, s.Errorf("", "signers are absent: whoever may sign a role of the repository vouches; name signers with their keys, or roles if that is meant").Error())
		a.selects.roles = []string{"targets/releases", roleTargets}
	}
	for i, name := range a.selects.roles {
		place := fmt.Sprintf("roles[%d]", i)
		if err := checkNamed(name); err != nil {
			return s.Errorf(place, "%w", err)
		}
		if slices.Contains(a.selects.roles[:i], name) {
			return s.Errorf(place, "%s is there twice; remove one", name)
		}
	}
	return nil
}

// checkNamed checks a role's name that a person wrote.
func checkNamed(name string) error {
	err := checkRole(name)
	if err != nil && checkRole(roleTargets+"/"+name) == nil {
		return fmt.Errorf("role %q: is not %s or below it; did you mean %s/%s?", clip(name), roleTargets, roleTargets, name)
	}
	return err
}

func (a *authority) compileSigners(signers []SignerOptions, s trust.Section) error {
	holders := map[string]string{} // role by key
	for i, o := range signers {
		place := fmt.Sprintf("signers[%d]", i)
		if err := checkNamed(o.Role); err != nil {
			return s.Errorf(place+".role", "%w", err)
		}
		if slices.ContainsFunc(a.selects.signers, func(r signerRule) bool { return r.role == o.Role }) {
			return s.Errorf(place+".role", "%s is there twice; put all its keys into one entry, with a threshold", o.Role)
		}
		rule, err := a.format.compileSigner(o, place, s)
		if err != nil {
			return err
		}
		for _, print := range rule.keys {
			if other, found := holders[print]; found {
				a.warnings = append(a.warnings, s.Errorf(place, "the key %s stands for %s already: one holder signs for both roles; give each role a key of its own", print, other).Error())
			}
			holders[print] = o.Role
		}
		a.selects.signers = append(a.selects.signers, rule)
	}
	return nil
}

func (f *format) compileSigner(o SignerOptions, place string, s trust.Section) (signerRule, error) {
	rule := signerRule{role: o.Role, threshold: max(1, o.Threshold)}
	type source struct {
		place, text string
		certificate bool
	}
	var sources []source
	add := func(place, text string, certificate bool) {
		if text != "" {
			sources = append(sources, source{place, text, certificate})
		}
	}
	add(place+".publicKey", o.PublicKey, false)
	add(place+".certificate", o.Certificate, true)
	for i, text := range o.PublicKeys {
		add(fmt.Sprintf("%s.publicKeys[%d]", place, i), text, false)
	}
	for i, text := range o.Certificates {
		add(fmt.Sprintf("%s.certificates[%d]", place, i), text, true)
	}
	for i, name := range o.Files {
		at := fmt.Sprintf("%s.files[%d]", place, i)
		content, err := s.ReadFile(name)
		if err != nil {
			return rule, s.Errorf(at, "%w; give a path relative to the policy's folder", err)
		}
		add(at, string(content), false)
	}
	for _, one := range sources {
		prints, err := f.parseSigner(one.text, one.certificate)
		if err != nil {
			return rule, s.Errorf(one.place, "%w; paste PEM from BEGIN to END, or that in base64", err)
		}
		rule.keys = append(rule.keys, prints...)
	}
	slices.Sort(rule.keys)
	rule.keys = slices.Compact(rule.keys)
	switch n := len(rule.keys); {
	case n == 0:
		return rule, s.Errorf(place, "has no key; give publicKey, certificate or files")
	case rule.threshold > n:
		return rule, s.Errorf(place+".threshold", "%d of %d different keys cannot sign; lower it or add keys", rule.threshold, n)
	}
	return rule, nil
}

// parseSigner reads keys that a person wrote: PEM, or that in base64. A certificate must not have expired: who configures one that has
// would otherwise learn it from a denial.
func (f *format) parseSigner(text string, certificate bool) ([]string, error) {
	content := []byte(text)
	if !bytes.Contains(content, []byte("-----BEGIN")) {
		decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, errors.New("is neither PEM nor base64 of it")
		}
		content = decoded
	}
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if certificate && block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a PEM block %q, want CERTIFICATE", clip(block.Type))
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && f.now().After(c.NotAfter) {
			return nil, fmt.Errorf("certificate %q expired at %s", clip(c.Subject.String()), c.NotAfter.UTC().Format("2006-01-02T15:04:05Z"))
		}
	}
	return parseSigners(content)
}

// parseSigners returns the fingerprints of keys in PEM, bare or as certificates.
func parseSigners(content []byte) ([]string, error) {
	var prints []string
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		public, err := publicKeyOf(block)
		if err != nil {
			return nil, err
		}
		if err := checkPublicKey(public); err != nil {
			return nil, err
		}
		spki, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, err
		}
		prints = append(prints, trust.Fingerprint(spki))
	}
	if len(prints) == 0 {
		return nil, errors.New("holds no key in PEM")
	}
	if len(prints) > maxKeys {
		return nil, fmt.Errorf("holds %d keys, at most %d are allowed", len(prints), maxKeys)
	}
	return prints, nil
}

func publicKeyOf(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	}
	return nil, fmt.Errorf("holds a PEM block %q, want PUBLIC KEY or CERTIFICATE", clip(block.Type))
}
