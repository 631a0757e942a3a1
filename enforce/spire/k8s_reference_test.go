package spire

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/enforce/spire/proto/broker"
)

const (
	nodeBroker    = "spiffe://example.org/node"
	clusterBroker = "spiffe://example.org/cluster"
	reviewPath    = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
)

// brokers is the block of a configuration with both.
func brokers(policy string) string {
	return `experimental { broker { access_policy = "` + policy + `"
		brokers = [{ id = "` + nodeBroker + `" }, { id = "` + clusterBroker + `", pod_reference_scope = "cluster" }] } }`
}

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// object is a reference by plural, group, namespace, name and UID. A key of "-" and "-" is none.
func object(plural, group, namespace, name, uid string) *broker.KubernetesObjectReference {
	r := &broker.KubernetesObjectReference{Type: &broker.KubernetesObjectType{Plural: plural, Group: group}, Uid: uid}
	if namespace != "-" || name != "-" {
		r.Key = &broker.KubernetesObjectKey{Namespace: namespace, Name: name}
	}
	return r
}

const deployment = `{"metadata":{"uid":"d","name":"web","namespace":"ns","labels":{"b":"2","a":"1"},"ownerReferences":[
	{"apiVersion":"v1","kind":"Node","name":"n","uid":"nu"},{"apiVersion":"example.com/v1","kind":"App","name":"o","uid":"ou","controller":true}]}}`

var deploymentSelectors = []string{
	"uid:d", "resource:deployments.apps", "plural:deployments", "group:apps", "version:v1", "apiVersion:apps/v1", "kind:Deployment", "name:web",
	"namespace:ns", "key:ns/web", "label:a:1", "label:b:2",
	"owner-key:example.com/App/o", "owner-uid:example.com/App/ou", "controller-key:example.com/App/o", "controller-uid:example.com/App/ou",
	"owner-key:core/Node/n", "owner-uid:core/Node/nu",
}

func startObjects(t *testing.T) *cluster {
	t.Helper()
	return startCluster(t, map[string]string{
		"GET /api/v1":        `{"resources":[{"name":"nodes","kind":"Node"},{"name":"pods","kind":"Pod","namespaced":true}]}`,
		"GET /apis/apps":     `{"preferredVersion":{"version":"v1"}}`,
		"GET /apis/apps/v1":  `{"resources":[{"name":"deployments","kind":"Deployment","namespaced":true}]}`,
		"GET /apis/down.com": "500",
		"GET /apis/apps/v1/namespaces/ns/deployments/web": deployment,
		"GET /apis/apps/v1/deployments?limit=500":         `{"metadata":{},"items":[` + deployment + `]}`,
		"GET /api/v1/nodes/node-1":                        `{"metadata":{"uid":"n","name":"node-1"}}`,
		"GET /api/v1/namespaces/ns/pods/far":              onePod("far-uid", "far", idB),
		"GET /api/v1/namespaces/ns/pods/down":             "500",
		"GET /api/v1/pods?limit=500":                      `{"metadata":{},"items":[` + onePod("far-uid", "far", idB) + `]}`,
		reviewPath:                                        `{"status":{"allowed":true}}`,
	})
}

func TestK8S17_TextsOfReferences(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	p.set(8, 80, "0::/\n")
	n, c := startNode(t, onePod(uid1, "near", idA)), startObjects(t)
	a := kubernetes(p, nil, c)
	permissive, none := configured(t, a, n.hcl(brokers("permissive"))), configured(t, a, n.hcl(""))
	bad := func(url string) *anypb.Any { return &anypb.Any{TypeUrl: url, Value: []byte("\xff\xff\xff")} }
	pid := packed(t, &broker.WorkloadPIDReference{Pid: 7})
	ok := object("pods", "core", "ns", "near", "")
	for name, row := range map[string]struct {
		state     State
		reference any
		callers   []string
		want      string
	}{
		"nothing":                {permissive, (*anypb.Any)(nil), []string{"x", "y"}, "InvalidArgument: workload reference must be provided"},
		"two callers":            {permissive, bad(typePID), []string{nodeBroker, nodeBroker}, "Internal: unable to determine broker caller identity: multiple broker caller SPIFFE IDs provided"},
		"no SPIFFE ID":           {none, bad(typePID), []string{"x"}, "Internal: unable to determine broker caller identity: scheme is missing or invalid"},
		"empty caller":           {none, bad(typePID), []string{""}, "Internal: unable to determine broker caller identity: cannot be empty"},
		"no brokers":             {none, bad("x"), []string{nodeBroker}, "Internal: broker configuration missing"},
		"unknown broker":         {permissive, bad("x"), []string{"spiffe://example.org/x"}, `PermissionDenied: broker "spiffe://example.org/x" is not configured`},
		"unknown broker, PID":    {permissive, pid, []string{"spiffe://example.org/x"}, `PermissionDenied: broker "spiffe://example.org/x" is not configured`},
		"type":                   {permissive, bad("type.googleapis.com/x.Y"), nil, "InvalidArgument: unsupported reference type: type.googleapis.com/x.Y"},
		"no type":                {permissive, &anypb.Any{}, nil, "InvalidArgument: unsupported reference type: "},
		"broken PID":             {permissive, bad(typePID), nil, "InvalidArgument: unable to unmarshal PID reference: "},
		"broken object":          {permissive, bad(typeObject), nil, "InvalidArgument: unable to unmarshal object reference: "},
		"object without type":    {permissive, &broker.KubernetesObjectReference{}, nil, "InvalidArgument: object reference is missing type"},
		"plural":                 {permissive, object("", "", "-", "-", ""), nil, "InvalidArgument: object reference type is missing plural"},
		"group":                  {permissive, object("pods", "", "-", "-", ""), nil, "InvalidArgument: object reference type is missing group"},
		"key and UID":            {permissive, object("pods", "core", "-", "-", ""), nil, "InvalidArgument: object reference is missing key and UID"},
		"name":                   {permissive, object("pods", "core", "ns", "", "u"), nil, "InvalidArgument: object reference key is missing name"},
		"namespace":              {permissive, object("pods", "core", "", "near", "u"), nil, "InvalidArgument: namespace is required when name is set for a namespaced resource"},
		"namespace of another":   {permissive, object("deployments", "apps", "", "web", ""), nil, "InvalidArgument: namespace is required when name is set for a namespaced resource"},
		"no namespace":           {permissive, object("nodes", "core", "ns", "node-1", ""), nil, "InvalidArgument: namespace must be empty for cluster-scoped resource"},
		"unknown kind":           {permissive, object("x", "apps", "ns", "web", ""), nil, "InvalidArgument: unknown Kubernetes resource x.apps: the server has no such resource"},
		"unknown group":          {permissive, object("x", "example.org", "ns", "web", ""), nil, "InvalidArgument: unknown Kubernetes resource x.example.org: the server has no such resource"},
		"group that is down":     {permissive, object("x", "down.com", "ns", "web", ""), nil, "Unavailable: could not tell, try again: resource x.down.com: GET /apis/down.com: 500 Internal Server Error: down"},
		"no such pod":            {permissive, object("pods", "core", "ns", "far", ""), []string{nodeBroker}, "NotFound: pod ns/far not found on agent node"},
		"no such UID":            {permissive, object("pods", "core", "-", "-", "far-uid"), []string{nodeBroker}, "NotFound: pod with UID far-uid not found on agent node"},
		"no such pod, agent":     {permissive, object("pods", "core", "ns", "far", ""), nil, "NotFound: pod ns/far not found on agent node"},
		"nowhere":                {permissive, object("pods", "core", "ns", "x", ""), []string{clusterBroker}, "NotFound: pod ns/x not found"},
		"UID nowhere":            {permissive, object("pods", "core", "-", "-", "x"), []string{clusterBroker}, "NotFound: pod with UID x not found"},
		"API server down":        {permissive, object("pods", "core", "ns", "down", ""), []string{clusterBroker}, "Unavailable: could not tell, try again: GET /api/v1/namespaces/ns/pods/down: 500"},
		"other UID":              {permissive, object("pods", "core", "ns", "near", "x"), []string{nodeBroker}, "NotFound: pod ns/near has UID " + uid1 + ", expected x"},
		"other UID, cluster":     {permissive, object("pods", "core", "ns", "far", "x"), []string{clusterBroker}, "NotFound: pod ns/far has UID far-uid, expected x"},
		"other UID of an object": {permissive, object("deployments", "apps", "ns", "web", "x"), nil, "NotFound: deployments.apps ns/web has UID d, expected x"},
		"no such object":         {permissive, object("deployments", "apps", "ns", "x", ""), nil, "NotFound: deployments.apps ns/x not found"},
		"path":                   {permissive, object("pods", "core", "ns", "../../secrets", ""), []string{clusterBroker}, "NotFound: pod ns/../../secrets not found"},
		"pod":                    {permissive, ok, []string{nodeBroker}, "OK"},
		"process":                {permissive, pid, []string{nodeBroker}, "OK"},
		"process in none":        {permissive, &broker.WorkloadPIDReference{Pid: 8}, []string{nodeBroker}, "OK"},
	} {
		t.Run(name, func(t *testing.T) {
			reference, isAny := row.reference.(*anypb.Any)
			if !isAny {
				reference = packed(t, row.reference.(proto.Message))
			}
			got, err := row.state.AttestReference(t.Context(), reference, row.callers)
			if !strings.HasPrefix(says(err), row.want) || row.want == "OK" && err != nil {
				t.Errorf("got %s, want %s", says(err), row.want)
			}
			if err != nil && len(got) > 0 {
				t.Errorf("selectors beside an error: %q", got)
			}
		})
	}
}

func TestK8S17_SelectorsOfReferences(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	p.set(8, 80, "0::/\n")
	n, c := startNode(t, onePod(uid1, "near", idA)), startObjects(t)
	s := configured(t, kubernetes(p, nil, c), n.hcl(brokers("permissive")))
	for name, row := range map[string]struct {
		reference proto.Message
		callers   []string
		want      []string
	}{
		"process":           {&broker.WorkloadPIDReference{Pid: 7}, nil, onePodSelectors(uid1, "near")},
		"process, broker":   {&broker.WorkloadPIDReference{Pid: 7}, []string{nodeBroker}, onePodSelectors(uid1, "near")},
		"process in none":   {&broker.WorkloadPIDReference{Pid: 8}, nil, nil},
		"pod by name":       {object("pods", "core", "ns", "near", ""), []string{nodeBroker}, podOnly(uid1, "near")},
		"pod by UID":        {object("pods", "core", "-", "-", uid1), []string{nodeBroker}, podOnly(uid1, "near")},
		"pod by both":       {object("pods", "core", "ns", "near", uid1), nil, podOnly(uid1, "near")},
		"far pod by name":   {object("pods", "core", "ns", "far", ""), []string{clusterBroker}, podOnly("far-uid", "far")},
		"far pod by UID":    {object("pods", "core", "-", "-", "far-uid"), []string{clusterBroker}, podOnly("far-uid", "far")},
		"deployment":        {object("deployments", "apps", "ns", "web", ""), []string{nodeBroker}, deploymentSelectors},
		"deployment by UID": {object("deployments", "apps", "-", "-", "d"), nil, deploymentSelectors},
		"node": {object("nodes", "core", "", "node-1", "n"), nil, []string{
			"uid:n", "resource:nodes.core", "plural:nodes", "group:core", "version:v1", "apiVersion:v1", "kind:Node", "name:node-1", "key:node-1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.AttestReference(t.Context(), packed(t, row.reference), row.callers)
			if diff := cmp.Diff(row.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestK8S18_EnforcedAsksTheAPIServer(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	p.set(8, 80, "0::/\n")
	n := startNode(t, onePod(uid1, "near", idA))
	const denied = "PermissionDenied: Kubernetes authorizer does not allow the broker to use impersonate-via-spire for the referenced object"
	for name, row := range map[string]struct {
		reference proto.Message
		caller    string
		want      map[string]string // of the review; nil: none
	}{
		"process":    {&broker.WorkloadPIDReference{Pid: 7}, nodeBroker, map[string]string{"group": "", "resource": "pods", "namespace": "ns", "name": "near"}},
		"pod":        {object("pods", "core", "-", "-", uid1), nodeBroker, map[string]string{"group": "", "resource": "pods", "namespace": "ns", "name": "near"}},
		"far pod":    {object("pods", "core", "-", "-", "far-uid"), clusterBroker, map[string]string{"group": "", "resource": "pods", "namespace": "ns", "name": "far"}},
		"deployment": {object("deployments", "apps", "-", "-", "d"), nodeBroker, map[string]string{"group": "apps", "resource": "deployments", "namespace": "ns", "name": "web"}},
		"node":       {object("nodes", "core", "", "node-1", ""), nodeBroker, map[string]string{"group": "", "resource": "nodes", "namespace": "", "name": "node-1"}},
		"the agent":  {&broker.WorkloadPIDReference{Pid: 7}, "", nil},
		"no pod":     {&broker.WorkloadPIDReference{Pid: 8}, nodeBroker, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := startObjects(t)
			s := configured(t, kubernetes(p, nil, c), n.hcl(brokers("enforced")))
			var callers []string
			if row.caller != "" {
				callers = []string{row.caller}
			}
			got, err := s.AttestReference(t.Context(), packed(t, row.reference), callers)
			if err != nil || (len(got) == 0) != (name == "no pod") {
				t.Fatalf("%q, %v", got, err)
			}
			if row.want == nil {
				if len(c.reviews) > 0 {
					t.Errorf("a review that nobody asked for: %q", c.reviews)
				}
				return
			}
			var asked struct {
				Spec struct {
					User               string
					ResourceAttributes map[string]string
				}
			}
			if len(c.reviews) != 1 {
				t.Fatalf("%d reviews, want 1", len(c.reviews))
			}
			if err := json.Unmarshal([]byte(c.reviews[0]), &asked); err != nil {
				t.Fatal(err)
			}
			row.want["verb"] = "impersonate-via-spire"
			if diff := cmp.Diff(row.want, asked.Spec.ResourceAttributes); diff != "" || asked.Spec.User != row.caller {
				t.Errorf("user %q %s", asked.Spec.User, diff)
			}
			for answer, want := range map[string]string{
				`{"status":{"allowed":false}}`:              denied,
				`{"status":{"allowed":true,"denied":true}}`: denied,
				`{}`:  "Internal: unable to check Kubernetes authorization for broker: the API server gave no answer",
				"500": "Internal: unable to check Kubernetes authorization for broker: POST /apis/authorization.k8s.io/v1/subjectaccessreviews: 500 Internal Server Error: down",
			} {
				c.set(reviewPath, answer)
				got, err := s.AttestReference(t.Context(), packed(t, row.reference), callers)
				if len(got) > 0 || says(err) != want {
					t.Errorf("%s: %q, %s", answer, got, says(err))
				}
			}
		})
	}
}

func TestK8S18_ADenialComesBeforeProofs(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n, c := startNode(t, onePod(uid1, "near", idA)), startObjects(t)
	c.set(reviewPath, `{"status":{}}`)
	verifier := verifierFunc(func(context.Context, Subject) ([]string, error) {
		t.Error("a proof was looked for")
		return nil, nil
	})
	s := configured(t, kubernetes(p, verifier, c), n.hcl("sigstore {}\n"+brokers("enforced")))
	for _, r := range []proto.Message{&broker.WorkloadPIDReference{Pid: 7}, object("pods", "core", "ns", "near", "")} {
		if got, err := s.AttestReference(t.Context(), packed(t, r), []string{nodeBroker}); err == nil {
			t.Errorf("%q", got)
		}
	}
}

// A pod that is named runs all its containers: each of them has to be proved.
func TestK8S15_EveryContainerOfAPodIsProved(t *testing.T) {
	pod := func(images ...string) string {
		return podJSON(uid1, "near", map[string][]string{
			"containerStatuses":          {statusJSON("a", "containerd://1", images[0]), statusJSON("b", "containerd://2", images[1])},
			"initContainerStatuses":      {statusJSON("c", "containerd://3", images[2])},
			"ephemeralContainerStatuses": {statusJSON("d", "containerd://4", images[3])},
		})
	}
	var asked []string
	verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
		asked = append(asked, s.Image)
		if strings.HasPrefix(s.Image, "bad") {
			return nil, Refuse(enforce.No, codes.Internal, "unsigned: "+s.Image)
		}
		return []string{"image-signature:verified"}, nil
	})
	n := startNode(t)
	s := configured(t, kubernetes(&processes{}, verifier, nil), n.hcl("sigstore {}"))
	ask := func(want string, images ...string) {
		t.Helper()
		asked = nil
		if len(images) > 0 {
			n.set(pod(images...))
		}
		got, err := s.AttestReference(t.Context(), packed(t, object("pods", "core", "ns", "near", "")), nil)
		if says(err) != want || (err != nil) != (len(got) == 0) {
			t.Errorf("%q: %q, %s; want %s", images, got, says(err), want)
		}
		for _, value := range got {
			if strings.HasPrefix(value, "image-signature") {
				t.Errorf("a selector of an image: %s", value)
			}
		}
	}
	ask("OK", "w", "x", "y", "z")
	if diff := cmp.Diff([]string{"w", "x", "y", "z"}, asked); diff != "" {
		t.Error(diff)
	}
	ask("OK", "w", "w", "w", "w")
	if len(asked) != 1 {
		t.Errorf("one image was proved %d times", len(asked))
	}
	ask("Internal: unsigned: bad", "bad", "x", "y", "z")
	ask("Internal: unsigned: bad", "w", "bad", "y", "z")
	ask("Internal: unsigned: bad", "w", "x", "bad", "z")
	ask("Internal: unsigned: bad", "w", "x", "y", "bad")
	ask("Unavailable: could not tell, try again: the image of container b of pod ns/near is not known yet", "w", "", "y", "z")
	n.set(podJSON(uid1, "near", nil))
	ask("Unavailable: could not tell, try again: no container of pod ns/near is known yet")
	n.set(`{"metadata":{"uid":"` + uid1 + `","name":"near","namespace":"ns","labels":7}}`)
	ask("Unavailable: unable to decode pod info from kubelet response: metadata.labels: expected an object")
}

func TestK8S19_WithoutAKubelet(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	c := startObjects(t)
	const clusterOnly = `disable_kubelet_client = true
		experimental { broker { access_policy = "enforced"
			brokers = [{ id = "` + clusterBroker + `", pod_reference_scope = "cluster" }] } }`
	s := configured(t, kubernetes(p, nil, c), clusterOnly)
	refused(t, s, 7, "FailedPrecondition: kubelet client is disabled")
	if _, err := s.AttestReference(t.Context(), packed(t, &broker.WorkloadPIDReference{Pid: 7}), []string{clusterBroker}); says(err) != "FailedPrecondition: kubelet client is disabled" {
		t.Error(says(err))
	}
	for _, callers := range [][]string{{clusterBroker}, nil} {
		got, err := s.AttestReference(t.Context(), packed(t, object("pods", "core", "ns", "far", "far-uid")), callers)
		if diff := cmp.Diff(podOnly("far-uid", "far"), got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", callers, err, diff)
		}
	}
	for _, key := range []string{
		"kubelet_read_only_port = 1", "kubelet_secure_port = 1", `kubelet_ca_path = "x"`, "skip_kubelet_verification = true", `token_path = "x"`,
		`certificate_path = "x"`, `private_key_path = "x"`, "use_anonymous_authentication = true", `node_name_env = "x"`, `node_name = "x"`, `reload_interval = "1s"`,
	} {
		name, _, _ := strings.Cut(key, " ")
		if _, err := configure(kubernetes(p, nil, c), "disable_kubelet_client = true\n"+key, nil); err == nil || err.Error() != "problem: disable_kubelet_client cannot be used with "+name {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// A kubelet that is down is no reason to refuse those who may ask the API server, and one for those who may not.
func TestK8S17_AKubeletThatIsDown(t *testing.T) {
	n, c := startNode(t), startObjects(t)
	n.fail("500")
	s := configured(t, kubernetes(&processes{}, nil, c), n.hcl(brokers("permissive")))
	reference := packed(t, object("pods", "core", "ns", "far", ""))
	if got, err := s.AttestReference(t.Context(), reference, []string{nodeBroker}); len(got) > 0 || says(err) != "Unavailable: unexpected status code on pods response: 500 the disk is on fire" {
		t.Errorf("%q, %s", got, says(err))
	}
	if got, err := s.AttestReference(t.Context(), reference, []string{clusterBroker}); err != nil || len(got) == 0 {
		t.Errorf("%q, %v", got, err)
	}
}
