package spire

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/printer"
)

// reprint returns what a plugin receives of a configuration: plugin_data of the agent's configuration in HCL or JSON, printed from its syntax
// tree.
func reprint(t *testing.T, agent string) string {
	t.Helper()
	var c struct {
		Data ast.Node `hcl:"plugin_data"`
	}
	if err := hcl.Decode(&c, agent); err != nil {
		t.Fatalf("%s: %v", agent, err)
	}
	var b bytes.Buffer
	if err := printer.DefaultConfig.Fprint(&b, c.Data); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// problems returns the texts of the problems among notes.
func problems(all notes) []string {
	var texts []string
	for _, n := range all {
		if n.Problem {
			texts = append(texts, n.Text)
		}
	}
	return texts
}

func remarked(all notes, text string) bool {
	for _, n := range all {
		if !n.Problem && strings.Contains(n.Text, text) {
			return true
		}
	}
	return false
}

// Every shape in which a configuration arrives means the same as its plain form.
func TestPLUGIN5_Shapes(t *testing.T) {
	tests := []struct {
		name   string
		plain  string   // HCL as in the documentation
		shapes []string // agent configurations, reprinted
	}{
		{"nothing", ``, []string{`plugin_data {}`, `{"plugin_data":{}}`, `{"plugin_data":[{}]}`, `plugin_data = {}`}},
		{"credentials of one registry", `sigstore { registry_credentials { "docker.io" { username = "u" password = "p" } } }`, []string{
			`plugin_data { sigstore { registry_credentials "docker.io" { username = "u" password = "p" } } }`,
			`plugin_data { sigstore { registry_credentials = { "docker.io" = { username = "u" password = "p" } } } }`,
			`plugin_data { sigstore { registry_credentials "docker.io" { username = "u" } registry_credentials "docker.io" { password = "p" } } }`,
			`{"plugin_data":{"sigstore":{"registry_credentials":{"docker.io":{"username":"u","password":"p"}}}}}`,
			`{"plugin_data":[{"sigstore":[{"registry_credentials":[{"docker.io":[{"username":"u","password":"p"}]}]}]}]}`,
		}},
		{"credentials of two", `sigstore { registry_credentials { "docker.io" { username = "u" password = "p" } "ghcr.io" { username = "v" password = "q" } } ignore_sct = true }`, []string{
			`plugin_data { sigstore { ignore_sct = true registry_credentials "docker.io" { username = "u" password = "p" } registry_credentials "ghcr.io" { username = "v" password = "q" } } }`,
			`{"plugin_data":{"sigstore":{"ignore_sct":true,"registry_credentials":{"docker.io":{"username":"u","password":"p"},"ghcr.io":{"username":"v","password":"q"}}}}}`,
			`plugin_data { sigstore { ignore_sct = true } sigstore { registry_credentials { "docker.io" { username = "u" password = "p" } "ghcr.io" { username = "v" password = "q" } } } }`,
		}},
		{"an empty block", `sigstore {}`, []string{
			`{"plugin_data":{"sigstore":{}}}`, `plugin_data { sigstore = {} }`, `plugin_data { "sigstore" {} }`, `{"plugin_data":{"sigstore":[{}]}}`,
			`plugin_data { Sigstore {} }`,
		}},
		{"an empty block below experimental", `experimental { sigstore {} }`, []string{
			`{"plugin_data":{"experimental":{"sigstore":{}}}}`, `plugin_data { experimental "sigstore" {} }`, `{"plugin_data":{"experimental":[{"sigstore":[{}]}]}}`,
		}},
		{"identities", `sigstore { allowed_identities = { "https://a" = ["x", "y"] "https://b" = ["z"] } skipped_images = ["i", "j"] }`, []string{
			`plugin_data { sigstore { allowed_identities { "https://a" = ["x", "y"] "https://b" = ["z"] } skipped_images = ["i", "j"] } }`,
			`plugin_data { sigstore { allowed_identities { "https://a" = ["x"] } allowed_identities { "https://a" = ["y"] "https://b" = ["z"] } skipped_images = ["i"] skipped_images = ["j"] } }`,
			`{"plugin_data":{"sigstore":{"allowed_identities":{"https://a":["x","y"],"https://b":["z"]},"skipped_images":["i","j"]}}}`,
			`{"plugin_data":{"sigstore":[{"allowed_identities":[{"https://a":["x","y"]},{"https://b":["z"]}],"skipped_images":["i","j"]}]}}`,
		}},
		{"a version", `docker_version = "1"`, []string{`plugin_data { docker_version = 1 }`, `{"plugin_data":{"docker_version":1}}`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want, n := readDocker(test.plain, "linux")
			if n.wrong() {
				t.Fatal(problems(n))
			}
			for _, shape := range test.shapes {
				got, n := readDocker(reprint(t, shape), "linux")
				if diff := cmp.Diff(want, got); n.wrong() || diff != "" {
					t.Errorf("%s\narrives as\n%s\n%q %s", shape, reprint(t, shape), problems(n), diff)
				}
			}
		})
	}
}

func TestPLUGIN5_ShapesOfKubernetes(t *testing.T) {
	const id = "spiffe://example.org/broker"
	tests := []struct {
		name, plain string
		shapes      []string
	}{
		{"one broker", `experimental { broker { access_policy = "permissive" brokers = [{ id = "` + id + `", pod_reference_scope = "cluster" }] } }`, []string{
			`plugin_data { experimental { broker { access_policy = "permissive" brokers { id = "` + id + `" pod_reference_scope = "cluster" } } } }`,
			`plugin_data { experimental { broker { access_policy = "permissive" brokers = { id = "` + id + `" pod_reference_scope = "cluster" } } } }`,
			`{"plugin_data":{"experimental":{"broker":{"access_policy":"permissive","brokers":[{"id":"` + id + `","pod_reference_scope":"cluster"}]}}}}`,
			`{"plugin_data":[{"experimental":[{"broker":[{"access_policy":"permissive","brokers":[{"id":"` + id + `","pod_reference_scope":"cluster"}]}]}]}]}`,
		}},
		{"two brokers", `experimental { broker { access_policy = "enforced" brokers = [{ id = "` + id + `" }, { id = "` + id + `2" pod_reference_scope = "cluster" }] } }`, []string{
			`plugin_data { experimental { broker { access_policy = "enforced" brokers { id = "` + id + `" } brokers { id = "` + id + `2" pod_reference_scope = "cluster" } } } }`,
			`{"plugin_data":{"experimental":{"broker":{"access_policy":"enforced","brokers":[{"id":"` + id + `"},{"id":"` + id + `2","pod_reference_scope":"cluster"}]}}}}`,
		}},
		{"the cache", `experimental { api_server { cache { enabled = true } } }`, []string{
			`{"plugin_data":{"experimental":{"api_server":{"cache":{"enabled":true}}}}}`, `plugin_data { experimental "api_server" "cache" { enabled = true } }`,
			`{"plugin_data":{"experimental":[{"api_server":[{"cache":[{"enabled":true}]}]}]}}`,
		}},
		{"numbers", `kubelet_read_only_port = 10255 max_poll_attempts = 7 poll_retry_interval = "250ms"`, []string{
			`plugin_data { kubelet_read_only_port = "10255" max_poll_attempts = "7" poll_retry_interval = "250ms" }`,
			`{"plugin_data":{"kubelet_read_only_port":10255,"max_poll_attempts":7,"poll_retry_interval":"250ms"}}`,
			`{"plugin_data":{"kubelet_read_only_port":"10255","max_poll_attempts":"7","poll_retry_interval":"250ms"}}`,
		}},
		{"old keys", `experimental { sigstore { rekor_url = "https://r" allowed_subjects_list = { "https://a" = ["x"] } } }`, []string{
			`{"plugin_data":{"experimental":{"sigstore":{"rekor_url":"https://r","allowed_subjects_list":{"https://a":["x"]}}}}}`,
			`plugin_data { experimental { sigstore { rekor_url = "https://r" allowed_subjects_list { "https://a" = ["x"] } } } }`,
		}},
		{"a node's name that is a number", `node_name = "12"`, []string{`plugin_data { node_name = 12 }`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want, n := readKubernetes(test.plain, "linux")
			if n.wrong() {
				t.Fatal(problems(n))
			}
			for _, shape := range test.shapes {
				got, n := readKubernetes(reprint(t, shape), "linux")
				if diff := cmp.Diff(want, got); n.wrong() || diff != "" {
					t.Errorf("%s\narrives as\n%s\n%q %s", shape, reprint(t, shape), problems(n), diff)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	docker, n := readDocker("", "linux")
	if diff := cmp.Diff(docker, &DockerSettings{
		Socket: "unix:///var/run/docker.sock", NewLocator: true, PodmanSocket: "unix:///run/podman/podman.sock",
		PodmanTemplate: "unix:///run/user/%d/podman/podman.sock",
	}); diff != "" || n.wrong() {
		t.Error(n, diff)
	}
	kubernetes, n := readKubernetes("", "linux")
	if diff := cmp.Diff(kubernetes, &KubernetesSettings{
		SecurePort: 10250, NodeNameEnv: "MY_NODE_NAME", MaxPollAttempts: 60, PollRetryInterval: 500 * time.Millisecond, ReloadInterval: time.Minute,
		NewLocator: true, ExcludeCompletedPods: true,
	}); diff != "" || n.wrong() {
		t.Error(n, diff)
	}
}

// Every key reaches the settings.
func TestEveryKey(t *testing.T) {
	docker, n := readDocker(`
		docker_socket_path = "tcp://127.0.0.1:2375"
		docker_version = "1.44"
		container_id_cgroup_matchers = ["/docker/<id>", "/my.slice/*/<id>/*"]
		use_new_container_locator = false
		verbose_container_locator_logs = true
		podman_socket_path = "unix:///p"
		podman_socket_path_template = "unix:///%%/%d"
		use_rootless_podman = true
		insecure_mountinfo_fallback = true
		sigstore {
			allowed_identities = { "https://a" = ["x"] }
			skipped_images = ["i"]
			rekor_url = "http://r:1"
			ignore_tlog = true
			ignore_attestations = true
			ignore_sct = true
			registry_credentials { "ghcr.io" { username = "u" password = "p" } }
			insecure_partial_patterns = true
		}`, "linux")
	if diff := cmp.Diff(docker, &DockerSettings{
		Socket: "tcp://127.0.0.1:2375", Version: "1.44", Matchers: []string{"/docker/<id>", "/my.slice/*/<id>/*"}, Verbose: true, MountinfoFallback: true,
		PodmanSocket: "unix:///p", PodmanTemplate: "unix:///%%/%d", RootlessPodman: true,
		Verification: Verification{Sigstore: &SigstoreSettings{
			Identities: map[string][]string{"https://a": {"x"}}, SkippedImages: []string{"i"}, RekorURL: "http://r:1", IgnoreTlog: true,
			IgnoreAttestations: true, IgnoreSCT: true, PartialPatterns: true, Credentials: map[string]Credential{"ghcr.io": {"u", "p"}},
		}},
	}); diff != "" || n.wrong() {
		t.Error(problems(n), diff)
	}
	kubernetes, n := readKubernetes(`
		kubelet_secure_port = 1
		kubelet_ca_path = "ca"
		skip_kubelet_verification = true
		token_path = "t"
		certificate_path = "c"
		private_key_path = "k"
		use_anonymous_authentication = true
		node_name = "n"
		node_name_env = "e"
		max_poll_attempts = 2
		poll_retry_interval = "1s"
		reload_interval = "2s"
		disable_container_selectors = true
		use_new_container_locator = false
		verbose_container_locator_logs = true
		insecure_mountinfo_fallback = true
		enable_namespace_labels = true
		exclude_completed_pods = false
		policy = "p"
		experimental {
			api_server { cache { enabled = true } }
			broker { access_policy = "permissive" brokers = [{ id = "spiffe://a/b", pod_reference_scope = "cluster" }] }
		}`, "linux")
	if diff := cmp.Diff(kubernetes, &KubernetesSettings{
		SecurePort: 1, CAPath: "ca", SkipVerification: true, TokenPath: "t", CertificatePath: "c", PrivateKeyPath: "k", Anonymous: true,
		NodeName: "n", NodeNameEnv: "e", MaxPollAttempts: 2, PollRetryInterval: time.Second, ReloadInterval: 2 * time.Second,
		DisableContainerSelectors: true, Verbose: true, MountinfoFallback: true, NamespaceLabels: true, ObjectCache: true,
		Broker:       &BrokerSettings{Permissive: true, Brokers: []Broker{{ID: "spiffe://a/b", Cluster: true}}},
		Verification: Verification{Policy: "p"},
	}); diff != "" || n.wrong() {
		t.Error(problems(n), diff)
	}
	for _, text := range []string{
		"certificate_path is without effect", "private_key_path is without effect", "token_path is without effect", "skip_kubelet_verification",
		"insecure_mountinfo_fallback", "Using the legacy container locator",
	} {
		if !remarked(n, text) {
			t.Errorf("no remark with %q: %v", text, n)
		}
	}
}

const longMatchers = "the new container locator and custom cgroup matchers cannot both be used; please open an issue if the new container locator fails to locate workload containers in your environment; to continue using custom matchers set use_new_container_locator=false"

// The texts of section 8 of the protocol, and of the tables of keys.
func TestPLUGIN6_DockerTexts(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // all problems
	}{
		{"no HCL", `a = }`, []string{"unable to decode configuration: At 1:5: Unknown token: 1:5 RBRACE }"}},
		{"a key without a value", `policy =`, []string{"unable to decode configuration: the last key has no value"}},
		{"the same with a comment", "policy =\n# comment =\n", []string{"unable to decode configuration: the last key has no value"}},
		{"null", `"policy" = ` + "\n\n" + `"docker_version" = "1.44"`, []string{"unable to decode configuration: At 3:18: no object keys found!"}},
		{"a quoted bool", `use_new_container_locator="true"`, []string{"unable to decode configuration: At 1:27: root.use_new_container_locator: unknown type *ast.LiteralType"}},
		{"a string that is a fraction", `docker_version = 1.44`, []string{"unable to decode configuration: At 1:18: root.docker_version: unknown type for string *ast.LiteralType"}},
		{"an unknown key", `zzzzzz = 1`, []string{"unknown configurations detected: zzzzzz"}},
		{"unknown keys", `zzzzzz = 1
			yyyyyy { }
			"yyyyyy" = 1
			sigstore { xxxxxx = 1 registry_credentials { "docker.io" { wwwwww = 1 } } }
			experimental { vvvvvv = 1 }`, []string{"unknown configurations detected: vvvvvv,wwwwww,xxxxxx,yyyyyy,zzzzzz"}},
		{"a slip", `docker_socket_pth = "x"`, []string{"unknown configurations detected: docker_socket_pth (did you mean docker_socket_path instead of docker_socket_pth?)"}},
		{"a key of Windows", `docker_host = "x"`, []string{"unknown configurations detected: docker_host (docker_host is for Windows; here it is docker_socket_path)"}},
		{"a key outside of its block", `ignore_tlog = true`, []string{"unknown configurations detected: ignore_tlog (ignore_tlog belongs in sigstore {})"}},
		{"an old key", `sigstore { enforce_sct = true }`, []string{"unknown configurations detected: enforce_sct (enforce_sct is the opposite of ignore_sct in sigstore {})"}},
		{"an old key below experimental", `experimental { sigstore { allowed_subjects_list = { "a" = ["b"] } } }`, []string{"unknown configurations detected: allowed_subjects_list (allowed_subjects_list is allowed_identities in sigstore {} today)"}},
		{"a label where none belongs", `sigstore { registry_credentials "docker.io" "x" { username = "u" } }`, []string{"unknown configurations detected: x"}},
		{"matchers without the switch", `container_id_cgroup_matchers = ["/docker/<id>"]`, []string{longMatchers}},
		{"matchers with the switch on", `container_id_cgroup_matchers = ["/docker/<id>"] use_new_container_locator = true`, []string{longMatchers}},
		{"a template that ends early", `podman_socket_path_template = "unix:///%d%"`, []string{"invalid podman_socket_path_template: trailing % at end of template"}},
		{"a template with another verb", `podman_socket_path_template = "unix:///%s"`, []string{"invalid podman_socket_path_template: template only supports escaped %% or the %d UID placeholder"}},
		{"a template without a uid", `podman_socket_path_template = "unix:///%%d"`, []string{"invalid podman_socket_path_template: template must contain exactly one %d UID placeholder"}},
		{"a template with two", `podman_socket_path_template = "unix:///%d/%d"`, []string{"invalid podman_socket_path_template: template must contain exactly one %d UID placeholder"}},
		{"sigstore and policy", `sigstore {} policy = "p"`, []string{"only one of [sigstore, policy] can be used"}},
		{"sigstore below experimental and policy", `experimental { sigstore {} } policy = "p"`, []string{"only one of [sigstore, policy] can be used"}},
		{"a policy without a name", `policy = ""`, []string{"policy: names no file; leave the key out where nothing is demanded"}},
		{"sigstore and a node's daemon", `sigstore {} node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"sigstore below experimental and a node's daemon", `experimental { sigstore {} } node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"a policy and a node's daemon", `policy = "/p" node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"all three", `policy = "/p" node_socket = "/n" sigstore {}`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"a daemon without a socket", `node_socket = ""`, []string{"node_socket: names no socket; leave the key out where nothing is demanded"}},
		{"a daemon with a scheme alone", `node_socket = "unix://"`, []string{"node_socket: names no socket; leave the key out where nothing is demanded"}},
		{"a daemon at an address", `node_socket = "https://node.example"`, []string{"node_socket: https://node.example is no unix socket; write a path, as in /run/assay/node.sock"}},
		{"a daemon somewhere", `node_socket = "node.sock"`, []string{"node_socket: node.sock: write an absolute path, as in /run/assay/node.sock"}},
		{"a misspelt daemon", `node_sockett = "/n"`, []string{"unknown configurations detected: node_sockett (did you mean node_socket instead of node_sockett?)"}},
		{"an issuer without a subject", `sigstore { allowed_identities = { "https://a" = [] "https://b" = ["x"] } }`, []string{`sigstore.allowed_identities: issuer "https://a" has no subject: name at least one, or leave the issuer out`}},
		{"a log without a scheme", `sigstore { rekor_url = "rekor.example" }`, []string{`sigstore.rekor_url: "rekor.example" is no absolute http or https URL`}},
		{"two problems", `zzzzzz = 1 container_id_cgroup_matchers = ["/docker/<id>"]`, []string{"unknown configurations detected: zzzzzz", longMatchers}},
		{"too much", strings.Repeat(" ", 1<<20+1), []string{"unable to decode configuration: it has more than 1048576 bytes"}},
		{"too deep", strings.Repeat("a {", 1_000_000/3), []string{"unable to decode configuration: it has more than 2000 opening brackets"}},
		{"too deep for JSON", strings.Repeat(`{"a":`, 1_000_000/5), []string{"unable to decode configuration: it has more than 2000 opening brackets"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, n := readDocker(test.text, "linux")
			if diff := cmp.Diff(test.want, problems(n)); s != nil || diff != "" {
				t.Errorf("%+v %s", s, diff)
			}
		})
	}
}

// The texts of the k8s attestor.
func TestPLUGIN6_KubernetesTexts(t *testing.T) {
	const broker = `experimental { broker { access_policy = "enforced" brokers = [{ id = "spiffe://a/b" }] } }`
	in := func(b string) string { return "experimental { broker { " + b + " } }" }
	tests := []struct {
		name, text string
		want       []string
	}{
		{"both ports", `kubelet_read_only_port = 10255 kubelet_secure_port = 10250`, []string{"cannot use both the read-only and secure port"}},
		{"no port", `kubelet_secure_port = 70000`, []string{"kubelet_secure_port: 70000 is above 65535"}},
		{"half a pair", `certificate_path = "c"`, []string{"the private key path is required with the certificate path"}},
		{"the other half", `private_key_path = "k"`, []string{"the certificate path is required with the private key path"}},
		{"no unit", `poll_retry_interval = 5`, []string{`unable to parse poll retry interval: time: missing unit in duration "5"`}},
		{"no unit either", `reload_interval = "5"`, []string{`unable to parse reload interval: time: missing unit in duration "5"`}},
		{"no access policy", in(`brokers = [{ id = "spiffe://a/b" }]`), []string{"experimental.broker.access_policy: must be specified as one of [permissive, enforced]"}},
		{"another access policy", in(`access_policy = "X" brokers = [{ id = "spiffe://a/b" }]`), []string{`experimental.broker.access_policy: unsupported value "X"; must be one of [permissive, enforced]`}},
		{"no brokers", in(`access_policy = "enforced"`), []string{"experimental.broker.brokers: at least one broker is required"}},
		{"an empty list of brokers", in(`access_policy = "enforced" brokers = []`), []string{"experimental.broker.brokers: at least one broker is required"}},
		{"a broker without an ID", in(`access_policy = "enforced" brokers = [{ pod_reference_scope = "cluster" }]`), []string{"experimental.broker.brokers[0].id: must be specified"}},
		{"a broker twice", in(`access_policy = "enforced" brokers = [{ id = "spiffe://a/b" }, { id = "spiffe://a/b" }]`), []string{"experimental.broker.brokers[spiffe://a/b].id: duplicate broker id"}},
		{"a broker's bad ID", in(`access_policy = "enforced" brokers = [{ id = "http://a/b" }]`), []string{"experimental.broker.brokers[http://a/b].id: scheme is missing or invalid"}},
		{"another scope", in(`access_policy = "enforced" brokers = [{ id = "spiffe://a/b" pod_reference_scope = "X" }]`), []string{`experimental.broker.brokers[spiffe://a/b].pod_reference_scope: unsupported value "X"; must be one of [agent_node, cluster]`}},
		{"a node without a kubelet", `disable_kubelet_client = true ` + broker, []string{`experimental.broker.brokers[spiffe://a/b].pod_reference_scope: must be "cluster" when disable_kubelet_client is true`}},
		{"unknown keys below experimental", `experimental { sigstore { zzzzzz = 1 } broker { yyyyyy = 1 access_policy = "enforced" brokers = [{ id = "spiffe://a/b" xxxxxx = 1 }] } api_server { wwwwww = 1 cache { vvvvvv = 1 } } }`,
			[]string{"unknown configurations detected: vvvvvv,wwwwww,xxxxxx,yyyyyy,zzzzzz"}},
		{"an old key at the top", `sigstore { allowed_subjects_list = { "a" = ["b"] } }`, []string{"unknown configurations detected: allowed_subjects_list (allowed_subjects_list is an old key of experimental { sigstore {} }; today it is allowed_identities in sigstore {})"}},
		{"sigstore and policy", `sigstore {} policy = "p"`, []string{"only one of [sigstore, policy] can be used"}},
		{"a policy without a name", `policy = ""`, []string{"policy: names no file; leave the key out where nothing is demanded"}},
		{"sigstore and a node's daemon", `sigstore {} node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"sigstore below experimental and a node's daemon", `experimental { sigstore {} } node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"a policy and a node's daemon", `policy = "/p" node_socket = "/n"`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"all three", `policy = "/p" node_socket = "/n" sigstore {}`, []string{"only one of [sigstore, policy, node_socket] can be used"}},
		{"a daemon without a socket", `node_socket = ""`, []string{"node_socket: names no socket; leave the key out where nothing is demanded"}},
		{"a daemon with a scheme alone", `node_socket = "unix://"`, []string{"node_socket: names no socket; leave the key out where nothing is demanded"}},
		{"a daemon at an address", `node_socket = "https://node.example"`, []string{"node_socket: https://node.example is no unix socket; write a path, as in /run/assay/node.sock"}},
		{"a daemon somewhere", `node_socket = "node.sock"`, []string{"node_socket: node.sock: write an absolute path, as in /run/assay/node.sock"}},
		{"a misspelt daemon", `node_sockett = "/n"`, []string{"unknown configurations detected: node_sockett (did you mean node_socket instead of node_sockett?)"}},
		{"sigstore twice", `sigstore {} experimental { sigstore {} }`, []string{"sigstore is there twice: at the top and in experimental; keep the one at the top"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, n := readKubernetes(test.text, "linux")
			if diff := cmp.Diff(test.want, problems(n)); s != nil || diff != "" {
				t.Errorf("%+v %s", s, diff)
			}
		})
	}
}

// Reading looks at no file: what is named may be missing.
func TestPLUGIN7_MissingFiles(t *testing.T) {
	if _, n := readDocker(`policy = "/does/not/exist"`, runtime.GOOS); n.wrong() {
		t.Error(problems(n))
	}
	if _, n := readKubernetes(`kubelet_ca_path = "/does/not/exist" token_path = "/no" certificate_path = "/no" private_key_path = "/no" policy = "/no"`, runtime.GOOS); n.wrong() {
		t.Error(problems(n))
	}
}

// Both places of a sigstore block mean the same, and one of them is enough.
func TestDOCKER10_Places(t *testing.T) {
	const block = `sigstore { allowed_identities = { "https://a" = ["x"] } ignore_sct = true }`
	top, n := readDocker(block, "linux")
	if n.wrong() || top.Verification.Sigstore == nil || remarked(n, "experimental") {
		t.Fatal(n)
	}
	below, n := readDocker("experimental { "+block+" }", "linux")
	if diff := cmp.Diff(top, below); diff != "" || !remarked(n, "sigstore in experimental: newer versions of SPIRE refuse it there") {
		t.Error(diff, n)
	}
	for _, both := range []string{
		block + " experimental { " + block + " }", "sigstore {} experimental { sigstore {} }", `"sigstore" = {} "experimental" "sigstore" {}`,
	} {
		if _, n := readDocker(both, "linux"); !cmp.Equal(problems(n), []string{"sigstore is there twice: at the top and in experimental; keep the one at the top"}) {
			t.Errorf("%s: %v", both, n)
		}
	}
	if s, n := readDocker("experimental {}", "linux"); n.wrong() || s.Verification.Demanded() {
		t.Errorf("experimental alone: %+v %v", s, n)
	}
	for _, shape := range []string{
		`{"plugin_data":{"sigstore":{"ignore_tlogg":true}}}`, `{"plugin_data":{"experimental":{"sigstore":{"ignore_tlogg":true}}}}`,
		`{"plugin_data":{"sigstore":{"registry_credentials":{"docker.io":{"username":"u","password":"p","ignore_tlogg":"x"}}}}}`,
		`{"plugin_data":{"ignore_tlogg":{"docker.io":{"username":"u"}}}}`, `{"plugin_data":{"experimental":{"ignore_tlogg":{"a":{"b":1}}}}}`,
	} {
		if _, n := readDocker(reprint(t, shape), "linux"); len(problems(n)) != 1 || !strings.HasPrefix(problems(n)[0], "unknown configurations detected: ignore_tlogg") {
			t.Errorf("%s: %v", shape, n)
		}
	}
}

// What makes the check of a signature weak is said.
func TestDOCKER11_Remarks(t *testing.T) {
	for text, want := range map[string]string{
		`sigstore {}`:                                                                     "allowed_identities is empty: a signature of anybody counts",
		`sigstore { allowed_identities = {} }`:                                            "allowed_identities is empty: a signature of anybody counts",
		`sigstore { insecure_partial_patterns = true }`:                                   "insecure_partial_patterns",
		`sigstore { registry_credentials { "ghcr.io" { username = "u" } } }`:              `sigstore.registry_credentials: "ghcr.io" has not both of username and password, and is ignored`,
		`sigstore { registry_credentials { "ghcr.io" { password = "a secret" } } }`:       `"ghcr.io" has not both`,
		`insecure_mountinfo_fallback = true`:                                              "insecure_mountinfo_fallback",
		`use_new_container_locator = false container_id_cgroup_matchers=["/docker/<id>"]`: "Using the legacy container locator with custom cgroup matchers. This feature will be removed in a future release.",
		`use_new_container_locator = false`:                                               "Using the new container locator",
		``:                                                                                "Using the new container locator",
	} {
		s, n := readDocker(text, "linux")
		if n.wrong() || !remarked(n, want) || remarked(n, "a secret") {
			t.Errorf("%s: no remark with %q: %v", text, want, n)
		}
		if s.Verification.Sigstore != nil && s.Verification.Sigstore.Credentials != nil {
			t.Errorf("half a credential is taken: %+v", s.Verification.Sigstore)
		}
	}
	s, n := readDocker(`sigstore { allowed_identities = { "https://a" = ["alice+ci@example.com"] } }`, "linux")
	if n.wrong() || s.Verification.Sigstore.Identities["https://a"][0] != "alice+ci@example.com" || remarked(n, "anybody") {
		t.Error(s, n)
	}
}

func TestDOCKER20_KeysOfWindows(t *testing.T) {
	s, n := readDocker("", windows)
	if n.wrong() || s.Host != "npipe:////./pipe/docker_engine" || s.Socket != "" || remarked(n, "locator") {
		t.Error(s, n)
	}
	if s, n := readDocker(`docker_host = "npipe:////./pipe/other"`, windows); n.wrong() || s.Host != "npipe:////./pipe/other" {
		t.Error(s, n)
	}
	if _, n := readDocker(`docker_socket_path = "unix:///x"`, windows); !cmp.Equal(problems(n), []string{"unknown configurations detected: docker_socket_path (docker_socket_path is for Unix; here it is docker_host)"}) {
		t.Error(n)
	}
	if _, n := readDocker(`docker_host = "unix:///x"`, "linux"); !n.wrong() {
		t.Error("docker_host is known on Unix")
	}
	for _, key := range unixKeys {
		if _, n := readDocker(key+` = []`, windows); !n.wrong() {
			t.Errorf("%s is known on Windows", key)
		}
	}
	if _, n := readKubernetes(`use_new_container_locator = true`, windows); len(problems(n)) != 1 || !strings.HasPrefix(problems(n)[0], "unknown configurations detected: use_new_container_locator") {
		t.Error(n)
	}
}

// The keys of a block decide which generation it is of.
func TestK8S11_Generations(t *testing.T) {
	in := func(b string) string { return "experimental { sigstore { " + b + " } }" }
	const rekor = `rekor_url = "https://rekor.example" `
	s, n := readKubernetes(in(rekor+`allowed_subjects_list = { "https://a" = ["x", "y"] "https://none" = [] } skip_signature_verification_image_list = ["sha256:1"] enforce_sct = false`), "linux")
	want := Verification{Sigstore: &SigstoreSettings{
		Old: true, Identities: map[string][]string{"https://a": {"x", "y"}}, SkippedImages: []string{"sha256:1"}, RekorURL: "https://rekor.example",
		IgnoreAttestations: true, IgnoreSCT: true,
	}}
	if n.wrong() {
		t.Fatal(problems(n))
	}
	if diff := cmp.Diff(s.Verification, want); diff != "" {
		t.Error(diff)
	}
	equivalent := `sigstore { allowed_identities = { "https://a" = ["x", "y"] } skipped_images = ["sha256:1"] rekor_url = "https://rekor.example" ignore_attestations = true ignore_sct = true }`
	if !remarked(n, "the keys allowed_subjects_list,enforce_sct,skip_signature_verification_image_list are old") || !remarked(n, equivalent) {
		t.Error(n)
	}
	if newer, n := readKubernetes(equivalent, "linux"); n.wrong() || newer.Verification.Sigstore.Old {
		t.Errorf("what is printed as the new block: %v", n)
	}
	for text, want := range map[string]struct {
		old     bool
		problem string
	}{
		in(``):                                                    {},
		in(`allowed_identities = {}`):                             {},
		in(rekor + `ignore_tlog = false`):                         {},
		in(rekor + `enforce_sct = true`):                          {old: true},
		in(rekor + `allowed_subjects_list {}`):                    {old: true},
		in(rekor + `skip_signature_verification_image_list = []`): {old: true},
		in(rekor): {problem: "experimental.sigstore: rekor_url alone says nothing about who may sign: add allowed_identities (or allowed_subjects_list, the old key)"},
		in(rekor + `enforce_sct = true ignore_sct = false skipped_images = []`): {problem: "sigstore: the old keys enforce_sct and the new keys ignore_sct,skipped_images cannot be used together"},
		in(`enforce_sct = true`):                            {problem: "missing Rekor URL"},
		in(`enforce_sct = true rekor_url = ""`):             {problem: "failed to set Rekor URL: rekor URL is empty"},
		in(`enforce_sct = true rekor_url = "https:///x"`):   {problem: "failed to set Rekor URL: host is required on rekor URL"},
		in(`enforce_sct = true rekor_url = "http://rekor"`): {problem: `failed to set Rekor URL: invalid rekor URL Scheme "http"`},
		in(`enforce_sct = true rekor_url = "rekor"`):        {problem: "failed to set Rekor URL: host is required on rekor URL"},
		`sigstore { ` + rekor + ` }`:                        {},
	} {
		s, n := readKubernetes(text, "linux")
		switch {
		case want.problem != "" && !cmp.Equal(problems(n), []string{want.problem}):
			t.Errorf("%s: %v", text, n)
		case want.problem == "" && (n.wrong() || s.Verification.Sigstore == nil || s.Verification.Sigstore.Old != want.old):
			t.Errorf("%s: %+v %v", text, s, n)
		}
	}
}

// Old identities are no patterns: as new ones they are written so that they still mean only themselves.
func TestK8S11_OldIdentitiesMeanThemselves(t *testing.T) {
	_, n := readKubernetes(`experimental { sigstore { rekor_url = "https://r" allowed_subjects_list = { "https://a" = ["alice+ci@example.com", "a.b"] } } }`, "linux")
	if !remarked(n, `"https://a" = ["alice\\+ci@example\\.com", "a.b"]`) {
		t.Error(n)
	}
	_, n = readKubernetes(`experimental { sigstore { rekor_url = "https://r" enforce_sct = true } }`, "linux")
	if !remarked(n, `allowed_identities = { "nobody" = ["nobody"] }`) || !remarked(n, "no image passes") {
		t.Error(n)
	}
}

func TestK8S19_Conflicts(t *testing.T) {
	for key, value := range map[string]string{
		"kubelet_read_only_port": "1", "kubelet_secure_port": "1", "kubelet_ca_path": `"x"`, "skip_kubelet_verification": "true", "token_path": `"x"`,
		"certificate_path": `"x"`, "private_key_path": `"x"`, "use_anonymous_authentication": "true", "node_name_env": `"x"`, "node_name": `"x"`,
		"reload_interval": `"1s"`,
	} {
		_, n := readKubernetes("disable_kubelet_client = true "+key+" = "+value, "linux")
		if !cmp.Equal(problems(n), []string{"disable_kubelet_client cannot be used with " + key}) {
			t.Errorf("%s: %v", key, n)
		}
		if key == "certificate_path" || key == "private_key_path" {
			continue // half a pair
		}
		if _, n := readKubernetes(key+" = "+value, "linux"); n.wrong() {
			t.Errorf("%s without the switch: %v", key, n)
		}
	}
	s, n := readKubernetes(`disable_kubelet_client = true max_poll_attempts = 3 poll_retry_interval = "1s" enable_namespace_labels = true`, "linux")
	if n.wrong() || !s.DisableKubeletClient || s.SecurePort != 0 || s.ReadOnlyPort != 0 {
		t.Error(s, n)
	}
}

func TestDefaultsOfNonsense(t *testing.T) {
	s, n := readKubernetes(`max_poll_attempts = -1 poll_retry_interval = "0s" reload_interval = "-1s" kubelet_read_only_port = -1 kubelet_secure_port = 0`, "linux")
	if n.wrong() || s.MaxPollAttempts != 60 || s.PollRetryInterval != 500*time.Millisecond || s.ReloadInterval != time.Minute || s.SecurePort != 10250 || s.ReadOnlyPort != 0 {
		t.Errorf("%+v %v", s, n)
	}
}

func TestSPIFFEID(t *testing.T) {
	for id, want := range map[string]string{
		"":                    "cannot be empty",
		"x":                   "scheme is missing or invalid",
		"SPIFFE://a":          "scheme is missing or invalid",
		"spiffe://":           "trust domain is missing",
		"spiffe:///a":         "trust domain is missing",
		"spiffe://A/b":        "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
		"spiffe://a:1/b":      "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and underscores",
		"spiffe://a/":         "path cannot have a trailing slash",
		"spiffe://a/b/":       "path cannot have a trailing slash",
		"spiffe://a//b":       "path cannot contain empty segments",
		"spiffe://a/../b":     "path cannot contain dot segments",
		"spiffe://a/b?c":      "path segment characters are limited to letters, numbers, dots, dashes, and underscores",
		"spiffe://a":          "",
		"spiffe://a.b/C-1_/d": "",
	} {
		err := checkSPIFFEID(id)
		if got := errorText(err); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
