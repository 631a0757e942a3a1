package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/assay-dev/assay/image"
)

// Images returns the IDs of all images on the host, those in between the steps of builds too.
func (d *Docker) Images(ctx context.Context) ([]image.Digest, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/images/json?all=1", nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("images: %s: %w", d.socket, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("images: %s: %w", d.socket, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("images: %s: %s", d.socket, resp.Status)
	case len(content) > maxAnswer:
		return nil, fmt.Errorf("images: %s: an answer of more than %d bytes", d.socket, maxAnswer)
	}
	var answer []struct {
		ID image.Digest `json:"Id"`
	}
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, fmt.Errorf("images: %s: %w", d.socket, err)
	}
	ids := make([]image.Digest, len(answer))
	for i := range answer {
		ids[i] = answer[i].ID
	}
	return ids, nil
}
