package statement

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Limits of conditions.
const (
	MaxConditions = 64      // conditions of one attestation
	MaxCondition  = 4 << 10 // bytes of one expression
	MaxMessage    = 1 << 10 // bytes of one message
	maxStatic     = 1 << 30 // cost of an expression as CEL guesses it at load, with lists of assumedSize
	maxDuration   = 2 * time.Second
)

// Condition is one CEL expression, and what is said if it is not true.
type Condition struct {
	CEL     string
	Message string
}

// Conditions are compiled and safe for concurrent use. The zero value has none.
type Conditions struct {
	list []compiled
}

type compiled struct {
	says    string // if it is not true: the policy's own message, which is a sentence of its own
	program cel.Program
}

// Vars is what an expression sees: predicate, image.registry, image.repository, image.name, image.tag, image.digest and now.
type Vars struct {
	Statement *Statement
	Image     image.Ref
	Now       time.Time
}

// ConditionError says which of several conditions cannot be used, and why.
type ConditionError struct {
	Index int
	Err   error
}

// Error implements error.
func (e *ConditionError) Error() string { return fmt.Sprintf("conditions[%d]: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e *ConditionError) Unwrap() error { return e.Err }

// Compile checks and compiles expressions. An error about one of them is a *ConditionError.
func Compile(list []Condition) (Conditions, error) {
	if len(list) > MaxConditions {
		return Conditions{}, fmt.Errorf("%d conditions, at most %d are allowed", len(list), MaxConditions)
	}
	if len(list) == 0 {
		return Conditions{}, nil
	}
	env, err := newEnvironment()
	if err != nil {
		return Conditions{}, err
	}
	var c Conditions
	for i, condition := range list {
		one, err := compile(env, condition)
		if err != nil {
			return Conditions{}, &ConditionError{Index: i, Err: err}
		}
		c.list = append(c.list, one)
	}
	return c, nil
}

func compile(env *cel.Env, c Condition) (compiled, error) {
	switch {
	case c.CEL == "":
		return compiled{}, errors.New("the expression is empty; write one that is true or false")
	case len(c.CEL) > MaxCondition:
		return compiled{}, fmt.Errorf("%d bytes, at most %d are allowed; write a shorter one", len(c.CEL), MaxCondition)
	case len(c.Message) > MaxMessage:
		return compiled{}, fmt.Errorf("message: %d bytes, at most %d are allowed; write a shorter one", len(c.Message), MaxMessage)
	}
	program, err := newProgram(env, c.CEL)
	if err != nil {
		return compiled{}, err
	}
	says := c.Message
	if says == "" {
		says = "condition " + clip(c.CEL) + " is not true"
	}
	return compiled{says: says, program: program}, nil
}

// Check returns nil if all conditions are true. Any other outcome is a "no": what an expression asks for and is not there, what has
// the wrong type, and what takes too long satisfies nothing.
func (c Conditions) Check(v Vars) error {
	if len(c.list) == 0 {
		return nil
	}
	variables, err := v.variables()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxDuration)
	defer cancel()
	for _, one := range c.list {
		if err := one.check(ctx, variables); err != nil {
			return err
		}
	}
	return nil
}

func (c compiled) check(ctx context.Context, variables map[string]any) error {
	variables[meterName] = &meter{}
	result, _, err := c.program.ContextEval(ctx, variables)
	switch {
	case ctx.Err() != nil:
		return trust.Untrusted("%s (took longer than %s)", c.says, maxDuration)
	case err != nil:
		return trust.Untrusted("%s (%s)", c.says, clip(err.Error()))
	case result.Value() != true:
		return trust.Untrusted("%s", c.says)
	}
	return nil
}

// variables returns what an expression sees.
func (v Vars) variables() (map[string]any, error) {
	var predicate any
	if v.Statement != nil {
		var err error
		if predicate, err = v.Statement.Predicate(); err != nil {
			return nil, err
		}
	}
	return map[string]any{
		"predicate":        predicate,
		"now":              v.Now,
		"image.registry":   v.Image.Registry(),
		"image.repository": v.Image.Repository(),
		"image.name":       v.Image.Name(),
		"image.tag":        v.Image.Tag(),
		"image.digest":     v.Image.Digest().String(),
	}, nil
}
