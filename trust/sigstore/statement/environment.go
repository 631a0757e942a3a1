package statement

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

const (
	// maxRegExp bounds the program of a regular expression, in instructions: its work is this times the length of the text.
	maxRegExp = 1000
	// assumedSize is how long lists and texts of a predicate are taken to be when the cost of an expression is guessed at load. Two
	// loops in each other pass, three do not.
	assumedSize = 1000
)

// newEnvironment declares what an expression may use: CEL's standard library, its math library, and the texts' functions of
// functions.go. There is no clock and no randomness but now. Its libraries for lists and sets are left out: a call of theirs may be
// quadratic in what stands in a predicate, and nothing stops a call.
func newEnvironment() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: excluded()})),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxCondition),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		ext.Math(),
		cel.Variable("predicate", cel.DynType),
		cel.Variable("now", cel.TimestampType),
	}
	for _, field := range imageFields() {
		options = append(options, cel.Variable("image."+field, cel.StringType))
	}
	return cel.NewCustomEnv(append(options, textFunctions()...)...)
}

// imageFields are what an expression can ask of the image.
func imageFields() []string { return []string{"registry", "repository", "name", "tag", "digest"} }

// excluded lists what is left out of the standard library: matches, which functions.go bounds, and the times in a named zone, which
// would be looked up in files of the host.
func excluded() []*env.Function {
	zoned := func(name, overload string) *env.Function {
		return env.NewFunction(name, &env.Overload{ID: overload})
	}
	return []*env.Function{
		env.NewFunction(overloads.Matches),
		zoned(overloads.TimeGetFullYear, overloads.TimestampToYearWithTz),
		zoned(overloads.TimeGetMonth, overloads.TimestampToMonthWithTz),
		zoned(overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz),
		zoned(overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz),
		zoned(overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz),
		zoned(overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz),
		zoned(overloads.TimeGetHours, overloads.TimestampToHoursWithTz),
		zoned(overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz),
		zoned(overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz),
		zoned(overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz),
	}
}

// newProgram checks an expression and plans its evaluation.
func newProgram(e *cel.Env, expression string) (cel.Program, error) {
	checked, issues := e.Compile(expression)
	if issues.Err() != nil {
		return nil, firstOf(e, expression, issues.Errors())
	}
	switch kind := checked.OutputType(); {
	case kind.IsExactType(cel.DynType):
		return nil, errors.New("the result may be anything; write a CEL expression that is true or false, as in … == true")
	case !kind.IsExactType(cel.BoolType):
		return nil, fmt.Errorf("the result is of type %s, want bool; write a CEL expression that is true or false", kind)
	}
	if err := literalPatterns(checked); err != nil {
		return nil, err
	}
	cost, err := e.EstimateCost(checked, sizes{})
	if err != nil {
		return nil, fmt.Errorf("%w; write it in a simpler way", err)
	}
	if cost.Max > maxStatic {
		return nil, fmt.Errorf("too costly: with lists of %d entries it takes a cost of more than %d; put fewer loops into each other", assumedSize, maxStatic)
	}
	program, err := e.Program(checked,
		cel.InterruptCheckFrequency(1),
		cel.CustomDecoratorV2(metered),
		cel.OptimizeRegex(&interpreter.RegexOptimization{Function: overloads.Matches, RegexIndex: 1, Factory: compileRegExp}),
	)
	if err != nil {
		return nil, fmt.Errorf("%w; mend it there", err)
	}
	return program, nil
}

// firstOf returns the first of the errors that a compilation has, with its place and the next step.
func firstOf(e *cel.Env, expression string, list []*common.Error) error {
	first := list[0]
	message, _, _ := strings.Cut(first.Message, "\n")
	next := "mend it there"
	switch {
	case strings.HasPrefix(message, "undeclared reference to 'image'"):
		message, next = "image itself is no value", "write image. and one of "+strings.Join(imageFields(), ", ")
		if field := unknownImageField(e, expression); field != "" {
			message, next = fmt.Sprintf("image has no field %q", clip(field)), "it has "+strings.Join(imageFields(), ", ")
		}
	case strings.HasPrefix(message, "undeclared reference"):
		next = "an expression can use predicate, image and now, and the functions of CEL"
	}
	return fmt.Errorf("line %d, column %d: %s; %s", first.Location.Line(), first.Location.Column()+1, clip(message), next)
}

// unknownImageField returns the first field that an expression wants of the image and that the image does not have.
func unknownImageField(e *cel.Env, expression string) (field string) {
	parsed, issues := e.Parse(expression)
	if issues.Err() != nil {
		return ""
	}
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if field != "" || e.Kind() != ast.SelectKind {
			return
		}
		of, name := e.AsSelect().Operand(), e.AsSelect().FieldName()
		if of.Kind() == ast.IdentKind && of.AsIdent() == "image" && !slices.Contains(imageFields(), name) {
			field = name
		}
	}))
	return field
}

// literalPatterns refuses regular expressions that are not written in the expression itself: they would be compiled at each evaluation.
func literalPatterns(checked *cel.Ast) error {
	var problem error
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return
		}
		arguments := e.AsCall().Args()
		if arguments[len(arguments)-1].Kind() != ast.LiteralKind {
			at := checked.NativeRep().SourceInfo().GetStartLocation(e.ID())
			problem = fmt.Errorf("line %d, column %d: the pattern of matches must be written as a text; put it in quotes", at.Line(), at.Column()+1)
		}
	}))
	return problem
}

// compileRegExp compiles the pattern of a call of matches when the policy is loaded.
func compileRegExp(call interpreter.InterpretableCall, pattern string) (interpreter.InterpretableCall, error) {
	re, err := boundedRegExp(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", clip(pattern), err)
	}
	compiled := interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
		text, err := textsOf(values[:1])
		if err != nil {
			return types.WrapErr(err)
		}
		return types.Bool(re.MatchString(text[0]))
	})
	return meteredCall{compiled}, nil
}

func boundedRegExp(pattern string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if size := len(program.Inst); size > maxRegExp {
		return nil, fmt.Errorf("%d instructions, at most %d are allowed", size, maxRegExp)
	}
	return regexp.Compile(pattern)
}

// sizes guesses for EstimateCost how large the things in a predicate are.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate {
	return &checker.SizeEstimate{Max: assumedSize}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}
