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

// readVerdicts returns the verdicts of a file by digest, and what was answered.
func readVerdicts(ts *testscript.TestScript, file string) (verdicts map[string]toldVerdict, answers map[string]bool) {
	verdicts, answers = map[string]toldVerdict{}, map[string]bool{}
	for line := range strings.Lines(ts.ReadFile(file)) {
		var l verdictLine
		if json.Unmarshal([]byte(line), &l) != nil {
			continue
		}
		if _, digest, found := strings.Cut(l.Answered, "@"); found && l.Allowed != nil {
			answers[digest] = *l.Allowed
		}
		digest, v := l.about()
		if digest == "" {
			continue
		}
		if before, twice := verdicts[digest]; twice && before != v {
			ts.Fatalf("%s: two verdicts about %s: %+v and %+v", file, digest, before, v)
		}
		verdicts[digest] = v
	}
	return verdicts, answers
}

func equalVerdicts(ts *testscript.TestScript, number int, files []string) {
	first, _ := readVerdicts(ts, files[0])
	if len(first) != number {
		ts.Fatalf("%s has verdicts about %d digests, want %d", files[0], len(first), number)
	}
	var wrong []string
	for _, file := range files {
		verdicts, answers := readVerdicts(ts, file)
		for digest, allowed := range answers {
			if v, there := first[digest]; !there || v.Allowed != allowed {
				wrong = append(wrong, fmt.Sprintf("%s: what was asked about %s was allowed: %v; the verdict is %+v", file, digest, allowed, v))
			}
		}
		if len(verdicts) == 0 && len(answers) == number {
			continue // it only has what was answered
		}
		for digest, want := range first {
			if got, there := verdicts[digest]; !there || got != want {
				wrong = append(wrong, fmt.Sprintf("%s: %s:\n got %+v\nwant %+v", file, digest, got, want))
			}
		}
	}
	if slices.Sort(wrong); len(wrong) > 0 {
		ts.Fatalf("%s", strings.Join(wrong, "\n"))
	}
}
