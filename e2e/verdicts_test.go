//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const verdictsUsage = "usage: verdicts attest FILE | equal NUMBER FILE FILE..."

// cmdVerdicts is
//
//	verdicts attest FILE              has the agent's plugin attest processes, whose PIDs and images are the lines of a file, and writes to attested.json whether
//	                                  it did
//	verdicts equal NUMBER FILE FILE…  wants the same verdicts in all files, about NUMBER digests. The files are logs of Assay, or what assay verify -o json prints.
//	                                  Lines {"answered": "NAME@DIGEST", "allowed": …} say what a program was let do, which must be what the verdict says
func cmdVerdicts(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "verdicts", neg)
	switch {
	case len(args) == 2 && args[0] == "attest":
		attestAll(ts, args[1])
	case len(args) >= 4 && args[0] == "equal":
		number, err := strconv.Atoi(args[1])
		ts.Check(err)
		equalVerdicts(ts, number, args[2:])
	default:
		ts.Fatalf(verdictsUsage)
	}
}

func attestAll(ts *testscript.TestScript, file string) {
	w := worldOf(ts)
	if w.agent == nil {
		ts.Fatalf("verdicts: no agent was started")
	}
	var answers strings.Builder
	for line := range strings.Lines(ts.ReadFile(file)) {
		var pid int32
		var image string
		if _, err := fmt.Sscan(line, &pid, &image); err != nil {
			ts.Fatalf("verdicts: %s: %q: %v", file, line, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), agentPatience)
		_, err := w.agent.Attest(ctx, pid)
		cancel()
		fmt.Fprintf(&answers, "{\"answered\":%q,\"allowed\":%v}\n", image, err == nil)
	}
	ts.Check(os.WriteFile(ts.MkAbs("attested.json"), []byte(answers.String()), 0o600))
}

// toldVerdict is what every log says of a verdict.
type toldVerdict struct {
	Allowed                             bool
	Outcome, Mode, Policy, Rule, Reason string
}

// verdictLine is a line of any of them.
type verdictLine struct {
	Msg, Digest, Outcome, Mode, Policy, Rule, Reason string

	Verdict  string // of a server's log
	Meaning  string // of a plugin's
	Error    string // its reason
	Allowed  *bool  // of a verdict in JSON
	Answered string
}

// about returns the digest of a line about a verdict; "" is another line.
func (l *verdictLine) about() (digest string, v toldVerdict) {
	v = toldVerdict{Outcome: l.Outcome, Mode: l.Mode, Policy: l.Policy, Rule: l.Rule, Reason: l.Reason}
	switch {
	case l.Answered != "" || l.Outcome == "" || l.Digest == "":
		return "", v
	case l.Meaning != "":
		v.Allowed, v.Reason = l.Meaning == "allowed", l.Error
	case l.Verdict != "":
		v.Allowed = l.Verdict == "allowed"
	case l.Allowed != nil:
		v.Allowed = *l.Allowed
	default:
		return "", v
	}
	return l.Digest, v
}

// verdictFile is a file with verdicts and answers, by digest.
type verdictFile struct {
	name     string
	verdicts map[string]toldVerdict
	answers  map[string]bool // what a program was let do
}

func parseVerdicts(name, content string) (f verdictFile, err error) {
	f = verdictFile{name: name, verdicts: map[string]toldVerdict{}, answers: map[string]bool{}}
	for line := range strings.Lines(content) {
		var l verdictLine
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		if _, digest, found := strings.Cut(l.Answered, "@"); found && l.Allowed != nil {
			f.answers[digest] = *l.Allowed
		}
		digest, v := l.about()
		if digest == "" {
			continue
		}
		if before, twice := f.verdicts[digest]; twice && before != v {
			return f, fmt.Errorf("%s: two verdicts about %s: %+v and %+v", name, digest, before, v)
		}
		f.verdicts[digest] = v
	}
	return f, nil
}

func equalVerdicts(ts *testscript.TestScript, number int, names []string) {
	var files []verdictFile
	for _, name := range names {
		f, err := parseVerdicts(name, ts.ReadFile(name))
		ts.Check(err)
		files = append(files, f)
	}
	if wrong := differences(number, files); len(wrong) > 0 {
		ts.Fatalf("%s", strings.Join(wrong, "\n"))
	}
}

// differences returns what in files is not as the first one says.
func differences(number int, files []verdictFile) []string {
	first := files[0].verdicts
	var wrong []string
	if len(first) != number {
		wrong = append(wrong, fmt.Sprintf("%s has verdicts about %d digests, want %d", files[0].name, len(first), number))
	}
	for _, f := range files {
		for digest, allowed := range f.answers {
			if v, there := first[digest]; !there || v.Allowed != allowed {
				wrong = append(wrong, fmt.Sprintf("%s: what was asked about %s was allowed: %v; the verdict is %+v", f.name, digest, allowed, v))
			}
		}
		if len(f.verdicts) == 0 && len(f.answers) == number {
			continue // it only has what was answered
		}
		for digest, want := range first {
			if got, there := f.verdicts[digest]; !there || got != want {
				wrong = append(wrong, fmt.Sprintf("%s: %s:\n got %+v\nwant %+v", f.name, digest, got, want))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// Whatever is different is told.
func TestVerdictsThatDiffer(t *testing.T) {
	const told = `{"image":"a@sha256:1","digest":"sha256:1","allowed":false,"outcome":"denied","mode":"enforce","policy":"p","rule":"r","reason":"because"}`
	for _, row := range []struct {
		name, second string
		equal        bool
	}{
		{"a server's log", `{"msg":"verdict","digest":"sha256:1","verdict":"denied","outcome":"denied","mode":"enforce","policy":"p","rule":"r","reason":"because"}`, true},
		{"a plugin's log", `{"digest":"sha256:1","meaning":"denied","outcome":"denied","mode":"enforce","policy":"p","rule":"r","error":"because"}`, true},
		{"answers alone", `{"answered":"a@sha256:1","allowed":false}`, true},
		{"another reason", `{"msg":"verdict","digest":"sha256:1","verdict":"denied","outcome":"denied","mode":"enforce","policy":"p","rule":"r","reason":"so"}`, false},
		{"another rule", `{"msg":"verdict","digest":"sha256:1","verdict":"denied","outcome":"denied","mode":"enforce","policy":"p","rule":"s","reason":"because"}`, false},
		{"allowed", `{"msg":"verdict","digest":"sha256:1","verdict":"allowed","outcome":"denied","mode":"enforce","policy":"p","rule":"r","reason":"because"}`, false},
		{"about another digest", `{"msg":"verdict","digest":"sha256:2","verdict":"denied","outcome":"denied","mode":"enforce","policy":"p","rule":"r","reason":"because"}`, false},
		{"a program that was let", `{"answered":"a@sha256:1","allowed":true}`, false},
		{"nothing", "", false},
	} {
		first, err := parseVerdicts("first", told)
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseVerdicts("second", row.second)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := differences(1, []verdictFile{first, second}); len(wrong) == 0 != row.equal {
			t.Errorf("%s: got %q", row.name, wrong)
		}
	}
}
