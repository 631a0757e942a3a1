package policy

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// text returns the text of c. What only looks like text to some YAML readers is refused, so that all of them read the same document.
func (d *decoder) text(c cursor) (string, bool) {
	n := c.node
	switch {
	case n.Kind != yaml.ScalarNode:
		d.fail(n, c.path, "%s where text is wanted; write one value", describe(n))
		return "", false
	case n.Tag != "!!str" || isYAML11Bool(n):
		d.fail(n, c.path, "%s where text is wanted; put it in quotes: %s", describe(n), strconv.Quote(clip(n.Value)))
		return "", false
	}
	return n.Value, true
}

func (d *decoder) decodeScalar(c cursor, v reflect.Value) {
	switch {
	case v.Type() == durationType:
		d.decodeDuration(c, v)
		return
	case v.Kind() == reflect.String:
		if text, ok := d.text(c); ok && d.allowedByType(c, v, text) {
			v.SetString(text)
		}
		return
	case c.node.Kind != yaml.ScalarNode:
		d.fail(c.node, c.path, "%s where %s is wanted; write one value", describe(c.node), kindName(v.Kind()))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		if c.node.Style != 0 || c.node.Value != "true" && c.node.Value != "false" {
			d.fail(c.node, c.path, "%s is no boolean; write true or false, without quotes", strconv.Quote(clip(c.node.Value)))
			return
		}
		v.SetBool(c.node.Value == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.decodeInt(c, v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.decodeUint(c, v)
	case reflect.Float32, reflect.Float64:
		d.decodeFloat(c, v)
	default:
		panic(fmt.Sprintf("policy: no document can fill a %s", v.Type()))
	}
}

func kindName(k reflect.Kind) string {
	if k == reflect.Bool {
		return "a boolean"
	}
	return "a number"
}

// decimal is the one way to write a whole number; YAML has six more, and its readers differ in them.
var decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

func (d *decoder) isDecimal(c cursor) bool {
	if c.node.Style == 0 && decimal.MatchString(c.node.Value) {
		return true
	}
	d.fail(c.node, c.path, "%s is no whole number; write decimal digits only, without quotes", strconv.Quote(clip(c.node.Value)))
	return false
}

func (d *decoder) decodeInt(c cursor, v reflect.Value) {
	if !d.isDecimal(c) {
		return
	}
	n, err := strconv.ParseInt(c.node.Value, 10, v.Type().Bits())
	if err != nil {
		d.fail(c.node, c.path, "%s is too large; write a number of at most %d bits", clip(c.node.Value), v.Type().Bits()-1)
		return
	}
	v.SetInt(n)
}

func (d *decoder) decodeUint(c cursor, v reflect.Value) {
	if !d.isDecimal(c) {
		return
	}
	n, err := strconv.ParseUint(c.node.Value, 10, v.Type().Bits())
	if err != nil {
		d.fail(c.node, c.path, "%s is negative or too large; write a number of at most %d bits", clip(c.node.Value), v.Type().Bits())
		return
	}
	v.SetUint(n)
}

func (d *decoder) decodeFloat(c cursor, v reflect.Value) {
	x, err := strconv.ParseFloat(c.node.Value, v.Type().Bits())
	if err != nil || c.node.Style != 0 || c.node.Tag != "!!int" && c.node.Tag != "!!float" || math.IsInf(x, 0) || math.IsNaN(x) {
		d.fail(c.node, c.path, "%s is no number; write one as in 0.5, without quotes", strconv.Quote(clip(c.node.Value)))
		return
	}
	v.SetFloat(x)
}

const durationPattern = `^([0-9]{1,6}d)?([0-9]{1,12}(\.[0-9]{1,9})?(ns|us|ms|s|m|h))*$`

var durationSyntax = regexp.MustCompile(durationPattern)

// day is a day of 24 hours, whatever the calendar does.
const day = 24 * time.Hour

func (d *decoder) decodeDuration(c cursor, v reflect.Value) {
	if c.node.Kind == yaml.ScalarNode && c.node.Tag == "!!int" {
		d.fail(c.node, c.path, "a number without a unit; write it as in 90s, 24h or 7d")
		return
	}
	text, ok := d.text(c)
	if !ok {
		return
	}
	length, err := parseDuration(text)
	if err != nil {
		d.fail(c.node, c.path, "%s; write it as in 90s, 24h or 7d", err)
		return
	}
	v.SetInt(int64(length))
}

func parseDuration(s string) (time.Duration, error) {
	match := durationSyntax.FindStringSubmatch(s)
	if s == "" || match == nil {
		return 0, fmt.Errorf("%q is no length of time", clip(s))
	}
	var length time.Duration
	rest := s
	if days := match[1]; days != "" {
		n, err := strconv.ParseInt(days[:len(days)-1], 10, 64)
		if err != nil || n > int64(math.MaxInt64/day) {
			return 0, fmt.Errorf("%q is too long", clip(s))
		}
		length, rest = time.Duration(n)*day, s[len(days):]
	}
	if rest == "" {
		return length, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || length+more < length {
		return 0, fmt.Errorf("%q is too long", clip(s))
	}
	return length + more, nil
}

// timePattern is the form of what time.RFC3339 reads, but for the calendar.
const timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`

// firstYear is the year of the earliest time that is read. The zero time means "never" in Go, so that year 1 must not be written.
const firstYear = 1970

func (d *decoder) decodeTime(c cursor, v reflect.Value) {
	n := c.node
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!timestamp" {
		d.fail(n, c.path, "%s where a time is wanted; write it as in 2027-01-31T00:00:00Z", describe(n))
		return
	}
	t, err := time.Parse(time.RFC3339, n.Value)
	if err != nil {
		d.fail(n, c.path, "%q is no time with a zone (RFC 3339); write it as in 2027-01-31T00:00:00Z", clip(n.Value))
		return
	}
	if t.Year() < firstYear {
		d.fail(n, c.path, "%q lies before %d; write a later time", clip(n.Value), firstYear)
		return
	}
	v.Set(reflect.ValueOf(t.UTC()))
}
