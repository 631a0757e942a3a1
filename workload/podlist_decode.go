package workload

import (
	"errors"
	"io"
	"slices"
	"strings"
)

// Limits of what is kept of a list of pods.
const (
	maxPodKept     = 256 << 10 // bytes of one pod; one with more cannot be used. 250 such pods still fit a list
	maxPodListKept = 64 << 20  // bytes of all pods of a list; one with more is refused
	maxMalformed   = 8         // container IDs without a runtime that are reported
	maxPodKey      = 64        // bytes of a key that could count
	podEntryCost   = 128       // bytes that an entry of a pod costs beside its texts, about
	podCost        = 512       // the same for a pod
)

var (
	errNoObject = errors.New("expected an object")
	errNoItems  = errors.New("expected an items array")
)

// Keys that count, at the places where they stand. Everything else is passed over.
var (
	listKeys     = []string{"items", "metadata"}
	listMetaKeys = []string{"continue"}
	podKeys      = []string{"metadata", "spec", "status"}
	metaKeys     = []string{"uid", "name", "namespace", "labels", "ownerReferences", "resourceVersion"}
	ownerKeys    = []string{"kind", "name", "uid"}
	allOwnerKeys = []string{"kind", "name", "uid", "apiVersion", "controller"}
	specKeys     = []string{"serviceAccountName", "nodeName"}
	statusKeys   = []string{"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "phase"}
	oneKeys      = []string{"name", "containerID", "image", "imageID", "state"}
	stateKeys    = []string{"running"}
)

// podDecoder reads pods from a stream. What it gathers of one pod lies in slices that serve the next one too, and becomes a Pod only
// if it counts: a pod that has ended costs no memory.
type podDecoder struct {
	*scanner
	options    decodeOptions
	list       *PodList
	keptBytes  int
	places     map[string]int // of pods in the list, by UID
	more       string         // what the server calls the rest of the list
	flawedList error

	key   []byte
	texts []byte // of the pod that is being read
	raw   rawPod
	flaw  error
}

type rawPod struct {
	uid, name, namespace, node, account, phase, version span

	labels   [][2]span
	owners   []rawOwner
	statuses [3][]rawStatus
}

type rawOwner struct {
	texts      [4]span // kind, name, uid, apiVersion
	controller bool
}

type rawStatus struct {
	texts   [4]span // name, containerID, image, imageID
	running bool
}

// decodeOptions is what else of a list counts.
type decodeOptions struct {
	completed bool // pods that have ended
	owners    bool // all of what is said of owners
}

// decodePods reads a list of pods, or of other objects, whose metadata has the same form. The second result is what the server calls the rest of a list that it did not give whole. An error
// that is errNoObject or errNoItems is about an answer that is JSON, others about one that is not, or too much.
func decodePods(r io.Reader, options decodeOptions) (*PodList, string, error) {
	d := &podDecoder{scanner: newScanner(r), options: options, places: map[string]int{}}
	d.list = &PodList{uids: map[string]*Pod{}, containers: map[string][]PodContainer{}}
	if d.peek() != '{' && d.err == nil {
		d.flawedList = errNoObject
		d.skip()
	} else {
		d.flawedList = errNoItems
		d.object("", listKeys, d.listField)
	}
	d.finish()
	switch {
	case d.err != nil:
		return nil, "", d.err
	case d.flawedList != nil:
		return nil, "", d.flawedList
	case d.flaw != nil:
		return nil, "", d.flaw
	}
	d.index()
	return d.list, d.more, nil
}

// decodePod reads one pod, completed or not, or the metadata of another object.
func decodePod(r io.Reader) (*Pod, error) {
	d := &podDecoder{scanner: newScanner(r), options: decodeOptions{owners: true}}
	if d.peek() != '{' && d.err == nil {
		return nil, errNoObject
	}
	d.object("", podKeys, d.podField)
	d.finish()
	if d.err != nil {
		return nil, d.err
	}
	return d.build(), nil
}

func (d *podDecoder) listField(key int) {
	if key == 1 {
		d.texts = d.texts[:0]
		d.object("metadata", listMetaKeys, func(int) {
			more := d.text("metadata.continue", new(span))
			d.more, d.texts = string(d.texts[more.from:more.to]), d.texts[:0]
		})
		return
	}
	switch c := d.peek(); {
	case d.null():
		d.flawedList = nil
	case c != '[':
		d.skip()
	default:
		d.flawedList = nil
		d.array("items", func() bool {
			d.pod()
			return d.err == nil
		})
	}
}

// pod reads one entry of the list.
func (d *podDecoder) pod() {
	if d.peek() != '{' {
		d.skip()
		d.list.Skipped++
		return
	}
	outer := d.flaw
	d.flaw, d.texts = nil, d.texts[:0]
	d.raw.reset()
	d.object("", podKeys, d.podField)
	if d.err == nil {
		d.add()
	}
	d.flaw = outer
}

func (r *rawPod) reset() {
	*r = rawPod{
		labels: r.labels[:0], owners: r.owners[:0],
		statuses: [3][]rawStatus{r.statuses[0][:0], r.statuses[1][:0], r.statuses[2][:0]},
	}
}

// add puts the pod that was read into the list, unless it does not count.
func (d *podDecoder) add() {
	uid := d.texts[d.raw.uid.from:d.raw.uid.to]
	if len(uid) == 0 {
		d.list.Skipped++
		return
	}
	if at, twice := d.places[string(uid)]; twice {
		d.list.pods[at] = nil
		delete(d.places, string(uid))
	}
	if !d.options.completed && d.completed() {
		return
	}
	if d.keptBytes += d.cost(); d.keptBytes > maxPodListKept {
		d.fail("what counts of the pods is more than %d bytes", maxPodListKept)
		return
	}
	p := d.build()
	d.places[p.UID] = len(d.list.pods)
	d.list.pods = append(d.list.pods, p)
}

// completed reports whether the pod has ended and nothing of it runs.
func (d *podDecoder) completed() bool {
	if phase := string(d.texts[d.raw.phase.from:d.raw.phase.to]); phase != "Succeeded" && phase != "Failed" {
		return false
	}
	for _, statuses := range d.raw.statuses {
		for _, s := range statuses {
			if s.running {
				return false
			}
		}
	}
	return true
}

// cost is about what the pod costs if it is kept.
func (d *podDecoder) cost() int {
	return podCost + len(d.texts) + podEntryCost*d.entries()
}

func (d *podDecoder) entries() int {
	r := &d.raw
	return len(r.labels) + len(r.owners) + len(r.statuses[0]) + len(r.statuses[1]) + len(r.statuses[2])
}

// room reports whether the pod may have one more entry.
func (d *podDecoder) room(path string) bool {
	if d.cost() < maxPodKept {
		return true
	}
	d.flawed(path, errTooLong)
	return false
}

// build makes a Pod of what was read. All its texts share one piece of memory.
func (d *podDecoder) build() *Pod {
	all, r := string(d.texts), &d.raw
	text := func(s span) string { return all[s.from:s.to] }
	p := &Pod{
		UID: text(r.uid), Name: text(r.name), Namespace: text(r.namespace), Node: text(r.node), ServiceAccount: text(r.account),
		Phase: text(r.phase), version: text(r.version), Flaw: d.flaw,
	}
	if len(r.labels) > 0 {
		p.Labels = make(map[string]string, len(r.labels))
	}
	for _, l := range r.labels {
		if _, twice := p.Labels[text(l[0])]; twice && p.Flaw == nil {
			p.Flaw = errors.New("metadata.labels: a key comes twice")
		}
		p.Labels[text(l[0])] = text(l[1])
	}
	for _, o := range r.owners {
		p.Owners = append(p.Owners, Owner{
			Kind: text(o.texts[0]), Name: text(o.texts[1]), UID: text(o.texts[2]), APIVersion: text(o.texts[3]), Controller: o.controller,
		})
	}
	for i, into := range []*[]ContainerStatus{&p.Containers, &p.Init, &p.Ephemeral} {
		*into = slices.Grow(*into, len(r.statuses[i]))
		for _, s := range r.statuses[i] {
			*into = append(*into, ContainerStatus{
				Name: text(s.texts[0]), ContainerID: text(s.texts[1]), Image: text(s.texts[2]), ImageID: text(s.texts[3]), Running: s.running,
			})
		}
	}
	return p
}

func (d *podDecoder) podField(key int) {
	switch podKeys[key] {
	case "metadata":
		d.object("metadata", metaKeys, d.metaField)
	case "spec":
		d.object("spec", specKeys, func(key int) {
			d.text("spec."+specKeys[key], []*span{&d.raw.account, &d.raw.node}[key])
		})
	case "status":
		d.object("status", statusKeys, d.statusField)
	}
}

func (d *podDecoder) metaField(key int) {
	switch r := &d.raw; metaKeys[key] {
	case "uid":
		d.text("metadata.uid", &r.uid)
	case "name":
		d.text("metadata.name", &r.name)
	case "namespace":
		d.text("metadata.namespace", &r.namespace)
	case "resourceVersion":
		if !d.options.owners {
			d.skip()
			return
		}
		d.text("metadata.resourceVersion", &r.version)
	case "labels":
		d.labels()
	case "ownerReferences":
		d.array("metadata.ownerReferences", func() bool {
			if !d.room("metadata.ownerReferences") {
				return false
			}
			r.owners = append(r.owners, d.owner())
			return true
		})
	}
}

func (d *podDecoder) owner() (o rawOwner) {
	const path = "metadata.ownerReferences"
	keys := ownerKeys
	if d.options.owners {
		keys = allOwnerKeys
	}
	d.object(path, keys, func(key int) {
		if keys[key] != "controller" {
			d.text(path, &o.texts[key])
			return
		}
		o.controller = d.peek() == 't'
		d.skip()
	})
	return o
}

// labels reads the labels, all keys of which count.
func (d *podDecoder) labels() {
	const path = "metadata.labels"
	if d.null() {
		return
	}
	if d.peek() != '{' {
		d.flawed(path, errNoObject)
		d.skip()
		return
	}
	d.enter()
	for first := true; d.next(first, '}'); first = false {
		if d.peek() != '"' || !d.room(path) {
			d.skipKey()
			d.skip()
			continue
		}
		var l [2]span
		d.text(path, &l[0])
		d.expect(':')
		d.text(path, &l[1])
		d.raw.labels = append(d.raw.labels, l)
	}
}

func (d *podDecoder) statusField(key int) {
	path := "status." + statusKeys[key]
	if statusKeys[key] == "phase" {
		d.text(path, &d.raw.phase)
		return
	}
	d.array(path, func() bool {
		if !d.room(path) {
			return false
		}
		var s rawStatus
		d.object(path, oneKeys, func(field int) {
			if oneKeys[field] == "state" {
				d.object(path, stateKeys, func(int) {
					s.running = d.peek() == '{'
					d.skip()
				})
				return
			}
			d.text(path, &s.texts[field])
		})
		d.raw.statuses[key] = append(d.raw.statuses[key], s)
		return true
	})
}

// index makes the list ready to be asked.
func (d *podDecoder) index() {
	pods := d.list.pods[:0]
	for _, p := range d.list.pods {
		if p == nil {
			continue
		}
		pods = append(pods, p)
		d.list.uids[p.UID] = p
		for _, statuses := range [][]ContainerStatus{p.Containers, p.Init, p.Ephemeral} {
			for i := range statuses {
				d.place(PodContainer{p, &statuses[i]})
			}
		}
	}
	clear(d.list.pods[len(pods):])
	d.list.pods = pods
}

// place makes a container known by its ID. In one pod the first one counts.
func (d *podDecoder) place(c PodContainer) {
	whole := c.Container.ContainerID
	if whole == "" {
		return
	}
	runtime, id, cut := strings.Cut(whole, "://")
	if !cut || runtime == "" || id == "" {
		if len(d.list.Malformed) < maxMalformed {
			d.list.Malformed = append(d.list.Malformed, strings.Clone(whole[:min(len(whole), 128)]))
		}
		return
	}
	known := d.list.containers[id]
	if len(known) > 0 && known[len(known)-1].Pod == c.Pod {
		return
	}
	d.list.containers[id] = append(known, c)
}
