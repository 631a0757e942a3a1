package notaryv1

import (
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// Placeholders of a GUN's template.
const (
	placeRegistry   = "{{registry}}"
	placeRepository = "{{repository}}"
	defaultGUN      = placeRegistry + "/" + placeRepository
)

// naming says under which name (GUN, globally unique name) a server keeps the trust data of an image.
type naming struct {
	template   string
	repository trust.SignedRepository
}

// newNaming checks a template. It must name the repository: trust data of one must not speak for another.
func newNaming(template string) (naming, error) {
	if template == "" {
		template = defaultGUN
	}
	if !strings.Contains(template, placeRepository) {
		return naming{}, fmt.Errorf("%q has no %s", clip(template), placeRepository)
	}
	rest := strings.NewReplacer(placeRegistry, "", placeRepository, "").Replace(template)
	if strings.ContainsAny(rest, "{}") {
		return naming{}, fmt.Errorf("%q has another placeholder than %s and %s", clip(template), placeRegistry, placeRepository)
	}
	n := naming{template: template}
	_, err := n.gun(image.MustParse("registry.example/team/app"))
	return n, err
}

// gun returns the name for an image.
func (n naming) gun(ref image.Ref) (string, error) {
	registry, repository, found := strings.Cut(n.repository.Want(ref), "/")
	if !found {
		return "", errors.New("the image has no repository")
	}
	gun := strings.NewReplacer(placeRegistry, registry, placeRepository, repository).Replace(n.template)
	if err := checkGUN(gun); err != nil {
		return "", err
	}
	return gun, nil
}

// checkGUN refuses names that could lead elsewhere in an address.
func checkGUN(gun string) error {
	if len(gun) > maxGUN {
		return fmt.Errorf("the name at the server has %d bytes, at most %d are allowed", len(gun), maxGUN)
	}
	for part := range strings.SplitSeq(gun, "/") {
		if part == "" || part == "." || part == ".." || strings.HasPrefix(part, "_") {
			return fmt.Errorf("%q is no name at a Notary server", clip(gun))
		}
	}
	for i := range len(gun) {
		c := gun[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/.:-_[]", c) >= 0) {
			return fmt.Errorf("%q is no name at a Notary server", clip(gun))
		}
	}
	return nil
}
