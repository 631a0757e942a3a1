package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// ErrAdmitted says that the API server would have stored a pod.
var ErrAdmitted = errors.New("the API server would admit the pod")

// ownWebhook is how the API server says that a webhook of ours denies: their names end so.
const ownWebhook = `.assay.dev" denied the request: `

// Refusal asks the API server, as a dry run, to create a pod with an image, and returns the words with which Assay refuses it. ErrAdmitted
// says that nobody did; any other error, that somebody or something else than Assay stood in the way.
func (c *Cluster) Refusal(ctx context.Context, namespace, image string) (string, error) {
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return "", fmt.Errorf("client of Kubernetes: %w", err)
	}
	_, err = client.Resource(pods).Namespace(namespace).Create(ctx, probe(image), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return "", ErrAdmitted
	case !errors.As(err, &status):
		return "", err
	}
	_, reason, found := strings.Cut(status.Status().Message, ownWebhook)
	if !found {
		return "", err
	}
	return reason, nil
}

// probe is a pod that no other rule of a cluster should have anything against.
func probe(image string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "assay-probe-"},
		"spec": map[string]any{
			"automountServiceAccountToken": false,
			"securityContext": map[string]any{
				"runAsNonRoot": true, "runAsUser": int64(65532), "seccompProfile": map[string]any{"type": "RuntimeDefault"},
			},
			"containers": []any{map[string]any{
				"name": "probe", "image": image,
				"securityContext": map[string]any{
					"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}},
				},
				"resources": map[string]any{
					"requests": map[string]any{"cpu": "10m", "memory": "16Mi"}, "limits": map[string]any{"cpu": "10m", "memory": "16Mi"},
				},
			}},
		},
	}}
}
