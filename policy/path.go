package policy

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// path is where a value stands in a document: the path of what holds it, and a key or an index. The root's is nil.
type path struct {
	up    *path
	key   string
	index int // of an item of a list; -1 for a key
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// String returns p as in "spec.rules[0].images[1]"; keys with other characters stand in brackets and quotes.
func (p *path) String() string {
	var steps []string
	for at := p; at != nil; at = at.up {
		steps = append(steps, at.step())
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		if b.Len() > 0 && steps[i][0] != '[' {
			b.WriteByte('.')
		}
		b.WriteString(steps[i])
	}
	return b.String()
}

func (p *path) step() string {
	switch {
	case p.index >= 0:
		return "[" + strconv.Itoa(p.index) + "]"
	case plainKey.MatchString(p.key):
		return clip(p.key)
	}
	return "[" + strconv.Quote(clip(p.key)) + "]"
}

// cursor is a value of a document: its node, the node of its key if it has one, and its path.
type cursor struct {
	key, node *yaml.Node
	path      *path
}

// at is the node whose position stands for the value as a whole: its key, or itself.
func (c cursor) at() *yaml.Node {
	if c.key != nil {
		return c.key
	}
	return c.node
}

// item returns the value at an index of a list.
func (c cursor) item(i int) cursor {
	return cursor{node: c.node.Content[i], path: &path{up: c.path, index: i}}
}

// pair returns the i-th value of a mapping.
func (c cursor) pair(i int) cursor {
	key := c.node.Content[2*i]
	return cursor{key: key, node: c.node.Content[2*i+1], path: &path{up: c.path, key: key.Value, index: -1}}
}

// child returns the value of a key. If there is none, it returns c's own place with the path that the value would have.
func (c cursor) child(key string) (cursor, bool) {
	if c.node.Kind == yaml.MappingNode {
		for i := range len(c.node.Content) / 2 {
			if c.node.Content[2*i].Value == key {
				return c.pair(i), true
			}
		}
	}
	return cursor{key: c.key, node: c.node, path: &path{up: c.path, key: key, index: -1}}, false
}

// fieldSteps splits a path such as `crls[1].file` or `labels["a.b"]`.
var fieldSteps = regexp.MustCompile(`\[([0-9]+)\]|\["([^"]*)"\]|([^.\[\]]+)`)

// field returns the value at a path such as "crls[1].file" below c; for what is not there, the nearest place above it.
func (c cursor) field(field string) cursor {
	found := true
	for _, step := range fieldSteps.FindAllStringSubmatch(field, -1) {
		if index, err := strconv.Atoi(step[1]); err == nil {
			found = found && c.node.Kind == yaml.SequenceNode && index < len(c.node.Content)
			if found {
				c = c.item(index)
			} else {
				c.path = &path{up: c.path, index: index}
			}
			continue
		}
		key := step[2] + step[3]
		if !found {
			c.path = &path{up: c.path, key: key, index: -1}
			continue
		}
		c, found = c.child(key)
	}
	return c
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
