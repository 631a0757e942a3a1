package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/policy"
)

// diaRead is what an environment and a command line become.
type diaRead struct {
	Listen, Cert, Key, Roots, Slice string
	Plain, Skip, Paths              bool
	Hints                           []string
}

// readDIA reads an environment beside --dia-environment and other flags.
func readDIA(t *testing.T, env map[string]string, args ...string) (diaRead, error) {
	t.Helper()
	a := &app{getenv: func(name string) string { return env[name] }, now: time.Now, environ: func() []string {
		var all []string
		for name, value := range env {
			all = append(all, name+"="+value)
		}
		return all
	}}
	cmd := &cobra.Command{Use: "kubernetes"}
	o := &serveKubernetesOptions{}
	o.serveOptions = a.serveFlags(cmd, ":8443")
	o.before.flags(a, cmd)
	must(t, cmd.ParseFlags(append(args, "--dia-environment")))
	if err := o.before.read(a, cmd, o); err != nil {
		return diaRead{}, err
	}
	d := o.before.dia
	return diaRead{
		Listen: o.listen, Cert: o.cert, Key: o.key, Plain: o.plainHTTP, Roots: d.roots, Slice: d.slice, Skip: o.registries.skipTLSVerify,
		Paths: o.dia, Hints: d.hints,
	}, nil
}

func TestDIA30_EveryNameIsHonouredOrRefused(t *testing.T) {
	covered := map[string]bool{}
	for _, row := range []struct {
		name  string
		env   map[string]string
		args  []string
		check func(diaRead) bool // nil: an error is wanted
		text  string             // of a hint, or of an error
		hint  string             // of an error
	}{
		{name: "defaults", check: func(r diaRead) bool {
			return r.Listen == ":8080" && r.Cert == "/etc/pki/tls/certs/diawh.crt" && r.Key == "/etc/pki/tls/private/diawh.key" &&
				r.Roots == "/etc/pki/tls/certs/ca.pem" && r.Slice == "0-40" && !r.Plain && !r.Skip && r.Paths
		}, text: "TLS certificates of registries are checked"},
		{name: "https", env: map[string]string{diaProtocol: "https"}, check: func(r diaRead) bool { return r.Cert != "" && !r.Plain }},
		{name: "http", env: map[string]string{diaProtocol: "http"}, check: func(r diaRead) bool { return r.Plain && r.Cert == "" }, text: "without TLS"},
		{name: "another protocol", env: map[string]string{diaProtocol: "ftp"}, text: "Unsupported api protocol", hint: "https"},
		{name: "http and a certificate", env: map[string]string{diaProtocol: "http"}, args: []string{"--tls-cert=a", "--tls-key=b"}, text: diaProtocol, hint: "leave one"},
		{name: "https and plain", env: map[string]string{diaProtocol: "https"}, args: []string{"--insecure-plain-http"}, text: diaProtocol, hint: "leave one"},
		{name: "plain by its flag", args: []string{"--insecure-plain-http"}, check: func(r diaRead) bool { return r.Plain && r.Cert == "" }},
		{name: "a port", env: map[string]string{diaPort: "9443"}, check: func(r diaRead) bool { return r.Listen == ":9443" }},
		{name: "a port and its flag", env: map[string]string{diaPort: "9443"}, args: []string{"--listen=:1"}, check: func(r diaRead) bool { return r.Listen == ":1" }, text: "--listen :1 counts"},
		{name: "no port", env: map[string]string{diaPort: "x"}, text: "is no port", hint: "8080"},
		{name: "port 0", env: map[string]string{diaPort: "0"}, text: "is no port", hint: "8080"},
		{name: "a port too large", env: map[string]string{diaPort: "65536"}, text: "is no port", hint: "8080"},
		{name: "a link of Kubernetes", env: map[string]string{diaPort: "tcp://10.0.0.1:8080"}, text: "Service called diawh", hint: "enableServiceLinks"},
		{name: "no CORS", env: map[string]string{diaCORS: "disabled"}, check: func(r diaRead) bool { return !strings.Contains(strings.Join(r.Hints, " "), diaCORS) }},
		{name: "CORS", env: map[string]string{diaCORS: "enabled"}, check: func(diaRead) bool { return true }, text: "without effect"},
		{name: "another CORS", env: map[string]string{diaCORS: "yes"}, text: diaCORS, hint: "neither has an effect"},
		{name: "skipping", env: map[string]string{diaSkipVerify: "true"}, check: func(r diaRead) bool { return r.Skip }, text: "are not checked"},
		{name: "no skipping", env: map[string]string{diaSkipVerify: "false"}, check: func(r diaRead) bool { return !r.Skip && len(r.Hints) == 0 }},
		{name: "another word", env: map[string]string{diaSkipVerify: "yes"}, text: diaSkipVerify, hint: "true or false"},
		{name: "roots", env: map[string]string{diaRoots: "/ca.pem"}, check: func(r diaRead) bool { return r.Roots == "/ca.pem" }},
		{name: "a certificate", env: map[string]string{diaTLSCert: "c", diaTLSKey: "k"}, check: func(r diaRead) bool { return r.Cert == "c" && r.Key == "k" }},
		{name: "a certificate and its flag", env: map[string]string{diaTLSCert: "c", diaTLSKey: "k"}, args: []string{"--tls-cert=a", "--tls-key=b"},
			check: func(r diaRead) bool { return r.Cert == "a" && r.Key == "b" }, text: diaTLSKey},
		{name: "a slice", env: map[string]string{diaSlice: "0-45"}, check: func(r diaRead) bool { return r.Slice == "0-45" }},
		{name: "an empty slice is the default", env: map[string]string{diaSlice: ""}, check: func(r diaRead) bool { return r.Slice == "0-40" }},
		{name: "a typing error", env: map[string]string{"DIAWH_PORTS": "1"}, text: "DIAWH_PORTS", hint: "did you mean DIAWH_PORT?"},
		{name: "something else", env: map[string]string{"DIAWH_SOMETHING_ELSE": "1"}, text: "no such setting", hint: diaSkipVerify},
		{name: "links of Kubernetes", env: map[string]string{"DIAWH_SERVICE_HOST": "10.0.0.1", "DIAWH_SERVICE_PORT": "8080", "DIAWH_SERVICE_PORT_HTTP_PORT": "8080",
			diaPort: "8080", "DIAWH_PORT_8080_TCP": "tcp://10.0.0.1:8080", "DIAWH_PORT_8080_TCP_ADDR": "10.0.0.1"}, check: func(r diaRead) bool { return r.Listen == ":8080" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			for name := range row.env {
				covered[name] = true
			}
			got, err := readDIA(t, row.env, row.args...)
			if row.check == nil {
				var h *hinted
				if err == nil || !strings.Contains(err.Error(), row.text) || !errors.As(err, &h) || !strings.Contains(h.hint, row.hint) {
					t.Errorf("got %v, want an error with %q and a hint with %q", err, row.text, row.hint)
				}
				return
			}
			if err != nil || !row.check(got) || !strings.Contains(strings.Join(got.Hints, "\n"), row.text) {
				t.Errorf("got %+v, %v, want a hint with %q", got, err, row.text)
			}
		})
	}
	for _, name := range diaNames {
		if !covered[name] {
			t.Errorf("%s: no case", name)
		}
	}
}

// The policy that is made of the environment is the one that examples/dia.yaml explains.
func TestDIA30_PolicyIsThatOfTheExample(t *testing.T) {
	d := &diaEnvironment{roots: "../../examples/ca/ci.pem", slice: diaDefaultSlice}
	policies, err := d.policies(&reading{})
	must(t, err)
	example, err := readPolicy("../../examples/dia.yaml", readLimited)
	must(t, err)
	for _, p := range []*policy.Policy{policies[0], example} {
		if p.Rules[0].Platform != "linux/amd64" || len(p.Rules) != 1 || !slices.Equal(p.Scope.Points, []string{"kubernetes"}) || p.Authorities[0].Format != "certificate" {
			t.Errorf("%s: got %+v", p.File, p)
		}
	}
}

// runDIA runs serve kubernetes --dia-environment, which is expected to end.
func runDIA(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	var stderr strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &strings.Builder{}, stderr: &stderr, getenv: func(name string) string { return env[name] }, now: time.Now}
	code := a.run(context.Background(), append([]string{"assay", "serve", "kubernetes", "--dia-environment", "--listen", "127.0.0.1:0"}, args...))
	return result{code: code, stderr: stderr.String()}
}

func TestDIA9_UnusableSlicesAreRefusedAtTheStart(t *testing.T) {
	roots, err := filepath.Abs("../../examples/ca/ci.pem")
	must(t, err)
	for _, slice := range []string{"0-0", "10-5", "0-65", "-1-5", "abc", "0-31"} {
		t.Run(slice, func(t *testing.T) {
			got := runDIA(t, map[string]string{diaSlice: slice, diaRoots: roots}, "--insecure-plain-http")
			if got.code != exitUsage || !strings.Contains(got.stderr, diaSlice) || !strings.Contains(got.stderr, "slice") {
				t.Errorf("got exit %d %s", got.code, got.stderr)
			}
		})
	}
}

func TestDIA30_RootsThatAreNone(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(empty, []byte("nothing\n"), 0o600))
	got := runDIA(t, map[string]string{diaRoots: empty}, "--insecure-plain-http")
	if got.code != exitUsage || !strings.Contains(got.stderr, "DIAWH_ATTESTOR_CA_CERT does not contain any certificate in PEM format") {
		t.Errorf("got exit %d %s", got.code, got.stderr)
	}
	if got := runDIA(t, map[string]string{diaRoots: empty + "x"}, "--insecure-plain-http"); got.code != exitUsage || !strings.Contains(got.stderr, diaRoots) {
		t.Errorf("got exit %d %s", got.code, got.stderr)
	}
	if got := runDIA(t, map[string]string{diaRoots: "../../examples/ca/ci.pem"}); got.code != exitUsage || !strings.Contains(got.stderr, diaDefaultTLSCert) {
		t.Errorf("got exit %d %s", got.code, got.stderr)
	}
}

// The environment is enough, and a changed CA file counts for the next request.
func TestDIA39_ChangedRootsOfTheEnvironment(t *testing.T) {
	roots := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, roots, string(newAuthority(t, "one").pem))
	r := serveWith(t, map[string]string{diaRoots: roots}, "kubernetes", "--dia-environment", "--insecure-plain-http",
		"--kubeconfig", apiServer(t))
	first := r.log.find("policy in force")["hash"]
	replace(t, roots, string(newAuthority(t, "two").pem))
	r.until("the new roots are in force", func() bool { return r.log.find("policy in force")["hash"] != first })
	replace(t, roots, "nothing")
	r.until("no roots are refused", func() bool { return r.metric(`assay_reload_refused{what="dia-environment"} 1`) })
	if status, _, body := r.ask("/echo", "{}"); status != http.StatusOK || body != `{"Success": "echo"}` {
		t.Errorf("--dia-paths is not implied: got %d %s", status, body)
	}
}

// A registry with an unknown certificate is "cannot tell", unless skipping was asked for by name; then it is counted.
func TestDIA31_SkippingIsAskedForByName(t *testing.T) {
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": "MANIFEST_UNKNOWN"}}})
	}))
	t.Cleanup(registry.Close)
	host := registry.Listener.Addr().String()
	settings := filepath.Join(t.TempDir(), "registries.yaml")
	replace(t, settings, "registries:\n- host: "+host+"\n  insecureAllowLoopback: true\n")
	for skip, want := range map[string]string{"": "certificate signed by unknown authority", "false": "certificate signed by unknown authority", "true": "unsigned"} {
		t.Run("skip "+skip, func(t *testing.T) {
			r := serveWith(t, map[string]string{diaRoots: "../../examples/ca/ci.pem", diaSkipVerify: skip}, "kubernetes", "--dia-environment", "--insecure-plain-http",
				"--registries", settings, "--kubeconfig", apiServer(t, "shop"))
			r.until("it is ready", func() bool { status, _, _ := r.ask("/readyz", ""); return status == http.StatusOK })
			ok, text := r.admitted("shop", host+"/app@sha256:"+strings.Repeat("0", 64))
			if ok || !strings.Contains(text, want) {
				t.Errorf("got allowed %v: %s, want %q", ok, text, want)
			}
		})
	}
}
