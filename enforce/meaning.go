package enforce

import "github.com/assay-dev/assay/engine"

// Meaning is what a verdict means for a point. There is one yes, and three other meanings, which are never mixed. The zero value denies.
type Meaning int

// The meanings.
const (
	No         Meaning = iota // definitive: asking again gives the same answer
	Yes                       // the image may run: somebody vouches, a rule allows, or the policy only warns or audits
	CannotTell                // it may not run, and it is worth asking again
	Bug                       // it may not run, and Assay itself broke down
)

var meaningWords = [...]string{"denied", "allowed", "could not tell", "bug"}

// String returns the words for people.
func (m Meaning) String() string {
	if m < 0 || int(m) >= len(meaningWords) {
		return meaningWords[No]
	}
	return meaningWords[m]
}

// Of returns what a verdict means. Only Verdict.Allowed makes a yes.
func Of(v *engine.Verdict) Meaning {
	switch {
	case v.Allowed:
		return Yes
	case v.Outcome == engine.CouldNotTell:
		return CannotTell
	case v.Outcome == engine.Bug:
		return Bug
	}
	return No
}

// OfAll returns what several verdicts mean for something that needs all of them: the worst. No verdict at all is a no.
func OfAll(verdicts []engine.Verdict) Meaning {
	if len(verdicts) == 0 {
		return No
	}
	worst := Yes
	for i := range verdicts {
		if m := Of(&verdicts[i]); rank(m) > rank(worst) {
			worst = m
		}
	}
	return worst
}

// rank orders the meanings as the engine orders the outcomes of several policies: a "cannot tell" must not hide a no, which asking again
// would not change.
func rank(m Meaning) int {
	switch m {
	case Yes:
		return 0
	case CannotTell:
		return 1
	case Bug:
		return 2
	}
	return 3
}
