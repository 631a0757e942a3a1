//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const containerUsage = "usage: container pid NAMESPACE/POD NAME VAR | selectors NAMESPACE/POD NAME FILE [NS-LABEL...]"

// cmdContainer is about a container of a pod, whatever kind of container it is:
//
//	container pid NAMESPACE/POD NAME VAR   once it runs, the number of its first process becomes a variable
//	container selectors NAMESPACE/POD NAME FILE [NS-LABEL...]
//	                                       writes what an attestor has to answer, from what the API server says, and these labels of the
//	                                       namespace. What it does not know of a static pod is the kubelet's
func cmdContainer(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "container", neg)
	if len(args) < 4 {
		ts.Fatalf(containerUsage)
	}
	namespace, pod, _ := strings.Cut(args[1], "/")
	switch {
	case args[0] == "pid" && len(args) == 4:
		ts.Setenv(args[3], awaitContainer(ts, namespace, pod, args[2]))
	case args[0] == "selectors":
		all := wantedSelectors(runningPod(ts, namespace, pod), args[2])
		for _, label := range args[4:] {
			all = append(all, "ns-label:"+label)
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.Join(all, "\n")+"\n"), 0o600))
	default:
		ts.Fatalf(containerUsage)
	}
}

// podObject is what selectors are made of.
type podObject struct {
	Metadata struct {
		UID, Name, Namespace string
		Labels, Annotations  map[string]string
		OwnerReferences      []struct{ Kind, Name, UID string }
	}
	Spec   struct{ ServiceAccountName, NodeName string }
	Status struct {
		ContainerStatuses, InitContainerStatuses, EphemeralContainerStatuses []containerStatus
	}
}

type containerStatus struct{ Name, ContainerID, Image, ImageID string }

// runningPod is the pod as the API server has it, or of a static one the kubelet.
func runningPod(ts *testscript.TestScript, namespace, name string) podObject {
	var pod podObject
	ts.Check(getQuietly(ts, &pod, "pod", name, "-n", namespace, "-o", "json"))
	if _, mirror := pod.Metadata.Annotations["kubernetes.io/config.mirror"]; !mirror {
		return pod
	}
	var list struct{ Items []podObject }
	ts.Check(getQuietly(ts, &list, "--raw", "/api/v1/nodes/"+pod.Spec.NodeName+"/proxy/pods"))
	for _, p := range list.Items {
		if p.Metadata.Namespace == namespace && p.Metadata.Name == name {
			return p
		}
	}
	ts.Fatalf("the kubelet has no static pod %s/%s", namespace, name)
	return pod
}

// kubectl returns the output of kubectl, which may be too long for the story's own.
func kubectl(ts *testscript.TestScript, args ...string) ([]byte, error) {
	path, err := find(ts, "kubectl")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+ts.Getenv("KUBECONFIG"))
	return cmd.Output()
}

func getQuietly(ts *testscript.TestScript, into any, args ...string) error {
	text, err := kubectl(ts, append([]string{"get"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func (p *podObject) container(name string) containerStatus {
	for _, c := range slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses, p.Status.EphemeralContainerStatuses) {
		if c.Name == name {
			return c
		}
	}
	return containerStatus{}
}

// wantedSelectors follows docs/reference/spire-k8s.md word by word, and shares no code with the attestor.
func wantedSelectors(p podObject, container string) []string {
	lines := [][]string{
		{"sa:" + p.Spec.ServiceAccountName}, {"ns:" + p.Metadata.Namespace}, {"node-name:" + p.Spec.NodeName}, {"pod-uid:" + p.Metadata.UID},
		{"pod-name:" + p.Metadata.Name}, {fmt.Sprint("pod-image-count:", len(p.Status.ContainerStatuses))},
		{fmt.Sprint("pod-init-image-count:", len(p.Status.InitContainerStatuses))},
	}
	seen := map[string]bool{}
	add := func(values ...string) {
		slices.Sort(values)
		values = slices.DeleteFunc(slices.Compact(values), func(v string) bool { return seen[v] })
		for _, v := range values {
			seen[v] = true
		}
		lines = append(lines, values)
	}
	for _, c := range p.Status.ContainerStatuses {
		add("pod-image:"+c.Image, "pod-image:"+c.ImageID)
	}
	for _, c := range p.Status.InitContainerStatuses {
		add("pod-init-image:"+c.Image, "pod-init-image:"+c.ImageID)
	}
	var labels []string
	for key, value := range p.Metadata.Labels {
		labels = append(labels, "pod-label:"+key+":"+value)
	}
	add(labels...)
	for _, o := range p.Metadata.OwnerReferences {
		lines = append(lines, []string{"pod-owner:" + o.Kind + ":" + o.Name, "pod-owner-uid:" + o.Kind + ":" + o.UID})
	}
	c := p.container(container)
	add("container-name:" + c.Name)
	add("container-image:"+c.Image, "container-image:"+c.ImageID)
	return slices.Concat(lines...)
}

// awaitContainer returns the first process of a container, whose ID is known and shows in the control groups of the process.
func awaitContainer(ts *testscript.TestScript, namespace, pod, container string) string {
	for deadline := time.Now().Add(readyWithin); ; time.Sleep(100 * time.Millisecond) {
		pid, err := findContainer(ts, namespace, pod, container)
		if err == nil {
			return pid
		}
		if time.Now().After(deadline) {
			ts.Fatalf("container %s of %s/%s: %v", container, namespace, pod, err)
		}
	}
}

func findContainer(ts *testscript.TestScript, namespace, name, container string) (string, error) {
	var pod podObject
	if err := getQuietly(ts, &pod, "pod", name, "-n", namespace, "-o", "json"); err != nil {
		return "", err
	}
	_, id, found := strings.Cut(pod.container(container).ContainerID, "://")
	if !found || id == "" {
		return "", errors.New("it has no ID")
	}
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return "", err
	}
	first := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), id) {
			continue // it has just ended, or is another's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && (first == 0 || pid < first) {
			first = pid
		}
	}
	if first == 0 {
		return "", errors.New("it has no process")
	}
	return strconv.Itoa(first), nil
}

const requestsUsage = "usage: requests mark | kubelet N [MOST] | registry N [MOST]"

// requests are how many the node's programs were asked.
type requests struct{ kubelet, registry int }

// cmdRequests counts what is asked of the cluster's programs, by their own count:
//
//	requests mark                from here
//	requests kubelet N [MOST]    the kubelet was asked for its pods N times since then, or from N to MOST times
//	requests registry N [MOST]   Assay has sent so many requests to the registry
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "requests", neg)
	w := worldOf(ts)
	if len(args) == 1 && args[0] == "mark" {
		w.marked = requests{kubeletRequests(ts), registryRequests(ts)}
		return
	}
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf(requestsUsage)
	}
	least, err := strconv.Atoi(args[1])
	ts.Check(err)
	most, err := strconv.Atoi(args[len(args)-1])
	ts.Check(err)
	got := 0
	switch args[0] {
	case "kubelet":
		got = kubeletRequests(ts) - w.marked.kubelet
	case "registry":
		got = registryRequests(ts) - w.marked.registry
	default:
		ts.Fatalf(requestsUsage)
	}
	if got < least || got > most {
		ts.Fatalf("%s: was asked %d times, want %d to %d", args[0], got, least, most)
	}
}

var (
	podRequests   = regexp.MustCompile(`(?m)^kubelet_http_requests_total\{[^}]*path="pods"[^}]*\} (\d+)$`)
	assayRequests = regexp.MustCompile(`(?m)^\S+ - - \[.*"assay/[^"]*"$`)
)

func kubeletRequests(ts *testscript.TestScript) int {
	metrics, err := kubectl(ts, "get", "--raw", "/api/v1/nodes/node/proxy/metrics")
	ts.Check(err)
	total := 0
	for _, m := range podRequests.FindAllStringSubmatch(string(metrics), -1) {
		n, err := strconv.Atoi(m[1])
		ts.Check(err)
		total += n
	}
	return total
}

func registryRequests(ts *testscript.TestScript) int {
	return len(assayRequests.FindAllString(ts.ReadFile(filepath.Join(ts.Getenv("NODE_FOLDER"), "log", "docker-registry.log")), -1))
}
