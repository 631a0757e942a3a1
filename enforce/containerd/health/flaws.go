package health

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// flaw is a known flaw of containerd by which something else runs than what was decided about, or a pull alone does harm.
type flaw struct {
	ID    string
	About string
	Since string   // the first release that has it
	Fixed []string // the first release of each line that has it mended; lines after the last have it mended too
}

// flaws are as the Go vulnerability database has them (GO-2025-3699, GO-2026-5338, GO-2026-5758).
func flaws() []flaw {
	return []flaw{
		{ID: "CVE-2025-47290", About: "an image that is unpacked writes outside of its folder", Since: "2.1.0", Fixed: []string{"2.1.1"}},
		{ID: "CVE-2026-50195", About: "the import of a checkpoint gives the name of an image another content", Since: "2.1.0", Fixed: []string{"2.1.9", "2.2.5", "2.3.2"}},
		{ID: "CVE-2026-53488", About: "a label of an image runs a command as root", Since: "2.0.0", Fixed: []string{"2.0.10", "2.1.9", "2.2.5", "2.3.2"}},
	}
}

// firstAsking is the first release that asks verifiers when a kubelet pulls.
const firstAsking = "2.1.0"

// Version says what is known of a containerd of this version.
func Version(text string) []Finding {
	const about = "containerd"
	v, err := parseRelease(text)
	if err != nil {
		return []Finding{sayf(about, Doubtful, "%v: nobody can say which known flaws it has", err)}
	}
	if v.before(mustRelease(firstAsking)) {
		return []Finding{sayf(about, Wrong, "%s asks no verifier when a kubelet pulls", text).hinting("containerd " + firstAsking + " and later ask")}
	}
	var found []Finding
	for _, f := range flaws() {
		if f.in(v) {
			found = append(found, sayf(about, Doubtful, "%s has %s, unless its distribution mended it: %s", text, f.ID, f.About).
				hinting(fmt.Sprintf("%s is mended in %s and later lines", f.ID, strings.Join(f.Fixed, ", "))))
		}
	}
	if len(found) == 0 {
		return []Finding{sayf(about, Fine, "%s has none of the known flaws by which images pass a verifier", text)}
	}
	return found
}

func (f flaw) in(v release) bool {
	if v.before(mustRelease(f.Since)) {
		return false
	}
	var last release
	for _, text := range f.Fixed {
		fixed := mustRelease(text)
		if v[0] == fixed[0] && v[1] == fixed[1] {
			return v.before(fixed)
		}
		last = fixed
	}
	return v.before(last)
}

// release is the number of a release.
type release [3]int

func (r release) before(other release) bool {
	for i := range r {
		if r[i] != other[i] {
			return r[i] < other[i]
		}
	}
	return false
}

const releaseNumber = `^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(-(?:rc|beta|alpha)[.\d]*)?([-+~].*)?$`

// parseRelease reads "2.4.2" and what distributions add to it: "2.1.4-k3s1", "1.7.24~ds1". What comes before a release counts as the one before it.
func parseRelease(text string) (release, error) {
	m := regexp.MustCompile(releaseNumber).FindStringSubmatch(text)
	if m == nil {
		return release{}, fmt.Errorf("%q is no release of containerd", text)
	}
	var r release
	for i := range r {
		r[i], _ = strconv.Atoi(m[i+1]) // four digits
	}
	if m[4] != "" {
		r[2]-- // -1 is before 0
	}
	return r, nil
}

// mustRelease reads the number of a release that stands here.
func mustRelease(text string) release {
	r, err := parseRelease(text)
	if err != nil {
		panic(err)
	}
	return r
}
