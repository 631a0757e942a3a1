package workload_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/assay-dev/assay/workload"
)

// recorded adds what was recorded of containers to the seeds.
func recorded(f *testing.F, name string) {
	f.Helper()
	files, err := filepath.Glob("testdata/proc/*/proc/*/" + name)
	if err != nil || len(files) == 0 {
		f.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(content))
	}
}

// What an ID and a pod look like, said another way than in the code.
var (
	anID  = regexp.MustCompile(`\b[0-9a-fA-F]{64}\b`)
	aPod  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	slash = regexp.MustCompile(`/`)
)

func FuzzCgroups(f *testing.F) {
	for _, r := range rows() {
		f.Add(r.cgroup)
	}
	recorded(f, "cgroup")
	f.Fuzz(func(t *testing.T, content string) {
		all, err := workload.ParseCgroups(content)
		if err != nil {
			return
		}
		for _, c := range all {
			id, none := workload.PathIDs(c.Path, false)
			again, pod := workload.PathIDs(c.Path, true)
			if id != again || none != "" {
				t.Fatalf("%q: %q and %q in %q", c.Path, id, again, none)
			}
			if id == "" && pod != "" || pod != "" && !aPod.MatchString(pod) {
				t.Fatalf("%q: pod %q", c.Path, pod)
			}
			if want := lastID(c.Path); id != want {
				t.Fatalf("%q: got %q, want %q", c.Path, id, want)
			}
			if container, _ := workload.LegacyIDs(c.Path); container != "" && !strings.Contains(c.Path, container) {
				t.Fatalf("%q: %q", c.Path, container)
			}
			_ = workload.Place{ContainerID: id, Cgroups: all}.ForeignManager()
		}
	})
}

// lastID is the rule of the page, in the words of the page.
func lastID(path string) string {
	segments := slash.Split(path, -1)
	for i := len(segments) - 1; i >= 0 && segments[i] != ""; i-- {
		if id := anID.FindString(segments[i]); id != "" {
			return id
		}
	}
	return ""
}

func FuzzMountinfo(f *testing.F) {
	f.Add(mount("/docker/"+idT, "cgroup2"))
	f.Add("1 2 0:3 /docker/" + idT + " /x rw shared:1 - cgroup  rw\n")
	f.Add("a - b")
	recorded(f, "mountinfo")
	f.Fuzz(func(t *testing.T, content string) {
		roots, err := workload.MountRoots(content)
		for _, root := range roots {
			if err != nil || root == "/" || !strings.Contains(content, root) {
				t.Fatalf("%q, %v", root, err)
			}
		}
	})
}

func FuzzStat(f *testing.F) {
	f.Add(stat(777))
	f.Add("1 () S")
	recorded(f, "stat")
	f.Fuzz(func(t *testing.T, content string) {
		started, err := workload.ParseStarted([]byte(content))
		if err != nil && started != 0 && !strings.Contains(err.Error(), "out of range") {
			t.Fatalf("%d, %v", started, err)
		}
		if err == nil && !strings.Contains(content, ")") {
			t.Fatal("a process without a name")
		}
	})
}

func FuzzMatchers(f *testing.F) {
	f.Add("/docker/<id>", "/docker/"+idD)
	f.Add("/my.slice/*/<id>/*", "/my.slice/x/"+idD+"/y")
	f.Add("<id>", "")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		id, ok := workload.MatchID(pattern, path)
		if !ok {
			return
		}
		// The pattern as an expression, where every component stands for itself.
		expression := regexp.QuoteMeta(pattern)
		var parts []string
		for _, component := range strings.Split(pattern, "/") {
			switch component {
			case "*":
				parts = append(parts, `[^/]*`)
			case "<id>":
				parts = append(parts, `([^/]*)`)
			default:
				parts = append(parts, regexp.QuoteMeta(component))
			}
		}
		re, err := regexp.Compile(`(?s)^` + strings.Join(parts, "/") + `$`)
		if err != nil {
			t.Skip(expression)
		}
		if m := re.FindStringSubmatch(path); m == nil || m[1] != id {
			t.Fatalf("%q and %q: %q, %q", pattern, path, id, m)
		}
	})
}
