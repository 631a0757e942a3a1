package convert

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/assay-dev/assay/policy"
)

// TrustFileOptions are what a trust file does not say.
type TrustFileOptions struct {
	Options
	// Strict says that a digest that is not the signed one is a denial; false: the signed one takes its place. nil: what the file says, else
	// true.
	Strict *bool
	// InsecureUnanchored lets expressions match any part of a name, as they did.
	InsecureUnanchored bool
	// NotaryCA vouches for the TLS certificates of the servers, PEM; "": the system's CAs.
	NotaryCA string
	// IgnoredNamespaces is a label, "key=value", by which namespaces were left out; "": the policy speaks about all.
	IgnoredNamespaces string
}

// The document of a trust file, or the values of the chart that writes one.
type trustFile struct {
	Strict       *bool             `yaml:"strict"`
	Repositories []trustRepository `yaml:"repositories" required:"true" min:"1" hint:"without any, every image is denied, which needs no import"`
	OPA          *policy.Section   `yaml:"opa" empty:"true"`
}

type trustRepository struct {
	Name     string         `yaml:"name" required:"true" min:"1" hint:"write an expression over names of images, such as registry\\.example/.*"`
	Priority int            `yaml:"priority"`
	Trust    *trustSettings `yaml:"trust" required:"true" empty:"true" hint:"write trust: {enabled: false} for images that are accepted without a look"`
}

type trustSettings struct {
	Enabled *bool         `yaml:"enabled"`
	Server  string        `yaml:"trustServer" empty:"true"`
	Auth    *trustAuth    `yaml:"auth" empty:"true"`
	Signers []trustSigner `yaml:"signers" empty:"true"`
}

type trustAuth struct {
	User string `yaml:"user" empty:"true"`
	Pass string `yaml:"pass" empty:"true"`
}

type trustSigner struct {
	Role      string `yaml:"role" required:"true" min:"1" hint:"write the full name of the role, such as targets/jenkins"`
	PublicKey string `yaml:"publicKey" required:"true" min:"1" hint:"write base64 of a certificate or a public key in PEM"`
}

// trustKeys are the keys of a trust file, which may be written in upper and lower case as one likes.
var trustKeys = []string{"strict", "repositories", "name", "priority", "trust", "enabled", "trustServer", "auth", "user", "pass", "signers", "role", "publicKey"}

// TrustFile converts the trust.yaml of container-signature-enforcer (opa-notary-connector), or the values of its Helm chart. name stands for
// the file in messages. An error about the file is policy.Errors, and holds no password.
func TrustFile(name string, data []byte, o TrustFileOptions) (*Result, error) {
	doc, err := policy.Document(name, data)
	if err != nil {
		return nil, withoutPasswords(err, data)
	}
	c := &trustFileReader{file: name, doc: doc, options: o}
	warnings, err := doc.Respell(trustKeys...)
	if err == nil {
		err = doc.Decode(&c.content)
	}
	if err != nil {
		return nil, withoutPasswords(err, data)
	}
	for _, w := range warnings {
		c.notes = append(c.notes, Note{File: name, Line: w.Line, What: w.Path, Was: "keys in upper or lower case were the same", Now: w.Text, Do: "nothing"})
	}
	return c.convert()
}

var (
	passwordLine = regexp.MustCompile(`(?i)pass[a-z]*["']?\s*:`)
	passwordPath = regexp.MustCompile(`(?i)^(.*\bpass[a-z]*)`)
)

// withoutPasswords keeps what may be a password out of errors: where YAML takes one for something else than text, its reader shows it.
func withoutPasswords(err error, data []byte) error {
	var all policy.Errors
	if !errors.As(err, &all) {
		return err
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
	safe := slices.Clone(all)
	for i := range safe {
		e := &safe[i]
		path := passwordPath.FindString(e.Path)
		// An error of the syntax has no path: what it shows may belong to a key some lines above.
		near := lines[min(max(e.Line-3, 0), len(lines)):min(e.Line, len(lines))]
		if path == "" && (e.Path != "" || !slices.ContainsFunc(near, passwordLine.MatchString)) {
			continue
		}
		e.Path, e.Text, e.Hint = path, "the password cannot be read as text", "put it in single quotes"
	}
	return safe
}

// trustFileReader converts one trust file.
type trustFileReader struct {
	file    string
	doc     *policy.Section
	options TrustFileOptions
	content trustFile

	errs        policy.Errors
	notes       []Note
	hosts       []Host
	authorities []*authority
	rules       []rule
}

// maxErrors is how many errors of one file are reported.
const maxErrors = 50

func (c *trustFileReader) fail(field, format string, args ...any) {
	var e policy.Error
	if errors.As(c.doc.Errorf(field, format, args...), &e) && len(c.errs) < maxErrors {
		c.errs = append(c.errs, e)
	}
}

func (c *trustFileReader) note(field, what string, ch change) {
	c.notes = append(c.notes, Note{File: c.file, Line: c.doc.Line(field), What: what, Was: ch.was, Now: ch.now, Do: ch.do, Urgent: ch.urgent})
}

// noteAll adds a note about the file as a whole.
func (c *trustFileReader) noteAll(what string, ch change) {
	c.notes = append(c.notes, Note{File: c.file, What: what, Was: ch.was, Now: ch.now, Do: ch.do, Urgent: ch.urgent})
}

func (c *trustFileReader) convert() (*Result, error) {
	roots, err := writtenRoots(c.options.Options)
	if err != nil {
		return nil, err
	}
	scope, err := readLabel(c.options.IgnoredNamespaces)
	if err != nil {
		return nil, err
	}
	for i := range c.content.Repositories {
		c.repository(i)
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b policy.Error) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, c.errs
	}
	if !slices.ContainsFunc(c.rules, rule.stays) {
		c.fail("repositories", "no name in it is that of an image, so that no rule is left; see the notes about each: %s", c.listed())
		return nil, c.errs
	}
	if err := c.idle(); err != nil {
		return nil, err
	}
	c.order()
	c.guard()
	c.general(scope)
	// unmatched: deny would do; the rule has the text that users know.
	rest := rule{comment: "what no repository is about", pattern: "**", deny: "No repository matched"}
	d := document{
		name: cmp.Or(c.options.Name, "container-signature-enforcer"), source: c.file, system: "container-signature-enforcer",
		mode: c.options.Mode, scope: scope, roots: roots, roles: c.options.Roles, authorities: c.authorities, rules: append(c.rules, rest),
	}
	return d.result(c.notes, c.hosts)
}

// idle refuses options that nothing in the file would obey.
func (c *trustFileReader) idle() error {
	unnamed := func(a *authority) bool { return len(a.signers) == 0 }
	switch {
	case c.options.Roots != (Roots{}) && len(c.authorities) == 0:
		return errors.New("roots: no repository has trust enabled, so that nothing would look at them; leave them out")
	case len(c.options.Roles) > 0 && !slices.ContainsFunc(c.authorities, unnamed):
		return errors.New("roles: no repository is without signers, so that nothing would look at them; leave them out")
	}
	return nil
}

// listed are the notes in one text, for an error that would otherwise hide them.
func (c *trustFileReader) listed() string {
	var all []string
	for _, n := range c.notes {
		all = append(all, n.String())
	}
	return strings.ReplaceAll(strings.Join(all, " | "), "; ", ", ")
}
