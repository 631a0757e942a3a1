package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The media types of an index, whose content is a list of manifests.
const (
	mediaTypeIndex      = "application/vnd.oci.image.index.v1+json"
	mediaTypeDockerList = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// errServedAs says that the type in an answer's header is another one than that in the content. The header is not the pusher's.
var errServedAs = errors.New("served as")

// sniff returns the media type of a manifest and refuses one that two readers could take for two things: as index and as image, by
// members of both; by a media type inside that contradicts the one outside; by a member that is there twice, or in another case,
// where readers differ in which one they take (OCI image specification, "manifest.md" and "image-index.md", and its advisory
// GHSA-77vh-xpmg-72qh).
func sniff(contentType string, content []byte) (mediaType string, err error) {
	members, err := topLevel(content)
	if err != nil {
		return "", err
	}
	if raw, found := members["mediaType"]; found {
		if err := json.Unmarshal(raw, &mediaType); err != nil || mediaType == "" {
			return "", errors.New("the manifest's mediaType is no text")
		}
	}
	switch {
	case contentType == "" && mediaType == "":
		return "", errors.New("the manifest has no media type")
	case contentType == "":
		// only the content says what it is
	case mediaType == "":
		mediaType = contentType
	case contentType != mediaType:
		return "", fmt.Errorf("the manifest was %w %q and calls itself %q", errServedAs, clean(contentType), clean(mediaType))
	}
	return mediaType, checkKind(mediaType, members)
}

// checkKind compares what a manifest has with what it is called.
func checkKind(mediaType string, members map[string]json.RawMessage) error {
	list := has(members, "manifests")
	single := has(members, "layers") || has(members, "config") || has(members, "fsLayers") || has(members, "blobs")
	isIndex := mediaType == mediaTypeIndex || mediaType == mediaTypeDockerList
	switch {
	case list && single:
		return errors.New("the manifest is an index and an image at once")
	case isIndex && single, !isIndex && list:
		return fmt.Errorf("the content of the manifest does not fit its media type %q", clean(mediaType))
	}
	return nil
}

func has(members map[string]json.RawMessage, name string) bool {
	_, found := members[name]
	return found
}

// known are the members that decide what a manifest is and what it refers to. Written in another case they would be members for
// readers that do not look at the case, and none for others.
var known = []string{
	"schemaVersion", "mediaType", "artifactType", "config", "layers", "fsLayers", "manifests", "blobs", "subject", "annotations",
}

// topLevel returns the members of the one JSON object that content is.
func topLevel(content []byte) (map[string]json.RawMessage, error) {
	if err := checkDuplicates(content); err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(content, &members); err != nil || members == nil {
		return nil, errors.New("the manifest is no JSON object")
	}
	for name := range members {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return nil, fmt.Errorf("the manifest has a member %q, which some readers take for %q", clean(name), k)
			}
		}
	}
	return members, nil
}

// checkDuplicates refuses a member that is twice in its object, at any depth.
func checkDuplicates(content []byte) error {
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	var open []object
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return errors.New("the manifest is malformed JSON")
		}
		if n := len(open); n > 0 && open[n-1].names != nil && open[n-1].expectName {
			if name, isName := t.(string); isName {
				if open[n-1].names[name] {
					return fmt.Errorf("the manifest has the member %q twice", clean(name))
				}
				open[n-1].names[name] = true
				open[n-1].expectName = false
				continue
			}
		}
		switch t {
		case json.Delim('{'):
			open = append(open, object{names: map[string]bool{}, expectName: true})
		case json.Delim('['):
			open = append(open, object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			complete(open)
		default:
			complete(open)
		}
		if len(open) > maxDepth {
			return fmt.Errorf("the manifest is nested more than %d deep", maxDepth)
		}
	}
}

// object is an object or array whose end was not read yet.
type object struct {
	names      map[string]bool // nil for arrays
	expectName bool            // the next token is a name, or the end
}

// complete notes that a value ended: in an object, a name comes next.
func complete(open []object) {
	if n := len(open); n > 0 {
		open[n-1].expectName = true
	}
}
