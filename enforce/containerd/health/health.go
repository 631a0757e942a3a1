// Package health looks at a containerd and says whether images are decided about there: whether its settings make it ask the verifier,
// whether the folder of verifiers holds what it should, and whether a pull of an image that nobody vouches for is refused.
//
// containerd asks nobody where it finds no verifier, and says so in its log only. So nothing that is missing here counts as well.
package health

import "fmt"

// State is what a finding means. The zero state is the one that nobody may overlook.
type State int

// The states, the worst first.
const (
	Wrong    State = iota // images may run that nobody vouched for
	Unknown               // it cannot be told
	Doubtful              // it is guarded, and something could be better
	Fine
)

// Finding is one thing that was looked at.
type Finding struct {
	About string // a word or two
	State State
	Text  string
	Hint  string // the next step; "": none
}

// sayf makes a finding without a next step.
func sayf(about string, state State, format string, args ...any) Finding {
	return Finding{About: about, State: state, Text: fmt.Sprintf(format, args...)}
}

// hinting returns the finding with a next step.
func (f Finding) hinting(hint string) Finding {
	f.Hint = hint
	return f
}
