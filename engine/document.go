package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/assay-dev/assay/trust"
)

// maxPlatform is the longest text of a platform in an index, in bytes.
const maxPlatform = 256

// The members of manifests that say what they refer to.
var (
	documentMembers   = []string{"schemaVersion", "mediaType", "config", "layers", "fsLayers", "manifests", "blobs"}
	descriptorMembers = []string{"mediaType", "digest", "size", "platform"}
	platformMembers   = []string{"os", "architecture", "variant"}
)

// document is a manifest that only one thing can be read in.
type document struct {
	isIndex  bool
	config   descriptor   // of an image
	children []descriptor // of an index, in their order
}

// descriptor is what a manifest says of what it refers to.
type descriptor struct {
	indexEntry
	mediaType string
	size      int64
}

// readDocument reads a manifest whose bytes have their digest. It refuses one that two readers could take for two things, by members of index and
// image at once, by a media type inside that contradicts the one outside, and by a member that is there twice or in another case; and it
// refuses whatever is no image and no index of images. A registry may refuse that already: which bytes run must not hang on which registry
// or proxy handed them out.
func readDocument(m trust.Manifest) (d document, err error) {
	members, err := readObject(m.Bytes, documentMembers)
	if err != nil {
		return document{}, err
	}
	inside := ""
	if err := readMember(members, "mediaType", &inside); err != nil {
		return document{}, err
	}
	if inside != "" && inside != m.MediaType {
		return document{}, fmt.Errorf("it was served as %q and calls itself %q", shortened(m.MediaType), shortened(inside))
	}
	list := has(members, "manifests")
	single := has(members, "config") || has(members, "layers") || has(members, "fsLayers") || has(members, "blobs")
	switch {
	case list && single:
		return document{}, errors.New("it is an index and an image at once")
	case isIndexType(m.MediaType) && list:
		d.isIndex = true
		d.children, err = readChildren(members["manifests"])
	case isImageType(m.MediaType) && has(members, "config"):
		d.config, err = readDescriptor(members["config"])
	default:
		err = fmt.Errorf("it is no image and no index of images, but %q", shortened(m.MediaType))
	}
	return d, err
}

func isImageType(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.manifest.v1+json" || mediaType == "application/vnd.docker.distribution.manifest.v2+json"
}

func isConfigType(mediaType string) bool {
	return mediaType == "application/vnd.oci.image.config.v1+json" || mediaType == "application/vnd.docker.container.image.v1+json"
}

func readChildren(raw json.RawMessage) ([]descriptor, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("its manifests are no list")
	}
	children := make([]descriptor, 0, len(list))
	for i, one := range list {
		d, err := readDescriptor(one)
		if err != nil {
			return nil, fmt.Errorf("manifests[%d]: %w", i, err)
		}
		children = append(children, d)
	}
	return children, nil
}

func readDescriptor(raw json.RawMessage) (d descriptor, err error) {
	members, err := readObject(raw, descriptorMembers)
	if err != nil {
		return descriptor{}, err
	}
	if err := readMember(members, "digest", &d.Digest); err != nil {
		return descriptor{}, err
	}
	if d.Digest.IsZero() {
		return descriptor{}, errors.New("it has no digest")
	}
	if err := errors.Join(readMember(members, "mediaType", &d.mediaType), readMember(members, "size", &d.size)); err != nil {
		return descriptor{}, err
	}
	if raw := members["platform"]; raw != nil && string(raw) != "null" {
		d.Platform, err = readPlatform(raw)
	}
	return d, err
}

func readPlatform(raw json.RawMessage) (*platform, error) {
	members, err := readObject(raw, platformMembers)
	if err != nil {
		return nil, err
	}
	var p platform
	err = errors.Join(readMember(members, "os", &p.OS), readMember(members, "architecture", &p.Architecture), readMember(members, "variant", &p.Variant))
	if len(p.String()) > maxPlatform {
		err = fmt.Errorf("its platform is longer than %d bytes", maxPlatform)
	}
	return &p, err
}

func has(members map[string]json.RawMessage, name string) bool {
	_, found := members[name]
	return found
}

// readMember reads a member that may be absent.
func readMember(members map[string]json.RawMessage, name string, into any) error {
	raw, found := members[name]
	if !found {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("its %s cannot be read", name)
	}
	return nil
}

// readObject returns the members of the one JSON object that content is. A member that is there twice is refused, and so is one that is
// called as one of those that count in another case: readers differ in which one they take.
func readObject(content []byte, names []string) (map[string]json.RawMessage, error) {
	in := json.NewDecoder(bytes.NewReader(content))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	members := map[string]json.RawMessage{}
	for in.More() {
		token, err := in.Token()
		name, isName := token.(string)
		if err != nil || !isName {
			return nil, errors.New("it is malformed JSON")
		}
		if has(members, name) {
			return nil, fmt.Errorf("it has the member %q twice", shortened(name))
		}
		if i := slices.IndexFunc(names, func(n string) bool { return n != name && strings.EqualFold(n, name) }); i >= 0 {
			return nil, fmt.Errorf("it has a member %q, which some readers take for %q", shortened(name), names[i])
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, errors.New("it is malformed JSON")
		}
		members[name] = value
	}
	if _, err := in.Token(); err != nil {
		return nil, errors.New("it is malformed JSON")
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind it")
	}
	return members, nil
}
