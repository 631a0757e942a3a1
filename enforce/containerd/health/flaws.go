package health

import (
	"fmt"
	"strings"

	"github.com/assay-dev/assay/release"
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
	v, err := release.Parse(text)
	if err != nil {
		return []Finding{sayf(about, Doubtful, "%v of containerd: nobody can say which known flaws it has", err)}
	}
	if v.Before(release.Must(firstAsking)) {
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

func (f flaw) in(v release.Number) bool {
	if v.Before(release.Must(f.Since)) {
		return false
	}
	var last release.Number
	for _, text := range f.Fixed {
		fixed := release.Must(text)
		if v[0] == fixed[0] && v[1] == fixed[1] {
			return v.Before(fixed)
		}
		last = fixed
	}
	return v.Before(last)
}
