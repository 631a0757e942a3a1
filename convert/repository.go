package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/assay-dev/assay/policy"
)

// repository converts one entry of the list.
func (c *trustFileReader) repository(i int) {
	at := fmt.Sprintf("repositories[%d]", i)
	given := &c.content.Repositories[i]
	trust := given.Trust
	enabled := trust.Enabled != nil && *trust.Enabled
	what := "name " + policy.Quote(given.Name)
	e, err := readExpression(given.Name, c.options.InsecureUnanchored, enabled)
	if err != nil {
		c.fail(at+".name", "%w", err)
	}
	for _, ch := range e.changes {
		c.note(at+".name", what, ch)
	}
	r := rule{
		line: c.doc.Line(at), given: given.Name, priority: given.Priority, guards: e.guards, replace: !c.strict(),
	}
	if e.text != "" {
		r.expressions = []string{e.text}
	}
	signers := c.signers(at+".trust.signers", trust.Signers)
	login := c.login(at+".trust.auth", trust.Auth)
	switch {
	case !enabled:
		r.allow = fmt.Sprintf("trust is disabled for %s in %s, line %d", given.Name, c.file, r.line)
		if trust.Enabled == nil {
			c.note(at+".trust", what, change{
				was: "enabled is absent, which is false: its images were accepted without a look", now: "the same, as a rule with allow",
				do: "write enabled: true into trust and import again, if they are meant to be signed",
			})
		}
	case e.text != "":
		r.authority = c.authority(at+".trust", trust.Server, signers, login)
	}
	c.rules = append(c.rules, r)
}

func (c *trustFileReader) strict() bool {
	switch {
	case c.options.Strict != nil:
		return *c.options.Strict
	case c.content.Strict != nil:
		return *c.content.Strict
	}
	return true
}

// signers reads the signers of one repository.
func (c *trustFileReader) signers(at string, given []trustSigner) []signer {
	var all []signer
	lines := map[string]int{}
	for i, g := range given {
		field := fmt.Sprintf("%s[%d]", at, i)
		if err := checkRole(g.Role); err != nil {
			c.fail(field+".role", "%w", err)
		} else if line, twice := lines[g.Role]; twice {
			c.fail(field+".role", "the role %s stands on line %d already; keep one of the two, or make one role of both keys", g.Role, line)
		}
		lines[g.Role] = c.doc.Line(field + ".role")
		k, err := readKey(g.PublicKey, c.options.Now)
		if err != nil {
			c.fail(field+".publicKey", "%w", err)
		}
		all = append(all, signer{role: g.Role, key: k})
	}
	return all
}

// roleName is the form of a role below targets (Notary, "Delegations").
var roleName = regexp.MustCompile(`^[a-z0-9_-]+(/[a-z0-9_-]+)*$`)

func checkRole(role string) error {
	const longest = 255
	below, delegated := strings.CutPrefix(role, "targets/")
	switch {
	case role == "targets":
		return nil
	case len(role) > longest:
		return fmt.Errorf("the role has %d characters, at most %d are allowed; write its name as notary shows it", len(role), longest)
	case !delegated && roleName.MatchString(role):
		return fmt.Errorf("%s is no full name of a role, and is never found; did you mean targets/%s?", policy.Quote(role), role)
	case !delegated || !roleName.MatchString(below):
		return fmt.Errorf("%s is no name of a role; write targets/ and lower-case letters, digits, '_' and '-'", policy.Quote(role))
	}
	return nil
}

// login is what a server is shown.
type login struct {
	field          string
	user, password string
}

// login reads a login; nil if there is none.
func (c *trustFileReader) login(at string, given *trustAuth) *login {
	if given == nil || *given == (trustAuth{}) {
		return nil
	}
	switch {
	case given.User == "":
		c.fail(at, "a password without user; write both or none")
	case given.Pass == "":
		c.fail(at, "a user without pass; write both or none")
	case strings.Contains(given.User, ":"):
		c.fail(at+".user", "contains a colon, which basic authentication cannot express; write the user's name alone")
	}
	return &login{field: at, user: given.User, password: given.Pass}
}

// authority finds or makes the authority of a repository.
func (c *trustFileReader) authority(at, text string, signers []signer, l *login) *authority {
	field := at + ".trustServer"
	if text == "" {
		c.fail(at, "trust is enabled without a trustServer; add its URL, as in trustServer: https://notary.example:4443")
		return nil
	}
	s, err := readServer(text)
	if err != nil {
		c.fail(field, "%w", err)
		return nil
	}
	a := &authority{server: s, signers: signers, lines: []int{c.doc.Line(at)}}
	for _, known := range c.authorities {
		if known.same(a) {
			known.lines = append(known.lines, a.lines...)
			a = known
			break
		}
	}
	if a.name == "" {
		a.name = nameOf(a, c.authorities)
		c.authorities = append(c.authorities, a)
		c.noteAuthority(at, a)
	}
	c.host(at, s, l)
	return a
}

// noteAuthority says what changes for all that share an authority.
func (c *trustFileReader) noteAuthority(at string, a *authority) {
	field := at + ".trustServer"
	if a.server.guessed {
		c.note(field, "trustServer", change{was: "it has no scheme", now: a.server.url, do: "nothing, if the server speaks TLS"})
	}
	if a.server.url == pluginNotary {
		c.note(field, "trustServer", notaryEnds())
	}
	if !a.server.tls {
		c.note(field, "trustServer", change{
			was: "reached without TLS", now: "the same, by insecurePlainHTTP in the settings of " + a.server.host, urgent: true,
			do: "give the server a certificate, and write https://",
		})
	}
	what := "authority " + a.name
	noteRoots(c.options.Options, func(ch change) { c.note(at, what, ch) })
	if len(a.signers) > 0 {
		c.note(at+".signers", what, change{
			was: "the keys were compared with those of the roles", now: "the meaning becomes stricter: every role must have signed the image with its key; a certificate and the bare key of it are the same signer",
			do: "nothing",
		})
		return
	}
	noteRoles(c.options.Options, func(ch change) { c.note(at, what, ch) })
}

// host notes what a server's settings need.
func (c *trustFileReader) host(at string, s server, l *login) {
	h := Host{Name: s.host, PlainHTTP: !s.tls}
	if s.tls {
		h.CA = c.options.NotaryCA
	}
	if l == nil && s.tls && h.CA == "" {
		return
	}
	if l != nil {
		h.Username, h.Password, h.Source = l.user, l.password, fmt.Sprintf("%s:%d", c.file, c.doc.Line(l.field))
	}
	field := at + ".trustServer"
	if l != nil {
		field = l.field
	}
	if !s.named {
		c.fail(field, "settings of registries cannot name the host %s, which has no dot and no port; write its full name", s.host)
		return
	}
	i := slices.IndexFunc(c.hosts, func(known Host) bool { return known.Name == h.Name })
	switch {
	case i < 0:
		c.hosts = append(c.hosts, h)
	case c.hosts[i].PlainHTTP != h.PlainHTTP:
		c.fail(at+".trustServer", "the server %s is written with https and with http; write it the same way everywhere", s.host)
		return
	case l != nil && c.hosts[i].Username == "":
		c.hosts[i] = h
	case l != nil && (c.hosts[i].Username != h.Username || c.hosts[i].Password != h.Password):
		c.fail(field, "another login for the server %s stands at %s; give one user the right to read both", s.host, c.hosts[i].Source)
		return
	default:
		return
	}
	if l != nil {
		ch := change{
			was: "the login stood here", now: "it stands in the settings of registries, for the host " + s.host + " and its token service",
			do: "give them by --registries; add tokenRealms there if tokens come from another host",
		}
		if !s.tls {
			ch.now, ch.urgent = ch.now+", and is sent without TLS as before", true
		}
		c.note(l.field, "auth", ch)
	}
}
