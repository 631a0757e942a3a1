//go:build e2e

package e2e

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const chartFolder = "../deploy/helm/assay"

// updateGolden is the variable that has what is rendered written into testdata/chart, instead of compared with it.
const updateGolden = "ASSAY_UPDATE_GOLDEN"

// helm runs helm as a user does.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	bin, err := peersFolder()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(bin, "helm")
	if _, err := os.Stat(path); err != nil {
		if peersOptional() {
			t.Skip("helm is missing; e2e/peers/install installs it")
		}
		t.Fatalf("%v: e2e/peers/install installs it", err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// render is helm template of a release called guard in the namespace gates.
func render(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := helm(t, append([]string{"template", "guard", chartFolder, "--namespace", "gates"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	return out
}

func valueSets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/chart/*.values.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	return files
}

// What is rendered from each set of values is in a file beside it, so that a change of the chart shows what it changes for whom.
func TestChartGolden(t *testing.T) {
	for _, values := range valueSets(t) {
		name := strings.TrimSuffix(filepath.Base(values), ".values.yaml")
		t.Run(name, func(t *testing.T) {
			got := render(t, "--values", values)
			file := filepath.Join("testdata/chart", name+".golden.yaml")
			if os.Getenv(updateGolden) != "" {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what is rendered; %s=1 writes it anew\n%s", file, updateGolden, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			return "got  " + strings.Join(g[i:min(i+3, len(g))], "\n     ") + "\nwant " + strings.Join(w[min(i, len(w)):min(i+3, len(w))], "\n     ")
		}
	}
	return "less is rendered"
}

func TestChartLint(t *testing.T) {
	for _, values := range valueSets(t) {
		out, errs, err := helm(t, "lint", "--strict", chartFolder, "--values", values)
		if err != nil || strings.Contains(out, "[WARNING]") {
			t.Errorf("%s: %v\n%s%s", values, err, out, errs)
		}
	}
}

// aPolicy is the shortest one, as helm's --set takes it.
const aPolicy = "policies.a.rules[0].images[0]=x,policies.a.rules[0].deny=x"

// What cannot be meant is refused before anything is installed, with the value's name.
func TestChartRefuses(t *testing.T) {
	const dia = "attestor_ca=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
	for _, row := range []struct {
		name string
		set  []string
		want []string
	}{
		{"DIA-38 no source of policy", nil, []string{"attestor_ca", "repositories", "policies", "nobody's word would count"}},
		{"a value that is not there", []string{"policyResources.alone=true", "replica=3"}, []string{"replica"}},
		{"a value inside that is not there", []string{"policyResources.alone=true", "webhooks.failurePolicy=Ignore"}, []string{"failurePolicy"}},
		{"a word that is not there", []string{"policyResources.alone=true", "pin=some"}, []string{"pin"}},
		{"another chart's name of names", []string{"policyResources.alone=true", "nameOverride=x"}, []string{"nameOverride"}},
		{"a name that no Service can have", []string{"policyResources.alone=true", "fullnameOverride=Guard_1"}, []string{"/fullnameOverride"}},
		{"no replicas", []string{"policyResources.alone=true", "replicas=0"}, []string{"replicas"}},
		{"a whole document as a policy", []string{"policies.a.apiVersion=assay.dev/v1"}, []string{"policies"}},
		{"policies twice", []string{"policyResources.alone=true", aPolicy}, []string{"policyResources.alone", "choose one"}},
		{"objects that nobody reads", []string{"policyResources.alone=true", "policyResources.enabled=false"}, []string{"nobody reads"}},
		{"a file that would be a policy", []string{aPolicy, `policyFiles.x\.yaml=x`}, []string{"x.yaml", "another ending"}},
		{"no time to decide", []string{"policyResources.alone=true", "decisionTimeoutSeconds=10"}, []string{"decisionTimeoutSeconds"}},
		{"a shared cache without a key", []string{"policyResources.alone=true", "sharedCache.url=redis://a"}, []string{"sharedCache.keySecret", "forged"}},
		{"a key without a shared cache", []string{"policyResources.alone=true", "sharedCache.keySecret=a"}, []string{"sharedCache.url"}},
		{"a password in its URL", []string{"policyResources.alone=true", "sharedCache.url=redis://:a@b", "sharedCache.keySecret=a"}, []string{"sharedCache"}},
		{"its user without a password", []string{"policyResources.alone=true", "sharedCache.url=redis://a", "sharedCache.keySecret=a", "sharedCache.user=a"}, []string{"sharedCache.passwordSecret"}},
		{"its authorities without TLS", []string{"policyResources.alone=true", "sharedCache.url=redis://a", "sharedCache.keySecret=a", "sharedCache.caSecret=a"}, []string{"rediss://"}},
		{"no certificate", []string{"policyResources.alone=true", "certificates.mode=secret"}, []string{"certificates.secretName"}},
		{"the CA of a certificate is none", []string{"policyResources.alone=true", "certificates.mode=secret", "certificates.secretName=tls", "certificates.ca=nothing"}, []string{"certificates.ca"}},
		{"DIA without a certificate", []string{dia, "webhookTLS.useCertManager=false", "webhookTLS.generateSelfSigned=false"}, []string{"webhookTLS.secretName"}},
		{"DIA without an issuer", []string{dia, "webhookTLS.useCertManager=true", "webhookTLS.generateSelfSigned=false"}, []string{"webhookTLS.issuer"}},
		{"DIA's CA is none", []string{"attestor_ca=bm90aGluZw=="}, []string{"attestor_ca"}},
		{"DIA's CA by a file", []string{dia, "env.DIAWH_ATTESTOR_CA_CERT=/ca.pem"}, []string{"env.DIAWH_ATTESTOR_CA_CERT", "attestor_ca"}},
		{"DIA's certificate by a file", []string{dia, "env.DIAWH_TLS_CERT=/tls.pem"}, []string{"env.DIAWH_TLS_CERT", "certificates.secretName"}},
		{"DIA's key by a file", []string{dia, "env.DIAWH_TLS_KEY=/tls.key"}, []string{"env.DIAWH_TLS_KEY", "certificates.secretName"}},
		{"DIA without TLS", []string{dia, "env.DIAWH_PROTOCOL=http"}, []string{"env.DIAWH_PROTOCOL", "https only"}},
		{"DIA-30 a mistyped name", []string{dia, "env.DIAWH_PROT=1"}, []string{"env.DIAWH_PROT", "DIAWH_PORT"}},
		{"DIA's port is none", []string{dia, "env.DIAWH_PORT=http"}, []string{"env.DIAWH_PORT"}},
		{"DIA's image", []string{dia, "image=registry.acme.example/diawh@sha256:00"}, []string{"image", "takes the place of"}},
		{"a node without policies", []string{"attestor_ca=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "policyResources.enabled=false", "node.enabled=true"}, []string{"node.enabled", "not by repositories or attestor_ca"}},
		{"a node without a way to its own image", []string{"policyResources.alone=true", "node.enabled=true", "node.containerd.verifier=true"}, []string{"image.digest", "node.containerd.fallbackPolicies"}},
		{"a node's secret for nobody", []string{"policyResources.alone=true", "node.enabled=true", "node.upstream.secretName=x"}, []string{"node.upstream.url"}},
		{"a node that asks as nobody", []string{"policyResources.alone=true", "node.enabled=true", "node.upstream.url=https://x"}, []string{"node.upstream.secretName", "as whom?"}},
		{"a node's upstream in plain text", []string{"policyResources.alone=true", "node.enabled=true", "node.upstream.url=http://x"}, []string{"/node/upstream/url"}},
		{"a node that finds no Services", []string{"policyResources.alone=true", "node.enabled=true", "node.dnsPolicy=ClusterFirst"}, []string{"ClusterFirstWithHostNet"}},
		{"a canary that nobody would refuse", []string{"policyResources.alone=true", "node.enabled=true", "node.containerd.canary.enabled=true"}, []string{"nobody would refuse it"}},
		{"a canary that containerd does not come to", []string{"policyResources.alone=true", "node.enabled=true", "node.hostNetwork=false", "node.dnsPolicy=ClusterFirst", "node.containerd.verifier=true", "image.digest=sha256:" + strings.Repeat("0", 64), "node.containerd.canary.enabled=true"}, []string{"without node.hostNetwork"}},
		{"a node's value that is not there", []string{"policyResources.alone=true", "node.enabled=true", "node.privileged=true"}, []string{"privileged"}},
		{"a node's pull policy", []string{"policyResources.alone=true", "node.enabled=true", "node.imagePullPolicy=Always"}, []string{"imagePullPolicy"}},
		{"the connector's image", []string{"policyResources.alone=true", "image.repository=reg.sighup.io/sighupio/opa-notary-connector"}, []string{"takes the place of"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := []string{"template", "guard", chartFolder, "--namespace", "gates"}
			for _, s := range row.set {
				args = append(args, "--set", s)
			}
			_, errs, err := helm(t, args...)
			for _, want := range row.want {
				if err == nil || !strings.Contains(errs, want) {
					t.Errorf("got %v %s, want %q", err, errs, want)
				}
			}
		})
	}
}

// Where the chart cannot be is said before anything is installed.
func TestChartRefusesPlaces(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"the namespace of the cluster itself", []string{"--namespace", "kube-system"}, "kube-system is no place for Assay"},
		{"an old cluster", []string{"--namespace", "gates", "--kube-version", "1.32.9"}, "requires kubeVersion: >=1.33.0-0"},
		{"an upgrade without the definitions of the objects", []string{"--namespace", "gates", "--is-upgrade"}, "helm show crds"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, errs, err := helm(t, append([]string{"template", "guard", chartFolder, "--set", "policyResources.alone=true"}, row.args...)...)
			if err == nil || !strings.Contains(errs, row.want) {
				t.Errorf("got %v %s, want %q", err, errs, row.want)
			}
		})
	}
	if _, errs, err := helm(t, "template", "1.guard", chartFolder, "--set", "policyResources.alone=true"); err == nil || !strings.Contains(errs, "set fullnameOverride") {
		t.Errorf("a release that no Service can be called: got %v %s", err, errs)
	}
	render(t, "--set", "policyResources.alone=true", "--is-upgrade", "--api-versions", "assay.dev/v1/TrustPolicy")
	render(t, "--set", "policyResources.enabled=false,"+aPolicy, "--is-upgrade")
}

// notes are what helm install says at its end.
func notes(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, err := helm(t, append([]string{"install", "guard", chartFolder, "--namespace", "gates", "--dry-run=client"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, errs)
	}
	_, text, _ := strings.Cut(out, "\nNOTES:\n")
	return text
}

func mention(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

// repositories and strict alone enforce, and what is left of opa's values is named.
func TestCSE39_RepositoriesAloneEnforce(t *testing.T) {
	got := render(t, "--values", "testdata/chart/cse.values.yaml")
	mention(t, got, `--trust-file=/etc/assay/trust-file/trust\.yaml`, `--trust-file-strict=true`, `failurePolicy: Fail`, `kind: ValidatingWebhookConfiguration`,
		`kind: MutatingWebhookConfiguration`)
	mention(t, decoded(t, got, "trust.yaml"), `role: targets/jenkins`, `trustServer: https://notary-server\.notary\.svc:4443`, `pass: secret`)
	said := notes(t, "--values", "testdata/chart/cse.values.yaml")
	mention(t, said, "have no meaning", `(?m)^  opa\.opa$`, `opa\.certManager\.enabled: see certificates`, `opa\.imageTag`, `opa\.mgmt\.data\.enabled`, `opa\.admissionControllerNamespaceSelector`)
	if quiet := notes(t, "--set-json", `repositories=[{"name":"a","trust":{"enabled":false}}]`); strings.Contains(quiet, "have no meaning") {
		t.Errorf("nothing is left over:\n%s", quiet)
	}
}

// decoded is what a Secret has under a key.
func decoded(t *testing.T, rendered, key string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(key) + `: (\S+)$`).FindStringSubmatch(rendered)
	if m == nil {
		t.Fatalf("no %s in\n%s", key, rendered)
	}
	content, err := base64.StdEncoding.DecodeString(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Strict holds whatever the release's namespace is called.
func TestCSE22_StrictInAnyNamespace(t *testing.T) {
	for _, namespace := range []string{"webhook", "gates", "default"} {
		for strict, want := range map[string]string{"true": "--trust-file-strict=true", "false": "--trust-file-strict=false"} {
			got := render(t, "--values", "testdata/chart/cse.values.yaml", "--namespace", namespace, "--set", "strict="+strict)
			mention(t, got, want)
		}
	}
}

// The CA of DIA alone enforces.
func TestDIA38_AttestorCAAloneEnforces(t *testing.T) {
	got := render(t, "--set", "attestor_ca=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t")
	mention(t, got, `--dia-environment`, `DIAWH_ATTESTOR_CA_CERT, value: /etc/assay/dia/ca\.crt`, `ca\.crt: "-----BEGIN CERTIFICATE-----`, `failurePolicy: Fail`, `--own-ca=guard-tls`)
	if said := notes(t, "--set", "attestor_ca=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"); strings.Contains(said, "have no meaning") {
		t.Errorf("nothing is left over:\n%s", said)
	}
}

// Both spellings of DIA's label opt in, which takes two webhooks in each configuration.
func TestDIA32_BothSpellingsOptIn(t *testing.T) {
	got := render(t, "--values", "testdata/chart/dia.values.yaml")
	for _, name := range []string{"diawh.mutate", "diwah.mutate", "diawh.validate", "diwah.validate"} {
		mention(t, got, `- name: `+name+`\.assay\.dev`)
	}
	mention(t, got, `(?s)key: diwah\s+operator: In\s+values:\s+- enabled`)
	mention(t, notes(t, "--values", "testdata/chart/dia.values.yaml"), `diawh=enabled or diwah=enabled`, `kube-system, gates, cert-manager`)
}

// The Service follows DIAWH_PORT, and so do the webhooks.
func TestDIA30_ChartFollowsThePort(t *testing.T) {
	got := render(t, "--values", "testdata/chart/dia_issuer.values.yaml")
	mention(t, got, `--listen=:9443`, `port: 9443, targetPort: webhook`, `containerPort: 9443`, `port: 9443, path: /validate`, `issuerRef: {name: acme, kind: ClusterIssuer`,
		`image: "registry\.acme\.example/assay@sha256:0{64}"`)
	if strings.Contains(got, "port: 443") || strings.Contains(got, "8080") {
		t.Error("another port is left")
	}
}

// Every value has a line on the page about the chart and a comment or a name in the schema.
func TestChartValuesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/helm.md")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile(filepath.Join(chartFolder, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	paths := schemaPaths(t, schema)
	if len(paths) < 60 {
		t.Fatalf("%d values are too few", len(paths))
	}
	for _, path := range paths {
		if !strings.Contains(string(page), "`"+path+"`") {
			t.Errorf("docs/reference/helm.md lacks `%s`", path)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(tables(string(page)), -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			if !slices.Contains(paths, m[1]) {
				t.Errorf("docs/reference/helm.md has `%s`, which is no value", m[1])
			}
		}
	}
}

// tables is the part of the page whose tables have a value in their first column.
func tables(page string) string {
	before, _, _ := strings.Cut(page, "## Rights")
	return before
}

// Every argument that the chart gives is a flag of the program, and every flag of the server that the chart needs is reachable by a value.
func TestChartArgumentsAreFlags(t *testing.T) {
	var rendered []string
	for _, values := range valueSets(t) {
		rendered = append(rendered, strings.Split(render(t, "--values", values), "\n---\n")...)
	}
	for point, kind := range map[string]string{"kubernetes": "Deployment", "node": "DaemonSet"} {
		help, err := exec.Command("../bin/assay", "serve", point, "--help").Output()
		if err != nil {
			t.Fatalf("%v: make build makes it", err)
		}
		known := map[string]bool{}
		for _, m := range regexp.MustCompile(`--[a-z][a-z0-9-]+`).FindAllString(string(help), -1) {
			known[m] = true
		}
		given := map[string]bool{}
		for _, document := range rendered {
			_, args, found := strings.Cut(document, "\n        - serve\n        - "+point+"\n")
			if !found || !strings.Contains(document, "\nkind: "+kind+"\n") {
				continue
			}
			args, _, _ = strings.Cut(args, "\n        env:")
			for _, m := range regexp.MustCompile(`(?m)^        - "?(--[a-z][a-z0-9-]+)`).FindAllStringSubmatch(args, -1) {
				given[m[1]] = true
			}
		}
		if len(given) < 12 {
			t.Fatalf("%s: %d arguments are too few", point, len(given))
		}
		for flag := range given {
			if !known[flag] {
				t.Errorf("assay serve %s has no %s", point, flag)
			}
		}
	}
}
