package policy

import "crypto/sha256"

// StandIn returns what stands for an object that cannot be used, and why: a policy of its name, mode and scope, about whose every image
// nobody can tell what it says. Leaving such a policy out would be weaker than its author meant, whatever it was, since all policies in
// scope must allow.
//
// namespace and name are those that the cluster knows it by. What cannot be read is taken for the strictest: a scope for everything in the
// namespace, or in the cluster, and a mode for Enforce.
func StandIn(src Source, namespace, name string, why error) *Policy {
	p := &Policy{File: src.Name, Name: name, Namespace: namespace, Unusable: why}
	if namespace != "" {
		p.Name = namespace + "/" + name
	}
	p.hash.document = sha256.Sum256(append([]byte(p.Name+"\x00"+why.Error()+"\x00"), src.Data...))
	p.index = newIndex(nil)
	d := &decoder{origin: origin{name: src.Name, object: src.Object}}
	read := &Policy{}
	root, fatal := d.read(src, read)
	if fatal || !d.checkKind(root) {
		return p
	}
	w := d.document(root)
	c := &compiler{decoder: d, src: src, policy: read}
	if spec, found := root.child("spec"); found {
		c.scope(spec, w.Spec.Scope)
	}
	if d.full() {
		return p
	}
	if !d.failed["spec.mode"] {
		p.Mode = w.Spec.Mode
	}
	if !d.failed["spec.scope"] {
		p.Scope = read.Scope
	}
	return p
}
