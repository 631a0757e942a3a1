package statement

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxText bounds the texts that a function takes and the one that it makes, in bytes: replacing in a text what a text of a predicate
// says could otherwise make one of their product.
const maxText = 64 << 10

// textFunctions declares functions on texts, with the names and meanings of CEL's own extension for strings.
func textFunctions() []cel.EnvOption {
	one, two, three := []*cel.Type{cel.StringType}, []*cel.Type{cel.StringType, cel.StringType}, []*cel.Type{cel.StringType, cel.StringType, cel.StringType}
	return []cel.EnvOption{
		cel.Function("lowerAscii", cel.MemberOverload("string_lower_ascii", one, cel.StringType,
			bound(func(s []string) ref.Val { return types.String(mapASCII(s[0], 'A', 'Z', 'a'-'A')) }))),
		cel.Function("upperAscii", cel.MemberOverload("string_upper_ascii", one, cel.StringType,
			bound(func(s []string) ref.Val { return types.String(mapASCII(s[0], 'a', 'z', 'A'-'a')) }))),
		cel.Function("trim", cel.MemberOverload("string_trim", one, cel.StringType,
			bound(func(s []string) ref.Val { return types.String(strings.TrimSpace(s[0])) }))),
		cel.Function("split", cel.MemberOverload("string_split_string", two, cel.ListType(cel.StringType),
			bound(func(s []string) ref.Val { return types.DefaultTypeAdapter.NativeToValue(strings.Split(s[0], s[1])) }))),
		cel.Function("replace", cel.MemberOverload("string_replace_string_string", three, cel.StringType, bound(replace))),
		cel.Function("join", cel.MemberOverload("list_join_string", []*cel.Type{cel.ListType(cel.StringType), cel.StringType}, cel.StringType,
			cel.BinaryBinding(join))),
		cel.Function(overloads.Matches,
			cel.Overload(overloads.Matches, two, cel.BoolType),
			cel.MemberOverload(overloads.MatchesString, two, cel.BoolType),
			cel.SingletonBinaryBinding(func(_, _ ref.Val) ref.Val { return types.NewErr("the pattern of matches must be written as a text") })),
	}
}

// bound makes an overload of a function on texts, each of which is short enough.
func bound(f func(texts []string) ref.Val) cel.OverloadOpt {
	all := func(values ...ref.Val) ref.Val {
		texts, err := textsOf(values)
		if err != nil {
			return types.WrapErr(err)
		}
		return f(texts)
	}
	return cel.FunctionBinding(all)
}

func textsOf(values []ref.Val) ([]string, error) {
	texts := make([]string, len(values))
	for i, v := range values {
		s, ok := v.(types.String)
		if !ok {
			return nil, fmt.Errorf("a %s, want a text", v.Type())
		}
		if len(s) > maxText {
			return nil, fmt.Errorf("a text of %d bytes, at most %d are allowed", len(s), maxText)
		}
		texts[i] = string(s)
	}
	return texts, nil
}

func replace(s []string) ref.Val {
	if size := len(s[0]) + strings.Count(s[0], s[1])*(len(s[2])-len(s[1])); size > maxText {
		return types.NewErr("a text of %d bytes, at most %d are allowed", size, maxText)
	}
	return types.String(strings.ReplaceAll(s[0], s[1], s[2]))
}

func join(list, separator ref.Val) ref.Val {
	var b strings.Builder
	first := true
	for it := list.(traits.Lister).Iterator(); it.HasNext() == types.True; {
		texts, err := textsOf([]ref.Val{it.Next(), separator})
		if err != nil {
			return types.WrapErr(err)
		}
		if !first {
			b.WriteString(texts[1])
		}
		first = false
		b.WriteString(texts[0])
		if b.Len() > maxText {
			return types.NewErr("a text of more than %d bytes", maxText)
		}
	}
	return types.String(b.String())
}

func mapASCII(s string, from, to, shift rune) string {
	return strings.Map(func(r rune) rune {
		if from <= r && r <= to {
			return r + shift
		}
		return r
	}, s)
}
