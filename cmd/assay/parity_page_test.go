package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine"
)

// update has the generated page written anew.
var updateParity = flag.Bool("update-parity", false, "write docs/design/parity.md anew")

// parityPage is the page that the table is published on.
var parityPage = filepath.Join("..", "..", "docs", "design", "parity.md")

// parityNote is why a point differs by its nature.
type parityNote struct {
	text       string
	verdict    bool // the verdicts differ
	refuses    bool // the point says no although the verdict allows
	whatever   bool // in all modes
	allows     bool // the point says yes although the verdict of the others denies
	unrecorded bool // there is no verdict
}

// parityNotes are all reasons that there are. What is not explained by one is a failure.
var parityNotes = map[string]parityNote{
	"resolved":      {text: "The engine has resolved the tag before it asks: the question is about the digest that it found (`containerd`: name:tag@digest; `spire`: name@digest). The verdict is the one that every other point gives about that question."},
	"child":         {text: "Only the child of an index is vouched for, and the point cannot have the child run in the place of the index, so that it refuses. `kubernetes` pins the child, `docker` compares it with the content that runs.", refuses: true},
	"signed":        {text: "Trust data say which digest the tag stands for, and `docker` decides about that one whatever the registry has under the tag, as it compares the content before it runs: the verdict allows the signed digest, and what the host has under the name is refused as another content.", verdict: true, refuses: true},
	"replaced":      {text: "`docker` lets the pull pass, which the verdict allows for the digest that takes the place of the given one, and refuses a container of the digest that was given.", verdict: true, refuses: true},
	"replaced here": {text: "containerd pulls the very digest that it asks about, and so refuses where a rule puts another one in its place. `kubernetes` writes it into the pod.", refuses: true},
	"local":         {text: "Only `docker` sees images that were made on its host. A rule with `local` matches at no other point, and the image has no other rule.", verdict: true, allows: true},
	"unpublished":   {text: "The image was pulled from nowhere, so that there is nothing to ask about: a workload of it gets no identity.", unrecorded: true, refuses: true},
	"spelling":      {text: "`spire` asks about images that run, by what the engine calls them; of this one there is only a name."},
	"unread":        {text: "`docker` refuses a request that it cannot read before anybody is asked, with the same reason.", unrecorded: true},
	"engine":        {text: "The engine refuses such a name itself: the point never hears of it."},
}

// parityTable is what came of a run.
type parityTable struct {
	verdicts map[*parityFixture]map[string]string // by mode
	cells    map[*parityFixture]map[string]string // by point: "" is equal, else the note
	words    map[*parityFixture]map[string]string // by point
}

func newParityTable() *parityTable {
	return &parityTable{verdicts: map[*parityFixture]map[string]string{}, cells: map[*parityFixture]map[string]string{}, words: map[*parityFixture]map[string]string{}}
}

func (p *parityTable) verdict(f *parityFixture, mode string, v *engine.Verdict) {
	if p.verdicts[f] == nil {
		p.verdicts[f] = map[string]string{}
	}
	word := wordOf(v)
	if v.Allowed && v.Outcome != engine.Allowed {
		word = map[string]string{"warn": "runs, with a warning", "audit": "runs, recorded"}[mode]
	}
	p.verdicts[f][mode] = word
}

func wordOf(v *engine.Verdict) string { return strings.ReplaceAll(v.Outcome.String(), "-", " ") }

// set notes that a point was asked. word is the verdict, where the question is another one and the answer is too.
func (p *parityTable) set(f *parityFixture, point, note, word string) {
	if p.words[f] == nil {
		p.words[f] = map[string]string{}
	}
	if word != "" {
		p.words[f][point] = word
	}
	if p.cells[f] == nil {
		p.cells[f] = map[string]string{}
	}
	p.cells[f][point] = note
}

// complete fails on a cell that is empty, and on a note that nobody knows or needs.
func (p *parityTable) complete(t *testing.T, fixtures []*parityFixture) {
	t.Helper()
	used := map[string]bool{}
	for _, f := range fixtures {
		for _, point := range parityPoints {
			note, there := p.cells[f][point]
			if !there {
				t.Errorf("%s: nobody asked %s", f, point)
			}
			if _, known := parityNotes[note]; note != "" && !known {
				t.Errorf("%s: %s: no note is called %q", f, point, note)
			}
			used[note] = true
		}
	}
	for note := range parityNotes {
		if !used[note] {
			t.Errorf("the note %q explains nothing", note)
		}
	}
}

// publish writes the page, or compares it.
func (p *parityTable) publish(t *testing.T, fixtures []*parityFixture) {
	t.Helper()
	page := p.page(fixtures)
	if *updateParity {
		must(t, os.WriteFile(parityPage, []byte(page), 0o600))
		return
	}
	there, err := os.ReadFile(parityPage)
	if err != nil || string(there) != page {
		t.Errorf("%s is not what the table says (%v); make parity writes it", parityPage, err)
	}
}

func (p *parityTable) page(fixtures []*parityFixture) string {
	var b strings.Builder
	b.WriteString(parityHead)
	fields := func(title string, all []parityField) {
		fmt.Fprintf(&b, "\n## %s\n\n| field | why |\n|---|---|\n", title)
		for _, f := range all {
			fmt.Fprintf(&b, "| %s | %s |\n", f.name, f.why)
		}
	}
	fields("What is compared", parityCompared)
	fields("What is not", parityExcluded)
	b.WriteString(parityWaysHead)
	for _, way := range parityWays {
		fmt.Fprintf(&b, "| %s | %s |\n", way.name, way.text)
	}
	b.WriteString(parityLegend)
	numbers, order := map[string]int{}, []string(nil)
	group := ""
	for _, f := range fixtures {
		if f.group != group {
			group = f.group
			fmt.Fprintf(&b, "\n### %s\n\n| evidence | enforce | warn | audit | %s |\n|---|---|---|---|%s\n", strings.ToUpper(group[:1])+group[1:], strings.Join(parityPoints, " | "), strings.Repeat("---|", len(parityPoints)))
		}
		fmt.Fprintf(&b, "| %s |", f.name)
		for _, mode := range parityModes {
			b.WriteString(" " + p.verdicts[f][mode] + " |")
		}
		for _, point := range parityPoints {
			note := p.cells[f][point]
			if note == "" {
				b.WriteString(" = |")
				continue
			}
			if numbers[note] == 0 {
				order = append(order, note)
				numbers[note] = len(order)
			}
			sign := "="
			switch n := parityNotes[note]; {
			case p.words[f][point] != "":
				sign = p.words[f][point]
			case n.allows:
				sign = "yes"
			case n.refuses:
				sign = "no"
			case note == "engine", note == "spelling":
				sign = "–"
			}
			fmt.Fprintf(&b, " %s [%d](#notes) |", sign, numbers[note])
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Notes\n\n")
	for i, note := range order {
		fmt.Fprintf(&b, "%d. %s\n", i+1, parityNotes[note].text)
	}
	b.WriteString(parityEnd)
	return b.String()
}

const parityHead = `# One policy, one answer

<!-- generated by TestParity in cmd/assay; make parity writes it anew -->

The same policy answers the same at every enforcement point. This table is the proof: each of its fixtures was put to each of the six points over the
point's own protocol, in each mode of a policy, by an engine with caches of its own, cold and then warm. The test fails on every difference that is not
explained here, on every cell that nobody asked, and when this page is not what it found.

| point | how it is asked |
|---|---|
| kubernetes | an AdmissionReview with a pod: /mutate, and then /validate with what that has pinned |
| docker | what the daemon asks an authorization plugin: a pull, and then a container of what was pulled, from an engine at a socket |
| containerd | the question of the image verifier at the node's socket |
| spire | the attestation of a process over the protocol of SPIRE's plugins: by the attestor docker, whose container an engine at a socket knows, and by the attestor k8s, whose pod a kubelet lists |
| api | POST /v1/verdicts; the answer must be what was recorded, byte for byte |
| cli | ` + "`assay verify -o json`" + `, a new run for each image |
`

const parityWaysHead = `
## Other ways to a verdict

A point need not decide with an engine of its own. Every fixture was put to each of these as well, in each mode, cold and warm; the verdicts are equal to those
of an own engine without exception, and each way was seen to be used.

| way | how |
|---|---|
`

const parityLegend = `
## The table

The first columns say what a policy does with the image in each mode: under warn and audit everything may run that some policy speaks about, and the verdict is the
one that enforcing would have given. Then, for each point:

* **=** the verdict equals that of all other points, in all modes, and the point does what it says: it allows or refuses in its protocol, with the reason in its text. At ` + "`spire`" + ` a workload gets selectors of proofs
  exactly where the verdict allows by somebody's word, so never by a rule that asks for none, nor by warn or audit.
* **= with a number**, **yes**, **no**, **a verdict**, **–**: the note says what is different there by the point's nature. A "–" cannot be asked.
`

const parityEnd = `
## Real peers

The test above has stand-ins for the peers. The story e2e/stories/parity.txtar puts these rows to real ones, in the mode enforce: of each format *good*, *unsigned* and *signed by somebody else*, of
the format sigstore with a key and keyless, of the format notation in both envelopes. The evidence is made by the real tools: assay sign, cosign, notary, notation's signer.

| point | peer | what it is let do, or not |
|---|---|---|
| kubernetes | kube-apiserver | kubectl run |
| docker | dockerd | docker pull, docker create |
| containerd | containerd with assay-containerd-verifier, by the node daemon | ctr image pull |
| spire | the plugin as a process, beside dockerd | the attestation of a running container |
| api | assay serve api | curl |
| cli | assay verify | |

Outcome, mode, policy, rule and reason of every verdict in the logs are equal, and each peer did what they say.
`
