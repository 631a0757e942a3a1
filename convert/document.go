package convert

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/assay-dev/assay/policy"
)

// format is the format of every authority that is written.
const format = "notaryv1"

// document is a policy that is to be written.
type document struct {
	name, source, system string
	mode                 string
	scope                *label
	roots                writtenRoot
	roles                []string
	authorities          []*authority // in the order of their first use
	rules                []rule
}

// authority is somebody who vouches.
type authority struct {
	name    string
	server  server
	signers []signer // all of them must; none: whoever signs for one of the roles
	lines   []int    // where it comes from
	comment string   // in the place of the lines
}

// signer is a role and its key.
type signer struct {
	role string
	key  key
}

// same reports whether two authorities mean the same.
func (a *authority) same(b *authority) bool {
	byRole := func(s, t signer) int { return cmp.Compare(s.role, t.role) }
	return a.server.url == b.server.url && slices.Equal(slices.SortedFunc(slices.Values(a.signers), byRole), slices.SortedFunc(slices.Values(b.signers), byRole))
}

// rule is one rule.
type rule struct {
	line        int
	comment     string // in the place of line, given and priority
	given       string // the expression as it was
	priority    int
	expressions []string   // for imagesRegExp; none: the rule is left out
	guards      []string   // for images that it was about, and that a rule behind it must not decide about
	pattern     string     // for images
	authority   *authority // whose word is needed; nil: see allow and deny
	replace     bool       // the signed digest takes the place of another one
	allow       string
	deny        string
}

// stays reports whether r is written.
func (r rule) stays() bool { return len(r.expressions) > 0 || r.pattern != "" }

// label is a label of namespaces.
type label struct{ key, value string }

// labelForm is the form of labels (Kubernetes, "Labels and Selectors"), as key=value. It is large and seldom needed, so that whoever starts
// the program for something else does not wait for it.
var labelForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?=([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$`)
})

func readLabel(text string) (*label, error) {
	if text == "" {
		return nil, nil
	}
	if !labelForm().MatchString(text) {
		return nil, fmt.Errorf("label %q: want key=value, as in sighup.io/webhook=ignore", text)
	}
	key, value, _ := strings.Cut(text, "=")
	return &label{key, value}, nil
}

// writtenRoot is the root of the trust data as a section has it; without a field, the first one that is seen is trusted.
type writtenRoot struct{ field, pem string }

func writtenRoots(o Options) (writtenRoot, error) {
	field, content, err := o.Roots.given()
	if err != nil {
		return writtenRoot{}, err
	}
	for _, role := range o.Roles {
		if err := checkRole(role); err != nil {
			return writtenRoot{}, fmt.Errorf("roles: %w", err)
		}
	}
	return writtenRoot{field, content}, nil
}

// noteRoots says what becomes of the trust in the root.
func noteRoots(o Options, note func(change)) {
	was := "the first root of a name that the server showed was trusted"
	field, _, err := o.Roots.given()
	if err != nil || field == "" {
		note(change{
			was: was, now: "the same (insecureTrustOnFirstUse)", urgent: true,
			do: "import again with --root-ca, --root-certificate or --root-key FILE; assay policy import --help says where the root is found",
		})
		return
	}
	note(change{was: was, now: "the meaning becomes stricter: the given " + rootWord(field) + " must stand behind the root", do: "check that it does for every repository"})
}

// rootWord is what people call a kind of root.
func rootWord(field string) string {
	if field == "ca" {
		return "CA"
	}
	return field
}

// noteRoles says whose targets count where no signers are named.
func noteRoles(o Options, note func(change)) {
	roles := "targets and targets/releases"
	if len(o.Roles) > 0 {
		roles = strings.Join(o.Roles, ", ")
	}
	note(change{
		was: "a target of the tag counted in any role", now: "the meaning becomes stricter: it counts in " + roles,
		do: "if others sign, import with --roles, naming all that count, or name signers with their keys",
	})
}

// nameOf makes a name for an authority that none of the others has, of its roles or its server.
func nameOf(a *authority, others []*authority) string {
	host := plainName(a.server.host)
	var roles []string
	for _, s := range a.signers {
		roles = append(roles, strings.TrimPrefix(s.role, "targets/"))
	}
	slices.Sort(roles)
	first := host
	if len(roles) > 0 {
		first = plainName(strings.Join(roles, "-"))
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(others, func(o *authority) bool { return o.name == name })
	}
	name := first
	if taken(name) && first != host {
		name = plainName(first + "-" + host)
	}
	for i, base := 2, name; taken(name); i++ {
		name = plainName(fmt.Sprintf("%s-%d", base, i))
	}
	return name
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// plainName makes a name that an authority can have of a text; a long one ends in a part of its hash.
func plainName(text string) string {
	const longest, hashed = 63, 8
	name := strings.Trim(notInNames.ReplaceAllString(text, "-"), "._-")
	if len(name) > longest {
		sum := sha256.Sum256([]byte(text))
		name = strings.TrimRight(name[:longest-hashed-1], "._-") + "-" + hex.EncodeToString(sum[:])[:hashed]
	}
	return cmp.Or(name, "signer")
}

// result writes the policy, and reads it again: what comes out can be used.
func (d *document) result(notes []Note, hosts []Host) (*Result, error) {
	var w policy.Writer
	d.write(&w)
	if _, err := policy.Parse(policy.Source{Name: "policy", Data: w.Bytes()}, []string{format}); err != nil {
		var all policy.Errors
		if errors.As(err, &all) && all[0].Path == "metadata.name" {
			return nil, fmt.Errorf("name %q: %s; %s", d.name, all[0].Text, all[0].Hint)
		}
		return nil, fmt.Errorf("the policy that comes out cannot be read: %w", err)
	}
	slices.SortStableFunc(notes, func(a, b Note) int {
		last := func(line int) int { return cmp.Or(line, 1<<30) }
		return cmp.Compare(last(a.Line), last(b.Line))
	})
	return &Result{Policy: w.Bytes(), Notes: notes, Hosts: hosts}, nil
}

func (d *document) write(w *policy.Writer) {
	w.Comment("Made of " + d.source + " by assay policy import " + d.system + ", which reports what means something else than before.")
	w.Line("apiVersion: assay.dev/v1")
	w.Line("kind: TrustPolicy")
	w.Open("metadata")
	w.Text("name", d.name)
	w.Close()
	w.Open("spec")
	w.Text("mode", d.mode)
	if d.scope != nil {
		w.Open("scope")
		w.Open("namespaces")
		w.Open("selector")
		w.Line("matchExpressions:")
		w.Text("- key", d.scope.key)
		w.Line("  operator: NotIn")
		w.Line("  values: [" + policy.Quote(d.scope.value) + "]")
		w.Close()
		w.Close()
		w.Close()
	}
	w.Line("unmatched: deny")
	if len(d.authorities) > 0 {
		w.Open("authorities")
		for _, a := range d.authorities {
			d.writeAuthority(w, a)
		}
		w.Close()
	}
	w.Line("rules:")
	for _, r := range d.rules {
		d.writeRule(w, r)
	}
}

func (d *document) writeAuthority(w *policy.Writer, a *authority) {
	if a.comment != "" {
		w.Comment(a.comment)
	} else {
		w.Comment(d.source + ":" + joined(a.lines))
	}
	w.Open(plainKey(a.name))
	w.Open(format)
	w.Text("server", a.server.url)
	if d.roots.field != "" {
		w.Open("root")
		w.Block(d.roots.field, d.roots.pem)
		w.Close()
	} else {
		w.Line("insecureTrustOnFirstUse: true")
	}
	switch {
	case len(a.signers) > 0:
		w.Line("signers:")
		for _, s := range a.signers {
			w.Text("- role", s.role)
			w.Indent()
			w.Block(s.key.field, s.key.pem)
			w.Close()
		}
	case len(d.roles) > 0:
		w.Line("roles:")
		for _, role := range d.roles {
			w.Line("- " + policy.Quote(role))
		}
	}
	w.Close()
	w.Close()
}

func (d *document) writeRule(w *policy.Writer, r rule) {
	if r.comment != "" {
		w.Comment(r.comment)
	} else {
		w.Comment(fmt.Sprintf("%s:%d: %s, priority %d", d.source, r.line, r.given, r.priority))
	}
	if r.pattern != "" {
		w.Line("- images: [" + policy.Quote(r.pattern) + "]")
	} else {
		quoted := make([]string, len(r.expressions))
		for i, e := range r.expressions {
			quoted[i] = policy.Quote(e)
		}
		w.Line("- imagesRegExp: [" + strings.Join(quoted, ", ") + "]")
	}
	w.Indent()
	switch {
	case r.authority == nil:
		w.Text("allow", r.allow)
		w.Text("deny", r.deny)
	case r.replace:
		w.Line("require: [" + plainKey(r.authority.name) + "]")
		w.Line("digest: insecureReplace")
	default:
		w.Line("require: [" + plainKey(r.authority.name) + "]")
		w.Line("digest: pin")
	}
	w.Close()
}

var obviousKey = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)

// plainKey writes a name without quotes where every reader takes it for text.
func plainKey(name string) string {
	words := []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
	if obviousKey.MatchString(name) && !slices.Contains(words, name) {
		return name
	}
	return policy.Quote(name)
}

// joined lists numbers of lines.
func joined(lines []int) string {
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = fmt.Sprint(line)
	}
	return strings.Join(texts, ", ")
}
