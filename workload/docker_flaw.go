package workload

import (
	"fmt"

	"github.com/assay-dev/assay/release"
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
	v, err := release.Parse(version)
	if err != nil {
		return nil, fmt.Errorf("%w of the Docker Engine", err)
	}
	var found []DockerFlaw
	for _, f := range dockerFlaws() {
		if !f.mendedIn(v) {
			found = append(found, f)
		}
	}
	return found, nil
}

func (f DockerFlaw) mendedIn(v release.Number) bool {
	var last int
	for _, text := range f.Fixed {
		fixed := release.Must(text)
		if v[0] == fixed[0] {
			return !v.Before(fixed)
		}
		last = fixed[0]
	}
	return v[0] > last
}
