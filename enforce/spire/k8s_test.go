package spire

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const blogPod = `{"metadata":{"name":"blog-24ck7","namespace":"default","uid":"2c48913c-b29f-11e7-9350-020968147796",
	"labels":{"version":"v0","k8s-app":"blog"},"annotations":{"a":"b"},
	"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":"blog","uid":"2c401175-b29f-11e7-9350-020968147796","controller":true}]},
	"spec":{"nodeName":"k8s-node-1","serviceAccountName":"default"},
	"status":{"phase":"Running","containerStatuses":[
		{"name":"blog","containerID":"docker://9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961","image":"localhost/spiffe/blog:latest",
			"imageID":"docker-pullable://localhost/spiffe/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898","state":{"running":{}}},
		{"name":"ghostunnel","containerID":"docker://aaaa","image":"localhost/spiffe/ghostunnel:latest",
			"imageID":"docker-pullable://localhost/spiffe/ghostunnel@sha256:b2fc20676c92a433b9a91f3f4535faddec0c2c3613849ac12f02c1d5cfcd4c3a","state":{"running":{}}}]}}`

var blogSelectors = []string{
	"sa:default", "ns:default", "node-name:k8s-node-1", "pod-uid:2c48913c-b29f-11e7-9350-020968147796", "pod-name:blog-24ck7",
	"pod-image-count:2", "pod-init-image-count:0",
	"pod-image:docker-pullable://localhost/spiffe/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898",
	"pod-image:localhost/spiffe/blog:latest",
	"pod-image:docker-pullable://localhost/spiffe/ghostunnel@sha256:b2fc20676c92a433b9a91f3f4535faddec0c2c3613849ac12f02c1d5cfcd4c3a",
	"pod-image:localhost/spiffe/ghostunnel:latest",
	"pod-label:k8s-app:blog", "pod-label:version:v0", "pod-owner:ReplicationController:blog",
	"pod-owner-uid:ReplicationController:2c401175-b29f-11e7-9350-020968147796",
	"container-name:blog",
	"container-image:docker-pullable://localhost/spiffe/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898",
	"container-image:localhost/spiffe/blog:latest",
}

// s21 is the cgroups of the page's example.
func s21() string {
	var b strings.Builder
	for i := 11; i > 0; i-- {
		fmt.Fprintf(&b, "%d:controller%d:/kubepods/burstable/pod%s/%s\n", i, i, uid1, idI)
	}
	return b.String()
}

func attest(t *testing.T, s State, pid int32, want []string) {
	t.Helper()
	got, err := s.Attest(t.Context(), pid)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("process %d: %v %s", pid, err, diff)
	}
}

func refused(t *testing.T, s State, pid int32, want string) {
	t.Helper()
	got, err := s.Attest(t.Context(), pid)
	if len(got) > 0 || says(err) != want {
		t.Errorf("process %d: got %q, %s; want %s", pid, got, says(err), want)
	}
}

func TestK8S3_SelectorsOfTheExample(t *testing.T) {
	p := &processes{}
	p.set(7, 70, s21())
	n := startNode(t, onePod(uid2, "other", idA), blogPod)
	attest(t, configured(t, kubernetes(p, nil, nil), n.hcl("")), 7, blogSelectors)
	if n.count() != 1 {
		t.Errorf("%d fetches, want 1", n.count())
	}
}

func TestK8S3_EmptyValuesArePrinted(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n := startNode(t, `{"metadata":{"uid":"`+uid1+`","labels":{"z":"","":"a","a":"b:c"},"ownerReferences":[{},{"kind":"B","name":"2","uid":"y"},{"kind":"B","name":"1","uid":"x"}]},
		"status":{"containerStatuses":[{"containerID":"containerd://`+idA+`"},{"image":"same","imageID":"same"},{"image":"same"}],
		"initContainerStatuses":[{"name":"i","image":"b","imageID":"a"}],"ephemeralContainerStatuses":[{"name":"e","image":"debug"}]}}`)
	attest(t, configured(t, kubernetes(p, nil, nil), n.hcl("")), 7, []string{
		"sa:", "ns:", "node-name:", "pod-uid:" + uid1, "pod-name:", "pod-image-count:3", "pod-init-image-count:1",
		"pod-image:", "pod-image:same", "pod-init-image:a", "pod-init-image:b", "pod-label::a", "pod-label:a:b:c", "pod-label:z:",
		"pod-owner::", "pod-owner-uid::", "pod-owner:B:1", "pod-owner-uid:B:x", "pod-owner:B:2", "pod-owner-uid:B:y",
		"container-name:", "container-image:",
	})
}

func TestK8S4_EveryKindOfContainerTakesOneFetch(t *testing.T) {
	const static = "1aaaad76c8263c2091f35d3397f40cd0"
	statuses := func(kind, id string) map[string][]string {
		all := map[string][]string{"containerStatuses": {statusJSON("main", "containerd://1", "m")}}
		all[kind] = append(all[kind], statusJSON("mine", "cri-o://"+id, repo))
		return all
	}
	for name, row := range map[string]struct {
		pod, cgroups string
		init         int
	}{
		"container":              {podJSON(uid1, "pod", statuses("containerStatuses", idA)), inPod(uid1, idA), 0},
		"init":                   {podJSON(uid1, "pod", statuses("initContainerStatuses", idA)), inPod(uid1, idA), 1},
		"ephemeral":              {podJSON(uid1, "pod", statuses("ephemeralContainerStatuses", idA)), inPod(uid1, idA), 0},
		"static":                 {podJSON(static, "pod", statuses("containerStatuses", idA)), "0::/kubepods/besteffort/pod" + static + "/" + idA + "\n", 0},
		"hidden parent":          {podJSON(uid1, "pod", statuses("ephemeralContainerStatuses", idA)), hidden(idA), 0},
		"systemd, cri-o, hybrid": {podJSON(uid1, "pod", statuses("containerStatuses", idA)), "1:name=systemd:/\n0::/kubepods.slice/kubepods-pod" + strings.ReplaceAll(uid1, "-", "_") + ".slice/crio-" + idA + ".scope\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 70, row.cgroups)
			n := startNode(t, onePod(uid2, "other", idB), row.pod)
			got, err := configured(t, kubernetes(p, nil, nil), n.hcl("")).Attest(t.Context(), 7)
			if err != nil || n.count() != 1 {
				t.Errorf("%v after %d fetches", err, n.count())
			}
			text := strings.Join(got, "\n") + "\n"
			for _, want := range []string{"pod-name:pod\n", "container-name:mine\n", "container-image:" + repo + "\n", fmt.Sprintf("pod-init-image-count:%d\n", row.init)} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in %q", want, got)
				}
			}
			if strings.Contains(name, "ephemeral") && strings.Contains(text, "pod-image:registry.example/mine:1") {
				t.Errorf("a debug container counts as one of the pod: %q", got)
			}
		})
	}
	p := &processes{}
	p.set(7, 70, "0::/system.slice/sshd.service\n")
	p.set(8, 80, "0::/kubepods/burstable/pod"+uid1+"\n")
	n := startNode(t, onePod(uid1, "pod", idA))
	s := configured(t, kubernetes(p, nil, nil), n.hcl(""))
	attest(t, s, 7, nil)
	attest(t, s, 8, nil)
	if n.count() != 0 {
		t.Errorf("%d fetches for processes in no container", n.count())
	}
}

func TestK8S5_ContainersBesideTheKubelet(t *testing.T) {
	for name, row := range map[string]struct {
		cgroups string
		beside  bool
	}{
		"docker":            {"0::/system.slice/docker-" + idA + ".scope\n", true},
		"docker, cgroupfs":  {"0::/docker/" + idA + "\n", true},
		"podman":            {"0::/machine.slice/libpod-" + idA + ".scope/container\n", true},
		"podman of a user":  {"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope\n", true},
		"pod":               {inPod(uid1, idA), false},
		"static pod":        {"0::/kubepods/pod1aaaad76c8263c2091f35d3397f40cd0/" + idA + "\n", false},
		"hidden":            {hidden(idA), false},
		"hidden docker":     {"0::/../docker/" + idA + "\n", false},
		"unknown manager":   {"0::/nomad/" + idA + "\n", false},
		"docker and a pod":  {"1:cpu:/docker/" + idA + "\n2:memory:/kubepods/burstable/x\n", false},
		"containerd":        {"0::/system.slice/cri-containerd-" + idA + ".scope\n", false},
		"docker, then more": {"0::/docker/" + idA + "/kubepods/x\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 70, row.cgroups)
			n := startNode(t, onePod(uid2, "other", idB))
			s := configured(t, kubernetes(p, nil, nil), n.hcl(""))
			if !row.beside {
				refused(t, s, 7, "DeadlineExceeded: no selectors found after max poll attempts")
				if n.count() != 5 {
					t.Errorf("%d fetches, want 5", n.count())
				}
				return
			}
			attest(t, s, 7, nil)
			if n.count() != 1 {
				t.Errorf("%d fetches, want 1", n.count())
			}
		})
	}
}

// A list from before the call may be from before the container.
func TestK8S5_AnOlderListDoesNotSuffice(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid2, idB))
	p.set(8, 80, "0::/docker/"+idA+"\n")
	n := startNode(t, onePod(uid2, "other", idB))
	s := configured(t, kubernetes(p, nil, nil), strings.Replace(n.hcl(""), "1ns", "300ms", 1))
	attest(t, s, 7, onePodSelectors(uid2, "other"))
	n.set(onePod(uid2, "other", idB), onePod(uid1, "late", idA))
	attest(t, s, 8, onePodSelectors(uid1, "late"))
	if n.count() != 2 {
		t.Errorf("%d fetches, want 2", n.count())
	}
	// Now the node is known to have pods at such places: nothing at one is surely no pod's.
	p.set(9, 90, "0::/docker/"+idC+"\n")
	refused(t, s, 9, "DeadlineExceeded: no selectors found after max poll attempts")
}

func TestK8S5_InDoubtItPolls(t *testing.T) {
	for name, odd := range map[string]string{
		"a pod without a UID":      `{"metadata":{}}`,
		"a container without type": `{"metadata":{"uid":"x"},"status":{"containerStatuses":[{"containerID":"x"}]}}`,
		"a pod that is no pod":     `{"metadata":{"uid":"x"},"status":{"containerStatuses":7}}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 70, "0::/docker/"+idA+"\n")
			n := startNode(t, odd)
			if got, err := configured(t, kubernetes(p, nil, nil), n.hcl("")).Attest(t.Context(), 7); err == nil || n.count() != 5 {
				t.Errorf("%q, %v after %d fetches", got, err, n.count())
			}
		})
	}
}

func TestK8S5_AContainerNotYetListedIsPolledFor(t *testing.T) {
	for name, cgroups := range map[string]string{"pod known": inPod(uid1, idA), "pod unknown": hidden(idA)} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 70, cgroups)
			n := startNode(t, onePod(uid1, "late", idA))
			n.fail("", `{"items":[]}`, `{"items":[`+podJSON(uid1, "late", nil)+`]}`, "500")
			attest(t, configured(t, kubernetes(p, nil, nil), n.hcl("")), 7, onePodSelectors(uid1, "late"))
			if n.count() != 4 {
				t.Errorf("%d fetches, want 4", n.count())
			}
		})
	}
}

func TestK8S6_FiveHundredCallersAtOnce(t *testing.T) {
	const pods = 50
	p, all := &processes{}, []string{}
	for i := range pods {
		id := fmt.Sprintf("%064x", i+1)
		uid := fmt.Sprintf("2c48913c-b29f-11e7-9350-%012d", i)
		all = append(all, onePod(uid, fmt.Sprintf("pod-%d", i), id))
		for process := range 10 {
			p.set(int32(i*10+process+1), uint64(i), inPod(uid, id))
		}
	}
	n := startNode(t, all...)
	s := configured(t, kubernetes(p, nil, nil), strings.Replace(n.hcl(""), "1ns", "1m", 1))
	var group sync.WaitGroup
	for i := range pods * 10 {
		group.Go(func() {
			got, err := s.Attest(t.Context(), int32(i+1))
			if err != nil || len(got) < 5 || got[4] != fmt.Sprintf("pod-name:pod-%d", i/10) {
				t.Errorf("process %d: %q, %v", i+1, got, err)
			}
		})
	}
	group.Wait()
	if n.count() != 1 {
		t.Errorf("%d fetches within one poll_retry_interval, want 1", n.count())
	}
}

func TestK8S7_ErrorsOfTheKubelet(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	p.set(8, 80, hidden(idA))
	const gone = "DeadlineExceeded: no selectors found after max poll attempts"
	for name, row := range map[string]struct {
		broken string
		first  []string
		pid    int32
		want   string
		count  int
	}{
		"500":             {"500", nil, 7, "Unavailable: unexpected status code on pods response: 500 the disk is on fire", 5},
		"half":            {"half", nil, 7, "Unavailable: unable to parse kubelet response: it ends in the middle", 5},
		"no object":       {"[]", nil, 7, "Unavailable: invalid kubelet response: expected an object", 5},
		"not found":       {`{"items":null}`, nil, 7, gone, 5},
		"then not found":  {`{"items":null}`, []string{"500", "500"}, 7, gone, 5},
		"at last 500":     {"500", []string{`{"items":[]}`}, 7, "Unavailable: unexpected status code on pods response: 500 the disk is on fire", 5},
		"then found":      {"", []string{"500", "half", "[]", "7"}, 7, "OK", 5},
		"no pod, known":   {`{"items":[{"metadata":{"uid":"` + uid1 + `","labels":7}}]}`, nil, 7, "Unavailable: unable to decode pod info from kubelet response: metadata.labels: expected an object", 1},
		"no pod, unknown": {`{"items":[{"metadata":{"uid":"` + uid1 + `","labels":7}}]}`, nil, 8, "Unavailable: unable to decode pod info from kubelet response: metadata.labels: expected an object", 5},
		"another no pod":  {`{"items":[{"metadata":{"uid":"` + uid2 + `","labels":7}},` + onePod(uid1, "late", idA) + `]}`, nil, 8, "OK", 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, onePod(uid1, "late", idA))
			n.fail(row.broken, row.first...)
			got, err := configured(t, kubernetes(p, nil, nil), n.hcl("")).Attest(t.Context(), row.pid)
			if says(err) != row.want || n.count() != row.count || (len(got) > 0) != (err == nil) {
				t.Errorf("%q, %s after %d fetches; want %s after %d", got, says(err), n.count(), row.want, row.count)
			}
		})
	}
}

func TestK8S7_CancelledAndGone(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n := startNode(t)
	n.fail("hang")
	s := configured(t, kubernetes(p, nil, nil), n.hcl(""))
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := time.AfterFunc(50*time.Millisecond, cancel)
	defer cancelled.Stop()
	if got, err := s.Attest(ctx, 7); len(got) > 0 || err != context.Canceled {
		t.Errorf("a cancelled call: %q, %v", got, err)
	}
	n = startNode(t, podJSON(uid1, "late", nil))
	s = configured(t, kubernetes(p, nil, nil), strings.Replace(n.hcl("max_poll_attempts = 1000000"), "max_poll_attempts = 5\n", "", 1))
	ended := time.AfterFunc(50*time.Millisecond, func() { p.end(7) })
	defer ended.Stop()
	if got, err := s.Attest(t.Context(), 7); len(got) > 0 || !strings.HasPrefix(says(err), "Unavailable: could not tell, try again: ") {
		t.Errorf("a process that ends: %q, %v", got, err)
	}
}

func TestK8S10_TwoPodsWithOneContainer(t *testing.T) {
	p := &processes{}
	p.set(7, 70, hidden(idA))
	p.set(8, 80, inPod(uid1, idA))
	p.set(9, 90, inPod(uid2, idB))
	n := startNode(t, onePod(uid1, "one", idA), onePod(uid2, "two", idA))
	s := configured(t, kubernetes(p, nil, nil), n.hcl(""))
	refused(t, s, 7, "Internal: two pods found with same container Id")
	attest(t, s, 8, onePodSelectors(uid1, "one"))
	refused(t, s, 9, "DeadlineExceeded: no selectors found after max poll attempts")
}

// The number of a process may belong to another one when its proof is there.
func TestAProcessThatWasReplacedGetsNothing(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n := startNode(t, onePod(uid1, "one", idA))
	verifier := verifierFunc(func(context.Context, Subject) ([]string, error) {
		p.set(7, 71, inPod(uid2, idB))
		return []string{"image-signature:verified"}, nil
	})
	got, err := configured(t, kubernetes(p, verifier, nil), n.hcl("sigstore {}")).Attest(t.Context(), 7)
	if len(got) > 0 || !strings.HasPrefix(says(err), "Unavailable: could not tell") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestK8S13_NoSelectorWithoutAProof(t *testing.T) {
	for name, cgroups := range map[string]string{"pod known": inPod(uid1, idA), "pod unknown": hidden(idA)} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 70, cgroups)
			waiting := podJSON(uid1, "pod", map[string][]string{"containerStatuses": {statusJSON("main", "", "")}})
			unnamed := podJSON(uid1, "pod", map[string][]string{"containerStatuses": {statusJSON("main", "containerd://"+idA, "")}})
			var asked []string
			refusal := Refuse(2, 13, "unsigned")
			verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
				asked = append(asked, s.Image)
				if s.Image != repo {
					return nil, refusal
				}
				if s.ContainerID != "" {
					t.Errorf("the container is named: %s", s.ContainerID)
				}
				return []string{"sigstore-validation:passed"}, nil
			})
			for _, demand := range []string{"sigstore {}", `policy = "/etc/assay"`} {
				n := startNode(t, waiting)
				s := configured(t, kubernetes(p, verifier, nil), n.hcl("disable_container_selectors = true\n"+demand))
				refused(t, s, 7, "DeadlineExceeded: no selectors found after max poll attempts")
				n.set(unnamed)
				refused(t, s, 7, "DeadlineExceeded: no selectors found after max poll attempts")
				if len(asked) > 0 {
					t.Errorf("asked about %q", asked)
				}
				n.set(podJSON(uid1, "pod", map[string][]string{"containerStatuses": {statusJSON("main", "containerd://"+idA, "other")}}))
				refused(t, s, 7, "Internal: unsigned")
				n.set(onePod(uid1, "pod", idA))
				attest(t, s, 7, append(podOnly(uid1, "pod"), "sigstore-validation:passed"))
				asked = nil
			}
			// Nothing is demanded: a pod that is known suffices.
			n := startNode(t, waiting)
			s := configured(t, kubernetes(p, nil, nil), n.hcl("disable_container_selectors = true"))
			got, err := s.Attest(t.Context(), 7)
			if known := strings.HasPrefix(name, "pod known"); known != (err == nil) || known != (len(got) > 5) {
				t.Errorf("%q, %v", got, err)
			}
			n.set(onePod(uid1, "pod", idA))
			attest(t, s, 7, podOnly(uid1, "pod"))
		})
	}
}

func TestK8S16_LabelsOfNamespaces(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n := startNode(t, onePod(uid1, "pod", idA))
	const get = "GET /api/v1/namespaces/ns"
	c := startCluster(t, map[string]string{get: `{"metadata":{"uid":"1","name":"ns","labels":{"team":"a","env":"prod"}}}`})
	var asked []Subject
	verifier := verifierFunc(func(_ context.Context, s Subject) ([]string, error) {
		asked = append(asked, s)
		return []string{"image-signature:verified"}, nil
	})
	labels := []string{"ns-label:env:prod", "ns-label:team:a"}
	s := configured(t, kubernetes(p, verifier, c), n.hcl("enable_namespace_labels = true\nsigstore {}"))
	attest(t, s, 7, append(append(onePodSelectors(uid1, "pod"), labels...), "image-signature:verified"))
	want := Subject{Image: repo, ContainerID: "containerd://" + idA, Namespace: "ns", HasNamespace: true, NamespaceLabels: map[string]string{"team": "a", "env": "prod"}}
	if diff := cmp.Diff([]Subject{want}, asked); diff != "" {
		t.Error(diff)
	}
	c.set(get, `{"metadata":{"uid":"1"}}`)
	if _, err := s.Attest(t.Context(), 7); err != nil || asked[1].NamespaceLabels == nil {
		t.Errorf("%v: no labels are known as none: %v", err, asked[1].NamespaceLabels)
	}
	c.set(get, "500")
	refused(t, s, 7, `Internal: unable to get namespace labels for "ns": GET /api/v1/namespaces/ns: 500 Internal Server Error: down`)
	before := len(c.requests())
	attest(t, configured(t, kubernetes(p, nil, c), n.hcl("")), 7, onePodSelectors(uid1, "pod"))
	if after := len(c.requests()); after != before {
		t.Errorf("%d requests for labels that nobody wants", after-before)
	}
	refused(t, configured(t, kubernetes(p, nil, nil), n.hcl("enable_namespace_labels = true")), 7,
		`Internal: unable to get namespace labels for "ns": not in a cluster: KUBERNETES_SERVICE_HOST is not set`)
}

func TestK8S6_ClientsOutliveAConfiguration(t *testing.T) {
	p := &processes{}
	p.set(7, 70, inPod(uid1, idA))
	n := startNode(t, onePod(uid1, "pod", idA))
	a := kubernetes(p, nil, nil)
	slow := strings.Replace(n.hcl(""), "1ns", "1m", 1)
	first, err := configure(a, slow, nil)
	if err != nil {
		t.Fatal(err)
	}
	attest(t, first, 7, onePodSelectors(uid1, "pod"))
	second, err := configure(a, slow+"disable_container_selectors = true", first)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	attest(t, second, 7, podOnly(uid1, "pod"))
	if n.count() != 1 {
		t.Errorf("%d fetches, want 1: the list is kept", n.count())
	}
	third, err := configure(a, slow+"exclude_completed_pods = false", second)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	attest(t, third, 7, onePodSelectors(uid1, "pod"))
	third.Close()
	if n.count() != 2 {
		t.Errorf("%d fetches, want 2: another list is wanted", n.count())
	}
	if _, err := configure(a, `kubelet_ca_path = "/nowhere/ca.crt"`, nil); err == nil || err.Error() != "unable to load kubelet CA: open /nowhere/ca.crt: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

func TestPatience(t *testing.T) {
	for hcl, want := range map[string]time.Duration{
		"":                                time.Minute,
		`max_poll_attempts = 10`:          35 * time.Second,
		`poll_retry_interval = "100h"`:    time.Hour + 30*time.Second,
		`max_poll_attempts = 99999999999`: time.Hour + 30*time.Second,
	} {
		s := configured(t, kubernetes(&processes{}, nil, nil), "kubelet_read_only_port = 1\n"+hcl).(Patient)
		if got := s.Patience(); got != want {
			t.Errorf("%s: %v, want %v", hcl, got, want)
		}
	}
}

// BenchmarkKubernetesWarm is an attestation while the last list still counts, on a node with 100 pods.
func BenchmarkKubernetesWarm(b *testing.B) {
	p, pods := &processes{}, []string{}
	for i := range 100 {
		pods = append(pods, onePod(fmt.Sprintf("2c48913c-b29f-11e7-9350-%012d", i), fmt.Sprintf("pod-%d", i), fmt.Sprintf("%064x", i+1)))
	}
	p.set(7, 70, inPod("2c48913c-b29f-11e7-9350-000000000050", fmt.Sprintf("%064x", 51)))
	n := startNode(b, pods...)
	s := configured(b, kubernetes(p, nil, nil), strings.Replace(n.hcl(""), "1ns", "1h", 1))
	b.ReportAllocs()
	for b.Loop() {
		if values, err := s.Attest(b.Context(), 7); err != nil || len(values) == 0 {
			b.Fatal(values, err)
		}
	}
	if n.count() != 1 {
		b.Errorf("%d fetches, want 1", n.count())
	}
}
