//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// maxAnswer is the most that is read of an answer of Vault's.
const maxAnswer = 1 << 20

// Where the story's Vault has what DIA's documentation sets up.
const (
	vaultAuthMount = "jwt/gitlab"
	vaultRole      = "by-gitlab-id"
)

// vault is HashiCorp Vault (e2e/peers/vault), with a PKI engine and GitLab's tokens set up, behind a proxy that counts calls.
type vault struct {
	ts     *testscript.TestScript
	direct string
	token  string
	issuer *tokenIssuer
	mu     sync.Mutex
	calls  []string
}

// cmdVault is
//
//	vault start                    sets $VAULT_ADDR; vault-ca.pem is the CA of its PKI engine
//	vault token VAR [CLAIM=VALUE…] a token as GitLab's id_tokens makes it, as $VAR
//	vault calls                    prints the calls since the last time, without reads
//	vault issue FILE TOKEN CN      logs in and has a certificate issued, as DIA's GitLab job does
//	vault transit                  turns on the engine that signs with keys; $VAULT_TOKEN may do everything
func cmdVault(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "vault", neg)
	w := worldOf(ts)
	switch {
	case len(args) == 1 && args[0] == "start":
		w.vault = newVault(ts)
	case w.vault == nil:
		ts.Fatalf("vault: was not started")
	case len(args) >= 2 && args[0] == "token":
		ts.Setenv(args[1], w.vault.issuer.token(ts, args[2:]))
	case len(args) == 1 && args[0] == "calls":
		w.vault.printCalls()
	case len(args) == 4 && args[0] == "issue":
		w.vault.issue(args[1], args[2], args[3])
	case len(args) == 1 && args[0] == "transit":
		w.vault.call("POST", "sys/mounts/transit", map[string]any{"type": "transit"})
		ts.Setenv("VAULT_TOKEN", w.vault.token)
	default:
		ts.Fatalf("usage: vault start | token VAR [CLAIM=VALUE...] | calls | issue FILE TOKEN CN | transit")
	}
}

func newVault(ts *testscript.TestScript) *vault {
	p := start(ts, "vault.log", "vault", "-listen", "127.0.0.1:0")
	v := &vault{ts: ts, issuer: newTokenIssuer(ts)}
	ts.Check(p.await(func() error {
		text, err := os.ReadFile(p.log.Name())
		if err != nil {
			return err
		}
		// The server's own log goes the same way, and may be first.
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) == 2 && strings.HasPrefix(fields[0], "127.0.0.1:") && strings.HasSuffix(line, "\n") {
				v.direct, v.token = "http://"+fields[0], fields[1]
				return nil
			}
		}
		return fmt.Errorf("printed %q, want address and token", text)
	}))
	v.configure()
	v.proxy()
	return v
}

// configure sets up what DIA's documentation asks for: a CA that issues for names of the project that the token is about.
func (v *vault) configure() {
	v.call("POST", "sys/mounts/pki", map[string]any{"type": "pki", "config": map[string]any{"max_lease_ttl": "8760h"}})
	root := v.call("POST", "pki/root/generate/internal", map[string]any{"common_name": "Acme GitLab CA", "ttl": "8760h", "key_type": "ec", "key_bits": 256})
	v.ts.Check(os.WriteFile(v.ts.MkAbs("vault-ca.pem"), []byte(text(root, "data", "certificate")+"\n"), 0o600))
	v.call("POST", "sys/auth/"+vaultAuthMount, map[string]any{"type": "jwt"})
	accessor := text(v.call("GET", "sys/auth", nil), "data", vaultAuthMount+"/", "accessor")
	project := "{{identity.entity.aliases." + accessor + ".metadata.gitlab_project_id}}"
	v.call("POST", "pki/roles/"+vaultRole, map[string]any{
		"allow_any_name": false, "allow_bare_domains": true, "allow_glob_domains": true, "allowed_domains_template": true,
		"allowed_domains":  []string{"dia-" + project + "-*", project + "-*"},
		"allowed_uri_sans": []string{"oci://*"}, "code_signing_flag": true, "key_type": "ec", "key_bits": 256, "max_ttl": "1h",
	})
	v.call("PUT", "sys/policies/acl/sign", map[string]any{"policy": `path "pki/issue/` + vaultRole + `" { capabilities = ["create", "update"] }` +
		"\n" + `path "pki/sign/` + vaultRole + `" { capabilities = ["create", "update"] }`})
	v.call("POST", "auth/"+vaultAuthMount+"/config", map[string]any{"jwt_validation_pubkeys": []string{v.issuer.publicKey(v.ts)}, "bound_issuer": v.issuer.name})
	v.call("POST", "auth/"+vaultAuthMount+"/role/signer", map[string]any{
		"role_type": "jwt", "user_claim": "project_id", "bound_audiences": []string{v.issuer.audience},
		"claim_mappings": map[string]any{"project_id": "gitlab_project_id"}, "token_policies": []string{"sign"}, "token_ttl": "5m",
	})
}

// proxy stands before Vault and writes down what is asked of it.
func (v *vault) proxy() {
	target, err := url.Parse(v.direct)
	v.ts.Check(err)
	forward := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.calls = append(v.calls, r.Method+" "+r.URL.Path)
		v.mu.Unlock()
		forward.ServeHTTP(w, r)
	}))
	v.ts.Defer(server.Close)
	v.ts.Setenv("VAULT_ADDR", server.URL)
}

func (v *vault) printCalls() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.calls {
		fmt.Fprintln(v.ts.Stdout(), c)
	}
	v.calls = nil
}

// issue writes a certificate as DIA's template does: a line break, the leaf, and blank lines.
func (v *vault) issue(file, token, commonName string) {
	login := v.call("PUT", "auth/"+vaultAuthMount+"/login", map[string]any{"role": "signer", "jwt": token})
	user := &vault{ts: v.ts, direct: v.direct, token: text(login, "auth", "client_token")}
	issued := user.call("PUT", "pki/issue/"+vaultRole, map[string]any{"common_name": commonName, "ttl": "600"})
	v.ts.Check(os.WriteFile(v.ts.MkAbs(file), []byte("\n"+text(issued, "data", "certificate")+"\n\n\n"), 0o644))
}

// call asks Vault and returns its answer. The story ends where Vault refuses.
func (v *vault) call(method, path string, body map[string]any) map[string]any {
	content, err := json.Marshal(body)
	v.ts.Check(err)
	req, err := http.NewRequest(method, v.direct+"/v1/"+path, bytes.NewReader(content))
	v.ts.Check(err)
	req.Header.Set("X-Vault-Token", v.token)
	client := &http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	v.ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	v.ts.Check(err)
	if resp.StatusCode >= http.StatusMultipleChoices {
		v.ts.Fatalf("vault: %s %s: %s: %s", method, path, resp.Status, answer)
	}
	var parsed map[string]any
	if len(answer) > 0 {
		v.ts.Check(json.Unmarshal(answer, &parsed))
	}
	return parsed
}

// text returns the string at a path of a JSON document, or "".
func text(v any, path ...string) string {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	s, ok := v.(string)
	if !ok {
		return ""
	}
	return s
}
