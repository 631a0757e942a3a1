package policy

import (
	"crypto/sha256"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/spelling"
)

// Source is the bytes of one policy document and where they come from.
type Source struct {
	Name string // of the file, for messages
	Data []byte
	// ReadFile returns the content of a file that a section names, relative to the document's own folder. It should stop reading
	// behind MaxFile bytes. nil: sections cannot name files.
	ReadFile func(name string) ([]byte, error)
	// Object says that Data is the JSON of an object as the API server of a cluster has it, of at most MaxObject bytes: a TrustPolicy, or a
	// NamespaceTrustPolicy. Name is then its kind and name. What only the cluster says about it (its status, and all of its metadata but
	// its name and namespace) is left out of account, also of MaxPolicy and of the policy's hash, and errors have no line.
	Object bool
}

// Parse reads one policy document of at most MaxPolicy bytes and checks all of it but the sections of the authorities, which belong
// to their formats. formats are the names of the formats that there are. The error is Errors: all that is wrong, with positions.
func Parse(src Source, formats []string) (*Policy, error) {
	d := &decoder{origin: origin{name: src.Name, object: src.Object}}
	p := &Policy{File: src.Name}
	root, fatal := d.read(src, p)
	if fatal || !d.checkKind(root) {
		return nil, d.errs.sorted()
	}
	w := d.document(root)
	c := &compiler{decoder: d, src: src, formats: formats, policy: p, names: map[string]bool{}, used: map[string]bool{}}
	c.compile(root, w)
	if err := d.errs.sorted(); err != nil {
		return nil, err
	}
	Errors(p.Warnings).sort()
	p.index = newIndex(p.Rules)
	return p, nil
}

// read reads the bytes of a document and notes what identifies them; fatal says that there is nothing to look at.
func (d *decoder) read(src Source, p *Policy) (root cursor, fatal bool) {
	if !src.Object {
		p.hash.document = sha256.Sum256(src.Data)
		return d.load(src.Data)
	}
	root, fatal = d.loadObject(src.Data)
	if !fatal {
		p.hash.document, fatal = d.identity(root)
	}
	return root, fatal
}

// document decodes a document of either form.
func (d *decoder) document(root cursor) *wireDocument {
	var w wireDocument
	if !d.object {
		d.decode(root, target(&w))
		return &w
	}
	var o wireObject
	d.decode(root, target(&o))
	w.Kind, w.Spec = o.Kind, o.Spec
	w.Metadata.Name, w.namespace = o.Metadata.Name, o.Metadata.Namespace
	return &w
}

// kinds returns what kinds of document are read.
func (d *decoder) kinds() []string {
	if d.object {
		return []string{kind, namespaceKind}
	}
	return []string{kind}
}

// checkKind looks at what kind of document it is, before the rest of another kind fills the screen with errors.
func (d *decoder) checkKind(root cursor) bool {
	if root.node.Kind != yaml.MappingNode {
		d.fail(root.node, nil, "%s where a policy is wanted; begin with apiVersion, kind, metadata and spec (see the files in examples)", describe(root.node))
		return false
	}
	k, found := root.child("kind")
	switch {
	case !found || slices.Contains(d.kinds(), k.node.Value) || k.node.Kind != yaml.ScalarNode:
		return true
	case k.node.Value == namespaceKind:
		d.fail(k.node, k.path, "a %s lives in the cluster, in the namespace that it speaks about, and is not read from files; apply it with kubectl, or write kind: %s",
			namespaceKind, kind)
		return false
	case spelling.Nearest(k.node.Value, d.kinds()) != "":
		return true
	}
	d.fail(k.node, k.path, "a %q is no policy; write kind: %s", clip(k.node.Value), strings.Join(d.kinds(), " or "))
	return false
}

// compiler makes a Policy from a document that was decoded.
type compiler struct {
	*decoder
	src     Source
	formats []string
	policy  *Policy
	names   map[string]bool // of the authorities
	order   []string        // the same, in the order of the document
	used    map[string]bool // authorities that rules name
}

func (c *compiler) compile(root cursor, w *wireDocument) {
	spec, found := root.child("spec")
	p := c.policy
	p.Name, p.Mode, p.Unmatched = w.Metadata.Name, w.Spec.Mode, w.Spec.Unmatched
	if strings.Contains(p.Name, "..") || strings.Contains(p.Name, ".-") || strings.Contains(p.Name, "-.") {
		name := root.field("metadata.name")
		c.fail(name.node, name.path, "%q is malformed; between two dots stand letters and digits, and '-' inside", clip(p.Name))
	}
	c.bind(root, w)
	if !found {
		return
	}
	c.scope(spec, w.Spec.Scope)
	c.bindScope(spec)
	c.authorities(w.Spec.Authorities.list)
	if rules, found := spec.child("rules"); found && rules.node.Kind == yaml.SequenceNode {
		for i := range w.Spec.Rules {
			p.Rules = append(p.Rules, c.rule(rules.item(i), &w.Spec.Rules[i]))
		}
		c.warnUnreachable(rules)
	}
	if revoked, found := spec.child("revoked"); found && revoked.node.Kind == yaml.SequenceNode {
		for i := range w.Spec.Revoked {
			p.Revoked = append(p.Revoked, c.revocation(revoked.item(i), &w.Spec.Revoked[i]))
		}
	}
	for _, a := range w.Spec.Authorities.list {
		if !c.used[a.name] {
			c.warn(a.place.at(), a.place.path, "no rule requires this authority; name it in a rule or remove it")
		}
	}
}

func (c *compiler) warn(n *yaml.Node, p *path, text string) {
	if len(c.policy.Warnings) < maxErrors {
		c.policy.Warnings = append(c.policy.Warnings, c.errorAt(n.Line, n.Column, p, text))
	}
}

// maxName is the longest name of an authority, in characters.
const maxName = 63

func (c *compiler) authorities(list []wireAuthority) {
	for i := range list {
		a := &list[i]
		if !c.names[a.name] {
			c.names[a.name] = true
			c.order = append(c.order, a.name)
		}
		if len(a.name) > maxName || !authorityName.MatchString(a.name) {
			c.fail(a.place.key, a.place.path, "malformed name; use at most %d letters, digits, '.', '_' and '-', with a letter or digit at both ends", maxName)
			continue
		}
		if !c.format(a) {
			continue
		}
		c.policy.Authorities = append(c.policy.Authorities, Authority{Name: a.name, Format: a.format, Section: &Section{
			origin: c.origin, place: a.section, readFile: c.src.ReadFile, hash: &c.policy.hash,
		}})
	}
}

// format finds the one format of an authority.
func (c *compiler) format(a *wireAuthority) bool {
	n := a.place.node
	switch {
	case n.Kind != yaml.MappingNode:
		c.fail(a.place.at(), a.place.path, "%s where a format is wanted; write {format: {…}} with one of: %s", describe(n), strings.Join(c.formats, ", "))
		return false
	case len(n.Content) == 0:
		c.fail(a.place.at(), a.place.path, "no format; write one of: %s", strings.Join(c.formats, ", "))
		return false
	}
	for i := range len(n.Content) / 2 {
		f := a.place.pair(i)
		switch {
		case !slices.Contains(c.formats, f.key.Value):
			c.fail(f.key, f.path, "unknown format; %s", didYouMean(f.key.Value, "formats are: ", c.formats))
		case i > 0:
			c.fail(f.key, f.path, "%s", secondFormat)
		case f.node.Kind == yaml.ScalarNode && f.node.Tag == "!!null":
			c.fail(f.at(), f.path, "has no value; write what the format needs")
		case f.node.Kind != yaml.MappingNode:
			c.fail(f.node, f.path, "%s where a mapping is wanted; write what the format needs", describe(f.node))
		default:
			a.format, a.section = f.key.Value, f
		}
	}
	return !c.hasFailed(a.place.path)
}
