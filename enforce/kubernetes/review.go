package kubernetes

import (
	"errors"
	"fmt"
	"strings"
)

// Versions of AdmissionReview that are answered.
const (
	reviewV1      = "admission.k8s.io/v1"
	reviewV1beta1 = "admission.k8s.io/v1beta1"
)

// operation is what is done to an object. The zero value is none that is known.
type operation string

const (
	create     operation = "CREATE"
	update     operation = "UPDATE"
	deletion   operation = "DELETE"
	connection operation = "CONNECT"
)

// review is what is looked at of an AdmissionReview's request. Nothing in it that whoever made the object can write is trusted: no label,
// annotation or owner.
type review struct {
	apiVersion  string
	uid         string
	kind        kindKey
	resource    string // with the subresource, for people
	namespace   string
	operation   operation
	object, old object
	before      map[string]string // the texts of the images of old by their paths, once somebody asked
	requested   bool
	complete    bool // it was read to its end, and has a namespace as the API server meant it
}

// object is an object of a review and the images in it.
type object struct {
	found
	raw    []byte
	seen   bool
	walked bool
}

// given reports whether there is an object at all.
func (o *object) given() bool { return o.seen && string(o.raw) != "null" }

// unknownKindError says that nobody told where the images of a kind are.
type unknownKindError struct{ kind kindKey }

func (e *unknownKindError) Error() string {
	return fmt.Sprintf("nobody told Assay where %v has its images", e.kind)
}

// largeObjectError says that an object is too large to be looked at.
type largeObjectError struct{ size, limit int }

func (e *largeObjectError) Error() string {
	return fmt.Sprintf("the object has %d bytes; Assay looks at %d at most", e.size, e.limit)
}

// decoder decodes reviews.
type decoder struct {
	kinds     map[kindKey]kind
	maxObject int
}

// decode reads a review into r. What was read before an error is there, so that the answer can carry the request's uid.
func (d *decoder) decode(body []byte, r *review) error {
	s := &scanner{data: body}
	err := s.object(func(name []byte) (err error) {
		switch string(name) {
		case "apiVersion":
			r.apiVersion, err = s.text()
		case "kind":
			err = wantReview(s)
		case "request":
			r.requested = s.next() == '{'
			err = d.request(s, r)
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	r.complete = true
	return d.check(r)
}

func wantReview(s *scanner) error {
	kind, err := s.text()
	if err == nil && kind != "AdmissionReview" {
		err = fmt.Errorf("kind %q: want AdmissionReview", kind)
	}
	return err
}

func (d *decoder) request(s *scanner, r *review) error {
	if s.null() {
		return nil
	}
	var subresource string
	err := s.object(func(name []byte) (err error) {
		switch string(name) {
		case "uid":
			r.uid, err = s.text()
		case "kind":
			r.kind, err = groupKind(s)
		case "resource":
			r.resource, err = resource(s)
		case "subResource":
			subresource, err = s.text()
		case "namespace":
			r.namespace, err = s.text()
		case "operation":
			var text string
			text, err = s.text()
			r.operation = operation(text)
		case "object":
			err = d.object(s, r, &r.object)
		case "oldObject":
			err = d.object(s, r, &r.old)
		default:
			err = s.skip()
		}
		return err
	})
	if subresource != "" {
		r.resource += "/" + subresource
	}
	return err
}

func groupKind(s *scanner) (k kindKey, err error) {
	err = s.object(func(name []byte) (err error) {
		switch string(name) {
		case "group":
			k.group, err = s.text()
		case "kind":
			k.kind, err = s.text()
		default:
			err = s.skip()
		}
		return err
	})
	return k, err
}

func resource(s *scanner) (text string, err error) {
	err = s.object(func(name []byte) (err error) {
		if string(name) == "resource" {
			text, err = s.text()
			return err
		}
		return s.skip()
	})
	return text, err
}

// object takes an object. API servers name the kind before the object, so that it is walked as it is read; where the kind comes later, it
// is walked then.
func (d *decoder) object(s *scanner, r *review, o *object) error {
	o.seen = true
	s.next()
	start := s.pos
	var err error
	if k, known := d.kinds[r.kind]; known && r.kind.kind != "" {
		o.found, err = search(s, k.place)
		o.walked = true
	} else {
		err = s.skip()
	}
	o.raw = s.data[start:s.pos]
	return err
}

// check wants that all is there that a decision needs.
func (d *decoder) check(r *review) error {
	switch {
	case !r.requested:
		return errors.New("there is no request in it")
	case r.uid == "":
		return errors.New("the request has no uid")
	case r.apiVersion != reviewV1 && r.apiVersion != reviewV1beta1:
		return fmt.Errorf("apiVersion %q: want %s or %s", r.apiVersion, reviewV1, reviewV1beta1)
	case r.kind.kind == "":
		return errors.New("the request names no kind")
	case !namespaceName(r.namespace):
		return errors.New("the request's namespace has no name that a namespace can have")
	}
	switch r.operation {
	case deletion, connection:
		return nil
	case create, update:
	default:
		return fmt.Errorf("operation %q: want CREATE, UPDATE, DELETE or CONNECT", r.operation)
	}
	if !r.object.given() {
		return errors.New("the request has no object")
	}
	return d.checkObjects(r)
}

// checkObjects wants that all images of the objects were seen.
func (d *decoder) checkObjects(r *review) error {
	k, known := d.kinds[r.kind]
	for _, o := range []*object{&r.object, &r.old} {
		if len(o.raw) > d.maxObject {
			return &largeObjectError{size: len(o.raw), limit: d.maxObject}
		}
		if err := walkLate(k, o); err != nil {
			return err
		}
	}
	switch {
	case !known:
		return &unknownKindError{kind: r.kind}
	case k.custom && r.unchanged():
		return nil
	case len(r.object.odd) > 0:
		return errors.New(r.object.odd[0].String())
	case r.object.absent != "":
		return fmt.Errorf("%v has no image at %s, where Assay was told to look for one", r.kind, r.object.absent)
	}
	return nil
}

// namespaceName reports whether a namespace can have a name (RFC 1123), or there is none.
func namespaceName(name string) bool {
	const longest = 63
	return len(name) <= longest && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	}) < 0
}

func walkLate(k kind, o *object) (err error) {
	if k.place != nil && o.given() && !o.walked {
		o.found, err = search(&scanner{data: o.raw}, k.place)
		o.walked = true
	}
	return err
}

// unchanged reports whether an update leaves every image as it was. That alone is looked at: a deletion time stamp, a finalizer or a number
// of replicas can come along with another image.
func (r *review) unchanged() bool {
	if r.operation != update || !r.old.given() || !r.old.walked || len(r.object.images) != len(r.old.images) {
		return false
	}
	for i := range r.object.images {
		if !r.kept(i) {
			return false
		}
	}
	return same(r.object.odd, r.old.odd)
}

// kept reports whether the object before had an image of the object in the same place with the same text. Mostly it comes as the same one;
// an object can have so many images that looking at all for each would take too long.
func (r *review) kept(i int) bool {
	image := &r.object.images[i]
	if i < len(r.old.images) && r.old.images[i].Path == image.Path {
		return r.old.images[i].Text == image.Text
	}
	if r.before == nil {
		r.before = make(map[string]string, len(r.old.images))
		for _, old := range r.old.images {
			r.before[old.Path] = old.Text
		}
	}
	text, found := r.before[image.Path]
	return found && text == image.Text
}
