// Package workload tells what runs on a host: which image is behind a name or a container, by the word of whoever runs it.
package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/assay-dev/assay/image"
)

// Limits of what is asked of Docker.
const (
	maxAnswer     = 4 << 20 // bytes of an answer
	maxError      = 4 << 10 // bytes of an error's text
	maxName       = 1 << 10 // bytes of a name that is asked about
	dockerTimeout = 5 * time.Second
)

// ErrAbsent says that there is no such image or container on the host.
var ErrAbsent = errors.New("is not on this host")

// Docker asks a Docker Engine over its socket. It only reads. It is safe for concurrent use.
type Docker struct {
	socket string // as messages name it
	base   url.URL
	dial   dialFunc     // nil: by the address
	client *http.Client // with a limit of time for each answer
	stream *http.Client // without one

	config     DockerConfig
	version    *apiVersion
	containers *kept[RunningContainer]
	images     *kept[RunningImage]
	events     *events
}

// NewDocker makes a client for the unix socket of an engine, which is asked in its own version of the API. Nothing is asked yet.
func NewDocker(socket string) *Docker {
	return newDocker(DockerConfig{}, endpoint{name: socket, base: plainHTTP, dial: dialUnix(socket, nil)}, &apiVersion{known: true})
}

// Close lets go of idle connections, and of the stream of events.
func (d *Docker) Close() {
	d.events.close()
	d.client.CloseIdleConnections()
}

// DockerImage is an image on the host, as the engine knows it.
type DockerImage struct {
	// ID is what the engine calls the image: the digest of its config in the classic store, and of its manifest or index in containerd's.
	ID image.Digest
	// Names are its tags, as the engine writes them.
	Names []string
	// Digests are the digests under which the engine itself pulled or pushed it, each with its repository: "registry.example/app@sha256:…".
	Digests  []string
	Platform string // "linux/amd64", "linux/arm/v7"; "" if the engine does not say
	// Labels are those of its config: whoever made the image wrote them.
	Labels map[string]string
	// Layers are the digests of its layers without compression (diff IDs), the lowest first. The classic store computes them itself.
	Layers []image.Digest
}

// Image returns the image behind a name, a digest, an ID or a short ID, exactly as the engine would take it to make a container. ErrAbsent:
// there is none.
func (d *Docker) Image(ctx context.Context, name string) (DockerImage, error) {
	var answer struct {
		ID           string `json:"Id"`
		RepoTags     []string
		RepoDigests  []string
		Os           string
		Architecture string
		Variant      string
		Config       struct{ Labels map[string]string }
		RootFS       struct{ Layers []image.Digest }
	}
	if err := d.get(ctx, "images", name, &answer); err != nil {
		return DockerImage{}, fmt.Errorf("image %s: %w", name, err)
	}
	id, err := image.ParseDigest(answer.ID)
	if err != nil {
		return DockerImage{}, fmt.Errorf("image %s: the engine's answer: %w", name, err)
	}
	return DockerImage{
		ID: id, Names: answer.RepoTags, Digests: answer.RepoDigests, Platform: platform(answer.Os, answer.Architecture, answer.Variant),
		Labels: answer.Config.Labels, Layers: answer.RootFS.Layers,
	}, nil
}

func platform(os, architecture, variant string) string {
	switch {
	case os == "" || architecture == "":
		return ""
	case variant == "":
		return os + "/" + architecture
	}
	return os + "/" + architecture + "/" + variant
}

// DockerContainer is a container, running or not.
type DockerContainer struct {
	ID     string
	Name   string
	Image  image.Digest // the ID of its image, which stays the same as long as the container exists
	Named  string       // how its image was called when it was made
	Mounts []string     // names of images whose files are mounted into it

	// Shadows says that the name which was asked for is also the beginning of another container's ID: without this one, the name stands for that.
	Shadows bool
}

// Container returns the container behind a name or an ID, as the engine would take it to start one. ErrAbsent: there is none.
func (d *Docker) Container(ctx context.Context, name string) (DockerContainer, error) {
	var answer struct {
		ID         string `json:"Id"`
		Name       string
		Image      string
		Config     struct{ Image string }
		HostConfig struct {
			Mounts []struct{ Type, Source string }
		}
	}
	if err := d.get(ctx, "containers", name, &answer); err != nil {
		return DockerContainer{}, fmt.Errorf("container %s: %w", name, err)
	}
	id, err := image.ParseDigest(answer.Image)
	if err != nil {
		return DockerContainer{}, fmt.Errorf("container %s: the engine's answer: its image: %w", name, err)
	}
	c := DockerContainer{ID: answer.ID, Name: strings.TrimPrefix(answer.Name, "/"), Image: id, Named: answer.Config.Image}
	for _, m := range answer.HostConfig.Mounts {
		if m.Type == "image" {
			c.Mounts = append(c.Mounts, m.Source)
		}
	}
	c.Shadows, err = d.shadows(ctx, name, c.ID)
	return c, err
}

// shadows reports whether a name of the container with an ID is the beginning of another one's ID.
func (d *Docker) shadows(ctx context.Context, name, id string) (bool, error) {
	if strings.Trim(name, "0123456789abcdef") != "" || strings.HasPrefix(id, name) {
		return false, nil
	}
	filters, err := json.Marshal(map[string][]string{"id": {name}})
	if err != nil {
		return false, err
	}
	var others []struct{}
	if err := d.read(ctx, "/containers/json", url.Values{"all": {"1"}, "filters": {string(filters)}}, &others); err != nil {
		return false, fmt.Errorf("containers whose ID begins with %s: %w", name, err)
	}
	return len(others) > 0, nil
}

// DockerEngine is what an engine says of itself.
type DockerEngine struct {
	Version    string
	Containerd bool // images are in containerd's store, so that their IDs are digests of manifests and indexes
}

// Engine returns what the engine says of itself.
func (d *Docker) Engine(ctx context.Context) (DockerEngine, error) {
	var answer struct {
		ServerVersion string
		DriverStatus  [][]string
	}
	if err := d.read(ctx, "/info", nil, &answer); err != nil {
		return DockerEngine{}, fmt.Errorf("docker engine: %w", err)
	}
	e := DockerEngine{Version: answer.ServerVersion}
	for _, pair := range answer.DriverStatus {
		if len(pair) == 2 && pair[0] == "driver-type" && strings.HasPrefix(pair[1], "io.containerd.snapshotter") {
			e.Containerd = true
		}
	}
	return e, nil
}

// get reads what the engine knows of one thing. Names that could mean another path are refused.
func (d *Docker) get(ctx context.Context, kind, name string, into any) error {
	if !plain(name) {
		return errors.New("no name that an engine could know")
	}
	return d.read(ctx, "/"+kind+"/"+name+"/json", nil, into)
}

// plain reports whether a name stands for itself in a path.
func plain(name string) bool {
	if len(name) > maxName || strings.Trim(name, "/.") != name || name == "" {
		return false
	}
	for _, other := range []string{"..", "//", "/."} {
		if strings.Contains(name, other) {
			return false
		}
	}
	return strings.IndexFunc(name, strange) < 0
}

func strange(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._-:/@[]", r):
		return false
	}
	return true
}

// read reads what the engine says at a path of its API, in the engine's own version of it. ErrAbsent: it says 404.
func (d *Docker) read(ctx context.Context, path string, query url.Values, into any) error {
	err := d.ask(ctx, path, query, into)
	if errors.Is(err, ErrAbsent) {
		return ErrAbsent // the engine's words name an image or a container, and so do those around this
	}
	return err
}

// ask reads what the engine says at a path. ErrAbsent, in the engine's words: it says 404.
func (d *Docker) ask(ctx context.Context, path string, query url.Values, into any) error {
	resp, err := d.do(ctx, d.client, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return absent(said(resp.Body))
	default:
		return &statusError{d.socket, resp.StatusCode, said(resp.Body)}
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &connectionError{d.socket, err}
	case len(content) > maxAnswer:
		return fmt.Errorf("%s: an answer of more than %d bytes", d.socket, maxAnswer)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", d.socket, err)
	}
	return nil
}

// do sends a request, with a body in JSON where there is one. Whoever gets an answer closes its body.
func (d *Docker) do(ctx context.Context, client *http.Client, method, path string, query url.Values, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.address(path), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // the URL says nothing: its host is none
		}
		return nil, &connectionError{d.socket, err}
	}
	return resp, nil
}

// address is the URL of a path of the API.
func (d *Docker) address(path string) string {
	u := d.base
	u.Path += path
	return u.String()
}

// said is the text of an error of the engine.
func said(body io.Reader) string {
	content, _ := io.ReadAll(io.LimitReader(body, maxError))
	var answer struct{ Message string }
	if json.Unmarshal(content, &answer) == nil && answer.Message != "" {
		return answer.Message
	}
	return strings.TrimSpace(string(content))
}
