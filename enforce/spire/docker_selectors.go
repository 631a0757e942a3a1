package spire

import (
	"maps"
	"slices"

	"github.com/assay-dev/assay/workload"
)

// dockerSelectors returns the values for a container and its image, in the order that is documented. It adds nothing: registration entries of
// others are compared with exactly these.
func dockerSelectors(container workload.RunningContainer, image workload.RunningImage) []string {
	values := make([]string, 0, len(container.Labels)+len(container.Env)+2)
	for _, key := range slices.Sorted(maps.Keys(container.Labels)) {
		values = append(values, "label:"+key+":"+container.Labels[key])
	}
	for _, variable := range container.Env {
		values = append(values, "env:"+variable)
	}
	if container.Named != "" {
		values = append(values, "image_id:"+container.Named) // which is no ID, but the name given at the start
	}
	if image.ID != "" {
		values = append(values, "image_config_digest:"+image.ID)
	}
	return values
}
