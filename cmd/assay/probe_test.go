package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// creating is an API server that answers the creation of a pod with a status; it notes what was asked.
func creating(t *testing.T, code int, message string) (kubeconfig string, asked *string) {
	t.Helper()
	asked = new(string)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*asked = r.Method + " " + r.URL.String() + " " + string(body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if code == http.StatusCreated {
			fmt.Fprint(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}`)
			return
		}
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":%d,"message":%q}`, code, message)
	}))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	ca := filepath.Join(folder, "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	kubeconfig = filepath.Join(folder, "kubeconfig")
	must(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]\n"+
		"users: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n", server.URL, ca), 0o600))
	return kubeconfig, asked
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		code    int
		message string
		exit    int
		want    string
	}{
		{"refused by Assay", 403, `admission webhook "diawh.mutate.assay.dev" denied the request: Container image x invalid: no`, exitAllowed, "Assay refuses the image: Container image x invalid: no"},
		{"refused by somebody else", 403, `admission webhook "validate.other.dev" denied the request: no`, exitCannotTell, "validate.other.dev"},
		{"not allowed to ask", 403, `pods is forbidden: User "u" cannot create resource "pods"`, exitCannotTell, "cannot create"},
		{"not reached", 500, `Internal error occurred: failed calling webhook "mutate.assay.dev": connection refused`, exitCannotTell, "failed calling webhook"},
		{"admitted", 201, "", exitDenied, "would admit"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kubeconfig, asked := creating(t, row.code, row.message)
			got := runAssay(t, "", "probe", "--kubeconfig", kubeconfig, "-n", "shop", "--timeout", "2s", "assay.invalid/x:1")
			if got.code != row.exit || !strings.Contains(got.stdout+got.stderr, row.want) {
				t.Errorf("got exit %d %s%s, want %d and %q", got.code, got.stdout, got.stderr, row.exit, row.want)
			}
			if !strings.HasPrefix(*asked, "POST /api/v1/namespaces/shop/pods?dryRun=All") || !strings.Contains(*asked, "assay.invalid/x:1") {
				t.Errorf("asked %s", *asked)
			}
		})
	}
	if got := runAssay(t, "", "probe", "x"); got.code != exitUsage {
		t.Errorf("without a namespace: got exit %d %s", got.code, got.stderr)
	}
}
