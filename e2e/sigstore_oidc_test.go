//go:build e2e

package e2e

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The identity providers of the stories.
const (
	issuerEmail  = "https://accounts.lab.example"
	issuerOther  = "https://accounts.other.example"
	issuerGitHub = "https://token.actions.githubusercontent.com"
	issuerGitLab = "https://gitlab.lab.example"
	issuerSpiffe = "https://spire.lab.example"
)

// fulcioConfig says what Fulcio makes of whose tokens.
const fulcioConfig = `oidc-issuers:
  ` + issuerEmail + `: {issuer-url: "` + issuerEmail + `", client-id: sigstore, type: email}
  ` + issuerOther + `: {issuer-url: "` + issuerOther + `", client-id: sigstore, type: email}
  ` + issuerGitHub + `: {issuer-url: "` + issuerGitHub + `", client-id: sigstore, type: github-workflow}
  ` + issuerGitLab + `: {issuer-url: "` + issuerGitLab + `", client-id: sigstore, type: gitlab-pipeline}
  ` + issuerSpiffe + `: {issuer-url: "` + issuerSpiffe + `", client-id: sigstore, type: spiffe, spiffe-trust-domain: lab.example}
`

// identityProvider is an OpenID Connect provider (OpenID Connect Discovery 1.0) that gives any token to anybody.
type identityProvider struct {
	key *rsa.PrivateKey // cosign takes only RS256
}

// names returns the hosts of the issuers.
func (identityProvider) names() []string {
	var names []string
	for _, issuer := range []string{issuerEmail, issuerOther, issuerGitHub, issuerGitLab, issuerSpiffe} {
		names = append(names, strings.TrimPrefix(issuer, "https://"))
	}
	return names
}

func (p identityProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := url.URL{Scheme: "https", Host: r.Host}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answerJSON(w, map[string]any{
			"issuer": base.String(), "jwks_uri": base.JoinPath("keys").String(),
			"authorization_endpoint": base.JoinPath("auth").String(), "token_endpoint": base.JoinPath("token").String(),
			"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case "/keys":
		answerJSON(w, map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "alg": "RS256", "use": "sig",
			"n": base64.RawURLEncoding.EncodeToString(p.key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(p.key.E)).Bytes()),
		}}})
	default:
		http.NotFound(w, r)
	}
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// token returns a token with the claims of the issuer that "iss" names (the one of e-mail addresses by default), changed by CLAIM=VALUE.
func (p identityProvider) token(changes []string) (string, error) {
	given := map[string]any{}
	for _, change := range changes {
		name, value, ok := strings.Cut(change, "=")
		if !ok {
			return "", fmt.Errorf("claim %q: want NAME=VALUE", change)
		}
		given[name] = value
	}
	issuer, _ := given["iss"].(string)
	if issuer == "" {
		issuer = issuerEmail
	}
	now := time.Now().Unix()
	claims := map[string]any{"iss": issuer, "aud": "sigstore", "iat": now, "nbf": now - 5, "exp": now + 600}
	maps.Copy(claims, claimsOf(issuer))
	maps.Copy(claims, given)
	if email, ok := claims["email"]; ok {
		claims["email_verified"], claims["sub"] = true, email
	}
	return signToken(p.key, claims)
}

// claimsOf returns the claims that the provider of this name has in its tokens.
func claimsOf(issuer string) map[string]any {
	switch issuer {
	case issuerGitHub:
		return map[string]any{
			"sub": "repo:acme/app:ref:refs/heads/main", "repository": "acme/app", "repository_id": "1001", "repository_owner": "acme",
			"repository_owner_id": "2002", "repository_visibility": "private", "ref": "refs/heads/main", "sha": strings.Repeat("a1", 20),
			"event_name": "push", "workflow": "release", "workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
			"workflow_sha": strings.Repeat("b2", 20), "job_workflow_ref": "acme/app/.github/workflows/release.yml@refs/heads/main",
			"job_workflow_sha": strings.Repeat("c3", 20), "run_id": "4711", "run_attempt": "1", "runner_environment": "github-hosted",
		}
	case issuerGitLab:
		return map[string]any{
			"sub": "project_path:acme/app:ref_type:branch:ref:main", "project_path": "acme/app", "project_id": "42",
			"namespace_path": "acme", "namespace_id": "7", "pipeline_source": "push", "pipeline_id": "815", "job_id": "4711",
			"ref": "main", "ref_type": "branch", "sha": strings.Repeat("d4", 20), "runner_id": 1, "runner_environment": "gitlab-hosted",
			"ci_config_ref_uri": "gitlab.lab.example/acme/app//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": strings.Repeat("e5", 20),
			"project_visibility": "private", "user_login": "dev", "user_id": "3", "user_email": "dev@lab.example", "ref_protected": "true",
		}
	case issuerSpiffe:
		return map[string]any{"sub": "spiffe://lab.example/builder"}
	}
	return map[string]any{"email": "dev@lab.example"}
}
