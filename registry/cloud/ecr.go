//go:build cloudkeychains

package cloud

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/awslabs/amazon-ecr-credential-helper/ecr-login/api"
)

func isECR(host string) bool {
	_, err := api.ExtractRegistry(host)
	return err == nil
}

// loginECR asks AWS in the region of the registry, with the credentials that AWS' library finds.
func loginECR(ctx context.Context, host string) (username, password string, err error) {
	where, err := api.ExtractRegistry(host)
	if err != nil {
		return "", "", err
	}
	var options []func(*config.LoadOptions) error
	if where.Region != "" {
		options = append(options, config.WithRegion(where.Region))
	}
	settings, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return "", "", err
	}
	var client api.Client
	if where.FIPS {
		client, err = api.DefaultClientFactory{}.NewClientWithFipsEndpoint(where.Region)
		if err != nil {
			return "", "", err
		}
	} else {
		client = api.DefaultClientFactory{}.NewClientWithOptions(api.Options{Config: settings})
	}
	auth, err := inTime(ctx, func() (*api.Auth, error) { return client.GetCredentials(host) })
	if err != nil {
		return "", "", err
	}
	return auth.Username, auth.Password, nil
}

// inTime waits for a call that knows no context.
func inTime[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := call()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}
