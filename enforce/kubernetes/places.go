package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Image is an image field of an object.
type Image struct {
	Path      string // JSON pointer (RFC 6901) to the text in the object
	Container string // name of the container or of the volume; "" if it has none
	Text      string // the reference, as it stands there
}

// place is what is looked at in one value of an object. What no place names is passed over.
type place struct {
	members []member
	items   *place // of each item of a list, and of each member of an object that is not named
	named   bool   // the member "name" names the images in this object
	image   bool   // a string here is an image
	shape   byte   // how a value here begins, if there is one: '{' or '['; 0: however
}

type member struct {
	name string
	*place
}

func (p *place) member(name []byte) *place {
	for i := range p.members {
		if p.members[i].name == string(name) {
			return p.members[i].place
		}
	}
	return nil
}

func at(p *place, path ...string) *place {
	for _, name := range slices.Backward(path) {
		p = &place{shape: '{', members: []member{{name, p}}}
	}
	return p
}

// The fields of Kubernetes that hold the name of an image which a node will run or mount. A test compares them with the schema that a real
// API server publishes, so that a field of a newer version does not go unnoticed.
var (
	reference  = &place{image: true}
	container  = &place{shape: '{', named: true, members: []member{{"image", reference}}}
	containers = &place{shape: '[', items: container}
	volume     = &place{shape: '{', named: true, members: []member{{"image", at(reference, "reference")}}}
	podSpec    = &place{shape: '{', members: []member{
		{"containers", containers},
		{"initContainers", containers},
		{"ephemeralContainers", containers},
		{"volumes", &place{shape: '[', items: volume}},
	}}
	podTemplate = at(podSpec, "spec")
)

// kindKey names a kind in all its versions.
type kindKey struct{ group, kind string }

func (k kindKey) String() string {
	if k.group == "" {
		return k.kind
	}
	return k.group + "/" + k.kind
}

// builtin says where the images of Kubernetes' own kinds are.
func builtin() map[kindKey]*place {
	workload := at(podTemplate, "spec", "template")
	kinds := map[kindKey]*place{
		{"", "Pod"}:                   podTemplate,
		{"", "PodTemplate"}:           at(podTemplate, "template"),
		{"", "ReplicationController"}: workload,
		{"apps", "Deployment"}:        workload,
		{"apps", "ReplicaSet"}:        workload,
		{"apps", "StatefulSet"}:       workload,
		{"apps", "DaemonSet"}:         workload,
		{"batch", "Job"}:              workload,
		{"batch", "CronJob"}:          at(workload, "spec", "jobTemplate"),
	}
	// What a rule for subresources brings along and has no image.
	for _, without := range []kindKey{
		{"", "Binding"}, {"autoscaling", "Scale"}, {"policy", "Eviction"}, {"authentication.k8s.io", "TokenRequest"},
	} {
		kinds[without] = &place{}
	}
	return kinds
}

// Kind says where the images of a custom resource are.
type Kind struct {
	Group string
	Kind  string
	// Paths are JSON pointers to an image, a container, a pod's spec, a pod template, or a list of one of these. "*" as a segment is
	// every item of a list or member of an object. An object in which a path leads to no image is denied, unless the path ends in "?".
	Paths []string
}

// kind is where the images of a kind are, and what must be there.
type kind struct {
	*place
	wanted []string // paths that must lead to an image
}

func (k Kind) compile() (kind, error) {
	if k.Kind == "" || len(k.Paths) == 0 {
		return kind{}, errors.New("a kind needs a name and a path to its images")
	}
	root := &place{}
	var wanted []string
	for _, path := range k.Paths {
		bare, optional := strings.CutSuffix(path, "?")
		if !strings.HasPrefix(bare, "/") || strings.HasSuffix(bare, "/") {
			return kind{}, fmt.Errorf("path %q: want one like /spec/image", path)
		}
		segments := strings.Split(bare[1:], "/")
		for i := range segments {
			segments[i] = unescape(segments[i])
		}
		if err := root.insert(segments); err != nil {
			return kind{}, fmt.Errorf("path %q: %w", path, err)
		}
		if !optional {
			wanted = append(wanted, bare)
		}
	}
	return kind{place: root, wanted: wanted}, nil
}

func unescape(segment string) string {
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~1", "/"), "~0", "~")
}

func escape(segment string) string {
	if !strings.ContainsAny(segment, "~/") {
		return segment
	}
	return strings.ReplaceAll(strings.ReplaceAll(segment, "~", "~0"), "/", "~1")
}

// insert makes p look at the end of a path for everything that can hold images.
func (p *place) insert(segments []string) error {
	if len(segments) == 0 {
		if p.image || len(p.members) > 0 || p.items != nil {
			return errors.New("another path leads there, or further")
		}
		*p = *anything()
		return nil
	}
	if p.image {
		return errors.New("another path ends before")
	}
	star := segments[0] == "*"
	if star && len(p.members) > 0 || !star && p.items != nil {
		return errors.New("another path has a * where this one has a name, or a name where this one has a *, and one image could be in both")
	}
	if star {
		if p.items == nil {
			p.items = &place{}
		}
		return p.items.insert(segments[1:])
	}
	next := p.member([]byte(segments[0]))
	if next == nil {
		next = &place{}
		p.members = append(p.members, member{segments[0], next})
	}
	return next.insert(segments[1:])
}

// anything is an image, a container, a pod's spec, a pod template, or a list of one of these.
func anything() *place {
	one := &place{image: true, named: true}
	one.members = append(slices.Clone(container.members), podSpec.members...)
	one.members = append(one.members, member{"spec", podSpec})
	many := *one
	many.items = one
	return &many
}

// imagesOf returns the images of an object in the order in which they stand there.
func imagesOf(s *scanner, p *place) ([]Image, error) {
	w := walk{scanner: s, images: make([]Image, 0, 4)}
	err := w.value(p)
	return w.images, err
}

// walk goes through an object along the places where images are.
type walk struct {
	*scanner
	path   []step
	images []Image
}

// step is a member's name, or an index.
type step struct {
	name  string
	index int // of an item; -1 for a member
}

func (w *walk) value(p *place) error {
	next := w.next()
	if p.shape != 0 && next != p.shape && next != 'n' {
		return fmt.Errorf("%s: want %q: %w", w.pointer(), p.shape, w.unexpected())
	}
	if p.image && p.items == nil && len(p.members) == 0 && (next == '{' || next == '[') {
		return fmt.Errorf("%s: want the name of an image: %w", w.pointer(), w.unexpected())
	}
	switch next {
	case '{':
		return w.members(p)
	case '[':
		return w.list(func(i int) error {
			if p.items == nil {
				return w.skip()
			}
			return w.step(step{index: i}, p.items)
		})
	case 'n':
		return w.word("null")
	}
	if !p.image {
		return w.skip()
	}
	text, err := w.text()
	if err != nil {
		return fmt.Errorf("%s: want the name of an image: %w", w.pointer(), err)
	}
	w.images = append(w.images, Image{Path: w.pointer(), Text: text})
	return nil
}

func (w *walk) step(next step, p *place) error {
	w.path = append(w.path, next)
	err := w.value(p)
	w.path = w.path[:len(w.path)-1]
	return err
}

func (w *walk) members(p *place) error {
	first, named := len(w.images), ""
	err := w.object(func(name []byte) error {
		if p.named && string(name) == "name" && w.next() == '"' {
			text, err := w.text()
			named = text
			return err
		}
		if inner := p.member(name); inner != nil {
			return w.step(step{name: string(name), index: -1}, inner)
		}
		if p.items != nil && !p.image {
			return w.step(step{name: string(name), index: -1}, p.items)
		}
		return w.skip()
	})
	for i := first; i < len(w.images) && named != ""; i++ {
		if w.images[i].Container == "" {
			w.images[i].Container = named
		}
	}
	return err
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

// missing returns a path that must lead to an image and does not.
func (k kind) missing(images []Image) (path string, found bool) {
	for _, wanted := range k.wanted {
		if !slices.ContainsFunc(images, func(i Image) bool { return leadsTo(wanted, i.Path) }) {
			return wanted, true
		}
	}
	return "", false
}

// leadsTo reports whether a path with wildcards is a pointer or leads to it.
func leadsTo(path, pointer string) bool {
	wanted, has := strings.Split(path, "/"), strings.Split(pointer, "/")
	if len(wanted) > len(has) {
		return false
	}
	for i := range wanted {
		if wanted[i] != "*" && wanted[i] != has[i] {
			return false
		}
	}
	return true
}
