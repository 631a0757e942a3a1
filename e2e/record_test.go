//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// recordedHost is the registry that recorded evidence names.
const recordedHost = "registry.example"

// recordedFolder is where they are.
const recordedFolder = "../trust/sigstore/testdata/recorded"

// maxRecorded is the most that is read of a manifest or blob.
const maxRecorded = 4 << 20

// recorded is a file of trust/sigstore/testdata/recorded: an image, and everything that a verifier would fetch to decide about it.
type recorded struct {
	Image     string              `json:"image"` // repository as signed, and digest
	Time      time.Time           `json:"time"`  // when it was recorded
	Commands  []string            `json:"commands"`
	Manifests map[string]document `json:"manifests"` // by tag and by digest
	Blobs     map[string][]byte   `json:"blobs"`     // by digest
	Referrers []json.RawMessage   `json:"referrers"` // what the referrers API would list
}

type document struct {
	MediaType string `json:"mediaType"`
	Bytes     []byte `json:"bytes"`
}

// TestRecord signs images with the real tools and writes what they left in the registry to trust/sigstore/testdata/recorded, where
// unit tests read it. ASSAY_RECORD=1 asks for it: everything there changes, since the private keys of the last time are gone.
func TestRecord(t *testing.T) {
	if os.Getenv("ASSAY_RECORD") != "1" {
		t.Skip("ASSAY_RECORD=1 records anew")
	}
	r, err := newRecorder(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range recordings() {
		if err := r.record(c); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := r.material(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow() // what was recorded before stays
	}
	if err := errors.Join(os.RemoveAll(recordedFolder), os.Rename(r.out, recordedFolder)); err != nil {
		t.Fatal(err)
	}
}

// recorder writes what is in the registry of a laboratory to a folder.
type recorder struct {
	*lab
	out string
}

func newRecorder(t *testing.T) (*recorder, error) {
	// Beside what it replaces, so that a rename does.
	out, err := os.MkdirTemp(filepath.Dir(recordedFolder), "recorded")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(out) }) // gone already, unless the recording failed
	if err := os.Chmod(out, 0o755); err != nil {
		return nil, err
	}
	l, err := newLab(t)
	return &recorder{lab: l, out: out}, err
}

// record makes an image, runs the commands of the recording on it, and writes down what there is then.
func (r *recorder) record(c recording) error {
	digest, err := r.pushImage(c.name)
	if err != nil {
		return err
	}
	out := recorded{Image: recordedHost + "/" + c.name + "@" + digest, Manifests: map[string]document{}, Blobs: map[string][]byte{}}
	values := r.values()
	maps.Copy(values, map[string]string{
		"IMAGE": out.Image, "DIGEST": digest, "COPY": recordedHost + "/copy/" + c.name,
		"REPOSITORY": recordedHost + "/" + c.name, "FALLBACK": strings.Replace(digest, ":", "-", 1),
	})
	for _, command := range c.commands {
		if err := r.step(command, values); err != nil {
			return err
		}
		out.Commands = append(out.Commands, command)
	}
	repository := c.name
	if c.copied {
		values["IMAGE"] = values["COPY"] + "@" + digest
		repository = "copy/" + c.name
		out.Image = recordedHost + "/" + repository + "@" + digest
	}
	out.Time = time.Now().UTC().Truncate(time.Second)
	if err := r.collect(&out, repository, digest); err != nil {
		return err
	}
	text, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.out, c.name+".json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if c.verify == "" {
		return nil
	}
	return r.step(c.verify, values)
}

// collect reads every tag of the repository, and what they and the referrers of the image name.
func (r *recorder) collect(out *recorded, repository, digest string) error {
	var tags struct{ Tags []string }
	list, _, err := r.get("/v2/" + repository + "/tags/list")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(list, &tags); err != nil {
		return err
	}
	for _, name := range append(tags.Tags, digest) {
		if err := r.manifest(out, repository, name); err != nil {
			return err
		}
	}
	fallback, ok := out.Manifests[strings.Replace(digest, ":", "-", 1)]
	if !ok {
		return nil
	}
	var list2 struct{ Manifests []json.RawMessage }
	err = json.Unmarshal(fallback.Bytes, &list2)
	out.Referrers = list2.Manifests
	return err
}

// manifest reads a manifest and all that it names.
func (r *recorder) manifest(out *recorded, repository, name string) error {
	if _, ok := out.Manifests[name]; ok {
		return nil
	}
	content, mediaType, err := r.get("/v2/" + repository + "/manifests/" + name)
	if err != nil {
		return err
	}
	var parsed struct {
		Config            *descriptor
		Layers, Manifests []descriptor
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return err
	}
	out.Manifests[name] = document{mediaType, content}
	out.Manifests[fmt.Sprintf("sha256:%x", sha256.Sum256(content))] = document{mediaType, content}
	for _, child := range parsed.Manifests {
		if err := r.manifest(out, repository, child.Digest); err != nil {
			return err
		}
	}
	blobs := parsed.Layers
	if parsed.Config != nil {
		blobs = append(slices.Clone(blobs), *parsed.Config)
	}
	for _, blob := range blobs {
		if out.Blobs[blob.Digest], _, err = r.get("/v2/" + repository + "/blobs/" + blob.Digest); err != nil {
			return err
		}
	}
	return nil
}
