package kubernetes

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// found is what a walk came upon.
type found struct {
	images []Image
	puller Puller
	odd    []oddity
	absent string // a pointer that should lead to an image and does not; "": none
}

// oddity is something where an image can be that is nothing in which one would be seen.
type oddity struct {
	path string
	json []byte // what is there
	text string // what is wrong with it, for people
}

func (o oddity) String() string { return cmp.Or(o.path, "the object") + ": " + o.text }

// same reports whether two objects have the same oddities, byte for byte.
func same(a, b []oddity) bool {
	return slices.EqualFunc(a, b, func(a, b oddity) bool { return a.path == b.path && bytes.Equal(a.json, b.json) })
}

// search finds the images of an object, in the order in which they stand there. The error is about the JSON.
func search(s *scanner, p *place) (found, error) {
	w := walk{scanner: s, found: found{images: make([]Image, 0, 4)}}
	err := w.value(p)
	return w.found, err
}

// walk goes through an object along the places where images are.
type walk struct {
	*scanner
	found
	path []step
}

// step is a member's name, or an index.
type step struct {
	name  string
	index int // of an item; -1 for a member
}

func (w *walk) value(p *place) error {
	next := w.next()
	start, images, odd := w.pos, len(w.images), len(w.odd)
	if err := w.enterValue(p, next); err != nil {
		return err
	}
	if p.must && len(w.images) == images && len(w.odd) == odd && w.absent == "" {
		w.absent = w.pointer()
	}
	if len(w.odd) == odd+1 && w.odd[odd].json == nil {
		w.odd[odd].json = w.data[start:w.pos]
	}
	return nil
}

// enterValue takes a value. What is of no shape in which an image would be seen is passed over and noted.
func (w *walk) enterValue(p *place, next byte) error {
	switch {
	case next == 'n':
		return w.word("null")
	case p.pull != 0:
		return w.pull(p.pull, next)
	case p.nothing() && p.shape == 0:
		return w.skip()
	case p.shape != 0 && next != p.shape:
		w.note("want " + kindOf(p.shape) + ", not " + kindOf(next))
		return w.skip()
	case next == '{' && (len(p.members) > 0 || p.items != nil):
		return w.members(p)
	case next == '[' && p.items != nil:
		return w.list(func(i int) error { return w.step(step{index: i}, p.items) })
	case next == '"' && p.image:
		text, err := w.text()
		if err == nil {
			w.images = append(w.images, Image{Path: w.pointer(), Text: text})
		}
		return err
	}
	w.note("want " + p.wanted() + ", not " + kindOf(next))
	return w.skip()
}

func (w *walk) note(text string) { w.odd = append(w.odd, oddity{path: w.pointer(), text: text}) }

// wanted says what should be at p, for people.
func (p *place) wanted() string {
	switch {
	case p.image:
		return "the name of an image"
	case p.items != nil:
		return "a list or an object"
	}
	return "an object"
}

// kindOf says what begins with c, for people.
func kindOf(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a text"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}

func (w *walk) step(next step, p *place) error {
	w.path = append(w.path, next)
	err := w.value(p)
	w.path = w.path[:len(w.path)-1]
	return err
}

func (w *walk) members(p *place) error {
	first, odd, named := len(w.images), len(w.odd), ""
	var in contents
	err := w.object(func(name []byte) error {
		if p.end {
			in.add(p, name)
		}
		if p.named && string(name) == "name" && w.next() == '"' {
			text, err := w.text()
			named = text
			return err
		}
		if inner := p.member(name); inner != nil {
			if inner.must {
				in.reached = append(in.reached, inner)
			}
			return w.step(step{name: string(name), index: -1}, inner)
		}
		if p.items != nil && !p.image {
			return w.step(step{name: string(name), index: -1}, p.items)
		}
		return w.skip()
	})
	if err != nil {
		return err
	}
	for i := first; i < len(w.images) && named != ""; i++ {
		if w.images[i].Container == "" {
			w.images[i].Container = named
		}
	}
	if text := in.odd(len(w.images) > first); text != "" && len(w.odd) == odd {
		w.note(text)
	}
	w.miss(p, in.reached)
	return nil
}

// miss notes a member that must be there and is not.
func (w *walk) miss(p *place, reached []*place) {
	for i := range p.members {
		if m := &p.members[i]; m.must && w.absent == "" && !slices.Contains(reached, m.place) {
			w.absent = w.pointer() + "/" + escape(m.name)
		}
	}
}

// contents is what is in an object at the end of a path.
type contents struct {
	reached  []*place // those that must be
	some     bool     // it has members
	familiar bool     // some of a container, a pod's spec or a pod template
	part     string   // a member that is a part of an image's name
}

// parts are the members in which custom resources have the parts of an image's name. Kubernetes' own kinds have none of them.
var parts = []string{"registry", "repository", "repo", "tag", "digest"}

func (c *contents) add(p *place, name []byte) {
	c.some = true
	if m := p.member(name); string(name) == "name" || string(name) == "metadata" || m != nil && m.pull == 0 {
		c.familiar = true
	}
	if i := slices.Index(parts, string(name)); i >= 0 {
		c.part = parts[i]
	}
}

// odd says what is wrong with the object, "" if nothing is.
func (c *contents) odd(images bool) string {
	switch {
	case c.part != "":
		return "the name of an image in parts, such as " + strconv.Quote(c.part) + "; Assay decides about names that stand in one text"
	case c.some && !c.familiar && !images:
		return "want an image, a container, a pod's spec or a pod template, and this object looks like none of them"
	}
	return ""
}

// pointer returns where w stands, as a JSON pointer.
func (w *walk) pointer() string {
	var buffer [96]byte
	b := buffer[:0]
	for _, s := range w.path {
		b = append(b, '/')
		if s.index < 0 {
			b = append(b, escape(s.name)...)
			continue
		}
		b = strconv.AppendInt(b, int64(s.index), 10)
	}
	return string(b)
}
