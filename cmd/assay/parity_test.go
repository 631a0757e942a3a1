package main

import (
	"encoding/json"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// parityField is a field of a verdict, and why it is compared or not.
type parityField struct{ name, why string }

// parityCompared are the fields of a verdict that must be equal at all points.
var parityCompared = []parityField{
	{"image", "the question itself"},
	{"canonical", "what was decided about, in canonical form"},
	{"digest", "which bytes the answer is about"},
	{"pin", "what to run in its place"},
	{"child", "whether only a part of an index may run"},
	{"allowed", "what the point does"},
	{"outcome", "what enforcing gives: allowed, denied, could-not-tell"},
	{"policy", "who decided"},
	{"mode", "whether that stops anything"},
	{"rule", "by which rule, and its line"},
	{"local", "whether by a rule about images made on the host"},
	{"reason", "why, word for word"},
	{"authorities", "what each authority said: outcome, digest, signer, issuer, serial, key, signature, times, log entries, attestations, reason; of a verdict that allows, those that vouch"},
	{"also", "what further policies said"},
	{"warnings", "what users are warned of"},
}

// parityExcluded are those that need not be.
var parityExcluded = []parityField{
	{"cached", "whether something was fetched for the answer: it depends on who asked before"},
	{"duration", "how long it took"},
	{"chain, chainError, basis, until, ends", "only there for points that ask for the content (docker) or keep answers (the node daemon's and an upstream's clients)"},
	{"authorities that did not vouch, of a verdict that allows", "whether they were still heard depends on who answered first; the point `spire` hears all, for its selectors"},
}

// parityModes are the modes of a policy.
var parityModes = []string{"enforce", "warn", "audit"}

// comparable is a verdict as it is compared: all of it but parityExcluded.
func comparableVerdict(t testing.TB, a *parityAnswer) []map[string]any {
	t.Helper()
	all := []map[string]any{}
	if a.told != nil {
		all = append(all, a.told)
	}
	for i := range a.verdicts {
		var v map[string]any
		must(t, json.Unmarshal([]byte(encodedJSON(t, &a.verdicts[i])), &v))
		all = append(all, v)
	}
	for _, v := range all {
		for _, f := range parityExcluded[:3] {
			for name := range strings.SplitSeq(f.name, ", ") {
				delete(v, name)
			}
		}
		if v["outcome"] != engine.Allowed.String() {
			continue
		}
		if heard, ok := v["authorities"].([]any); ok {
			v["authorities"] = slices.DeleteFunc(heard, func(a any) bool { return a.(map[string]any)["outcome"] != engine.Proved.String() })
		}
	}
	return all
}

// at returns the fixture as a point can ask about it.
func (f *parityFixture) at(point string) *parityFixture {
	asked := *f
	switch {
	case point == "containerd" && f.ref.Digest().IsZero() && !strings.Contains(f.image, "@"):
		asked.image = f.image + "@" + nameOf(nil)
	case f.ref.Digest().IsZero():
	case point == "spire":
		asked.image = f.ref.String()
	case point == "containerd" && !strings.Contains(f.image, "@"):
		asked.image = f.image + "@" + f.ref.Digest().String()
	}
	return &asked
}

// parityRun asks all questions of a set at one point in one mode, and compares.
type parityRun struct {
	*parityDesk
	name      string // of the point
	door      parityDoor
	reference func(*parityFixture) *parityAnswer
	table     *parityTable
}

func (r *parityRun) ask(f *parityFixture) {
	asked := f.at(r.name)
	cold := r.door(asked)
	note := f.differs[r.name]
	if cold.unasked {
		if note == "" {
			r.Errorf("%s, %s, %s: is not asked, and nothing explains it", r.mode, r.name, f)
		}
		r.table.set(f, r.name, note, "")
		return
	}
	warm := r.door(asked)
	want := r.reference(asked)
	for got := &cold; got != nil; got = got.also {
		r.same(f, "cold", got, want)
		r.obeys(f, got)
	}
	for got := &warm; got != nil; got = got.also {
		r.same(f, "warm", got, want)
	}
	word := ""
	if v := &want.verdicts[0]; asked.image != f.image && v.Outcome != f.outcome {
		word = wordOf(v)
	}
	r.table.set(f, r.name, note, word)
}

// same compares what a point recorded with what the reference answers to the same question.
func (r *parityRun) same(f *parityFixture, when string, got, want *parityAnswer) {
	note := parityNotes[f.differs[r.name]]
	verdicts, reference := comparableVerdict(r.TB, got), comparableVerdict(r.TB, want)[0]
	if len(verdicts) == 0 != note.unrecorded {
		r.Errorf("%s, %s, %s, %s: %d verdicts were recorded; it says %q", r.mode, r.name, f, when, len(verdicts), got.text)
	}
	for _, v := range verdicts {
		if diff := cmp.Diff(reference, v); diff != "" && !note.verdict {
			r.Errorf("%s, %s, %s, %s: another verdict than that of the api (-api +%s):\n%s", r.mode, r.name, f, when, r.name, diff)
		}
	}
}

// obeys compares what the point does, and what it says, with the verdict.
func (r *parityRun) obeys(f *parityFixture, got *parityAnswer) {
	want := r.reference(f.at(r.name))
	v, note := want.verdicts[0], parityNotes[f.differs[r.name]]
	wantAllowed := note.allows || v.Allowed && (!note.refuses || note.whatever || r.mode != "enforce")
	if note.refuses && note.whatever {
		wantAllowed = false
	}
	if got.allowed != wantAllowed {
		r.Errorf("%s, %s, %s: the point allows: %v, want %v; it says %q", r.mode, r.name, f, got.allowed, wantAllowed, got.text)
	}
	reason := enforce.Plain(v.Reason)
	if !got.allowed && !note.refuses && !strings.Contains(got.text, reason[:min(100, len(reason))]) && r.name != "api" && r.name != "cli" {
		r.Errorf("%s, %s, %s: got text %q, want %q in it", r.mode, r.name, f, got.text, reason)
	}
	meaning := enforce.Of(&v).String()
	if note.refuses && r.name == "containerd" && !got.allowed {
		meaning = enforce.No.String()
	}
	if got.meaning != "" && got.meaning != meaning {
		r.Errorf("%s, %s, %s: got meaning %q, want %q; it says %q", r.mode, r.name, f, got.meaning, meaning, got.text)
	}
	if r.name == "spire" {
		proofs := strings.Contains(got.selectors, "image-signature:verified")
		if want := r.mode == "enforce" && v.Outcome == engine.Allowed && hasProof(&v) && got.allowed; proofs != want {
			r.Errorf("%s, %s: selectors of proofs: %v, want %v: %q", r.mode, f, proofs, want, got.selectors)
		}
	}
}

func hasProof(v *engine.Verdict) bool {
	return slices.ContainsFunc(v.Authorities, func(a engine.Attestation) bool { return a.Standing == engine.Proved })
}

// expected compares the reference with what the fixture is made for: equal points can be wrong together.
func (w *parityWorld) expected(mode string, f *parityFixture, a *parityAnswer) {
	w.Helper()
	v := &a.verdicts[0]
	text := encodedJSON(w.TB, v)
	if v.Outcome != f.outcome || v.Allowed != (mode != "enforce" || f.outcome == engine.Allowed) && v.Policy != "" || !strings.Contains(text, f.says) {
		w.Errorf("%s, %s: want %v and %q, got %s", mode, f, f.outcome, f.says, text)
	}
}

// TestParity replays one table of fixtures through all points, over the protocol of each. The verdicts must be equal in everything that
// parityCompared lists, cold and warm (T23), whoever asks, and each point must do what the verdict says. What differs by a point's nature
// is in the table, with its reason.
func TestParity(t *testing.T) {
	table := newParityTable()
	t.Cleanup(func() { waitForRetries(t) })
	w := newParityWorld(t)
	for _, mode := range parityModes {
		for _, set := range paritySets {
			w.compare(mode, set, table)
		}
	}
	table.complete(t, w.fixtures)
	if !t.Failed() {
		table.publish(t, w.fixtures)
	}
}

func (w *parityWorld) compare(mode, set string, table *parityTable) {
	w.Helper()
	asked := map[string]*parityAnswer{}
	api := w.desk(mode, set).door("api")
	reference := func(f *parityFixture) *parityAnswer {
		if asked[f.image] == nil {
			a := api(f)
			asked[f.image] = &a
		}
		return asked[f.image]
	}
	for _, f := range w.fixtures {
		if f.set == set {
			w.expected(mode, f, reference(f))
			table.verdict(f, mode, &reference(f).verdicts[0])
		}
	}
	w.byWays(mode, set, reference)
	for _, point := range parityPoints {
		d := w.desk(mode, set)
		r := &parityRun{parityDesk: d, name: point, door: d.door(point), reference: reference, table: table}
		for _, f := range w.fixtures {
			if f.set == set {
				r.ask(f)
			}
		}
	}
}

// waitForRetries waits for what the command asked registries when it had its answer already: other than the process, the test goes on.
func waitForRetries(t *testing.T) {
	(&running{t: t, log: &lines{}}).until("retries end", func() bool {
		stacks := make([]byte, 4<<20)
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "registry.(*Client).persist")
	})
}
