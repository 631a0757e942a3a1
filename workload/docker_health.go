package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// DockerHealth is what an engine says of how it is guarded.
type DockerHealth struct {
	Version     string
	Plugins     []string // authorization plugins by name, in the order in which they are asked; all must allow
	LiveRestore bool     // containers, and plugins that the engine manages, go on while the engine does not run
}

// Health returns what the engine says of how it is guarded. A plugin that was disabled since the engine started is still among Plugins:
// only Refusal shows what happens.
func (d *Docker) Health(ctx context.Context) (DockerHealth, error) {
	var answer struct {
		ServerVersion      string
		LiveRestoreEnabled bool
		Plugins            struct{ Authorization []string }
	}
	if err := d.read(ctx, "/info", nil, &answer); err != nil {
		return DockerHealth{}, fmt.Errorf("docker engine: %w", err)
	}
	return DockerHealth{Version: answer.ServerVersion, Plugins: answer.Plugins.Authorization, LiveRestore: answer.LiveRestoreEnabled}, nil
}

// ErrNotRefused says that no authorization plugin objected.
var ErrNotRefused = errors.New("no authorization plugin refuses it")

// DockerRefusal is the answer of an authorization plugin.
type DockerRefusal struct {
	Plugin string
	Reason string
}

// Refusal asks the engine to make a container of an image, and returns who objects. ErrNotRefused: nobody does. Nothing is left where the
// engine makes one: it is not started, and removed.
func (d *Docker) Refusal(ctx context.Context, image string) (DockerRefusal, error) {
	body, err := json.Marshal(map[string]any{"Image": image, "Labels": map[string]string{"assay.dev/canary": "true"}})
	if err != nil {
		return DockerRefusal{}, err
	}
	status, answer, err := d.send(ctx, http.MethodPost, "/containers/create", body)
	if err != nil {
		return DockerRefusal{}, fmt.Errorf("container of %s: %w", image, err)
	}
	text := said(bytes.NewReader(answer))
	plugin, reason, denied := strings.Cut(strings.TrimPrefix(text, "authorization denied by plugin "), ": ")
	switch {
	case status == http.StatusForbidden && denied && strings.HasPrefix(text, "authorization denied by plugin "):
		return DockerRefusal{Plugin: plugin, Reason: reason}, nil
	case status == http.StatusNotFound: // the engine itself has no such image, and said so after the plugins were asked
		return DockerRefusal{}, ErrNotRefused
	case status == http.StatusCreated:
		return DockerRefusal{}, errors.Join(ErrNotRefused, d.remove(ctx, answer))
	}
	return DockerRefusal{}, fmt.Errorf("container of %s: %s: %d %s", image, d.socket, status, text)
}

// unaskedCall is a call of a service that no engine has.
const unaskedCall = "http://docker/assay.dev.Canary/Ask"

// Unasked reports whether the engine answers gRPC over HTTP/2 at its socket without asking authorization plugins: whoever may use
// the socket then builds with BuildKit, whatever plugins say. The call is of a service that does not exist.
func (d *Docker) Unasked(ctx context.Context) (bool, error) {
	transport := &http.Transport{DialContext: d.dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, unaskedCall, http.NoBody)
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	resp, err := (&http.Client{Transport: transport, Timeout: dockerTimeout}).Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return false, fmt.Errorf("%s: %w", d.socket, ctx.Err())
		}
		return false, nil // an engine that knows no HTTP/2 there ends the connection; that it answers at all is asked elsewhere
	}
	defer resp.Body.Close()
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "application/grpc"), nil
}

// remove removes the container that the engine has just made.
func (d *Docker) remove(ctx context.Context, created []byte) error {
	var answer struct{ ID string }
	if err := json.Unmarshal(created, &answer); err != nil || !plain(answer.ID) || strings.Contains(answer.ID, "/") {
		return fmt.Errorf("%s: made a container and does not say which", d.socket)
	}
	status, text, err := d.send(ctx, http.MethodDelete, "/containers/"+answer.ID, nil)
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("%d %s", status, said(bytes.NewReader(text)))
	}
	if err != nil {
		return fmt.Errorf("container %s was made and is left: %w", answer.ID, err)
	}
	return nil
}

// send sends a request with a JSON body, or none, and returns status and answer.
func (d *Docker) send(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	resp, err := d.do(ctx, d.client, method, path, nil, body)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", d.socket, err)
	}
	return resp.StatusCode, content, nil
}
