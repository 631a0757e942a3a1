package workload

import (
	"context"
	"fmt"
	"net/url"

	"github.com/assay-dev/assay/image"
)

// Images returns the IDs of all images on the host, those in between the steps of builds too.
func (d *Docker) Images(ctx context.Context) ([]image.Digest, error) {
	var answer []struct {
		ID image.Digest `json:"Id"`
	}
	if err := d.read(ctx, "/images/json", url.Values{"all": {"1"}}, &answer); err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	ids := make([]image.Digest, len(answer))
	for i := range answer {
		ids[i] = answer[i].ID
	}
	return ids, nil
}
