package kubernetes

import "slices"

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
	end     bool   // a path of a custom resource ends here
	must    bool   // a value must be here, and have an image in it
	pull    pulling
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

// nothing reports whether nobody looks at what is here.
func (p *place) nothing() bool {
	return !p.image && p.items == nil && len(p.members) == 0
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
		{"imagePullSecrets", &place{pull: pullSecrets}},
		{"serviceAccountName", &place{pull: pullAccount}},
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
