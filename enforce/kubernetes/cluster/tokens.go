package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// How many tokens are asked about in a second, in the long run and at once.
const (
	reviewsPerSecond = 50
	reviewsAtOnce    = 100
)

var tokenReviews = schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "tokenreviews"}

// TokenReviews asks the API server whose tokens are. It needs to be allowed to create TokenReviews, as the ClusterRole
// system:auth-delegator allows.
type TokenReviews struct {
	client   dynamic.Interface
	audience string
}

// TokenReviews prepares it. Tokens count that are made for audience; "" is an error, because it would stand for the API server's own.
func (c *Cluster) TokenReviews(audience string) (*TokenReviews, error) {
	if audience == "" {
		return nil, errors.New("review of tokens: no audience")
	}
	config := rest.CopyConfig(c.config)
	config.QPS, config.Burst = reviewsPerSecond, reviewsAtOnce
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of Kubernetes: %w", err)
	}
	return &TokenReviews{client: client, audience: audience}, nil
}

// tokenReview is what the API server says of a token.
type tokenReview struct {
	Status struct {
		Authenticated bool     `json:"authenticated"`
		Audiences     []string `json:"audiences"`
		User          struct {
			Username string   `json:"username"`
			Groups   []string `json:"groups"`
		} `json:"user"`
	} `json:"status"`
}

// Review returns the user that a token stands for, and the groups of the user; user is "" if it stands for nobody, or is made for others
// than the audience. An error means that the API server could not be asked.
func (t *TokenReviews) Review(ctx context.Context, token string) (user string, groups []string, err error) {
	question := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": tokenReviews.GroupVersion().String(), "kind": "TokenReview",
		"spec": map[string]any{"token": token, "audiences": []any{t.audience}},
	}}
	answer, err := t.client.Resource(tokenReviews).Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("review of a token: %w", err)
	}
	var r tokenReview
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object, &r); err != nil {
		return "", nil, fmt.Errorf("review of a token: %w", err)
	}
	// An API server that does not know audiences names none, and would take a token that was made for others.
	if !r.Status.Authenticated || !slices.Contains(r.Status.Audiences, t.audience) {
		return "", nil, nil
	}
	return r.Status.User.Username, r.Status.User.Groups, nil
}
