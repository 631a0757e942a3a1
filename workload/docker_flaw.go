package workload

import (
	"fmt"
	"regexp"
	"strconv"
)

// DockerFlaw is a known flaw of Docker engines by which a request passes an authorization plugin that does not see its body.
type DockerFlaw struct {
	ID    string
	About string
	Fixed []string // the first release of each line that has it mended; lines after the last have it mended too
}

// dockerFlaws are the flaws that concern authorization plugins.
func dockerFlaws() []DockerFlaw {
	return []DockerFlaw{
		{ID: "CVE-2024-41110", About: "a body without a length is not shown to authorization plugins", Fixed: []string{"23.0.15", "25.0.6", "26.1.5", "27.1.1"}},
		{ID: "CVE-2026-34040", About: "a body that is too large is not shown to authorization plugins", Fixed: []string{"25.0.16", "29.3.1"}},
	}
}

// DockerFlaws returns the flaws that an engine of this version has. A distribution may have mended one under an older version, which
// nobody can tell from the version. What is no version is an error.
func DockerFlaws(version string) ([]DockerFlaw, error) {
	v, err := parseRelease(version)
	if err != nil {
		return nil, err
	}
	var found []DockerFlaw
	for _, f := range dockerFlaws() {
		if !f.mendedIn(v) {
			found = append(found, f)
		}
	}
	return found, nil
}

func (f DockerFlaw) mendedIn(v release) bool {
	var last int
	for _, text := range f.Fixed {
		fixed, err := parseRelease(text)
		if err != nil {
			panic(err) // of the table above
		}
		if v[0] == fixed[0] {
			return !v.before(fixed)
		}
		last = fixed[0]
	}
	return v[0] > last
}

// release is the number of an engine's release.
type release [3]int

func (r release) before(other release) bool {
	for i := range r {
		if r[i] != other[i] {
			return r[i] < other[i]
		}
	}
	return false
}

var releaseNumber = regexp.MustCompile(`^v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})(-(?:rc|beta|alpha)[.\d]*)?([-+~].*)?$`)

// parseRelease reads "29.3.1" and what distributions add to it: "20.10.24+dfsg1". What comes before a release counts as the one before it.
func parseRelease(text string) (release, error) {
	m := releaseNumber.FindStringSubmatch(text)
	if m == nil {
		return release{}, fmt.Errorf("%q is no release of the Docker Engine", text)
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
