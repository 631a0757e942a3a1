package upstream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/wire"
	"github.com/assay-dev/assay/image"
)

// overhead is about what an answer takes in memory beside its texts, in bytes.
const overhead = 1 << 10

// key names a question and what its answer rests on: under another policy, or with other trust material, it is another question.
type key struct {
	image, point, namespace, labels, platform string
	hasNamespace, content, signed, every      bool
	basis                                     string
}

func keyOf(r *engine.Request, basis string) key {
	return key{
		image: r.Image, point: r.Point, namespace: r.Namespace, labels: labelsOf(r.NamespaceLabels), platform: r.Platform,
		hasNamespace: r.HasNamespace, content: r.Content, signed: r.Signed, every: r.Every, basis: basis,
	}
}

// labelsOf keeps labels that nobody knows apart from none.
func labelsOf(labels map[string]string) string {
	if labels == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("known")
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&b, " %q=%q", name, labels[name])
	}
	return b.String()
}

// weight counts what whoever asks can make long.
func (k key) weight() uint32 {
	return uint32(len(k.image) + len(k.namespace) + len(k.labels) + len(k.platform))
}

func (k key) String() string { return fmt.Sprintf("%#v", k) }

// memory keeps verdicts that counted.
type memory struct {
	config  *Config
	answers *otter.Cache[key, *answer]
}

type answer struct {
	verdict     engine.Verdict // shared: nobody writes to it
	from, until time.Time
	weight      uint32
}

func newMemory(c *Config) *memory {
	return &memory{config: c, answers: otter.Must(&otter.Options[key, *answer]{
		MaximumWeight: uint64(c.Contents), Weigher: func(k key, a *answer) uint32 { return a.weight + k.weight() }, Executor: func(fn func()) { fn() },
	})}
}

func (m *memory) recall(k key) (engine.Verdict, bool) {
	a, found := m.answers.GetIfPresent(k)
	if !found {
		return engine.Verdict{}, false
	}
	now := m.config.Now()
	if now.Before(a.from) || !now.Before(a.until) { // a clock that was set back ends it as well
		return engine.Verdict{}, false
	}
	return a.verdict, true
}

// keep keeps a verdict about ref for as long as it may be reused.
func (m *memory) keep(k key, ref image.Ref, v *engine.Verdict) {
	from, until := m.config.Now(), m.reusable(ref, v)
	if !from.Before(until) {
		return
	}
	written, err := wire.EncodeVerdicts([]engine.Verdict{*v})
	if err != nil {
		return // nobody knows how large it is
	}
	m.answers.Set(k, &answer{verdict: *v, from: from, until: until, weight: uint32(2*len(written) + overhead)})
}

// reusable returns until when a verdict is reused: never longer than the engine would reuse what it rests on. Where a part of it could not be told,
// it is not reused.
func (m *memory) reusable(ref image.Ref, v *engine.Verdict) time.Time {
	now := m.config.Now()
	until := now.Add(m.config.RefusalTTL)
	if v.Outcome == engine.Allowed {
		until = now.Add(m.config.TTL)
	}
	for _, end := range []time.Time{v.Until, v.Ends} {
		if !end.IsZero() && end.Before(until) {
			until = end
		}
	}
	for _, d := range append([]engine.Decision{v.Decision}, v.Also...) {
		if d.Outcome != engine.Allowed && d.Outcome != engine.Denied {
			return time.Time{}
		}
		if d.Outcome == engine.Denied {
			until = soonest(until, now.Add(m.config.RefusalTTL))
		}
		for i := range d.Authorities {
			if d.Authorities[i].Missed != "" {
				until = soonest(until, now.Add(m.config.RefusalTTL))
			}
		}
	}
	if ref.Tag() != "" || ref.Digest().IsZero() {
		if m.config.TagTTL <= 0 {
			return time.Time{}
		}
		until = soonest(until, now.Add(m.config.TagTTL))
	}
	return until
}

func soonest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
