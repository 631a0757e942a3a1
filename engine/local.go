package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// Limits of what is looked at for an image that was made on the host.
const (
	maxBases  = 4       // references that are decided about for one rule, to find the base of an image
	maxConfig = 4 << 20 // bytes of the config of a base
)

// Local is what is known of an image that was made on the host where it is to run, by whoever holds its bytes there. What whoever made it
// wrote into it (Labels, Bases) proves nothing by itself.
type Local struct {
	Labels  map[string]string
	Layers  []image.Digest // diff IDs, the lowest first, as the host computed them
	Builder string         // name in the client certificate of who had it built, as the point itself saw; "": nobody knows
	Bases   []string       // references at which its base could be found: hints, of which as many are looked at as there is room for
}

// Local reports whether rules of the policies in force are about images that were made on the host, and whether they ask who had them built. A
// point need not find out what no rule asks for.
func (e *Engine) Local() (rules, builders bool) {
	p := e.plan.Load()
	return p.local, p.builders
}

// made is an image that was made on the host, of one question.
type made struct {
	*Local
	request Request
	bases   map[image.Ref]*base // that were decided about

	// decide is question's own. It is called by this field so that the compiler sees no recursion, for which it would put all opinions on the
	// heap, those of questions about other images too.
	decide func(*question, *plan, Request) Verdict
}

// errOffline says that somebody would have to be asked.
var errOffline = errors.New("the registry of the base must be asked")

// look is how the rules of one policy look at an image that was made on the host.
type look struct {
	question    *question
	policy      *planned
	offline     bool      // nobody is asked: errOffline instead
	missed      []string  // why rules do not speak about it
	until, ends time.Time // of the base by which a rule does
}

// offline returns what a policy's rules say of the image without asking anybody.
func (q *question) offline(p *planned) func(*policy.Rule) (bool, error) {
	if q.made == nil {
		return nil
	}
	l := look{question: q, policy: p, offline: true}
	return l.rule
}

// rule reports whether the image was made as a rule says.
func (l *look) rule(r *policy.Rule) (bool, error) {
	m := l.question.made
	if name := r.Local.UnfitLabel(m.Labels); name != "" {
		return l.miss(r, "label %s is %s, not %q", name, labelText(m.Labels, name), r.Local.Labels[name])
	}
	if !r.Local.FitsBuilder(m.Builder) {
		if m.Builder == "" {
			return l.miss(r, "nobody knows who had it built")
		}
		return l.miss(r, "%s had it built", shortened(m.Builder))
	}
	if len(r.Local.Base) > 0 {
		return l.onBase(r)
	}
	return len(r.Local.Labels)+len(r.Local.BuiltBy) > 0, nil
}

func labelText(labels map[string]string, name string) string {
	if value, found := labels[name]; found {
		return fmt.Sprintf("%q", shortened(value))
	}
	return "absent"
}

// miss notes why a rule that would allow the image does not speak about it.
func (l *look) miss(r *policy.Rule, format string, args ...any) (bool, error) {
	i := slices.IndexFunc(l.policy.Rules, func(one policy.Rule) bool { return one.Local == r.Local })
	if r.Deny == "" && len(l.missed) < maxReasons {
		l.missed = append(l.missed, l.policy.rules[i].name+": "+fmt.Sprintf(format, args...))
	}
	return false, nil
}

// onBase reports whether the lowest layers of the image are those of a base for which somebody vouches under the same policy.
func (l *look) onBase(r *policy.Rule) (bool, error) {
	if l.offline {
		return false, errOffline
	}
	candidates := l.question.made.candidates(r.Local)
	if len(candidates) == 0 {
		return l.miss(r, "nothing names a base that may be looked at: neither the label org.opencontainers.image.base.name, nor a pattern without *")
	}
	var whys []string
	var unclear error
	for _, ref := range candidates {
		b := l.question.base(ref)
		switch why, err := b.carries(l.policy, l.question.made.Layers); {
		case err != nil:
			unclear = errors.Join(unclear, fmt.Errorf("base %s: %w", ref, err))
		case why != "":
			whys = append(whys, fmt.Sprintf("base %s: %s", ref, why))
		default:
			l.until, l.ends = soonest(l.until, b.until), soonest(l.ends, b.ends)
			return true, nil
		}
	}
	if unclear != nil {
		return false, unclear
	}
	return l.miss(r, "%s", strings.Join(whys, ", "))
}

// candidates returns the references at which the base of an image is looked for.
func (m *made) candidates(l *policy.Local) []image.Ref {
	var all []image.Ref
	for _, hint := range m.Bases {
		if ref, err := image.Parse(hint); err == nil && l.FitsBase(ref) {
			all = append(all, ref)
		}
	}
	for _, ref := range l.Bases() {
		if !slices.Contains(all, ref) {
			all = append(all, ref)
		}
	}
	return all[:min(len(all), maxBases)]
}

// settle puts into an opinion what came of the look.
func (l *look) settle(o *opinion) {
	o.Local = o.index >= 0 && l.policy.Rules[o.index].Local != nil
	switch o.Outcome {
	case Allowed:
		o.until, o.ends = soonest(o.until, l.until), soonest(o.ends, l.ends)
	case Denied, NoOpinion:
		o.Reason = strings.Join(append(slices.DeleteFunc([]string{o.Reason}, func(s string) bool { return s == "" }), l.missed...), "; ")
	}
}

// base is an image on which others can be built, with what was decided about it.
type base struct {
	verdict     Verdict
	layers      [][]image.Digest // diff IDs of each image that may run by the verdict
	unclear     error            // why there may be more
	until, ends time.Time
}

// base decides about a reference as it would be if somebody asked to run it, once for a question.
func (q *question) base(ref image.Ref) *base {
	if b, found := q.made.bases[ref]; found {
		return b
	}
	sub := question{engine: q.engine, plan: q.plan, ref: ref, now: q.now, cached: true, all: q.all, byTrust: q.byTrust}
	sub.logins = q.all.For(ref.Registry(), ref.Repository())
	sub.parent = trust.WithLogins(q.deadline(), sub.logins)
	defer sub.end()
	asked := q.made.request
	asked.Image, asked.Local = ref.String(), nil
	b := &base{verdict: q.made.decide(&sub, q.plan, asked)}
	if b.verdict.Allowed && b.verdict.Outcome == Allowed && !sub.vouched.IsZero() {
		b.look(sub.walk(sub.vouched, asked.Platform))
		b.until, b.ends = sub.until, sub.ends
	}
	q.made.bases[ref] = b
	q.cached = q.cached && sub.cached
	q.resolving, q.hearing = q.resolving+sub.resolving, q.hearing+sub.hearing
	return b
}

// look reads the layers of all images of a chain.
func (b *base) look(c *chain) {
	if len(c.reasons) > 0 {
		b.unclear = errors.New(strings.Join(c.reasons, "; "))
	}
	for _, config := range c.configs {
		layers, err := c.question.layers(config)
		if err != nil {
			b.unclear = errors.Join(b.unclear, err)
			continue
		}
		b.layers = append(b.layers, layers)
	}
}

// carries says why layers do not begin with those of b, or why nobody vouches for b under a policy; "" if all is well.
func (b *base) carries(p *planned, layers []image.Digest) (why string, err error) {
	v := &b.verdict
	switch {
	case v.Err() != nil:
		return "", v.Err()
	case !v.Allowed || v.Outcome != Allowed:
		return v.Reason, nil
	case !v.provedBy(p.Name):
		return "it may run, but nobody vouches for it under this policy", nil
	}
	for _, lowest := range b.layers {
		if len(lowest) > 0 && len(lowest) <= len(layers) && slices.Equal(lowest, layers[:len(lowest)]) {
			return "", nil
		}
	}
	return "the lowest layers of the image are not all of that one's", b.unclear
}

// provedBy reports whether somebody vouched by what a policy says.
func (v *Verdict) provedBy(policy string) bool {
	for _, d := range append([]Decision{v.Decision}, v.Also...) {
		if d.Policy == policy && d.Outcome == Allowed && slices.ContainsFunc(d.Authorities, func(a Attestation) bool { return a.Standing == Proved }) {
			return true
		}
	}
	return false
}

// layers returns the diff IDs that a config names.
func (q *question) layers(config descriptor) ([]image.Digest, error) {
	if _, found := q.engine.source.get(q.ref, config.Digest, q.logins.Key()); !found {
		q.cached = false
	}
	content, err := q.engine.source.Blob(q.deadline(), q.ref, trust.Descriptor{MediaType: config.mediaType, Digest: config.Digest, Size: config.size}, maxConfig)
	switch {
	case err != nil:
		return nil, err
	case !config.Digest.Fits(content):
		return nil, errors.New("the registry sent other bytes than asked for")
	}
	layers, err := readLayers(content)
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	return layers, nil
}

// readLayers reads the diff IDs in a config, in which readers can find one list only.
func readLayers(content []byte) ([]image.Digest, error) {
	config, err := readObject(content, []string{"rootfs"})
	if err != nil {
		return nil, err
	}
	rootfs := map[string]json.RawMessage{}
	if has(config, "rootfs") {
		if rootfs, err = readObject(config["rootfs"], []string{"type", "diff_ids"}); err != nil {
			return nil, fmt.Errorf("rootfs: %w", err)
		}
	}
	var kind string
	var layers []image.Digest
	if err := errors.Join(readMember(rootfs, "type", &kind), readMember(rootfs, "diff_ids", &layers)); err != nil {
		return nil, err
	}
	if kind != "layers" || slices.ContainsFunc(layers, image.Digest.IsZero) {
		return nil, errors.New("it does not say which layers it has")
	}
	return layers, nil
}
