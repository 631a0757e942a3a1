package spire

import (
	"reflect"
	"strconv"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/token"
)

// written reports whether a value is written as the decoder wants it for a type. It is asked for what is said beside the decoder's own text,
// which decides: what it does not know is left to that.
func written(value ast.Node, t reflect.Type) bool {
	literal, _ := value.(*ast.LiteralType)
	list, _ := value.(*ast.ListType)
	switch t.Kind() {
	case reflect.String:
		return literal != nil && (literal.Token.Type == token.STRING || literal.Token.Type == token.HEREDOC || literal.Token.Type == token.NUMBER)
	case reflect.Bool:
		return literal != nil && literal.Token.Type == token.BOOL
	case reflect.Int:
		return literal != nil && wholeNumber(literal.Token)
	case reflect.Slice:
		return list != nil || t.Elem().Kind() == reflect.Struct && literal == nil
	case reflect.Struct, reflect.Map:
		return literal == nil && (list == nil || len(list.List) == 0 || blocks(list))
	}
	return true
}

// writing says how a value of a type is written.
func writing(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.String:
		return "a text in quotes"
	case t.Kind() == reflect.Bool:
		return "true or false, without quotes"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "a list of blocks, [{ … }]"
	case t.Kind() == reflect.Slice:
		return `a list, as in ["…"]`
	}
	return "a block, { … }"
}

func wholeNumber(t token.Token) bool {
	if t.Type != token.STRING {
		return t.Type == token.NUMBER
	}
	text, _ := t.Value().(string)
	_, err := strconv.ParseInt(text, 0, 0)
	return err == nil
}

func blocks(list *ast.ListType) bool {
	for _, entry := range list.List {
		if _, ok := entry.(*ast.ObjectType); !ok {
			return false
		}
	}
	return true
}
