package workload

// PodList is one answer of a kubelet: its pods, as far as they count for attestation. It never changes.
type PodList struct {
	// Number is higher for a list whose fetch began later.
	Number uint64
	// Skipped are entries without a UID, which are in no answer of this list.
	Skipped int
	// Malformed are container IDs, a few, that lack "<runtime>://". They match nothing.
	Malformed []string

	pods       []*Pod
	uids       map[string]*Pod
	containers map[string][]PodContainer
}

// Pod is a pod as a kubelet or an API server reports it.
type Pod struct {
	UID, Name, Namespace, Node, ServiceAccount string

	Labels                      map[string]string
	Owners                      []Owner
	Containers, Init, Ephemeral []ContainerStatus

	// Flaw is why the pod cannot be used: something that counts has the wrong type, comes twice, or is too much. What else is in
	// this struct is then only what could be read, and selectors must not be made of it.
	Flaw error

	version string // resourceVersion, of an API server's answer about one object
}

// Owner is an object that a pod or another object belongs to.
type Owner struct {
	APIVersion, Kind, Name, UID string
	Controller                  bool // it manages the object
}

// ContainerStatus is what runs, or ran, in one container of a pod.
type ContainerStatus struct {
	Name string
	// ContainerID is "<runtime>://<id>", or "" until the container was made.
	ContainerID string
	// Image is the name, ImageID the digest form, as the runtime gives them.
	Image, ImageID string
	Running        bool
}

// PodContainer is a container and the pod that it belongs to.
type PodContainer struct {
	Pod       *Pod
	Container *ContainerStatus
}

// Pods returns all pods, in the order of the answer; of two with one UID the last. It must not be changed.
func (l *PodList) Pods() []*Pod { return l.pods }

// ByUID returns the pod with a UID.
func (l *PodList) ByUID(uid string) (*Pod, bool) {
	p, found := l.uids[uid]
	return p, found
}

// ByContainer returns where a container ID, without its runtime, is listed: one place in each pod that lists it. More than one pod
// means that the kubelet contradicts itself. The result must not be changed.
func (l *PodList) ByContainer(id string) []PodContainer { return l.containers[id] }

// Flawed returns the first pod that could not be read whole, or nil.
func (l *PodList) Flawed() *Pod {
	for _, p := range l.pods {
		if p.Flaw != nil {
			return p
		}
	}
	return nil
}
