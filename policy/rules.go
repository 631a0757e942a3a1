package policy

import (
	"encoding/base64"
	"regexp"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
)

var authorityName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// What parser and API server say alike.
const (
	noImages        = `a rule without images; add images: ["registry.example/**"]`
	manyVerbs       = "a rule with %d of require, deny and allow; keep one, and make rules of the others"
	onlyWithRequire = "means something only beside require; remove it"
	nothingRevoked  = "says nothing that is revoked; add key, serial and issuer, identity or digest"
	serialAlone     = "a serial number means something only beside its issuer; add issuer"
	issuerAlone     = "an issuer without a serial number; add serial, or revoke the issuer by its key"
	namesAndLocal   = "a rule about images by name and about images that were made on the host; keep one, and make a rule of the other"
	noLocal         = "says nothing of the images; add labels, base or builtBy"
	localRequires   = "nobody vouches for an image that no registry has; write allow or deny in the place of require"
	secondFormat    = "a second format; make it an authority of its own"

	namespacesOfNamespace = "a " + namespaceKind + " speaks about its own namespace only; remove it, or write a " + kind
)

// rule compiles one rule.
func (c *compiler) rule(at cursor, w *wireRule) Rule {
	broken := c.hasFailed(at.path)
	r := Rule{Line: at.node.Line, Images: c.patterns(at, "images", w.Images), RegExps: c.regexps(at, w.ImagesRegExp), Local: c.local(at, w.Local)}
	verbs := 0
	if w.Require != nil {
		verbs++
		leaves := 0
		tree := c.requirement(*w.Require, 1, &leaves)
		if leaves > maxRequireLeaves {
			c.fail(w.Require.place.at(), w.Require.place.path, "%d authorities, at most %d are allowed; split the rule", leaves, maxRequireLeaves)
		}
		r.Require = &tree
	}
	if w.Deny != nil {
		verbs++
		r.Deny = *w.Deny
	}
	if w.Allow != nil {
		verbs++
		r.Allow = *w.Allow
	}
	if w.Until != nil {
		r.Until = *w.Until
	}
	if broken {
		return r
	}
	switch {
	case len(w.Images)+len(w.ImagesRegExp) == 0 && w.Local == nil:
		c.fail(at.node, at.path, "%s", noImages)
	case len(w.Images)+len(w.ImagesRegExp) > 0 && w.Local != nil:
		c.fail(at.node, at.path, "%s", namesAndLocal)
	case w.Local != nil && w.Require != nil:
		c.fail(w.Require.place.at(), w.Require.place.path, "%s", localRequires)
	case verbs == 0:
		c.fail(at.node, at.path, "a rule that says neither require, deny nor allow; add one of them")
	case verbs > 1:
		c.fail(at.node, at.path, manyVerbs, verbs)
	}
	c.digests(at, w, &r)
	return r
}

// digests reads what only a rule that requires authorities can say.
func (c *compiler) digests(at cursor, w *wireRule, r *Rule) {
	if w.Digest != nil {
		r.Digest = *w.Digest
		place, _ := at.child("digest")
		if w.Require == nil {
			c.fail(place.at(), place.path, "%s", onlyWithRequire)
		}
		if r.Digest == InsecureReplaceDigest {
			c.warn(place.at(), place.path, "a digest that somebody asked for is replaced by another one; use pin unless you need that")
		}
	}
	if w.Platform != nil {
		r.Platform = *w.Platform
		if w.Require == nil {
			place, _ := at.child("platform")
			c.fail(place.at(), place.path, "%s", onlyWithRequire)
		}
	}
}

func (c *compiler) patterns(at cursor, field string, texts []string) []image.Pattern {
	list, _ := at.child(field)
	var all []image.Pattern
	for i, text := range texts {
		p, err := image.ParsePattern(text)
		if item := list.item(i); err != nil && !c.hasFailed(item.path) {
			text := err.Error()
			if !strings.Contains(text, "; ") {
				text += "; see \"Patterns\" in docs/reference/policy.md"
			}
			c.fail(item.node, item.path, "%s", text)
		}
		all = append(all, p)
	}
	return all
}

func (c *compiler) regexps(at cursor, texts []string) []image.RegExp {
	list, _ := at.child("imagesRegExp")
	var all []image.RegExp
	for i, text := range texts {
		item := list.item(i)
		e, err := image.ParseRegExp(text)
		switch {
		case c.hasFailed(item.path):
		case err != nil:
			c.fail(item.node, item.path, "%s; write RE2 syntax, and put it in single quotes", noHint(err))
		}
		all = append(all, e)
		if err == nil && unescapedDot(text) {
			c.warn(item.node, item.path, `an unescaped "." stands for any character; write "\." for a dot`)
		}
	}
	return all
}

// unescapedDot reports a dot between letters or digits, as in a host name, that was not escaped.
func unescapedDot(expr string) bool { return bareDot.MatchString(expr) }

var bareDot = regexp.MustCompile(`[A-Za-z0-9]\.[A-Za-z0-9]`)

// noHint keeps a foreign text from being read as a hint.
func noHint(err error) string { return strings.ReplaceAll(err.Error(), "; ", ", ") }

// warnUnreachable points at the rules behind one that matches every image for ever.
func (c *compiler) warnUnreachable(rules cursor) {
	for i, r := range c.policy.Rules {
		if i == len(c.policy.Rules)-1 || !r.Until.IsZero() {
			continue
		}
		for _, p := range r.Images {
			if p.String() == "**" {
				next := rules.item(i + 1)
				c.warn(next.node, next.path, "the rule before it matches every image, so this one and those behind it never decide; move them up")
				return
			}
		}
	}
}

// revocation compiles one entry of revoked.
func (c *compiler) revocation(at cursor, w *wireRevocation) Revocation {
	r := Revocation{Issuer: w.Issuer, Reason: w.Reason, Line: at.node.Line}
	if c.hasFailed(at.path) {
		return r
	}
	if w.After != nil {
		r.After = *w.After
	}
	if w.Identity != nil {
		r.Identity = &Identity{Issuer: w.Identity.Issuer, Subject: w.Identity.Subject}
	}
	switch {
	case w.Key == "" && w.Serial == "" && w.Issuer == "" && w.Identity == nil && w.Digest == "":
		c.fail(at.node, at.path, "%s", nothingRevoked)
	case w.Serial != "" && w.Issuer == "":
		place, _ := at.child("serial")
		c.fail(place.at(), place.path, "%s", serialAlone)
	case w.Serial == "" && w.Issuer != "":
		place, _ := at.child("issuer")
		c.fail(place.at(), place.path, "%s", issuerAlone)
	}
	if w.Digest != "" {
		r.Digest = image.MustParseDigest(w.Digest) // the pattern of the field is that of a digest
	}
	r.Key = c.fingerprint(at, w.Key)
	r.Serial = normalSerial(w.Serial)
	c.checkIssuer(at, w.Issuer)
	if w.Reason == "" {
		c.warn(at.node, at.path, "no reason is given; add one for those who are stopped by it")
	}
	return r
}

// fingerprint returns a key's fingerprint without padding.
func (c *compiler) fingerprint(at cursor, text string) string {
	text = strings.TrimSuffix(text, "=")
	if _, err := base64.RawStdEncoding.Strict().DecodeString(strings.TrimPrefix(text, "SHA256:")); err != nil {
		place, _ := at.child("key")
		c.fail(place.node, place.path, "%q is no base64 of 32 bytes; copy the fingerprint again, it is cut or mistyped", clip(text))
	}
	return text
}

// normalSerial writes a serial number as octets in lower case with colons, without leading zero octets.
func normalSerial(text string) string {
	if text == "" {
		return ""
	}
	digits, negative := strings.CutPrefix(strings.ToLower(text), "-")
	digits = strings.ReplaceAll(digits, ":", "")
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	for len(digits) > 2 && digits[:2] == "00" {
		digits = digits[2:]
	}
	var b strings.Builder
	if negative {
		b.WriteByte('-')
	}
	for i := 0; i < len(digits); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(digits[i : i+2])
	}
	return b.String()
}

// relativeName is one attribute of a distinguished name as Go and RFC 2253 write it.
var relativeName = regexp.MustCompile(`^[A-Za-z0-9.-]+=`)

// checkIssuer refuses the other common spelling of distinguished names ("CN = a, O = b"), which would never equal a certificate's
// issuer, so that the revocation would be without effect.
func (c *compiler) checkIssuer(at cursor, issuer string) {
	if issuer == "" {
		return
	}
	start := 0
	for i := 0; i <= len(issuer); i++ {
		if i < len(issuer) && issuer[i] == '\\' {
			i++
			continue
		}
		if i < len(issuer) && issuer[i] != ',' && issuer[i] != '+' {
			continue
		}
		if !relativeName.MatchString(issuer[start:min(i, len(issuer))]) {
			place, _ := at.child("issuer")
			c.fail(place.node, place.path, "%q is no distinguished name of RFC 2253; write it as openssl x509 -noout -issuer -nameopt RFC2253 does", clip(issuer))
			return
		}
		start = i + 1
	}
}

// passed reports whether a rule's time is over.
func (r *Rule) passed(now time.Time) bool { return !r.Until.IsZero() && !now.Before(r.Until) }
