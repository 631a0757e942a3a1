package spire

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/workload"
)

// What the decoder and the specification say is for programs. Beside it stands what an operator is to do, with the key's place.
func TestHintsForOperators(t *testing.T) {
	for text, want := range map[string]string{
		`docker_version = 1.44`:                                   "docker_version: has to be a text in quotes",
		`policy = ["a", "b"]`:                                     "policy: has to be a text in quotes",
		`node_socket = ["/a"]`:                                    "node_socket: has to be a text in quotes",
		`policy { }`:                                              "policy: has to be a text in quotes",
		`use_rootless_podman = "true"`:                            "use_rootless_podman: has to be true or false, without quotes",
		`sigstore { ignore_tlog = "true" }`:                       "sigstore.ignore_tlog: has to be true or false, without quotes",
		`sigstore { skipped_images = "x" }`:                       `sigstore.skipped_images: has to be a list, as in ["…"]`,
		`sigstore { allowed_identities = { "https://a" = "b" } }`: `sigstore.allowed_identities: has to be a list, as in ["…"]`,
		`sigstore { allowed_identities = ["a"] }`:                 "sigstore.allowed_identities: has to be a block, { … }",
		`sigstore = true`:                                         "sigstore: has to be a block, { … }",
		`sigstore { registry_credentials = { "docker.io" = { user = "a", password = "b" } } }`: "sigstore.registry_credentials: the keys there are password, username",
		`experimental { zzzzzz = 1 }`:                 "experimental: the keys there are sigstore",
		`docker_socket_path = "/var/run/docker.sock"`: "docker_socket_path: write it with its scheme, as in unix:///var/run/docker.sock",
		`policy = "policies"`:                         "policy: policies is looked for in the agent's working folder; write an absolute path",
	} {
		if _, n := readDocker(text, "linux"); !remarked(n, want) {
			t.Errorf("%s: got %v, want %q", text, n, want)
		}
	}
	for text, want := range map[string]string{
		`kubelet_secure_port = "abc"`:                         "kubelet_secure_port: has to be a whole number",
		`max_poll_attempts = 1.5`:                             "max_poll_attempts: has to be a whole number",
		`experimental { broker { brokers = "a" } }`:           "experimental.broker.brokers: has to be a list of blocks, [{ … }]",
		`experimental { api_server { cache = true } }`:        "experimental.api_server.cache: has to be a block, { … }",
		`experimental { broker { brokers = [{ name = 1 }] }}`: "experimental.broker.brokers: the keys there are id, pod_reference_scope",
	} {
		if _, n := readKubernetes(text, "linux"); !remarked(n, want) {
			t.Errorf("%s: got %v, want %q", text, n, want)
		}
	}
	// Nothing of it is said where nothing is wrong.
	for _, text := range []string{
		``, `docker_version = 1`, `policy = "/p"`, `node_socket = "/n"`, `sigstore { skipped_images = [] registry_credentials "a" { username = "u" password = "p" } }`,
		`"sigstore" = { "allowed_identities" = { "a" = ["b"] } }`,
	} {
		if _, n := readDocker(text, "linux"); slices.ContainsFunc(n, func(n Note) bool {
			return strings.Contains(n.Text, "has to be") || strings.Contains(n.Text, "the keys there")
		}) {
			t.Errorf("%s: %v", text, n)
		}
	}
}

// A file in JSON that was cut off says less than was written: the demand of a proof may have stood in what is missing.
func TestCutOffJSON(t *testing.T) {
	const whole = `{"docker_socket_path": "unix:///x", "policy": "/p"}`
	if s, n := readDocker(whole, "linux"); s == nil || s.Verification.Policy != "/p" {
		t.Fatalf("%+v %v", s, n)
	}
	for end := 1; end < len(whole); end++ {
		if s, n := readDocker(whole[:end], "linux"); s != nil || !n.wrong() {
			t.Errorf("%s: %+v, %v", whole[:end], s, n)
		}
	}
	if s, _ := readDocker(whole+"}", "linux"); s != nil {
		t.Error("more than one object was accepted")
	}
}

// So does one in HCL that was cut off within a key or its value.
func TestCutOffHCL(t *testing.T) {
	for _, last := range []string{`policy = "/p"`, `"policy" = "/p"`, "policy = <<E\n/p\nE\n", `sigstore { allowed_identities = { "https://a" = ["b"] } }`, "sigstore {\n}"} {
		const first = "docker_version = \"1.41\"\n"
		for end := 1; end < len(strings.TrimSpace(last)); end++ {
			if s, n := readDocker(first+last[:end], "linux"); s != nil || !n.wrong() {
				t.Errorf("%q: %+v, %v", last[:end], s, n)
			}
		}
	}
}

// What is said of every configuration is no warning; what makes a check weaker is one.
func TestRemarksHaveLevels(t *testing.T) {
	var log strings.Builder
	p := New(NewLog(&log))
	s := NewServer(Config{Plugin: p, Attestor: NewDocker(DockerConfig{Plugin: p, Proc: workload.NewProc(fstest.MapFS{})})})
	t.Cleanup(s.Close)
	if _, err := s.Configure(t.Context(), &configv1.ConfigureRequest{
		CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: "example.org"}, HclConfiguration: `insecure_mountinfo_fallback = true`,
	}); err != nil {
		t.Fatal(err)
	}
	for text, level := range map[string]string{noteNewLocator: "info", remarkMountinfo: "warn"} {
		lines := slices.Collect(strings.Lines(log.String()))
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) && strings.Contains(l, `"@level":"`+level+`"`) }) {
			t.Errorf("%s: want the level %s: %s", text, level, log.String())
		}
	}
}
