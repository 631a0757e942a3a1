package trust

import (
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a distinguished name. Those of real certificates have a few hundred bytes and under ten attributes.
const (
	maxDN         = 8 << 10 // bytes
	maxAttributes = 64
)

// DN is a distinguished name: relative names in the order in which they are written, each of one or more attributes. The zero DN
// names nothing and equals nothing, itself included.
type DN struct {
	relative [][]DNAttribute // attributes sorted
}

// DNAttribute is one attribute of a distinguished name.
type DNAttribute struct {
	Type  string // object identifier in dotted decimal: "2.5.4.3"
	Value string // the text, or "#" and the hexadecimal DER of a value that is no text
}

// attributeTypes are the names that are read for types of attributes, in lower case (RFC 4514, section 3, and what openssl and
// Windows write for the rest).
var attributeTypes = map[string]string{
	"cn": "2.5.4.3", "sn": "2.5.4.4", "serialnumber": "2.5.4.5", "c": "2.5.4.6", "l": "2.5.4.7", "st": "2.5.4.8", "s": "2.5.4.8",
	"street": "2.5.4.9", "o": "2.5.4.10", "ou": "2.5.4.11", "title": "2.5.4.12", "postalcode": "2.5.4.17", "gn": "2.5.4.42",
	"uid": "0.9.2342.19200300.100.1.1", "dc": "0.9.2342.19200300.100.1.25",
	"emailaddress": "1.2.840.113549.1.9.1", "e": "1.2.840.113549.1.9.1",
}

// ParseDN reads a distinguished name in the form of RFC 4514, "CN=GitLab CI,O=Acme": what pkix.Name.String and
// "openssl x509 -nameopt RFC2253" print. Spaces around attributes that are not escaped do not count. A name that is empty, that has
// more than 64 attributes or 8 KiB, or whose types are neither object identifiers nor known names, is an error.
func ParseDN(s string) (DN, error) {
	dn, err := parseDN(s)
	if err != nil {
		return DN{}, fmt.Errorf("distinguished name %q: %w", clip(s), err)
	}
	return dn, nil
}

func parseDN(s string) (DN, error) {
	switch {
	case strings.Trim(s, " ") == "":
		return DN{}, errors.New("is empty")
	case len(s) > maxDN:
		return DN{}, fmt.Errorf("%d bytes, at most %d are allowed", len(s), maxDN)
	}
	var dn DN
	var relative []DNAttribute
	for count := 1; ; count++ {
		if count > maxAttributes {
			return DN{}, fmt.Errorf("more than %d attributes", maxAttributes)
		}
		attribute, separator, rest, err := parseAttribute(s)
		if err != nil {
			return DN{}, err
		}
		relative = append(relative, attribute)
		if separator != '+' {
			slices.SortFunc(relative, compareAttributes)
			dn.relative = append(dn.relative, relative)
			relative = nil
		}
		if separator == 0 {
			return dn, nil
		}
		s = rest
	}
}

// parseAttribute reads "type=value" and the separator behind it: ',', '+', or 0 at the end.
func parseAttribute(s string) (a DNAttribute, separator byte, rest string, err error) {
	name, rest, found := strings.Cut(s, "=")
	if !found {
		return DNAttribute{}, 0, "", fmt.Errorf("%q is no attribute of the form type=value", clip(s))
	}
	if a.Type, err = attributeType(strings.Trim(name, " ")); err != nil {
		return DNAttribute{}, 0, "", err
	}
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "#") {
		end := strings.IndexAny(rest, ",+")
		if end < 0 {
			end = len(rest)
		}
		a.Value, err = hexValue(strings.TrimRight(rest[1:end], " "))
		rest = rest[end:]
	} else {
		a.Value, rest, err = textValue(rest)
	}
	if err != nil {
		return DNAttribute{}, 0, "", fmt.Errorf("value of %q: %w", clip(name), err)
	}
	if rest == "" {
		return a, 0, "", nil
	}
	return a, rest[0], rest[1:], nil
}

func attributeType(name string) (string, error) {
	if known, found := attributeTypes[strings.ToLower(name)]; found {
		return known, nil
	}
	arcs := strings.Split(name, ".")
	for _, arc := range arcs {
		if arc == "" || strings.Trim(arc, "0123456789") != "" || len(arc) > 1 && arc[0] == '0' {
			return "", fmt.Errorf("%q is neither a known type of attribute nor an object identifier", clip(name))
		}
	}
	if len(arcs) < 2 {
		return "", fmt.Errorf("%q is neither a known type of attribute nor an object identifier", clip(name))
	}
	return name, nil
}

// hexValue reads the DER of a value in hexadecimal. Texts become what they say, so that they equal texts that are written plainly.
func hexValue(digits string) (string, error) {
	der, err := hex.DecodeString(digits)
	if err != nil {
		return "", err
	}
	var raw asn1.RawValue
	if rest, err := asn1.Unmarshal(der, &raw); err != nil || len(rest) > 0 {
		return "", errors.New("# stands before something that is no DER value")
	}
	isText := raw.Tag == asn1.TagUTF8String || raw.Tag == asn1.TagPrintableString || raw.Tag == asn1.TagIA5String
	if raw.Class == asn1.ClassUniversal && isText && !raw.IsCompound && utf8.Valid(raw.Bytes) {
		// A text that begins with "#" keeps apart from the DER of something else.
		return plainValue(string(raw.Bytes)), nil
	}
	return "#" + hex.EncodeToString(der), nil
}

// plainValue marks a text that could be taken for the hexadecimal form.
func plainValue(s string) string {
	if strings.HasPrefix(s, "#") || strings.HasPrefix(s, `\`) {
		return `\` + s
	}
	return s
}

// textValue reads a value with its escapes, up to the separator behind it.
func textValue(s string) (value, rest string, err error) {
	var b strings.Builder
	keep := 0 // length of b up to the last character that is no plain space
	for s != "" && s[0] != ',' && s[0] != '+' {
		switch s[0] {
		case '"', ';', '<', '>':
			return "", "", fmt.Errorf(`%q must be written with a backslash before it`, s[0])
		case '\\':
			char, length, err := unescape(s[1:])
			if err != nil {
				return "", "", err
			}
			b.WriteByte(char)
			keep = b.Len()
			s = s[1+length:]
			continue
		}
		b.WriteByte(s[0])
		if s[0] != ' ' {
			keep = b.Len()
		}
		s = s[1:]
	}
	value = b.String()[:keep]
	if !utf8.ValidString(value) {
		return "", "", errors.New("is not UTF-8")
	}
	return plainValue(value), s, nil
}

// unescape reads what stands behind a backslash: a special character, or two hexadecimal digits (RFC 4514, section 3, "pair").
func unescape(s string) (char byte, length int, err error) {
	if s != "" && strings.IndexByte(` "#+,;<=>\`, s[0]) >= 0 {
		return s[0], 1, nil
	}
	if len(s) >= 2 {
		if octet, err := hex.DecodeString(s[:2]); err == nil {
			return octet[0], 2, nil
		}
	}
	return 0, 0, errors.New("a backslash before something that needs none")
}

func compareAttributes(a, b DNAttribute) int {
	if c := strings.Compare(a.Type, b.Type); c != 0 {
		return c
	}
	return strings.Compare(a.Value, b.Value)
}

// Equal reports whether both names have the same relative names in the same order (RFC 5280, section 7.1). Types are compared as
// object identifiers and values character by character. Inside one relative name the order of attributes does not matter. Names
// that are written in reversed order, as "/C=DE/CN=x" is by old tools, are not equal.
func (d DN) Equal(other DN) bool {
	return len(d.relative) > 0 && slices.EqualFunc(d.relative, other.relative, slices.Equal[[]DNAttribute])
}

// SameAttributes reports whether both names have the same attributes, each as often, in any order and grouping. It is for
// denials: tools print one name in several orders (openssl first to last, RFC 4514 last to first, Go's pkix.Name by type), and a
// denial must not be missed for that. What grants trust uses Equal.
func (d DN) SameAttributes(other DN) bool {
	mine, theirs := d.Attributes(), other.Attributes()
	slices.SortFunc(mine, compareAttributes)
	slices.SortFunc(theirs, compareAttributes)
	return len(mine) > 0 && slices.Equal(mine, theirs)
}

// Attributes returns all attributes, the relative names in the order in which they are written.
func (d DN) Attributes() []DNAttribute { return slices.Concat(d.relative...) }

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
