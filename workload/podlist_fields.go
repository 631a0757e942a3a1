package workload

import (
	"errors"
	"fmt"
)

// span is a text inside podDecoder.texts.
type span struct{ from, to int }

// object reads an object and calls field for each of the keys that count, which must read the value. A null is an object without keys.
func (d *podDecoder) object(path string, keys []string, field func(key int)) {
	if d.null() {
		return
	}
	if d.peek() != '{' {
		d.flawed(path, errNoObject)
		d.skip()
		return
	}
	d.enter()
	seen := 0
	for first := true; d.next(first, '}'); first = false {
		switch i := d.known(keys); {
		case i < 0:
			d.skip()
		case seen&(1<<i) != 0:
			d.flawed(path, fmt.Errorf("%s comes twice", keys[i]))
			d.skip()
		default:
			seen |= 1 << i
			field(i)
		}
	}
}

// known reads a key and the colon, and returns the key's place. -1: it does not count.
func (d *podDecoder) known(keys []string) int {
	if c := d.peek(); d.err == nil && c != '"' {
		d.fail("%q where a key belongs", c)
	}
	if d.err != nil {
		return -1
	}
	key, err := d.scanner.text(d.key[:0], maxPodKey)
	d.expect(':')
	d.key = key[:0]
	if err != nil {
		return -1
	}
	for i, k := range keys {
		if string(key) == k {
			return i
		}
	}
	return -1
}

// array reads an array and calls entry for each of its entries, which must read it. False: what is left of it does not count. A null
// is an empty array.
func (d *podDecoder) array(path string, entry func() bool) {
	if d.null() {
		return
	}
	if d.peek() != '[' {
		d.flawed(path, errors.New("expected an array"))
		d.skip()
		return
	}
	d.enter()
	counts := true
	for first := true; d.next(first, ']'); first = false {
		if counts = counts && entry(); !counts {
			d.skip()
		}
	}
}

// text reads a text of a pod. A null is an empty one.
func (d *podDecoder) text(path string, into *span) span {
	if d.null() {
		return span{}
	}
	if c := d.peek(); c != '"' {
		d.flawed(path, errors.New("expected a string"))
		d.skip()
		return span{}
	}
	from := len(d.texts)
	texts, err := d.scanner.text(d.texts, maxPodKept)
	if err != nil {
		d.flawed(path, err)
	}
	d.texts = texts
	*into = span{from, len(texts)}
	return *into
}

// flawed notes why the pod cannot be used.
func (d *podDecoder) flawed(path string, why error) {
	if d.flaw != nil {
		return
	}
	if path != "" {
		why = fmt.Errorf("%s: %w", path, why)
	}
	d.flaw = why
}
