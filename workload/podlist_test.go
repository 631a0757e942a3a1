package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func decodeText(text string) (*PodList, error) {
	l, _, err := decodePods(strings.NewReader(text), decodeOptions{})
	return l, err
}

func item(pod string) string { return `{"items":[` + pod + `]}` }

func TestPodListFields(t *testing.T) {
	l, err := decodeText(item(`{"spec":{"nodeName":"n","serviceAccountName":"sa","containers":[{"name":"x","image":"asked"}]},
		"metadata":{"uid":"u","name":"p","namespace":"ns","labels":{"a":"1","b\u00e9\ud83d\ude00":"\"\\\/\b\f\n\r\t"},"annotations":{"uid":"other"},
			"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"nu","controller":true},null]},
		"status":{"phase":"Running","containerStatuses":[{"name":"c","containerID":"containerd://1","image":"i","imageID":"d","state":{"running":{"startedAt":null}}}],
			"initContainerStatuses":[{"name":"i","containerID":"cri-o://2","image":"i2","imageID":"d2","state":{"terminated":{}}}],
			"ephemeralContainerStatuses":[{"name":"e","containerID":"","state":{"waiting":{}}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Pod{
		UID: "u", Name: "p", Namespace: "ns", Node: "n", ServiceAccount: "sa", Phase: "Running",
		Labels:     map[string]string{"a": "1", "bé😀": "\"\\/\b\f\n\r\t"},
		Owners:     []Owner{{Kind: "Node", Name: "n", UID: "nu"}, {}},
		Containers: []ContainerStatus{{Name: "c", ContainerID: "containerd://1", Image: "i", ImageID: "d", Running: true}},
		Init:       []ContainerStatus{{Name: "i", ContainerID: "cri-o://2", Image: "i2", ImageID: "d2"}},
		Ephemeral:  []ContainerStatus{{Name: "e"}},
	}
	got, found := l.ByUID("u")
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Pod{})); !found || diff != "" {
		t.Error(diff)
	}
	for id, name := range map[string]string{"1": "c", "2": "i"} {
		if at := l.ByContainer(id); len(at) != 1 || at[0].Pod != got || at[0].Container.Name != name {
			t.Errorf("container %s: %v", id, at)
		}
	}
	if at := l.ByContainer(""); at != nil {
		t.Errorf("the empty ID is in %v", at)
	}
}

func TestPodListWhole(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"empty":             {`{"items":[]}`, ""},
		"null":              {`{"kind":"PodList","items":null}`, ""},
		"white space":       {" {\n\"items\" :\t[ ] }\r\n", ""},
		"no object":         {`[]`, "expected an object"},
		"null answer":       {`null`, "expected an object"},
		"no items":          {`{"kind":"Status"}`, "expected an items array"},
		"items as object":   {`{"items":{}}`, "expected an items array"},
		"items as text":     {`{"items":"[]"}`, "expected an items array"},
		"two items":         {`{"items":[],"items":[]}`, "items comes twice"},
		"two items escaped": {`{"items":[],"it\u0065ms":[]}`, "items comes twice"},
		"nothing":           {``, "it ends in the middle"},
		"page":              {`<html>`, "byte 0: '<' where a value belongs"},
		"half":              {`{"items":[{"metadata":{"uid":"a`, "it ends in the middle"},
		"tail":              {`{"items":[]} {}`, "byte 13: '{' after the end"},
		"comma":             {`{"items":[null,]}`, "after a comma"},
		"no comma":          {`{"items":[null null]}`, "where a comma"},
		"control":           {"{\"items\":[\"\n\"]}", "control character"},
		"kept control":      {"{\"items\":[{\"metadata\":{\"uid\":\"a\x00\"}}]}", "control character"},
		"escape":            {`{"a":"\x","items":[]}`, "unknown escape"},
		"hex":               {`{"a":"\u00g0","items":[]}`, "four hex digits"},
		"literal":           {`{"a":nul,"items":[]}`, "in what should be null"},
		"number":            {`{"a":01,"items":[]}`, "where a comma"},
		"number end":        {`{"a":1.,"items":[]}`, "in a number"},
		"exponent":          {`{"a":1e,"items":[]}`, "in a number"},
		"minus":             {`{"a":-,"items":[]}`, "in a number"},
		"numbers":           {`{"a":[0,-1,1.5,1e9,1E-7,-0.0e+1],"items":[]}`, ""},
		"key":               {`{1:2}`, "where a key belongs"},
		"skipped key":       {`{"a":{1:2},"items":[]}`, "where a key belongs"},
		"colon":             {`{"items" []}`, "where ':' belongs"},
		"depth":             {`{"a":` + strings.Repeat("[", 10_000), "more than 128 nested"},
		"depth of objects":  {strings.Repeat(`{"a":`, 10_000), "more than 128 nested"},
		"just not too deep": {`{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `,"items":[]}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for reader, r := range map[string]io.Reader{"whole": strings.NewReader(row.text), "byte by byte": iotest.OneByteReader(strings.NewReader(row.text))} {
				l, _, err := decodePods(r, decodeOptions{})
				switch {
				case row.want == "" && (err != nil || len(l.Pods()) != 0):
					t.Errorf("%s: %v, %v", reader, l, err)
				case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
					t.Errorf("%s: got %v, want %q", reader, err, row.want)
				}
			}
			if valid := json.Valid([]byte(row.text)); row.want == "" && !valid {
				t.Error("the row itself is no JSON")
			}
		})
	}
}

func TestPodListFlaws(t *testing.T) {
	const uid = `"uid":"u"`
	for name, row := range map[string]struct{ pod, want string }{
		"labels":           {`{"metadata":{` + uid + `,"labels":[]}}`, "metadata.labels: expected an object"},
		"label":            {`{"metadata":{` + uid + `,"labels":{"a":1}}}`, "metadata.labels: expected a string"},
		"label twice":      {`{"metadata":{` + uid + `,"labels":{"a":"1","\u0061":"2"}}}`, "metadata.labels: a key comes twice"},
		"label bytes":      {`{"metadata":{` + uid + `,"labels":{"a":"` + "\xff" + `"}}}`, "metadata.labels: is no valid UTF-8"},
		"half a pair":      {`{"metadata":{` + uid + `,"labels":{"a":"\ud800"}}}`, "metadata.labels: is no valid UTF-8"},
		"wrong pair":       {`{"metadata":{` + uid + `,"labels":{"a":"\ud800\n"}}}`, "metadata.labels: is no valid UTF-8"},
		"name":             {`{"metadata":{` + uid + `,"name":{}}}`, "metadata.name: expected a string"},
		"name twice":       {`{"metadata":{` + uid + `,"name":"a","name":"b"}}`, "metadata: name comes twice"},
		"metadata twice":   {`{"metadata":{` + uid + `},"metadata":{"namespace":"kube-system"}}`, "metadata comes twice"},
		"owners":           {`{"metadata":{` + uid + `,"ownerReferences":{}}}`, "metadata.ownerReferences: expected an array"},
		"owner":            {`{"metadata":{` + uid + `,"ownerReferences":["Node"]}}`, "metadata.ownerReferences: expected an object"},
		"spec":             {`{"metadata":{` + uid + `},"spec":"x"}`, "spec: expected an object"},
		"account":          {`{"metadata":{` + uid + `},"spec":{"serviceAccountName":true}}`, "spec.serviceAccountName: expected a string"},
		"statuses":         {`{"metadata":{` + uid + `},"status":{"containerStatuses":{}}}`, "status.containerStatuses: expected an array"},
		"status":           {`{"metadata":{` + uid + `},"status":{"containerStatuses":[[]]}}`, "status.containerStatuses: expected an object"},
		"container":        {`{"metadata":{` + uid + `},"status":{"initContainerStatuses":[{"containerID":7}]}}`, "status.initContainerStatuses: expected a string"},
		"phase":            {`{"metadata":{` + uid + `},"status":{"phase":1}}`, "status.phase: expected a string"},
		"long label":       {`{"metadata":{` + uid + `,"labels":{"a":"` + strings.Repeat("x", 2<<20) + `"}}}`, "metadata.labels: is too long"},
		"many labels":      {`{"metadata":{` + uid + `,"labels":{` + repeat(`"%d":""`, 20_000) + `}}}`, "metadata.labels: is too long"},
		"many owners":      {`{"metadata":{` + uid + `,"ownerReferences":[` + repeat(`{"x":%d}`, 20_000) + `]}}`, "metadata.ownerReferences: is too long"},
		"many statuses":    {`{"metadata":{` + uid + `},"status":{"containerStatuses":[` + repeat(`%d`, 20_000) + `]}}`, "status.containerStatuses: expected an object"},
		"nulls everywhere": {`{"metadata":{` + uid + `,"labels":null,"ownerReferences":null,"name":null},"spec":null,"status":{"phase":null,"containerStatuses":null}}`, ""},
		"other case":       {`{"metadata":{` + uid + `,"Labels":[]},"Spec":[]}`, ""},
		"long keys":        {`{"metadata":{` + uid + `,"` + strings.Repeat("x", 2<<20) + `":[]}}`, ""},
		"bytes elsewhere":  {`{"metadata":{` + uid + `,"annotations":{"a":"` + "\xff" + `"}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := decodeText(item(`{"metadata":{"uid":"before"}},` + row.pod + `,{"metadata":{"uid":"after"}}`))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, p := range l.Pods() {
				switch {
				case p.UID == "u" && p.Flaw != nil:
					got = p.Flaw.Error()
				case p.Flaw != nil:
					t.Errorf("pod %s next to it: %v", p.UID, p.Flaw)
				}
			}
			if got != row.want || len(l.Pods()) != 3 || (l.Flawed() != nil) != (row.want != "") {
				t.Errorf("got %q of %d pods, want %q", got, len(l.Pods()), row.want)
			}
		})
	}
}

// repeat writes a format with the numbers from 0, with commas between.
func repeat(format string, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(all, ",")
}

func TestPodListWhichPods(t *testing.T) {
	const running = `"containerStatuses":[{"containerID":"containerd://%s","state":{"running":{}}}]`
	l, err := decodeText(item(strings.Join([]string{
		`null`, `7`, `"uid"`, `[]`, `{}`, `{"metadata":{"uid":""}}`, `{"metadata":{"uid":7}}`,
		`{"metadata":{"uid":"done"},"status":{"phase":"Succeeded","containerStatuses":[{"containerID":"containerd://1","state":{"terminated":{}}}]}}`,
		`{"metadata":{"uid":"failed"},"status":{"phase":"Failed"}}`,
		`{"metadata":{"uid":"failing"},"status":{"phase":"Failed",` + fmt.Sprintf(running, "2") + `}}`,
		`{"metadata":{"uid":"twice","name":"first"},"status":{` + fmt.Sprintf(running, "3") + `}}`,
		`{"metadata":{"uid":"twice","name":"last"},"status":{` + fmt.Sprintf(running, "4") + `}}`,
		`{"metadata":{"uid":"ends"},"status":{"phase":"Running"}}`,
		`{"metadata":{"uid":"ends"},"status":{"phase":"Failed"}}`,
		`{"metadata":{"uid":"odd"},"status":{"containerStatuses":[{"containerID":"7"},{"containerID":"://8"},{"containerID":"docker://"}]}}`,
		`{"metadata":{"uid":"same"},"status":{"ephemeralContainerStatuses":[{"name":"e","containerID":"docker://5"}],"initContainerStatuses":[{"name":"i","containerID":"docker://5"}]}}`,
		`{"metadata":{"uid":"other"},"status":{` + fmt.Sprintf(running, "2") + `}}`,
	}, ",")))
	if err != nil {
		t.Fatal(err)
	}
	var uids []string
	for _, p := range l.Pods() {
		uids = append(uids, p.UID+":"+p.Name)
	}
	want := []string{"failing:", "twice:last", "odd:", "same:", "other:"}
	if diff := cmp.Diff(want, uids); diff != "" {
		t.Error(diff)
	}
	if l.Skipped != 7 {
		t.Errorf("%d entries without a UID, want 7", l.Skipped)
	}
	if diff := cmp.Diff([]string{"7", "://8", "docker://"}, l.Malformed); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[string]int{"1": 0, "2": 2, "3": 0, "4": 1, "5": 1, "7": 0, "8": 0, "": 0} {
		if got := len(l.ByContainer(id)); got != want {
			t.Errorf("container %q is in %d places, want %d", id, got, want)
		}
	}
	if at := l.ByContainer("5"); at[0].Container.Name != "i" {
		t.Errorf("init comes before ephemeral: %v", at[0].Container)
	}
	kept, _, err := decodePods(strings.NewReader(item(`{"metadata":{"uid":"failed"},"status":{"phase":"Failed"}}`)), decodeOptions{completed: true})
	if err != nil || len(kept.Pods()) != 1 {
		t.Errorf("where ended pods count: %v, %v", kept, err)
	}
}

func TestPodListLimits(t *testing.T) {
	endless := io.MultiReader(strings.NewReader(`{"a":"`), endlessReader('x'))
	if _, _, err := decodePods(endless, decodeOptions{}); err == nil || !strings.Contains(err.Error(), "longer than 536870912 bytes") {
		t.Errorf("an endless text: %v", err)
	}
	pods := func(yield func(int) string) io.Reader {
		return io.MultiReader(strings.NewReader(`{"items":[`), &generator{next: yield})
	}
	_, _, err := decodePods(pods(func(i int) string {
		return fmt.Sprintf(`{"metadata":{"uid":"%d","name":%q}},`, i, strings.Repeat("x", 100_000))
	}), decodeOptions{})
	if err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
		t.Errorf("endless pods: %v", err)
	}
	broken := io.MultiReader(strings.NewReader(`{"items":[`), iotest.ErrReader(errors.New("cut")))
	if _, _, err := decodePods(broken, decodeOptions{}); err == nil || err.Error() != "cut" {
		t.Errorf("a cut connection: %v", err)
	}
}

type endlessReader byte

func (e endlessReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(e)
	}
	return len(b), nil
}

// generator is what next returns for 0, 1, … until that is "".
type generator struct {
	next func(int) string
	i    int
	left string
}

func (g *generator) Read(b []byte) (int, error) {
	if g.left == "" {
		g.left = g.next(g.i)
		g.i++
	}
	if g.left == "" {
		return 0, io.EOF
	}
	n := copy(b, g.left)
	g.left = g.left[n:]
	return n, nil
}

// corePod is a pod of about 20 KiB, as busy nodes have them.
func corePod(i int, phase corev1.PodPhase) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("blog-%d", i), Namespace: "default", UID: types.UID(fmt.Sprintf("2c48913c-b29f-11e7-9350-%012d", i)),
		Labels:          map[string]string{"k8s-app": "blog", "version": "v0", "pod-template-hash": "5d4f8c7b9"},
		Annotations:     map[string]string{"config": strings.Repeat(`{"key": "value"}`+"\n", 270)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "blog", UID: "2c401175-b29f-11e7-9350-020968147796"}},
	}}
	fields := metav1.FieldsV1{}
	fields.SetRawString(`{"f:spec":{` + repeat(`"f:containers-%d":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}`, 40) + `}}`)
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", Operation: "Update", FieldsType: "FieldsV1", FieldsV1: &fields}}
	p.Spec.NodeName, p.Spec.ServiceAccountName, p.Status.Phase = "k8s-node-1", "default", phase
	for c := range 4 {
		spec := corev1.Container{Name: fmt.Sprintf("c%d", c), Image: "registry.example/blog:latest", Args: []string{"--one", "--two"}}
		for e := range 30 {
			spec.Env = append(spec.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", e), Value: strings.Repeat("value", 8)})
		}
		p.Spec.Containers = append(p.Spec.Containers, spec)
		status := corev1.ContainerStatus{
			Name: spec.Name, Image: spec.Image, ImageID: "registry.example/blog@sha256:0cfdaced91cb46dd7af48309799a3c351e4ca2d5e1ee9737ca0cbd932cb79898",
			ContainerID: fmt.Sprintf("containerd://%063d%d", i, c),
		}
		if phase == corev1.PodRunning {
			status.State.Running = &corev1.ContainerStateRunning{}
		} else {
			status.State.Terminated = &corev1.ContainerStateTerminated{Reason: "Completed"}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status)
	}
	return p
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestK8S9_ACompletedPodCostsNoMemory streams 100 MiB of which 2 000 pods have ended.
func TestK8S9_ACompletedPodCostsNoMemory(t *testing.T) {
	done := corePod(1, corev1.PodSucceeded)
	done.Annotations["config"] = strings.Repeat("x", 40<<10)
	ended, live := string(mustJSON(t, done)), string(mustJSON(t, corePod(2, corev1.PodRunning)))
	ended = strings.ReplaceAll(ended, string(done.UID), "2c48913c-b29f-11e7-9350-%012d")
	size := 0
	list := io.MultiReader(strings.NewReader(`{"kind":"PodList","items":[`), &generator{next: func(i int) string {
		text := ""
		switch {
		case i < 2_000:
			text = fmt.Sprintf(ended, i+10) + ","
		case i == 2_000:
			text = live + "]}"
		}
		size += len(text)
		return text
	}})
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	highest := uint64(0)
	watched := readerFunc(func(b []byte) (int, error) {
		n, err := list.Read(b)
		if size>>20 != (size-n)>>20 {
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
		}
		return n, err
	})
	l, _, err := decodePods(watched, decodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&now)
	highest = max(highest, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	if size < 100<<20 || len(l.Pods()) != 1 || l.Pods()[0].Containers[3].Name != "c3" {
		t.Fatalf("%d bytes, %d pods", size, len(l.Pods()))
	}
	t.Logf("%d MiB of answer, %d KiB of memory more", size>>20, highest>>10)
	if highest > 20<<20 {
		t.Errorf("%d MiB of memory more, want at most 20", highest>>20)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// coreList is 500 pods of about 20 KiB.
func coreList(t testing.TB) []byte {
	l := &corev1.PodList{}
	for i := range 500 {
		l.Items = append(l.Items, *corePod(i, corev1.PodRunning))
	}
	return mustJSON(t, l)
}

// TestPodListIsSmall compares the memory of the whole list, which can be counted; BenchmarkPodList compares the time as well.
func TestPodListIsSmall(t *testing.T) {
	content := coreList(t)
	ours := allocated(func() {
		if _, _, err := decodePods(bytes.NewReader(content), decodeOptions{}); err != nil {
			t.Error(err)
		}
	})
	theirs := allocated(func() {
		if err := json.Unmarshal(content, &corev1.PodList{}); err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d pods of %d bytes: %d KiB, corev1.PodList %d KiB", 500, len(content)/500, ours>>10, theirs>>10)
	if ours*10 > theirs {
		t.Errorf("%d bytes are more than a tenth of %d", ours, theirs)
	}
}

func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func BenchmarkPodList(b *testing.B) {
	content := coreList(b)
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if _, _, err := decodePods(bytes.NewReader(content), decodeOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("corev1.PodList", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			if err := json.NewDecoder(bytes.NewReader(content)).Decode(&corev1.PodList{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decoder.Token", func(b *testing.B) {
		b.SetBytes(int64(len(content)))
		for b.Loop() {
			d := json.NewDecoder(bytes.NewReader(content))
			for {
				if _, err := d.Token(); err == io.EOF {
					break
				} else if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// FuzzPodList compares what is read with what encoding/json makes of the same bytes.
func FuzzPodList(f *testing.F) {
	for _, name := range []string{"testdata/kubelet/pods.json"} {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Add([]byte(item(`{"metadata":{"uid":"u","labels":{"a":"\ud83d\ude00"}},"status":{"phase":"Failed"}}`)))
	f.Add([]byte(`{"items":[{"metadata":{"uid":"u"},"metadata":{}}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		l, _, err := decodePods(bytes.NewReader(content), decodeOptions{completed: true})
		slow, _, slowErr := decodePods(iotest.OneByteReader(bytes.NewReader(content)), decodeOptions{completed: true})
		if diff := cmp.Diff(fmt.Sprint(err), fmt.Sprint(slowErr)); diff != "" {
			t.Fatalf("the size of the pieces matters: %s", diff)
		}
		if err != nil {
			return
		}
		if len(l.Pods()) != len(slow.Pods()) {
			t.Fatal("the size of the pieces matters")
		}
		if !json.Valid(content) {
			t.Fatal("it is no JSON, but was read")
		}
		for _, p := range l.Pods() {
			if found, ok := l.ByUID(p.UID); !ok || found != p {
				t.Fatalf("pod %q is not found", p.UID)
			}
		}
		comparePods(t, content, l)
	})
}

// comparePods checks that a pod without a flaw says what encoding/json says. Where a key stands twice, in whatever case, encoding/json
// takes another one.
func comparePods(t *testing.T, content []byte, l *PodList) {
	var theirs struct{ Items []corev1.Pod }
	if json.Unmarshal(content, &theirs) != nil {
		return
	}
	known := map[string]corev1.Pod{}
	for _, p := range theirs.Items {
		known[string(p.UID)] = p
	}
	for _, p := range l.Pods() {
		their, found := known[p.UID]
		if p.Flaw != nil || !found || len(their.Labels) != len(p.Labels) {
			continue
		}
		for k, v := range p.Labels {
			if their.Labels[k] != v {
				t.Fatalf("label %q is %q, encoding/json says %q", k, v, their.Labels[k])
			}
		}
	}
}

// However many labels one tenant's pods have, the list of a node with 250 of them is read, and the pods of others are as they are.
func TestT47_PodsOfOneTenant(t *testing.T) {
	var labels strings.Builder
	for i := range 8_000 {
		fmt.Fprintf(&labels, `,"%0100d":"%063d"`, i, i) // more than an API server stores of one object
	}
	list := strings.NewReader(`{"items":[`)
	readers := []io.Reader{list}
	for i := range 250 {
		readers = append(readers, strings.NewReader(fmt.Sprintf(`{"metadata":{"uid":"tenant-%d","labels":{"a":"b"`, i)), strings.NewReader(labels.String()), strings.NewReader(`}}},`))
	}
	readers = append(readers, strings.NewReader(`{"metadata":{"uid":"mine","name":"mine"}}]}`))
	l, _, err := decodePods(io.MultiReader(readers...), decodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, found := l.ByUID("mine")
	if !found || p.Flaw != nil || p.Name != "mine" {
		t.Errorf("got %+v", p)
	}
	if p, found := l.ByUID("tenant-7"); !found || p.Flaw == nil {
		t.Errorf("a pod that is too long can be used: %v", found)
	}
}
