//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"
)

// recordReviews is the variable that names a folder into which the injector writes the reviews that the API server sends it:
//
//	ASSAY_RECORD_REVIEWS=$PWD/enforce/kubernetes/testdata/reviews make e2e RUN=TestStories/kubernetes_injector
const recordReviews = "ASSAY_RECORD_REVIEWS"

// cmdInjector is "injector IMAGE": a mutating webhook of somebody else's, that adds a container with an image to each pod. It sets
// $INJECTOR, its URL, and $INJECTOR_CA, its CA in base64. It listens where the API server of the story can reach it: at $HOST_IP, if
// that is in a network of its own.
func cmdInjector(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "injector", neg)
	if len(args) != 1 {
		ts.Fatalf("usage: injector IMAGE")
	}
	var count atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
		if err == nil {
			err = recordReview(body, count.Add(1))
		}
		if err == nil {
			err = inject(w, body, args[0])
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	if host := ts.Getenv("HOST_IP"); host != "" {
		ts.Check(listenAt(server, host))
	}
	server.StartTLS()
	ts.Defer(server.Close)
	ts.Setenv("INJECTOR", server.URL)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Setenv("INJECTOR_CA", base64.StdEncoding.EncodeToString(certificate))
}

// listenAt moves a server that has not started to another address than loopback, with a certificate for it.
func listenAt(server *httptest.Server, host string) error {
	template := caTemplate("TLS CA of injector", x509.ExtKeyUsageServerAuth)
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	template.IPAddresses = []net.IP{net.ParseIP(host)}
	a, err := newAuthority(template, nil)
	if err != nil {
		return err
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}}}
	if err := server.Listener.Close(); err != nil {
		return err
	}
	server.Listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	return err
}

// injected is what an injector looks at of a review.
type injected struct {
	Request struct {
		UID         string                `json:"uid"`
		Kind        struct{ Kind string } `json:"kind"`
		SubResource string                `json:"subResource"`
		Operation   string                `json:"operation"`
	} `json:"request"`
}

func inject(w io.Writer, body []byte, image string) error {
	var in injected
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	response := map[string]any{"uid": in.Request.UID, "allowed": true}
	if in.Request.Kind.Kind == "Pod" && in.Request.Operation == "CREATE" {
		response["patchType"] = "JSONPatch"
		response["patch"] = fmt.Appendf(nil, `[{"op":"add","path":"/spec/containers/-","value":{"name":"sidecar","image":%q}}]`, image)
	}
	return json.NewEncoder(w).Encode(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

// recordReview keeps a review, if somebody asked for it.
func recordReview(body []byte, count int64) error {
	folder := os.Getenv(recordReviews)
	if folder == "" {
		return nil
	}
	var in injected
	if err := json.Unmarshal(body, &in); err != nil {
		return err
	}
	name := fmt.Sprintf("%02d-%s-%s-%s.json", count, in.Request.Kind.Kind, in.Request.Operation, in.Request.SubResource)
	name = strings.ReplaceAll(strings.ToLower(name), "-.json", ".json")
	return os.WriteFile(filepath.Join(folder, name), body, 0o600)
}
