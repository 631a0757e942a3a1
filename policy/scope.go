package policy

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/image"
)

// Scope says which requests a policy speaks about. The zero value is all of them.
type Scope struct {
	Points     []string    // enforcement points; none: all
	Namespaces *Namespaces // nil: all, and requests without a namespace
}

// Namespaces chooses namespaces by name, by label, or by both.
type Namespaces struct {
	Names    []string  // with * for any characters; none: all
	Selector *Selector // nil: all
}

// Selector chooses by labels, as Kubernetes does (LabelSelector of meta/v1). All conditions must hold.
type Selector struct {
	MatchLabels      map[string]string
	MatchExpressions []Expression
}

// Expression is one condition on a label.
type Expression struct {
	Key      string
	Operator string // In, NotIn, Exists or DoesNotExist
	Values   []string
}

// Request is where an image is about to run, as far as scopes ask.
type Request struct {
	Point           string // enforcement point
	Namespace       string
	NamespaceLabels map[string]string
	HasNamespace    bool // whether the request is about a namespace at all
}

// InScope reports whether p speaks about a request. A policy that names namespaces does not speak about a request without one.
func (p *Policy) InScope(r Request) bool {
	if len(p.Scope.Points) > 0 && !slices.Contains(p.Scope.Points, r.Point) {
		return false
	}
	if p.Namespace != "" && (!r.HasNamespace || r.Namespace != p.Namespace) {
		return false
	}
	n := p.Scope.Namespaces
	if n == nil {
		return true
	}
	if !r.HasNamespace {
		return false
	}
	fits := func(glob string) bool { return image.Glob(glob, r.Namespace) }
	if len(n.Names) > 0 && !slices.ContainsFunc(n.Names, fits) {
		return false
	}
	return n.Selector == nil || n.Selector.matches(r.NamespaceLabels)
}

func (s *Selector) matches(labels map[string]string) bool {
	for key, want := range s.MatchLabels {
		if got, found := labels[key]; !found || got != want {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		if !e.matches(labels) {
			return false
		}
	}
	return true
}

func (e Expression) matches(labels map[string]string) bool {
	value, found := labels[e.Key]
	switch e.Operator {
	case "In":
		return found && slices.Contains(e.Values, value)
	case "NotIn":
		return !found || !slices.Contains(e.Values, value)
	case "Exists":
		return found
	case "DoesNotExist":
		return !found
	}
	return false
}

var namespaceGlob = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*-]{0,61}[a-z0-9*])?$`)

// scope compiles the scope of a policy.
func (c *compiler) scope(spec cursor, w *wireScope) {
	if w == nil {
		return
	}
	for _, p := range w.Points {
		c.policy.Scope.Points = append(c.policy.Scope.Points, string(p))
	}
	if w.Namespaces == nil {
		return
	}
	at, _ := spec.child("scope")
	at, _ = at.child("namespaces")
	n := &Namespaces{}
	for _, name := range w.Namespaces.Names {
		n.Names = append(n.Names, string(name))
	}
	c.policy.Scope.Namespaces = n
	if names, found := at.child("names"); found && names.node.Kind == yaml.SequenceNode {
		for i, name := range n.Names {
			if item := names.item(i); !namespaceGlob.MatchString(name) && !c.hasFailed(item.path) {
				c.fail(item.node, item.path, "%q is no name of a namespace; use lower-case letters, digits, '-' and '*'", clip(name))
			}
		}
	}
	if s := w.Namespaces.Selector; s != nil {
		at, _ = at.child("selector")
		n.Selector = &Selector{MatchLabels: s.MatchLabels}
		for i, e := range s.MatchExpressions {
			n.Selector.MatchExpressions = append(n.Selector.MatchExpressions, Expression(e))
			c.checkExpression(at.child("matchExpressions"))(i, e)
		}
	}
}

func (c *compiler) checkExpression(list cursor, _ bool) func(i int, e wireExpression) {
	return func(i int, e wireExpression) {
		item := list.item(i)
		if c.hasFailed(item.path) {
			return
		}
		needs := e.Operator == "In" || e.Operator == "NotIn"
		values, given := item.child("values")
		if needs && len(e.Values) == 0 {
			c.fail(values.at(), values.path, "%s needs values; add at least one", e.Operator)
		}
		if !needs && given {
			c.fail(values.at(), values.path, "%s takes no values; remove them", e.Operator)
		}
	}
}
