//go:build cloudkeychains

package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// acrUser is the user name with which Azure's registries take a refresh token as a password
// (https://learn.microsoft.com/azure/container-registry/container-registry-authentication).
const acrUser = "00000000-0000-0000-0000-000000000000"

// acrScope is what a token of Azure is for.
const acrScope = "https://containerregistry.azure.net/.default"

// isACR reports whether a host is one label below one of Azure's domains.
func isACR(host string) bool {
	name, domain, found := strings.Cut(host, ".")
	return found && name != "" && slices.Contains([]string{"azurecr.io", "azurecr.cn", "azurecr.us"}, domain)
}

// azure has the token of the machine's or the pod's identity.
type azure struct {
	mu         sync.Mutex
	credential azcore.TokenCredential
	client     *http.Client // nil: one that follows no redirect
}

// login exchanges a token of Azure for one of the registry, at the registry itself.
func (a *azure) login(ctx context.Context, host string) (username, password string, err error) {
	credential, err := a.open()
	if err != nil {
		return "", "", err
	}
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{acrScope}})
	if err != nil {
		return "", "", err
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {token.Token}}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return "", "", err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := a.client
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	resp, err := client.Do(q)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("%s does not exchange the token: %s", host, resp.Status)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil || answer.RefreshToken == "" {
		return "", "", errors.New(host + " gives no token") // the cause may quote it
	}
	return acrUser, answer.RefreshToken, nil
}

func (a *azure) open() (azcore.TokenCredential, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.credential == nil {
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return nil, err
		}
		a.credential = credential
	}
	return a.credential, nil
}
