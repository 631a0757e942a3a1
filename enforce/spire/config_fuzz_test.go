package spire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzConfiguration: whatever the text is, both attestors answer with settings or with a problem, in which every byte can be sent.
func FuzzConfiguration(f *testing.F) {
	for _, seed := range []string{
		``, `a`, `a =`, `{`, `{"a":null}`, `{"sigstore":{}}`, "\xff", `"\xff" = 1`, `"\u12" = 1`, `a = <<EOF` + "\nx\nEOF\n", `a = "${b["x"]}"`, "a = 1 # =",
		`docker_version = 1.44`, `use_new_container_locator="true"`, `kubelet_secure_port = "10250"`, `kubelet_secure_port = 99999999999999999999`,
		`"registry_credentials" "docker.io" { "username" = "u" }`, `"sigstore" "registry_credentials" "docker.io" {}`, `"sigstore" = {}`,
		`"experimental" "sigstore" {}`, `"experimental" "sigstore" "allowed_identities" { "https://iss" = ["a", "b"] }`,
		`"experimental" "broker" { "access_policy" = "permissive" "brokers" = { "id" = "spiffe://a" "pod_reference_scope" = "cluster" } }`,
		`experimental { broker { access_policy = "enforced" brokers = [{ id = "spiffe://a" }, { id = "spiffe://b" }] } }`,
		`experimental { sigstore { rekor_url = "https://r" allowed_subjects_list = { "https://a" = ["x"] } } }`, `experimental = [{}]`,
		`sigstore { allowed_identities { "a" "b" "c" {} } }`, `sigstore = [{}]`, `sigstore = [[]]`, `brokers "a" "b" {}`, `policy = "p" policy {}`,
		`podman_socket_path_template = "%"`, strings.Repeat("a {", 50) + strings.Repeat("}", 50), strings.Repeat("a = [", 50), strings.Repeat("[", 50),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		docker, n := readDocker(text, "linux")
		check(t, docker != nil, n)
		kubernetes, n := readKubernetes(text, "linux")
		check(t, kubernetes != nil, n)
		if docker != nil && docker.Verification.Sigstore != nil {
			for issuer, subjects := range docker.Verification.Sigstore.Identities {
				if len(subjects) == 0 {
					t.Errorf("%q counts without a subject", issuer)
				}
			}
		}
		if kubernetes != nil && !kubernetes.DisableKubeletClient && (kubernetes.ReadOnlyPort > 0) == (kubernetes.SecurePort > 0) {
			t.Errorf("ports %d and %d", kubernetes.ReadOnlyPort, kubernetes.SecurePort)
		}
	})
}

func check(t *testing.T, taken bool, n notes) {
	t.Helper()
	if taken == n.wrong() {
		t.Errorf("settings %v, notes %v", taken, n)
	}
	for _, note := range n {
		if !utf8.ValidString(note.Text) || note.Text == "" {
			t.Errorf("a note that cannot be sent: %q", note.Text)
		}
	}
}
