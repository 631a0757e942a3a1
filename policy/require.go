package policy

import (
	"go.yaml.in/yaml/v3"
)

// Limits of a tree of requirements.
const (
	maxRequireDepth  = 8
	maxRequireLeaves = 64
)

// wireRequire is what a rule requires: a name, a list of requirements, or a mapping with all, any, or atLeast and of.
type wireRequire struct {
	place cursor
	name  string
	verb  string // "all", "any" or "of"; "" for a name
	count int    // of atLeast
	nodes []wireRequire
}

type wireTree struct {
	All     []wireRequire `yaml:"all" min:"1" hint:"name an authority" doc:"every one of these"`
	Any     []wireRequire `yaml:"any" min:"1" hint:"name an authority" doc:"one of these"`
	AtLeast *int          `yaml:"atLeast" min:"1" hint:"require at least one" doc:"how many of these, by different signers"`
	Of      []wireRequire `yaml:"of" min:"1" hint:"name an authority" doc:"what atLeast counts"`
}

func (w *wireRequire) decodeNode(d *decoder, c cursor) {
	w.place = c
	switch c.node.Kind {
	case yaml.ScalarNode:
		w.name, _ = d.text(c)
		if w.name == "" && !d.hasFailed(c.path) {
			d.fail(c.node, c.path, "an empty name; name an authority")
		}
		return
	case yaml.SequenceNode:
		w.verb = "all"
		for i := range c.node.Content {
			var item wireRequire
			d.decode(c.item(i), target(&item))
			w.nodes = append(w.nodes, item)
		}
		if len(w.nodes) == 0 {
			d.fail(c.at(), c.path, "is empty; name an authority")
		}
		return
	}
	var tree wireTree
	d.decodeStruct(c, target(&tree))
	if d.hasFailed(c.path) {
		return
	}
	w.take(d, tree)
}

// take reads what a mapping says.
func (w *wireRequire) take(d *decoder, tree wireTree) {
	c := w.place
	verbs := 0
	for _, given := range []bool{tree.All != nil, tree.Any != nil, tree.Of != nil || tree.AtLeast != nil} {
		if given {
			verbs++
		}
	}
	switch {
	case verbs != 1:
		d.fail(c.at(), c.path, "%d of all, any and atLeast; write exactly one", verbs)
	case tree.All != nil:
		w.verb, w.nodes = "all", tree.All
	case tree.Any != nil:
		w.verb, w.nodes = "any", tree.Any
	case tree.AtLeast == nil:
		d.fail(c.at(), c.path, "of without a number; add atLeast")
	case tree.Of == nil:
		d.fail(c.at(), c.path, "atLeast without a list; add of")
	case *tree.AtLeast > len(tree.Of):
		at, _ := c.child("atLeast")
		d.fail(at.node, at.path, "%d of a list of %d can never hold; lower it, or add to of", *tree.AtLeast, len(tree.Of))
	default:
		w.verb, w.count, w.nodes = "of", *tree.AtLeast, tree.Of
	}
}

// requirement compiles w, which stands depth levels deep, and counts its leaves.
func (c *compiler) requirement(w wireRequire, depth int, leaves *int) Requirement {
	if w.verb == "" {
		*leaves++
		c.use(w)
		return Requirement{Authority: w.name}
	}
	if depth > maxRequireDepth {
		c.fail(w.place.at(), w.place.path, "more than %d levels deep; make it flatter", maxRequireDepth)
		return Requirement{}
	}
	r := Requirement{AtLeast: len(w.nodes)}
	switch w.verb {
	case "any":
		r.AtLeast = 1
	case "of":
		r.AtLeast, r.Distinct = w.count, true
	}
	seen := map[string]bool{}
	for _, node := range w.nodes {
		if node.name != "" && seen[node.name] {
			c.fail(node.place.node, node.place.path, "authority %q stands twice in one list; name it once", clip(node.name))
		}
		seen[node.name] = true
		r.Of = append(r.Of, c.requirement(node, depth+1, leaves))
	}
	return r
}

// use notes that an authority is named, which must exist.
func (c *compiler) use(w wireRequire) {
	if w.name == "" || c.used[w.name] {
		return
	}
	if _, known := c.names[w.name]; known {
		c.used[w.name] = true
		return
	}
	hint := didYouMean(w.name, "spec.authorities has: ", c.order)
	if len(c.order) == 0 {
		hint = "add it to spec.authorities"
	}
	c.fail(w.place.node, w.place.path, "unknown authority %q; %s", clip(w.name), hint)
}
