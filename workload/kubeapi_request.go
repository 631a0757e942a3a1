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
	"time"
)

// plainNames refuses what could mean another path than it says.
func plainNames(names ...string) error {
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > maxKubeAPIName || strings.ContainsAny(name, "/%?#\\") {
			return fmt.Errorf("%.64q is no name of Kubernetes", name)
		}
	}
	return nil
}

func decodeInto(v any) func(io.Reader) error {
	return func(body io.Reader) error {
		content, err := io.ReadAll(io.LimitReader(body, maxKubeAPIAnswer+1))
		switch {
		case err != nil:
			return err
		case len(content) > maxKubeAPIAnswer:
			return fmt.Errorf("longer than %d bytes", maxKubeAPIAnswer)
		}
		return json.Unmarshal(content, v)
	}
}

// ask makes one request and reads its answer. ErrNoObject: the server says 404.
func (a *KubeAPI) ask(ctx context.Context, method, path, accept string, body []byte, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, kubeAPITimeout)
	defer cancel()
	resp, err := a.send(ctx, method, path, accept, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// send makes one request. The answer is a good one, and its body is the caller's to close.
func (a *KubeAPI) send(ctx context.Context, method, path, accept string, body []byte) (*http.Response, error) {
	if a.config.Host == "" {
		return nil, errors.New("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
	}
	client, token, err := a.current()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusCreated:
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, ErrNoObject
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, statusText(resp.Body))
}

// statusText is what the server says of an error.
func statusText(body io.Reader) string {
	content, _ := io.ReadAll(io.LimitReader(body, maxKubeAPIRefusal))
	var answer struct{ Message string }
	text := string(content)
	if json.Unmarshal(content, &answer) == nil && answer.Message != "" {
		text = answer.Message
	}
	return strings.TrimSpace(text[:min(len(text), maxKubeAPIText)])
}

func (a *KubeAPI) current() (*http.Client, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.files.current(time.Now())
}
