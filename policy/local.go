package policy

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/assay-dev/assay/image"
)

// Local is what a rule says of images that were made on the host where they are to run. All that is given must hold; it is never empty.
type Local struct {
	Labels  map[string]string // that the image has, with these values, in which * stands for any characters
	Base    []image.Pattern   // the lowest layers are those of an image that one of these matches, and for which somebody vouches
	BuiltBy []string          // names in client certificates, with *, of whoever had it built
}

// localPoint is the only point that can judge Local.
const localPoint = "docker"

// local compiles what a rule says of images that were made on the host.
func (c *compiler) local(rule cursor, w *wireLocal) *Local {
	if w == nil {
		return nil
	}
	at, _ := rule.child("local")
	l := &Local{Labels: w.Labels, Base: c.patterns(at, "base", w.Base), BuiltBy: w.BuiltBy}
	if c.hasFailed(at.path) || at.node.Kind != yaml.MappingNode {
		return l
	}
	if len(l.Labels)+len(l.Base)+len(l.BuiltBy) == 0 {
		c.fail(at.at(), at.path, "%s", noLocal)
	}
	if points := c.policy.Scope.Points; len(points) > 0 && !slices.Contains(points, localPoint) {
		c.warn(at.at(), at.path, "only the point "+localPoint+" knows which images were made on a host, and it is not in spec.scope.points, so that this rule never matches; add it, or remove the rule")
	}
	if _, denies := rule.child("deny"); denies && len(l.Base)+len(l.BuiltBy) > 0 {
		c.warn(at.at(), at.path, "what cannot be shown does not match: an image whose base or builder is not known is not denied by this rule; allow what may run, and deny the rest")
	}
	return l
}

// UnfitLabel returns the name of the first label, by name, that labels lack or that has another value there; "" if they all fit.
func (l *Local) UnfitLabel(labels map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(l.Labels)) {
		if value, found := labels[name]; !found || !image.Glob(l.Labels[name], value) {
			return name
		}
	}
	return ""
}

// FitsBuilder reports whether one of BuiltBy, or nothing that BuiltBy asks for, fits a builder. Where something is asked for, nobody ("") never
// fits.
func (l *Local) FitsBuilder(name string) bool {
	if len(l.BuiltBy) == 0 {
		return true
	}
	return name != "" && slices.ContainsFunc(l.BuiltBy, func(glob string) bool { return image.Glob(glob, name) })
}

// FitsBase reports whether one of Base matches a reference. A tag counts only without a digest beside it.
func (l *Local) FitsBase(ref image.Ref) bool {
	return slices.ContainsFunc(l.Base, func(p image.Pattern) bool {
		switch {
		case !p.MatchName(ref):
			return false
		case !p.Digest().IsZero():
			return p.Digest() == ref.Digest()
		case p.Tag() != "":
			return ref.Digest().IsZero() && ref.Tag() != "" && p.MatchTag(ref.Tag())
		}
		return true
	})
}

// Bases returns those of Base that name one image.
func (l *Local) Bases() []image.Ref {
	var all []image.Ref
	for _, p := range l.Base {
		if ref, err := image.Parse(p.String()); err == nil {
			all = append(all, ref)
		}
	}
	return all
}
