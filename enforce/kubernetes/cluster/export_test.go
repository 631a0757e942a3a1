package cluster

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// SetNow gives pull secrets a clock.
func (p *PullSecrets) SetNow(now func() time.Time) { p.now = now }

// VersionOfFile is the version that is kept of the content of a Secret or ConfigMap.
func VersionOfFile(o *unstructured.Unstructured) string { return readFile(o).version }
