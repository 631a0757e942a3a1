package sigstore

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// compiler makes an authority of a section, and collects warnings on the way.
type compiler struct {
	trust.Section
	format   *Format
	options  Options
	made     *authority
	warnings []string
}

// compile checks a section whole and makes the authority that it describes. Its errors carry the place in the policy.
func (f *Format) compile(o Options, s trust.Section) (*authority, error) {
	c := &compiler{Section: s, format: f, options: o, made: &authority{settings: f.config}}
	steps := []func() error{c.shapes, c.contradictions, c.signers, c.attestations, c.thresholds, c.repository, c.rekor, c.trustedRoot, c.sufficiency}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.made.warnings = c.warnings
	c.made.prepare()
	return c.made, nil
}

func (c *compiler) shapes() error {
	for i, shape := range c.options.Formats {
		switch {
		case shape != "signature" && shape != "bundle":
			return c.Errorf(fmt.Sprintf("formats[%d]", i), "%q is unknown; write signature or bundle", clip(shape))
		case slices.Contains(c.options.Formats[:i], shape):
			return c.Errorf(fmt.Sprintf("formats[%d]", i), "%s stands there twice; remove one", shape)
		}
	}
	all := len(c.options.Formats) == 0
	c.made.tags = all || slices.Contains(c.options.Formats, "signature")
	c.made.bundles = all || slices.Contains(c.options.Formats, "bundle")
	return nil
}

// contradictions refuses fields that cannot be enforced together.
func (c *compiler) contradictions() error {
	o := &c.options
	switch o.Signature {
	case "", "required":
		c.made.signed = true
	case "none":
		if len(o.Attestations) == 0 {
			return c.Errorf("signature", "none leaves nothing that the image must have; add attestations")
		}
	default:
		return c.Errorf("signature", "%q is unknown; write required or none", clip(o.Signature))
	}
	switch {
	case !c.made.signed && len(o.Annotations) > 0:
		return c.Errorf("annotations", "are those of the signature, which signature: none does not ask for; remove one of them")
	case !c.made.signed && o.SignedRepository != trust.SignedRepository{}:
		return c.Errorf("signedRepository", "is about the signature, which signature: none does not ask for; remove one of them")
	case o.InsecureIgnoreLog && o.LogThreshold != 0:
		return c.Errorf("insecureIgnoreLog", "contradicts logThreshold; remove one of them")
	case o.InsecureIgnoreLog && o.RekorURL != "":
		return c.Errorf("insecureIgnoreLog", "contradicts rekorURL; remove one of them")
	case o.InsecureIgnoreSCT && o.SCTThreshold != 0:
		return c.Errorf("insecureIgnoreSCT", "contradicts sctThreshold; remove one of them")
	}
	for name, value := range o.Annotations {
		if name == "" || value == "" {
			return c.Errorf("annotations", "an empty name or value; what is absent satisfies nothing, so give both")
		}
	}
	c.made.annotations = o.Annotations
	return nil
}

func (c *compiler) signers() error {
	set, err := c.signerSet("", c.options.SignerOptions)
	if err != nil {
		return err
	}
	c.made.signer = set
	c.made.sets = append(c.made.sets, set)
	return nil
}

// signerSet compiles who may sign; at is the place of the options in the section.
func (c *compiler) signerSet(at string, o SignerOptions) (*signerSet, error) {
	var given []string
	for _, choice := range []struct {
		name  string
		given bool
	}{{"keyless", o.Keyless != nil}, {"key", o.Key != nil}, {"keys", o.Keys != nil}, {"pki", o.PKI != nil}} {
		if choice.given {
			given = append(given, choice.name)
		}
	}
	if len(given) == 0 {
		return nil, c.Errorf(strings.TrimSuffix(at, "."), "nobody is trusted; add one of keyless, key, keys and pki")
	}
	if len(given) > 1 {
		return nil, c.Errorf(at+given[1], "%s and %s exclude each other; write an authority for each, and ask for any or all of them in a rule", given[0], given[1])
	}
	set := &signerSet{id: len(c.made.sets)}
	switch {
	case o.Keyless != nil:
		return set, c.keyless(set, at+"keyless.", o.Keyless)
	case o.PKI != nil:
		return set, c.pki(set, at+"pki.", o.PKI)
	case o.Key != nil:
		return set, c.key(set, at+"key", o.Key)
	}
	if len(o.Keys) == 0 {
		return nil, c.Errorf(at+"keys", "is empty; add a key")
	}
	for i := range o.Keys {
		if err := c.key(set, fmt.Sprintf("%skeys[%d]", at, i), &o.Keys[i]); err != nil {
			return nil, err
		}
	}
	return set, nil
}

func (c *compiler) keyless(set *signerSet, at string, o *KeylessOptions) error {
	if len(o.Identities) == 0 {
		return c.Errorf(at+"identities", "is empty; add an issuer and a subject")
	}
	for i := range o.Identities {
		w, err := c.identity(fmt.Sprintf("%sidentities[%d].", at, i), &o.Identities[i])
		if err != nil {
			return err
		}
		set.identities = append(set.identities, w)
	}
	set.scts = max(c.options.SCTThreshold, 1)
	if c.options.InsecureIgnoreSCT {
		set.scts = 0
	}
	return nil
}

func (c *compiler) identity(at string, o *IdentityOptions) (w identity, err error) {
	if w.issuer, err = c.either(at, "issuer", o.Issuer, "issuerRegExp", o.IssuerRegExp); err != nil {
		return w, err
	}
	if w.subject, err = c.either(at, "subject", o.Subject, "subjectRegExp", o.SubjectRegExp); err != nil {
		return w, err
	}
	c.warnIdentity(at, o)
	claims := reflect.ValueOf(o.Claims)
	for i := range claims.NumField() {
		text := claims.Field(i).String()
		if text == "" {
			continue
		}
		name, _, _ := strings.Cut(claims.Type().Field(i).Tag.Get("yaml"), ",")
		want, err := newGlob(text)
		if err != nil {
			return w, c.Errorf(at+"claims."+name, "%w", err)
		}
		w.claims = append(w.claims, claim{name: name, index: i, want: want})
	}
	return w, nil
}

// either compiles a text that is given as a pattern or as an expression, but not both.
func (c *compiler) either(at, name, glob, expressionName, expression string) (matcher, error) {
	switch {
	case glob == "" && expression == "":
		return matcher{}, c.Errorf(at+name, "missing; who may sign is an issuer and a subject together")
	case glob != "" && expression != "":
		return matcher{}, c.Errorf(at+expressionName, "%s and %s exclude each other; remove one of them", name, expressionName)
	case glob != "":
		m, err := newGlob(glob)
		if err != nil {
			return matcher{}, c.Errorf(at+name, "%w", err)
		}
		return m, nil
	}
	m, err := newRegExp(expression)
	if err != nil {
		return matcher{}, c.Errorf(at+expressionName, "%w; for any text write .*", err)
	}
	if dot := unescapedDot.FindString(expression); dot != "" {
		c.warn(at+expressionName, "the dot in %q stands for any character; write \\. for a dot", clip(expression))
	}
	return m, nil
}

// warnIdentity points out an identity that is hardly meant so.
func (c *compiler) warnIdentity(at string, o *IdentityOptions) {
	if o.Issuer != "" && !strings.Contains(o.Issuer, "://") && !strings.HasPrefix(o.Issuer, "*") {
		c.warn(at+"issuer", "%q has no scheme, and certificates name the identity provider by its URL; write https://%s", clip(o.Issuer), clip(o.Issuer))
	}
	if fitsAnything(o.Issuer, o.IssuerRegExp) && fitsAnything(o.Subject, o.SubjectRegExp) && o.Claims == (ClaimsOptions{}) {
		c.warn(strings.TrimSuffix(at, "."), "any signer fits, of any identity provider; name an issuer and a subject")
	}
}

func (c *compiler) warn(field, format string, args ...any) {
	c.warnings = append(c.warnings, c.Errorf(field, format, args...).Error())
}

func (c *compiler) key(set *signerSet, at string, o *KeyOptions) error {
	source, err := c.keySource(at, o)
	if err != nil {
		return err
	}
	if !o.ValidUntil.IsZero() && !o.ValidFrom.Before(o.ValidUntil) {
		return c.Errorf(at+".validUntil", "is not after validFrom; swap them")
	}
	k := key{source: source, from: o.ValidFrom, until: o.ValidUntil}
	for _, other := range set.keys {
		if other.source.Name() == source.Name() {
			return c.Errorf(at, "the same key stands there twice; remove one")
		}
	}
	if k.bounded() && c.options.InsecureIgnoreLog && c.options.TimestampThreshold == 0 {
		return c.Errorf(at, "validFrom and validUntil need a trusted time, and nothing gives one; remove insecureIgnoreLog or add timestampThreshold")
	}
	set.keys = append(set.keys, k)
	return nil
}

// ofNamespace reports whether the author of the policy is not the one who runs Assay.
func (c *compiler) ofNamespace() bool {
	n, ok := c.Section.(trust.OfNamespace)
	return ok && n.Namespace() != ""
}

func (c *compiler) keySource(at string, o *KeyOptions) (material.KeySource, error) {
	given := 0
	for _, text := range []string{o.PEM, o.File, o.KMS} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return nil, c.Errorf(at, "wants exactly one of pem, file and kms; write the key from BEGIN PUBLIC KEY to END PUBLIC KEY, or a file's path")
	}
	if c.ofNamespace() && o.KMS != "" {
		return nil, c.Errorf(at+".kms", "a policy of a namespace cannot use the credentials that Assay has there; write the key in pem, or name a file")
	}
	if o.KMS != "" && c.format.config.Material == nil {
		return nil, c.Errorf(at+".kms", "%w", errNoMaterial)
	}
	if o.KMS != "" {
		source, err := c.format.config.Material.KMS(o.KMS)
		if err != nil {
			return nil, c.Errorf(at+".kms", "%w", err)
		}
		return source, nil
	}
	content := []byte(o.PEM)
	if o.File != "" {
		var err error
		if content, err = c.ReadFile(o.File); err != nil {
			return nil, c.Errorf(at+".file", "%w; give a path relative to the policy's folder", err)
		}
	}
	k, err := material.ParseKey(content)
	if err != nil && strings.Contains(err.Error(), "; ") { // it has a next step of its own
		return nil, c.Errorf(at, "%w", err)
	}
	if err != nil {
		return nil, c.Errorf(at, "%w; give a public key in PEM, as cosign generate-key-pair writes it into cosign.pub", err)
	}
	return k, nil
}

// thresholds settles what is asked of every signature, now that it is known who signs.
func (c *compiler) thresholds() error {
	o := &c.options
	keyless := slices.ContainsFunc(c.made.sets, func(s *signerSet) bool { return s.identities != nil })
	own := slices.ContainsFunc(c.made.sets, func(s *signerSet) bool { return s.pki != nil })
	switch {
	case o.LogThreshold < 0 || o.TimestampThreshold < 0 || o.SCTThreshold < 0:
		return c.Errorf("", "a threshold is negative; write 1 or more")
	case o.InsecureIgnoreSCT && !keyless:
		return c.Errorf("insecureIgnoreSCT", "is about keyless certificates, of which there are none here; remove it")
	case o.SCTThreshold > 0 && !keyless && !own:
		return c.Errorf("sctThreshold", "is about certificates, and bare keys have none; remove it")
	}
	for _, s := range c.made.sets {
		if s.pki != nil {
			s.scts = o.SCTThreshold
		}
	}
	c.made.demands = demands{stamps: o.TimestampThreshold, ignoreLog: o.InsecureIgnoreLog, ignoreSCT: o.InsecureIgnoreSCT}
	if !o.InsecureIgnoreLog {
		c.made.demands.logs = max(o.LogThreshold, 1)
	}
	return nil
}

func (c *compiler) repository() error {
	if err := c.options.SignedRepository.Validate(); err != nil {
		return c.Errorf("signedRepository", "%w; write names as in registry.example/team/app", err)
	}
	c.made.repository = c.options.SignedRepository
	return nil
}

func (c *compiler) rekor() error {
	text := c.options.RekorURL
	if text == "" {
		return nil
	}
	if c.ofNamespace() {
		return c.Errorf("rekorURL", "a policy of a namespace cannot choose where Assay sends requests; have signatures bring the log's entry")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return c.Errorf("rekorURL", "%q is no http or https URL; write https://rekor.example", clip(text))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return c.Errorf("rekorURL", "credentials, query and fragment have no place here; remove them")
	}
	c.made.rekorURL = strings.TrimSuffix(text, "/")
	return nil
}

// needsRoot reports whether anything is asked that only trust material can answer.
func (c *compiler) needsRoot() bool {
	d := &c.made.demands
	timed := slices.ContainsFunc(c.made.demanded, func(d demand) bool { return d.maxAge > 0 })
	return d.logs > 0 || d.stamps > 0 || timed ||
		slices.ContainsFunc(c.made.sets, func(s *signerSet) bool {
			return s.identities != nil || s.scts > 0 || s.pki != nil && c.options.TrustedRoot != nil
		})
}

func (c *compiler) trustedRoot() error {
	o := c.options.TrustedRoot
	if !c.needsRoot() {
		if o != nil {
			return c.Errorf("trustedRoot", "is never looked at: neither logs nor time stamps nor keyless certificates are asked for; remove it")
		}
		return nil
	}
	if o == nil {
		o = &TrustedRootOptions{}
	}
	source, err := c.source(o)
	if err != nil {
		return err
	}
	c.made.material = source
	return nil
}

// sufficiency refuses material that is known already and cannot give what is asked for.
func (c *compiler) sufficiency() error {
	if c.made.material == nil || c.options.TrustedRoot == nil {
		return nil
	}
	r, err := c.made.material.Root(time.Time{})
	if err != nil {
		return nil //nolint:nilerr // fetched later: then it is told at each decision
	}
	logs, authorities := r.Witnesses()
	for _, want := range []struct {
		what    string
		has     int
		demands int
	}{
		{"transparency logs", logs, c.made.demands.logs},
		{"time-stamp authorities", authorities, c.made.demands.stamps},
		{"certificate transparency logs", len(r.CTLogs()), c.made.maxSCTs()},
		{"certificate authorities", len(r.FulcioCertificateAuthorities()), c.made.fulcios()},
	} {
		if want.has < want.demands {
			return c.Errorf("trustedRoot", "has %d %s, and %d are asked for; add them, or say in the policy that they are not needed", want.has, want.what, want.demands)
		}
	}
	return nil
}

// errNoMaterial says that a format was made without a keeper of trust material.
var errNoMaterial = errors.New("there is nobody who keeps trust material")
