package health

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a message of Protocol Buffers, encoded.
type message []byte

var errMessage = errors.New("a message that cannot be read")

// with adds a field of text.
func (m message) with(field protowire.Number, text string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), text)
}

// nest adds a field that is a message.
func (m message) nest(field protowire.Number, inner message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), inner)
}

// all returns the values of a field of text or messages.
func (m message) all(field protowire.Number) ([]message, error) {
	var found []message
	for rest := []byte(m); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, errMessage
		}
		rest = rest[n:]
		if number == field && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(rest)
			if n < 0 {
				return nil, errMessage
			}
			found, rest = append(found, value), rest[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return nil, errMessage
		}
		rest = rest[n:]
	}
	return found, nil
}

// one returns a field that is a message: the last, as the encoding has it, or an empty one.
func (m message) one(field protowire.Number) (message, error) {
	all, err := m.all(field)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[len(all)-1], nil
}

// text returns a field of text; "" if there is none.
func (m message) text(field protowire.Number) (string, error) {
	value, err := m.one(field)
	return string(value), err
}

// number returns a field that is a number; 0 if there is none.
func (m message) number(field protowire.Number) (uint64, error) {
	var found uint64
	for rest := []byte(m); len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return 0, errMessage
		}
		rest = rest[n:]
		if number == field && kind == protowire.VarintType {
			if found, n = protowire.ConsumeVarint(rest); n < 0 {
				return 0, errMessage
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			return 0, errMessage
		}
		rest = rest[n:]
	}
	return found, nil
}
