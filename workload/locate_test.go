package workload_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/workload"
)

// The IDs of the pages of compatibility.
var (
	idA     = strings.Repeat("a", 64)
	idT     = strings.Repeat("0123456789abcdef", 4)
	idOther = "41e4ab61d2860b0e1467de0da0a9c6068012761febec402dc04a5a94f32ea867"
)

const (
	idD  = "6469646e742065787065637420616e796f6e6520746f20726561642074686973"
	idI  = "9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961"
	podP = "2c48913c-b29f-11e7-9350-020968147796"
	podQ = "11111111-2222-3333-4444-555555555555"
)

const pid = 123

// stat is that of a process with a name of its own choice.
func stat(started int) string {
	return fmt.Sprintf("123 (a) b) S 1 123 123 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 %d 1 1 1", started)
}

// tree is a process table with one process. Files with the content "-" are not there.
func tree(cgroup, mountinfo string) fstest.MapFS {
	t := fstest.MapFS{"proc/123/stat": {Data: []byte(stat(777))}}
	for name, content := range map[string]string{"cgroup": cgroup, "mountinfo": mountinfo} {
		if content != "-" {
			t["proc/123/"+name] = &fstest.MapFile{Data: []byte(content)}
		}
	}
	return t
}

func lines(all ...string) string { return strings.Join(all, "\n") + "\n" }

// controllers returns an entry with the path for each of 11 controllers.
func controllers(path string) string {
	var all []string
	for i, c := range []string{"hugetlb", "devices", "pids", "perf_event", "net_cls,net_prio", "cpuset", "memory", "cpu,cpuacct", "freezer", "blkio", "name=systemd"} {
		all = append(all, fmt.Sprintf("%d:%s:%s", 11-i, c, path))
	}
	return lines(all...)
}

// mount is a line of mountinfo.
func mount(root, kind string) string {
	return "1 2 0:3 " + root + " /sys/fs/cgroup rw - " + kind + " cgroup rw"
}

func locate(t *testing.T, fsys fs.FS, c workload.LocatorConfig) (workload.Place, error) {
	t.Helper()
	c.Proc = workload.NewProc(fsys)
	l, err := workload.NewLocator(c)
	if err != nil {
		t.Fatal(err)
	}
	return l.Locate(t.Context(), pid)
}

// row is a case of the pages of compatibility, and what follows from their rules.
type row struct {
	name      string
	cgroup    string
	mountinfo string
	container string
	pod       string // what is found where pods are looked for
	err       string
	kind      error
}

func rows() []row {
	long := "kubepods-burstable-pod" + podP + ".slice"
	return []row{
		{name: "S1", cgroup: lines("10:devices:/docker/" + idD), container: idD},
		{name: "S2", cgroup: lines("4:devices:/system.slice/docker-" + idD + ".scope"), container: idD},
		{name: "S3", cgroup: lines("6:devices:/docker/" + idD + "/docker/" + idD + "/system.slice/containerd.service"), container: idD},
		{name: "S4", cgroup: lines("10:devices:/docker/"+idD, "4:devices:/system.slice/docker-"+idOther+".scope"),
			err: `multiple container IDs found ("` + idD + `", "` + idOther + `")`, kind: workload.ErrConflict},
		{name: "S5", cgroup: lines("4:devices:/system.slice/" + idD + ".scope"), container: idD},
		{name: "S6", cgroup: "-"},
		{name: "S7", cgroup: lines("0::/../" + idT), mountinfo: lines(mount("/", "cgroup2")), container: idT},
		{name: "S15", cgroup: "-", mountinfo: lines(mount("/", "cgroup"), mount("/docker/"+idT, "cgroup"), mount("/docker/"+idT, "cgroup"))},
		{name: "S20", cgroup: lines("11:hugetlb"),
			err: `unable to obtain cgroups: invalid cgroup entry, contains 2 colon separated fields but expected at least 3: "11:hugetlb"`},
		{name: "S21", cgroup: controllers("/kubepods/burstable/pod" + podP + "/" + idI), container: idI, pod: podP},
		{name: "S24", cgroup: controllers("/kubepods.slice/kubepods-burstable.slice/" + long + "/docker-" + idI + ".scope"), container: idI, pod: podP},
		{name: "C3", cgroup: lines("13:rdma:/", "12:cpu:/docker/"+idA), container: idA},
		{name: "C7", cgroup: lines("0::/system.slice/docker-" + idA + ".scope/init.scope"), container: idA},
		{name: "C12", cgroup: lines("0::/kubepods/burstable/pod2732ca68f6358eba7703fb6f82a25c94/" + idA), container: idA},
		{name: "C13", cgroup: lines("0::/docker/a" + idA)},
		{name: "C14", cgroup: lines("0::/docker/x_" + idA)},
		{name: "C15", cgroup: lines("0::/docker/" + strings.ToUpper(idA)), container: strings.ToUpper(idA)},
		{name: "C22", cgroup: lines("garbage"),
			err: `unable to obtain cgroups: invalid cgroup entry, contains 1 colon separated fields but expected at least 3: "garbage"`},

		{name: "an empty file", cgroup: ""},
		{name: "an empty line", cgroup: "\n", err: `unable to obtain cgroups: invalid cgroup entry, contains 1 colon separated fields but expected at least 3: ""`},
		{name: "no newline at the end", cgroup: "0::/docker/" + idA, container: idA},
		{name: "the agent's own namespace", cgroup: lines("0::/")},
		{name: "colons in the path", cgroup: lines("0::/system.slice:docker:" + idA), container: idA},
		{name: "an empty segment ends the walk", cgroup: lines("0::/docker/" + idA + "/")},
		{name: "an empty segment before the pod", cgroup: lines("0::/pod" + podP + "//" + idA), container: idA},
		{name: "the first run of a segment", cgroup: lines("0::/x/" + idA + "." + idT), container: idA},
		{name: "the last segment", cgroup: lines("0::/docker/" + idA + "/docker/" + idT), container: idT},
		{name: "64 that are not all hex", cgroup: lines("0::/docker/" + "g" + idA[1:])},
		{name: "no letter touches, but a byte above 127", cgroup: lines("0::/docker/\xff" + idA + "é"), container: idA},
		{name: "a relative path", cgroup: lines("0::" + idA), container: idA},
		{name: "hybrid", cgroup: lines("2:cpu:/docker/"+idA, "1:name=systemd:/docker/"+idA, "0::/system.slice/containerd.service"), container: idA},
		{name: "the pod before the ID in its segment", cgroup: lines("0::/x/pod" + podP + "-" + idA), container: idA, pod: podP},
		{name: "UID with _", cgroup: lines("0::/kubepods-pod" + strings.ReplaceAll(podP, "-", "_") + ".slice/cri-containerd-" + idA + ".scope"), container: idA, pod: podP},
		{name: "a pod without a container", cgroup: lines("0::/kubepods/pod" + podP)},
		{name: "a pod that _ touches", cgroup: lines("0::/x_pod" + podP + "/" + idA), container: idA},
		{name: "the pod that is nearest", cgroup: lines("0::/pod" + podQ + "/pod" + podP + "/" + idA), container: idA, pod: podP},
		{name: "a pod after the container", cgroup: lines("0::/" + idA + "/pod" + podP), container: idA},
	}
}

// asDocker is what a row gives where pods play no part: it has none.
func (r row) asDocker() row { r.pod = ""; return r }

func (r row) check(t *testing.T, c workload.LocatorConfig, cgroup string) {
	t.Helper()
	got, err := locate(t, tree(cgroup, r.mountinfo), c)
	if r.err != "" {
		if err == nil || err.Error() != r.err || r.kind != nil && !errors.Is(err, r.kind) || r.kind == nil && errors.Is(err, workload.ErrConflict) {
			t.Errorf("got %+v, %v, want %s", got, err, r.err)
		}
		return
	}
	if err != nil || got.ContainerID != r.container || got.PodUID != r.pod {
		t.Errorf("got %q in %q, %v, want %q in %q", got.ContainerID, got.PodUID, err, r.container, r.pod)
	}
	if err == nil && got.Started != 777 {
		t.Errorf("it started at %d", got.Started)
	}
}

func TestDOCKER1_Rows(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) { r.asDocker().check(t, workload.LocatorConfig{}, r.cgroup) })
	}
}

func TestK8S1_Rows(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) { r.check(t, workload.LocatorConfig{Pods: true}, r.cgroup) })
	}
}

// orders returns orders of lines: as they are, turned round, and each of them first.
func orders(all []string) [][]string {
	turned := slices.Clone(all)
	slices.Reverse(turned)
	found := [][]string{all, turned}
	for i := range all {
		found = append(found, slices.Concat(all[i:], all[:i]))
	}
	return found
}

// An order has no meaning where nothing contradicts.
func TestDOCKER1_K8S1_Permutations(t *testing.T) {
	for _, r := range rows() {
		if r.err != "" || r.cgroup == "-" || r.cgroup == "" {
			continue
		}
		for i, order := range orders(strings.Split(strings.TrimSuffix(r.cgroup, "\n"), "\n")) {
			t.Run(fmt.Sprintf("%s %d", r.name, i), func(t *testing.T) {
				r.check(t, workload.LocatorConfig{Pods: true}, lines(order...))
				r.asDocker().check(t, workload.LocatorConfig{}, lines(order...))
			})
		}
	}
}

// Entries that show no container change no answer, wherever they stand.
func TestDOCKER2_K8S2_EntriesWithoutID(t *testing.T) {
	silent := []string{"13:rdma:/", "0::/system.slice/docker.service", "7:cpu:/docker/a" + idA, "6:pids:/kubepods/pod" + podQ, "5:x:/docker/" + idT + "/"}
	for _, r := range rows() {
		if r.cgroup == "-" || r.cgroup == "" || strings.HasPrefix(r.err, "unable") {
			continue
		}
		all := strings.Split(strings.TrimSuffix(r.cgroup, "\n"), "\n")
		for _, s := range silent {
			for at := range len(all) + 1 {
				t.Run(fmt.Sprintf("%s %s %d", r.name, s, at), func(t *testing.T) {
					cgroup := lines(slices.Insert(slices.Clone(all), at, s)...)
					r.check(t, workload.LocatorConfig{Pods: true}, cgroup)
					r.asDocker().check(t, workload.LocatorConfig{}, cgroup)
				})
			}
		}
	}
}

// An entry with a pod beats those without, in any order, also where those without contradict each other.
func TestK8S2_PodsBeat(t *testing.T) {
	with := "1:cpu:/kubepods/pod" + podP + "/" + idI
	tests := []row{
		{name: "one without", cgroup: lines(with, "2:pids:/docker/"+idA)},
		{name: "the node is a container", cgroup: lines(with, "2:pids:/docker/"+idA, "3:x:/docker/"+idA+"/system.slice")},
		{name: "two without that contradict", cgroup: lines("2:pids:/docker/"+idA, "4:x:/docker/"+idT, with)},
		{name: "many without, several with", cgroup: lines("2:pids:/docker/"+idA, with, "4:x:/docker/"+idT, strings.Replace(with, "1:cpu", "9:y", 1))},
	}
	for _, r := range tests {
		r.container, r.pod = idI, podP
		for i, order := range orders(strings.Split(strings.TrimSuffix(r.cgroup, "\n"), "\n")) {
			t.Run(fmt.Sprintf("%s %d", r.name, i), func(t *testing.T) { r.check(t, workload.LocatorConfig{Pods: true}, lines(order...)) })
		}
	}
}

func TestK8S1_Conflicts(t *testing.T) {
	first := "1:cpu:/kubepods/pod" + podP + "/" + idI
	tests := []row{
		{name: "two pods", cgroup: lines(first, "2:x:/kubepods/pod"+podQ+"/"+idI), err: `multiple pod UIDs found ("` + podP + `", "` + podQ + `")`},
		{name: "two pods and two containers", cgroup: lines(first, "2:x:/kubepods/pod"+podQ+"/"+idA), err: `multiple pod UIDs found ("` + podP + `", "` + podQ + `")`},
		{name: "two containers of one pod", cgroup: lines(first, "2:x:/docker/"+idT, "3:x:/kubepods/pod"+podP+"/"+idA), err: `multiple container IDs found ("` + idI + `", "` + idA + `")`},
		{name: "two containers without a pod", cgroup: lines("1:x:/docker/"+idT, "2:x:/docker/"+idA), err: `multiple container IDs found ("` + idT + `", "` + idA + `")`},
		{name: "two cases of one", cgroup: lines("1:x:/docker/"+idA, "2:x:/docker/"+strings.ToUpper(idA)), err: `multiple container IDs found ("` + idA + `", "` + strings.ToUpper(idA) + `")`},
	}
	for _, r := range tests {
		r.kind = workload.ErrConflict
		t.Run(r.name, func(t *testing.T) { r.check(t, workload.LocatorConfig{Pods: true}, r.cgroup) })
	}
}

// recorder notes which files are opened.
type recorder struct {
	fs.FS
	mu     sync.Mutex
	opened []string
}

func (r *recorder) Open(name string) (fs.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opened = append(r.opened, name)
	return r.FS.Open(name)
}

func TestDOCKER3_Mountinfo(t *testing.T) {
	forged := lines(mount("/", "cgroup"), mount("/docker/"+idT, "cgroup2"))
	for _, r := range append(rows(), row{name: "forged", cgroup: lines("0::/")}) {
		for _, fallback := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", r.name, fallback), func(t *testing.T) {
				spy := &recorder{FS: tree(r.cgroup, forged)}
				called := 0
				got, err := locate(t, spy, workload.LocatorConfig{MountinfoFallback: fallback, OnFallback: func() { called++ }})
				asked := slices.Contains(spy.opened, "proc/123/mountinfo")
				used := fallback && r.err == "" && r.container == ""
				if asked != used || (called == 1) != used {
					t.Errorf("opened %q, called %d times, want %v", spy.opened, called, used)
				}
				if used && (err != nil || got.ContainerID != idT) {
					t.Errorf("got %+v, %v", got, err)
				}
			})
		}
	}
}

func TestDOCKER3_MountinfoLines(t *testing.T) {
	const at = `failed to parse mount info at "/proc/123/mountinfo": `
	tests := []struct{ name, mountinfo, container, err string }{
		{"none", "-", "", ""},
		{"empty", "", "", ""},
		{"an empty source", lines("1 2 0:3 /docker/" + idT + " /x rw - cgroup  rw"), idT, ""},
		{"optional fields", lines("1 2 0:3 /docker/" + idT + " /x rw shared:1 master:2 - cgroup c rw"), idT, ""},
		{"another file system", lines(mount("/docker/"+idT, "tmpfs"), mount("/docker/"+idT, "cgroup3")), "", ""},
		{"only the root of all", lines(mount("/", "cgroup"), mount("/", "cgroup2")), "", ""},
		{"two containers", lines(mount("/docker/"+idT, "cgroup"), mount("/docker/"+idA, "cgroup")), "", `multiple container IDs found ("` + idT + `", "` + idA + `")`},
		{"no separator", lines("1 2 0:3 / /x rw cgroup c rw"), "", at + `missing separator in mountinfo line: "1 2 0:3 / /x rw cgroup c rw"`},
		{"too few before it", lines("1 2 0:3 / /x - cgroup c rw"), "", at + `expected at least 6 fields before separator in mountinfo line: "1 2 0:3 / /x - cgroup c rw"`},
		{"nothing after it", lines("1 2 0:3 / /x rw -"), "", at + `missing filesystem type in mountinfo line: "1 2 0:3 / /x rw -"`},
		{"no type", lines("1 2 0:3 / /x rw -  c rw"), "", at + `missing filesystem type in mountinfo line: "1 2 0:3 / /x rw -  c rw"`},
		{"a broken line after a good one", lines(mount("/docker/"+idT, "cgroup"), "x"), "", at + `missing separator in mountinfo line: "x"`},
		{"endless", strings.Repeat("x", 5<<20), "", at + "/proc/123/mountinfo: more than 4194304 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := locate(t, tree("0::/\n", test.mountinfo), workload.LocatorConfig{MountinfoFallback: true})
			if fmt.Sprint(err) != test.err && (err != nil || test.err != "") || got.ContainerID != test.container {
				t.Errorf("got %q, %v", got.ContainerID, err)
			}
		})
	}
}

// It says so where mountinfo was believed.
func TestDOCKER3_Warns(t *testing.T) {
	var log bytes.Buffer
	c := workload.LocatorConfig{MountinfoFallback: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := locate(t, tree("-", lines(mount("/docker/"+idT, "cgroup"))), c); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), idT) {
		t.Errorf("log: %s", &log)
	}
}

func TestVerbose(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var log bytes.Buffer
		c := workload.LocatorConfig{Verbose: verbose, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		if _, err := locate(t, tree(lines("2:cpu:/a", "1:pids:/a", "0::/docker/"+idT), "-"), c); err != nil {
			t.Fatal(err)
		}
		want := 0
		if verbose {
			want = 3 // every entry, also one with a path as before
		}
		if got := strings.Count(log.String(), "level=DEBUG"); got != want {
			t.Errorf("verbose %v: %d lines:\n%s", verbose, got, &log)
		}
	}
}

func TestDOCKER4_Matchers(t *testing.T) {
	const both = "the new container locator and custom cgroup matchers cannot both be used; please open an issue if the new container locator fails to locate " +
		"workload containers in your environment; to continue using custom matchers set use_new_container_locator=false"
	tests := []struct {
		name     string
		legacy   bool
		matchers []string
		err      string
	}{
		{"the page's", true, []string{"/docker/<id>", "/my.slice/*/<id>/*"}, ""},
		{"none", true, nil, ""},
		{"without the switch", false, []string{"/docker/<id>"}, both},
		{"no ID", true, []string{"/docker/*"}, `pattern "/docker/*" must contain the container id token "<id>" exactly once`},
		{"two IDs", true, []string{"/<id>/<id>"}, `pattern "/<id>/<id>" must contain the container id token "<id>" exactly once`},
		{"an ID that is no component", true, []string{"/docker-<id>"}, `pattern "/docker-<id>" must contain the container id token "<id>" exactly once`},
		{"ambiguous", true, []string{"/a/b/<id>", "/*/b/<id>"}, `dockerfinder: patterns must not be ambiguous: ["/*/b/<id>" "/a/b/<id>"]`},
		{"equal", true, []string{"/a/<id>", "/a/<id>"}, `dockerfinder: patterns must not be ambiguous: ["/a/<id>"]`},
		{"an ID against a literal", true, []string{"/a/<id>", "/<id>/b"}, `dockerfinder: patterns must not be ambiguous: ["/<id>/b" "/a/<id>"]`},
		{"different lengths", true, []string{"/a/<id>", "/a/<id>/*"}, ""},
		{"different literals", true, []string{"/a/<id>", "/b/<id>"}, ""},
		{"three of which two", true, []string{"/a/<id>", "/b/<id>", "/*/<id>/x", "/c/<id>/x"}, `dockerfinder: patterns must not be ambiguous: ["/*/<id>/x" "/c/<id>/x"]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := workload.NewLocator(workload.LocatorConfig{Proc: workload.NewProc(fstest.MapFS{}), Legacy: test.legacy, Matchers: test.matchers})
			if (err != nil || test.err != "") && (err == nil || err.Error() != test.err) {
				t.Errorf("got %v, want %s", err, test.err)
			}
		})
	}
}

func TestDOCKER4_Matching(t *testing.T) {
	for path, want := range map[string]string{
		"/docker/": "", "/docker/foo": "foo", "": "-", "/": "-", "/docker": "-", "/dockerfoo": "-", "/docker/foo/": "-", "/docker/foo/bar": "-",
		"/docker/foo/docker/foo": "-", "docker/foo": "-",
	} {
		got, ok := workload.MatchID("/docker/<id>", path)
		if ok != (want != "-") || ok && got != want {
			t.Errorf("%q: got %q, %v, want %q", path, got, ok, want)
		}
	}
	if id, ok := workload.MatchID("/my.slice/*/<id>/*", "/my.slice//x/"); !ok || id != "x" {
		t.Errorf("wild cards and empty components: %q, %v", id, ok)
	}
	if _, ok := workload.MatchID("/my.slice/*/<id>/*", "/my-slice/a/x/b"); ok {
		t.Error("a dot stands for any character")
	}
}

func TestDOCKER4_MatcherRows(t *testing.T) {
	tests := []row{
		{name: "a match", cgroup: lines("2:cpu:/system.slice", "1:pids:/docker/foo"), container: "foo"},
		{name: "none", cgroup: lines("2:cpu:/docker/foo/bar")},
		{name: "twice the same", cgroup: lines("2:cpu:/docker/foo", "1:x:/my.slice/a/foo/b"), container: "foo"},
		{name: "empty", cgroup: lines("2:cpu:/docker/"), err: "workloadattestor/docker: a pattern matched, but no container id was found"},
		{name: "empty after another", cgroup: lines("2:cpu:/docker/x", "1:x:/docker/"), err: "workloadattestor/docker: a pattern matched, but no container id was found"},
		{name: "two", cgroup: lines("2:cpu:/docker/A", "1:x:/docker/B"), err: "workloadattestor/docker: multiple container IDs found in cgroups (A, B)", kind: workload.ErrConflict},
		{name: "no file", cgroup: "-", err: "unable to obtain cgroups: open /proc/123/cgroup: file does not exist"},
	}
	for _, r := range tests {
		t.Run(r.name, func(t *testing.T) {
			c := workload.LocatorConfig{Legacy: true, Matchers: []string{"/docker/<id>", "/my.slice/*/<id>/*"}, MountinfoFallback: true}
			r.mountinfo = lines(mount("/docker/"+idT, "cgroup"))
			r.check(t, c, r.cgroup)
			if _, err := locate(t, tree(r.cgroup, "-"), c); (err != nil) != errors.Is(err, workload.ErrMatchers) {
				t.Errorf("%v says nothing of matchers", err)
			}
		})
	}
}

// Without matchers the switch changes nothing for Docker.
func TestDOCKER4_LegacyWithoutMatchers(t *testing.T) {
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) { r.asDocker().check(t, workload.LocatorConfig{Legacy: true}, r.cgroup) })
	}
}

func TestK8S1_Legacy(t *testing.T) {
	under := strings.ReplaceAll(podP, "-", "_")
	tests := []row{
		{name: "cgroupfs", cgroup: controllers("/kubepods/burstable/pod" + podP + "/" + idI), container: idI, pod: podP},
		{name: "systemd", cgroup: controllers("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podP + ".slice/docker-" + idI + ".scope"), container: idI, pod: podP},
		{name: "containerd", cgroup: lines("0::/kubepods.slice/kubepods-besteffort-pod" + under + ".slice/cri-containerd-" + idI + ".scope"), container: idI, pod: podP},
		{name: "containerd in one segment", cgroup: lines("0::/kubelet.slice/kubelet-kubepods-pod" + under + ".slice:cri-containerd:" + idI), container: idI, pod: podP},
		{name: "CRI-O with a pod", cgroup: lines("0::/kubepods.slice/kubepods-pod" + under + ".slice/crio-" + idI + ".scope"), container: idI, pod: podP},
		{name: "CRI-O without", cgroup: lines("0::/../crio-" + idI + ".scope"), container: idI},
		{name: "both forms", cgroup: lines("0::/kubepods-pod" + under + ".slice/a-b/crio-" + idI + ".scope")},
		{name: "a namespace", cgroup: lines("0::/../../pod" + podP + "/" + idI), container: idI, pod: podP},
		{name: "no marks in the UID", cgroup: lines("0::/pod" + strings.ReplaceAll(podP, "-", "") + "/" + idI), container: idI, pod: strings.ReplaceAll(podP, "-", "")},
		{name: "other marks in the UID", cgroup: lines("0::/pod" + strings.ReplaceAll(podP, "-", ".") + "/" + idI), container: idI, pod: podP},
		{name: "two marks in the UID", cgroup: lines("0::/pod" + strings.ReplaceAll(podP, "-", "--") + "/" + idI)},
		{name: "nothing before pod", cgroup: lines("0::pod" + podP + "/" + idI)},
		{name: "two marks in a row", cgroup: lines("0::/pod" + podP + "/a//" + idI)},
		{name: "docker", cgroup: lines("0::/docker/" + idI)},
		{name: "something after the ID", cgroup: lines("0::/kubepods/pod" + podP + "/" + idI + "/init.scope")},
		{name: "only one .scope is cut off", cgroup: lines("0::/kubepods/pod" + podP + "/" + idI + ".scope.scope")},
		{name: "fewer than 64", cgroup: lines("0::/kubepods/pod" + podP + "/" + idI[1:])},
		{name: "not hex", cgroup: lines("0::/kubepods/pod" + podP + "/" + idI[1:] + "g")},
		{name: "two containers", cgroup: lines("1:a:/pod"+podP+"/"+idI, "2:b:/pod"+podP+"/"+idA), err: "multiple container IDs found in cgroups (" + idI + ", " + idA + ")", kind: workload.ErrConflict},
		{name: "two pods", cgroup: lines("1:a:/pod"+podP+"/"+idI, "2:b:/pod"+podQ+"/"+idI), err: "multiple pod UIDs found in cgroups (" + podP + ", " + podQ + ")", kind: workload.ErrConflict},
		{name: "no file", cgroup: "-", err: "unable to obtain cgroups: open /proc/123/cgroup: file does not exist"},
		{name: "garbage", cgroup: "x", err: `unable to obtain cgroups: invalid cgroup entry, contains 1 colon separated fields but expected at least 3: "x"`},
	}
	for _, r := range tests {
		t.Run(r.name, func(t *testing.T) {
			r.mountinfo = lines(mount("/docker/"+idT, "cgroup"))
			r.check(t, workload.LocatorConfig{Pods: true, Legacy: true, MountinfoFallback: true}, r.cgroup)
		})
	}
}

func TestForeignManager(t *testing.T) {
	rootless := "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope"
	tests := []struct {
		name string
		want bool
		all  []string
	}{
		{"Docker by cgroupfs", true, []string{"4:cpu:/docker/" + idA, "0::/"}},
		{"Docker by systemd", true, []string{"0::/system.slice/docker-" + idA + ".scope"}},
		{"Docker with something below", true, []string{"0::/docker/" + idA + "/init.scope"}},
		{"Podman", true, []string{"0::/machine.slice/libpod-" + idA + ".scope/container"}},
		{"Podman by cgroupfs", true, []string{"0::/libpod_parent/libpod-" + idA}},
		{"Podman's pod", true, []string{"0::/machine.slice/machine-libpod_pod_" + idT + ".slice/libpod-" + idA + ".scope"}},
		{"a user's Podman", true, []string{"0::" + rootless}},
		{"systemd-nspawn", true, []string{"0::/machine.slice/x-" + idA + ".scope"}},
		{"a user's slice", true, []string{"0::/user.slice/user-1000.slice/" + idA}},
		{"no container", false, []string{"0::/system.slice/docker.service"}},
		{"a pod", false, []string{"0::/kubepods/pod" + podP + "/" + idA}},
		{"a static pod", false, []string{"0::/docker/pod2732ca68f6358eba7703fb6f82a25c94/" + idA}},
		{"a pod in another entry", false, []string{"4:cpu:/docker/" + idA, "3:x:/a/pod2732ca68f6358eba7703fb6f82a25c94"}},
		{"a pod with _ before it", false, []string{"4:cpu:/docker/" + idA, "3:x:/a_pod" + strings.ReplaceAll(podP, "-", "_")}},
		{"kubepods in another entry", false, []string{"4:cpu:/docker/" + idA, "3:x:/kubepods.slice"}},
		{"a node that is a container", false, []string{"4:cpu:/docker/" + idT + "/kubepods/besteffort/" + idA}},
		{"a namespace", false, []string{"0::/../docker/" + idA}},
		{"a namespace in one entry", false, []string{"1:cpu:/docker/" + idA, "0::/../docker-" + idA + ".scope"}},
		{"containerd", false, []string{"0::/system.slice/" + idA + ".scope"}},
		{"CRI-O", false, []string{"0::/system.slice/crio-" + idA + ".scope"}},
		{"another's place in one entry", false, []string{"1:cpu:/docker/" + idA, "2:x:/other/" + idA}},
		{"docker further up", false, []string{"0::/docker/x/" + idA}},
		{"the name of another container", false, []string{"0::/x/docker-" + idA + "." + idT + ".scope"}},
		{"libpod is no part of a name", false, []string{"0::/my-libpod/" + idA}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			place, err := locate(t, tree(lines(test.all...), "-"), workload.LocatorConfig{Pods: true})
			if err != nil || place.ForeignManager() != test.want {
				t.Errorf("%+v, %v: got %v", place, err, place.ForeignManager())
			}
		})
	}
}

func TestDOCKER9_Place(t *testing.T) {
	slice := "/user.slice/user-%s.slice/user@%[1]s.service/user.slice/libpod-" + idA + ".scope"
	tests := []struct {
		name string
		all  []string
		want *workload.PodmanPlace
		warn bool
	}{
		{"Docker", []string{"0::/docker/" + idA}, nil, false},
		{"root", []string{"0::/machine.slice/libpod-" + idA + ".scope"}, &workload.PodmanPlace{}, false},
		{"a folder", []string{"0::/x/libpod/" + idA}, &workload.PodmanPlace{}, false},
		{"a user", []string{"0::" + fmt.Sprintf(slice, "1000")}, &workload.PodmanPlace{Rootless: true, UID: 1000}, false},
		{"user 0", []string{"0::" + fmt.Sprintf(slice, "0")}, &workload.PodmanPlace{Rootless: true}, false},
		{"the largest user", []string{"0::" + fmt.Sprintf(slice, "4294967295")}, &workload.PodmanPlace{Rootless: true, UID: 4294967295}, false},
		{"too large", []string{"0::" + fmt.Sprintf(slice, "4294967296")}, &workload.PodmanPlace{}, true},
		{"no number", []string{"0::" + fmt.Sprintf(slice, "a")}, &workload.PodmanPlace{}, false},
		{"the first path counts", []string{"1:x:/libpod/" + idA, "0::" + fmt.Sprintf(slice, "7")}, &workload.PodmanPlace{}, false},
		{"a path without", []string{"1:x:/docker/" + idA, "0::" + fmt.Sprintf(slice, "7")}, &workload.PodmanPlace{Rootless: true, UID: 7}, false},
		{"no container", []string{"0::/machine.slice/libpod-conmon.scope"}, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			place, err := locate(t, tree(lines(test.all...), "-"), workload.LocatorConfig{Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil || !cmp.Equal(place.Podman, test.want) {
				t.Errorf("got %+v, %v", place.Podman, err)
			}
			if strings.Contains(log.String(), "WARN") != test.warn {
				t.Errorf("log: %s", &log)
			}
		})
	}
}

func TestNewLocatorNeedsProc(t *testing.T) {
	if l, err := workload.NewLocator(workload.LocatorConfig{}); err == nil {
		t.Errorf("got %v", l)
	}
}

func TestLocateCancelled(t *testing.T) {
	l, err := workload.NewLocator(workload.LocatorConfig{Proc: workload.NewProc(tree("0::/docker/"+idA, "-"))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // whichever comes first
		if place, err := l.Locate(ctx, pid); err != nil && !errors.Is(err, context.Canceled) || err == nil && place.ContainerID != idA {
			t.Fatalf("got %+v, %v", place, err)
		}
	}
}
