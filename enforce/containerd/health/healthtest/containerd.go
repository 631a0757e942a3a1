// Package healthtest is a containerd, as far as a look at its health asks it: it comes to the registry of an image, asks a verifier or does not, and
// fetches the content of the image where nobody refused it.
package healthtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// Image is an image that is there. Labels are those of its content.
type Image struct {
	Name, Digest string
	Labels       map[string]string
}

// Containerd is one that is well where its fields are zero, but for its verifier.
type Containerd struct {
	Verifier  func(name, digest string) (refusal string) // the words of containerd; "": allowed. nil: nobody is asked
	NotLoaded bool                                       // the plugin of the verifiers
	Failed    string                                     // why the plugin does not run
	NoKubelet bool                                       // it serves none
	Away      error                                      // the end of each pull before it begins
	Breaks    error                                      // the end of each pull that is under way
	Keeps     error                                      // the end of each removal
	Number    string                                     // of its release
	Garbage   bool                                       // it answers what nobody can read

	mu     sync.Mutex
	images []Image
}

// Refuse is what containerd says where a verifier refused.
func Refuse(verifier, text string) func(string, string) string {
	return func(name, digest string) string {
		return fmt.Sprintf("image verifier bindir blocked pull of %s with digest %s for reason: verifier %s rejected image (exit code 1): %s", name, digest, verifier, text)
	}
}

// Start serves it until the test ends, and returns its socket.
func (c *Containerd) Start(t testing.TB) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(bare{}), grpc.UnknownServiceHandler(c.serve))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l) // it ends by Stop
	}()
	t.Cleanup(func() { s.Stop(); <-served })
	return socket
}

// Put adds an image.
func (c *Containerd) Put(i Image) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images = append(c.images, i)
}

// Names are those of the images that are there.
func (c *Containerd) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, i := range c.images {
		names = append(names, i.Name)
	}
	return names
}

// bare is a codec of messages that are bytes.
type bare struct{}

func (bare) Name() string                       { return "proto" }
func (bare) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (bare) Unmarshal(data []byte, v any) error { *v.(*[]byte) = slices.Clone(data); return nil }

func (c *Containerd) serve(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	method, _ := grpc.MethodFromServerStream(stream)
	answer, err := c.answer(stream.Context(), method, request)
	if err != nil {
		return err
	}
	if c.Garbage {
		answer = []byte{0xff}
	}
	return stream.SendMsg(&answer)
}

func (c *Containerd) answer(ctx context.Context, method string, request []byte) ([]byte, error) {
	if c.NoKubelet && strings.HasPrefix(method, "/runtime.v1.") {
		return nil, status.Error(codes.Unimplemented, "unknown service runtime.v1.ImageService")
	}
	name := string(field(field(request, 1), 1))
	switch method {
	case "/containerd.services.version.v1.Version/Version":
		if c.Number == "" {
			return put(nil, 1, []byte("2.4.2")), nil
		}
		return put(nil, 1, []byte(c.Number)), nil
	case "/containerd.services.introspection.v1.Introspection/Plugins":
		return c.plugins(string(field(request, 1))), nil
	case "/runtime.v1.ImageService/PullImage":
		return nil, c.pull(ctx, name)
	case "/containerd.services.transfer.v1.Transfer/Transfer":
		return nil, c.pull(ctx, string(field(field(field(request, 1), 2), 1)))
	case "/runtime.v1.ImageService/RemoveImage":
		return nil, c.removeAll(name)
	case "/containerd.services.images.v1.Images/Delete":
		return nil, c.remove(string(field(request, 1)))
	case "/containerd.services.images.v1.Images/List":
		return c.list(), nil
	case "/containerd.services.content.v1.Content/Info":
		return c.info(string(field(request, 1)))
	}
	return nil, status.Error(codes.Unimplemented, "unknown method "+method)
}

func (c *Containerd) plugins(filter string) []byte {
	if filter != "type==io.containerd.image-verifier.v1,id==bindir" || c.NotLoaded {
		return nil
	}
	plugin := put(nil, 2, []byte("bindir"))
	if c.Failed != "" {
		plugin = put(plugin, 7, put(nil, 2, []byte(c.Failed)))
	}
	return put(nil, 1, plugin)
}

// pull pulls an image as containerd does: its digest first, then the verifier, then all of it.
func (c *Containerd) pull(ctx context.Context, name string) error {
	if c.Away != nil {
		return c.Away
	}
	host, path, _ := strings.Cut(name, "/")
	at := strings.LastIndexByte(path, ':')
	base := "http://" + host + "/v2/" + path[:at]
	manifest, digest, err := get(ctx, base+"/manifests/"+path[at+1:])
	if err != nil {
		return status.Error(codes.Unknown, "failed to resolve image: "+err.Error())
	}
	if c.Verifier != nil {
		if refusal := c.Verifier(name, digest); refusal != "" {
			return status.Error(codes.Unknown, fmt.Sprintf("failed to pull and unpack image %q: %s", name, refusal))
		}
	}
	var parts struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(manifest, &parts); err != nil {
		return err
	}
	for _, part := range append(parts.Layers, parts.Config) {
		if _, _, err := get(ctx, base+"/blobs/"+part.Digest); err != nil {
			return err
		}
	}
	if c.Breaks != nil {
		return c.Breaks
	}
	c.Put(Image{Name: name, Digest: digest})
	return nil
}

func get(ctx context.Context, url string) (body []byte, digest string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("User-Agent", "containerd/2.4.2")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("%s: %s", url, resp.Status)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return body, resp.Header.Get("Docker-Content-Digest"), err
}

func (c *Containerd) remove(name string) error {
	if c.Keeps != nil {
		return c.Keeps
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images = slices.DeleteFunc(c.images, func(i Image) bool { return i.Name == name })
	return nil
}

// removeAll removes an image with all its names, as the service for a kubelet does.
func (c *Containerd) removeAll(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Keeps != nil {
		return c.Keeps
	}
	digest := ""
	for _, i := range c.images {
		if i.Name == name {
			digest = i.Digest
		}
	}
	c.images = slices.DeleteFunc(c.images, func(i Image) bool { return i.Name == name || digest != "" && i.Digest == digest })
	return nil
}

func (c *Containerd) list() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var answer []byte
	for _, i := range c.images {
		target := put(put(nil, 1, []byte("application/vnd.oci.image.manifest.v1+json")), 2, []byte(i.Digest))
		target = protowire.AppendVarint(protowire.AppendTag(target, 3, protowire.VarintType), 400)
		answer = put(answer, 1, put(put(nil, 1, []byte(i.Name)), 3, target))
	}
	return answer
}

func (c *Containerd) info(digest string) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.images {
		if i.Digest != digest {
			continue
		}
		var info []byte
		for key, value := range i.Labels {
			info = put(info, 5, put(put(nil, 1, []byte(key)), 2, []byte(value)))
		}
		return put(nil, 1, info), nil
	}
	return nil, status.Error(codes.NotFound, "content not found")
}

// put adds a field of bytes to a message.
func put(m []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(m, number, protowire.BytesType), value)
}

// field is the first field of bytes with a number in a message.
func field(m []byte, number protowire.Number) []byte {
	for len(m) > 0 {
		got, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return nil
		}
		m = m[n:]
		if kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(m)
			if n < 0 || got == number {
				return value
			}
			m = m[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(got, kind, m); n < 0 {
			return nil
		}
		m = m[n:]
	}
	return nil
}
