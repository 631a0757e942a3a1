//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"testing"
)

// lab is a registry, and a Sigstore that signs what is in it, for tests that are no stories.
type lab struct {
	*sigstore
	registry string // URL; its name in the laboratory is recordedHost
}

func newLab(t testing.TB) (*lab, error) {
	l := &lab{sigstore: newSigstore(t)}
	if err := l.startRekor1(); err != nil {
		return nil, err
	}
	if err := l.startRegistry(); err != nil {
		return nil, err
	}
	return l, l.signingKeys()
}

func (l *lab) startRegistry() error {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage:\n  filesystem: {rootdirectory: %s}\n"+
		"http: {addr: '127.0.0.1:%d', relativeurls: true}\n",
		l.file("storage"), ports[0])
	if err := os.WriteFile(l.file("registry.yml"), []byte(config), 0o600); err != nil {
		return err
	}
	if l.registry, err = l.serve("registry", "docker-registry", ports[0], "/v2/", "serve", l.file("registry.yml")); err != nil {
		return err
	}
	target, err := url.Parse(l.registry)
	if err != nil {
		return err
	}
	l.hosts.handle(recordedHost, httputil.NewSingleHostReverseProxy(target))
	return nil
}

// values are what $NAME stands for in commands.
func (l *lab) values() map[string]string {
	return map[string]string{"REKOR": l.rekor1, "FULCIO": l.fulcio, "NOSCT": l.noSCT, "TSA": l.tsa}
}

// step runs a command in which $NAME stands for a value or for a token of somebody.
func (l *lab) step(command string, values map[string]string) error {
	var failed error
	text := os.Expand(command, func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		claims, ok := tokens()[name]
		if !ok {
			failed = fmt.Errorf("$%s: unknown", name)
			return ""
		}
		token, err := l.identity.token(claims)
		failed = errors.Join(failed, err)
		return token
	})
	if failed != nil {
		return failed
	}
	return l.run("bash", "-euc", text)
}

func (l *lab) get(path string) ([]byte, string, error) {
	req, err := http.NewRequest(http.MethodGet, l.registry+path, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header["Accept"] = []string{typeIndex, typeManifest, "application/vnd.docker.distribution.manifest.v2+json"}
	return l.do(req)
}

func (l *lab) do(req *http.Request) ([]byte, string, error) {
	resp, err := insecureClient().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxRecorded))
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s: %s: %s", req.Method, req.URL, resp.Status, content)
	}
	return content, resp.Header.Get("Content-Type"), err
}

// pushImage makes an image without layers and returns its digest.
func (l *lab) pushImage(name string) (string, error) {
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"name":%q}},`+
		`"rootfs":{"type":"layers","diff_ids":[]}}`, name)
	configDigest := fmt.Sprintf("sha256:%x", sha256.Sum256(config))
	req, err := http.NewRequest(http.MethodPost, l.registry+"/v2/"+name+"/blobs/uploads/", nil)
	if err != nil {
		return "", err
	}
	resp, err := insecureClient().Do(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	upload, err := resp.Location()
	if err != nil {
		return "", err
	}
	upload.RawQuery += "&digest=" + configDigest
	if err := l.put(upload.String(), "application/octet-stream", config); err != nil {
		return "", err
	}
	content, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: typeManifest, Layers: []descriptor{},
		Config: descriptor{MediaType: typeConfig, Digest: configDigest, Size: len(config)},
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(content)), l.put(l.registry+"/v2/"+name+"/manifests/1", typeManifest, content)
}

func (l *lab) put(to, mediaType string, content []byte) error {
	req, err := http.NewRequest(http.MethodPut, to, bytes.NewReader(content))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", mediaType)
	_, _, err = l.do(req)
	return err
}
