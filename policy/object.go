package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxObject is the size of the largest object of a cluster that is read, in bytes, with its status and all of its metadata: what the API
// server takes in one request. What counts of it is bounded by MaxPolicy.
const MaxObject = 3 << 20

// loadObject reads an object's JSON into the nodes that a document has, without a position and without what only the cluster says about
// it. JSON is not read as YAML, which has other escapes and no keys of more than 1024 characters.
func (d *decoder) loadObject(data []byte) (root cursor, fatal bool) {
	switch {
	case len(data) > MaxObject:
		d.place(0, 0, nil, "%d bytes, at most %d (3 MiB) are allowed; split it into several policies", len(data), MaxObject)
		return cursor{}, true
	case !utf8.Valid(data):
		d.place(0, 0, nil, "some bytes are not UTF-8; write the object anew")
		return cursor{}, true
	}
	r := objectReader{decoder: d, tokens: json.NewDecoder(bytes.NewReader(data))}
	r.tokens.UseNumber()
	node, err := r.value(nil, 1)
	if err == nil {
		if _, after := r.tokens.Token(); after != io.EOF {
			err = errors.New("there is more behind the object")
		}
	}
	switch {
	case errors.Is(err, errReported):
		return cursor{}, true
	case err != nil:
		d.place(0, 0, nil, "%s; give the JSON of one object", "this is no JSON: "+noHint(err))
		return cursor{}, true
	}
	return cursor{node: node}, false
}

// identity returns what an object is recognised by: kind, name, namespace and spec in one spelling; fatal says that it is too large.
func (d *decoder) identity(root cursor) (sum [sha256.Size]byte, fatal bool) {
	text, err := json.Marshal(plain(root.node)) // keys are sorted, and what only the cluster says is not in it
	if err != nil {
		panic("policy: JSON that was read cannot be written: " + err.Error())
	}
	if len(text) > MaxPolicy {
		d.place(0, 0, nil, "%d bytes without status and metadata, at most %d (1 MiB) are allowed; split it into several policies", len(text), MaxPolicy)
		return sum, true
	}
	return sha256.Sum256(text), false
}

// errReported says that what is wrong was reported, and that the rest cannot be read.
var errReported = errors.New("reported")

// objectReader makes nodes of JSON.
type objectReader struct {
	*decoder
	tokens *json.Decoder
}

func (r *objectReader) value(p *path, depth int) (*yaml.Node, error) {
	token, err := r.tokens.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		r.place(0, 0, p, "more than %d levels deep; make it flatter", maxDepth)
		return nil, errReported
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.mapping(p, depth)
		}
		return r.list(p, depth)
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: t}, nil
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
		if t {
			n.Value = "true"
		}
		return n, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

func (r *objectReader) list(p *path, depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for r.tokens.More() {
		item, err := r.value(&path{up: p, index: len(n.Content)}, depth+1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, item)
	}
	_, err := r.tokens.Token()
	return n, err
}

func (r *objectReader) mapping(p *path, depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	seen := map[string]bool{}
	for r.tokens.More() {
		token, err := r.tokens.Token()
		if err != nil {
			return nil, err
		}
		key := token.(string) // the decoder lets nothing else pass
		if ofCluster(p, key) {
			if err := r.tokens.Decode(new(json.RawMessage)); err != nil {
				return nil, err
			}
			continue
		}
		at := &path{up: p, key: key, index: -1}
		if seen[key] {
			r.place(0, 0, at, "duplicate key; keep one of the two")
		}
		seen[key] = true
		value, err := r.value(at, depth+1)
		if err != nil {
			return nil, err
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: key}
		n.Content = append(n.Content, name, value)
	}
	_, err := r.tokens.Token()
	return n, err
}

// ofCluster reports whether a key holds what only the cluster says about an object.
func ofCluster(p *path, key string) bool {
	switch {
	case p == nil:
		return key == "status"
	case p.up == nil && p.key == "metadata":
		return key != "name" && key != "namespace"
	}
	return false
}

// plain returns a node of an object as the value that JSON has.
func plain(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = plain(item)
		}
		return list
	case n.Tag == "!!str":
		return n.Value
	}
	return json.RawMessage(n.Value)
}

// bind gives a policy its name, and that of a namespace its bounds.
func (c *compiler) bind(root cursor, w *wireDocument) {
	if !c.object {
		return
	}
	at := root.field("metadata.namespace")
	if w.Kind != namespaceKind {
		if w.namespace != "" {
			c.fail(at.node, at.path, "a %s speaks about the whole cluster and has no namespace; remove it, or write kind: %s", kind, namespaceKind)
		}
		return
	}
	p := c.policy
	c.namespace = w.namespace
	p.Namespace, p.Name = w.namespace, w.namespace+"/"+p.Name
	if p.Namespace == "" && !c.hasFailed(at.path) {
		c.fail(at.node, at.path, "missing; a %s speaks about the namespace that it lives in", namespaceKind)
	}
}

// bindScope keeps a namespace's policy to its namespace.
func (c *compiler) bindScope(spec cursor) {
	if c.policy.Namespace == "" {
		return
	}
	if at := spec.field("scope.namespaces"); present(spec, "scope", "namespaces") {
		c.fail(at.node, at.path, "%s", namespacesOfNamespace)
	}
	c.policy.Scope.Namespaces = &Namespaces{Names: []string{c.policy.Namespace}}
}

// present reports whether c has a value at a path of keys.
func present(c cursor, keys ...string) bool {
	for _, key := range keys {
		inner, found := c.child(key)
		if !found {
			return false
		}
		c = inner
	}
	return true
}
