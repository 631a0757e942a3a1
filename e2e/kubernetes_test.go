//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// kubernetes is etcd and a kube-apiserver, without anything that runs pods: what is admitted is stored, and that is all.
type kubernetes struct {
	ts    *testscript.TestScript
	url   string
	token string
}

// cmdKubernetes is
//
//	kubernetes start [FLAG...]  an API server; $KUBECONFIG is an administrator's
//	kubernetes account NAMESPACE NAME FILE
//	                            a kubeconfig of a service account
//	kubernetes images           every field of its schema that holds an image is one that the point looks at
func cmdKubernetes(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "kubernetes", neg)
	switch {
	case len(args) >= 1 && args[0] == "start":
		worldOf(ts).kubernetes = newKubernetes(ts, args[1:]...)
	case len(args) == 4 && args[0] == "account":
		worldOf(ts).kubernetes.account(args[1], args[2], args[3])
	case len(args) == 1 && args[0] == "images":
		worldOf(ts).kubernetes.everyImage()
	default:
		ts.Fatalf("usage: kubernetes start [FLAG...] | account NAMESPACE NAME FILE | images")
	}
}

func newKubernetes(ts *testscript.TestScript, flags ...string) *kubernetes {
	ports, err := freePorts(3)
	ts.Check(err)
	store := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	etcd := start(ts, "etcd.log", "etcd", "--name=stories", "--data-dir="+ts.MkAbs("etcd"), "--listen-client-urls="+store, "--advertise-client-urls="+store,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=stories="+peer)
	ts.Check(etcd.await(func() error { return healthy(store+"/health", "") }))

	serverCertificate(ts, "kube")
	ts.Check(ts.Exec("openssl", "genrsa", "-out", "sa.key", "2048"))
	k := &kubernetes{ts: ts, url: fmt.Sprintf("https://localhost:%d", ports[2]), token: "administrator"}
	ts.Check(os.WriteFile(ts.MkAbs("tokens.csv"), []byte(k.token+`,admin,1,"system:masters"`+"\n"), 0o600))
	server := start(ts, "apiserver.log", "kube-apiserver", append([]string{"--etcd-servers=" + store, "--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", ports[2]),
		"--advertise-address=127.0.0.1", "--tls-cert-file=" + ts.MkAbs("kube-tls.pem"), "--tls-private-key-file=" + ts.MkAbs("kube-tls.key"),
		"--token-auth-file=" + ts.MkAbs("tokens.csv"), "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + ts.MkAbs("sa.key"),
		"--service-account-signing-key-file=" + ts.MkAbs("sa.key"),
		// There is no controller that makes service accounts.
		"--disable-admission-plugins=ServiceAccount"}, flags...)...)
	ts.Check(server.await(func() error { return healthy(k.url+"/readyz", k.token) }))
	k.kubeconfig(k.token, "kubeconfig")
	k.ts.Setenv("KUBECONFIG", k.ts.MkAbs("kubeconfig"))
	return k
}

// account writes a kubeconfig with the rights of a service account, and no more.
func (k *kubernetes) account(namespace, name, file string) {
	k.ts.Check(k.ts.Exec("kubectl", "create", "token", name, "--namespace", namespace))
	k.kubeconfig(strings.TrimSpace(k.ts.ReadFile("stdout")), file)
}

// kubeconfig writes a file for whoever has a token.
func (k *kubernetes) kubeconfig(token, file string) {
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: stories, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: user, user: {token: %s}}]
contexts: [{name: stories, context: {cluster: stories, user: user}}]
current-context: stories
`, k.url, k.ts.MkAbs("kube-ca.pem"), token)
	k.ts.Check(os.WriteFile(k.ts.MkAbs(file), []byte(config), 0o600))
}

// healthy wants 200.
func healthy(url, token string) error {
	_, err := fetch(url, token)
	return err
}

func fetch(url, token string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := insecureClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return body, err
}

// cmdCertificate is "certificate NAME": NAME-tls.pem with NAME-tls.key for localhost, and its CA in base64 as $NAME_CA.
func cmdCertificate(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "certificate", neg)
	if len(args) != 1 {
		ts.Fatalf("usage: certificate NAME")
	}
	serverCertificate(ts, args[0])
	ca := ts.ReadFile(args[0] + "-ca.pem")
	ts.Setenv(strings.ToUpper(args[0])+"_CA", base64.StdEncoding.EncodeToString([]byte(ca)))
}
