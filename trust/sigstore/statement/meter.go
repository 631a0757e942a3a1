package statement

import (
	"errors"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

const (
	// maxSteps bounds one evaluation, in calls of functions and operators; each round of a loop has at least one.
	maxSteps = 2 << 20
	// bytesPerStep is how many bytes of a text that a call makes count as one step more, so that doubling a text comes to an end.
	bytesPerStep = 8

	// meterName is where an evaluation finds its meter. No expression can ask for this name.
	meterName = "@meter"
)

// meter counts the steps of one evaluation. CEL's own count of costs is not used: the longer a loop runs, the slower it gets.
type meter struct {
	steps int
}

func (m *meter) count(steps int) {
	if m.steps += steps; m.steps > maxSteps {
		stop("takes more than the steps that are allowed")
	}
}

// stop ends an evaluation as CEL's limits do: Program.Eval turns this panic into an error. An error in the place of a value would not
// end a loop.
func stop(reason string) {
	panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded, Message: reason})
}

// metered counts each call, and lets the time limit end an evaluation before it.
func metered(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if call, ok := i.(interpreter.InterpretableCall); ok {
		return meteredCall{call}, nil
	}
	return i, nil
}

type meteredCall struct {
	interpreter.InterpretableCall
}

// Exec implements interpreter.InterpretableV2.
func (c meteredCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	value, _ := frame.ResolveName(meterName)
	m, ok := value.(*meter)
	if !ok {
		return types.WrapErr(errors.New("the evaluation has no meter"))
	}
	if m.count(1); frame.CheckInterrupt() {
		stop("takes too long")
	}
	result := c.InterpretableCall.Exec(frame)
	switch made := result.(type) {
	case types.String:
		m.count(len(made) / bytesPerStep)
	case types.Bytes:
		m.count(len(made) / bytesPerStep)
	}
	return result
}
