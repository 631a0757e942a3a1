package spire

import (
	"cmp"
	"strings"

	"github.com/assay-dev/assay/workload"
)

// Defaults of the docker attestor.
const (
	defaultDockerSocket   = "unix:///var/run/docker.sock"
	defaultDockerHost     = "npipe:////./pipe/docker_engine"
	defaultPodmanSocket   = "unix:///run/podman/podman.sock"
	defaultPodmanTemplate = "unix:///run/user/%d/podman/podman.sock"
)

// Texts that operators know.
const (
	noteNewLocator     = "Using the new container locator"
	noteMatchers       = "Using the legacy container locator with custom cgroup matchers. This feature will be removed in a future release."
	problemMatchers    = "the new container locator and custom cgroup matchers cannot both be used; please open an issue if the new container locator fails to locate workload containers in your environment; to continue using custom matchers set use_new_container_locator=false"
	remarkMountinfo    = "insecure_mountinfo_fallback: where no cgroup names a container, the mounts of a workload do, which it can shape"
	problemPodmanField = "invalid podman_socket_path_template: "
)

// windows is the GOOS whose keys differ.
const windows = "windows"

// dockerBlock is the configuration of the docker attestor.
type dockerBlock struct {
	DockerSocketPath          string              `hcl:"docker_socket_path"`
	DockerHost                string              `hcl:"docker_host"`
	DockerVersion             string              `hcl:"docker_version"`
	ContainerIDCgroupMatchers []string            `hcl:"container_id_cgroup_matchers"`
	UseNewContainerLocator    *bool               `hcl:"use_new_container_locator"`
	VerboseContainerLocator   bool                `hcl:"verbose_container_locator_logs"`
	PodmanSocketPath          string              `hcl:"podman_socket_path"`
	PodmanSocketPathTemplate  string              `hcl:"podman_socket_path_template"`
	UseRootlessPodman         bool                `hcl:"use_rootless_podman"`
	InsecureMountinfoFallback bool                `hcl:"insecure_mountinfo_fallback"`
	Sigstore                  *sigstoreBlock      `hcl:"sigstore"`
	Policy                    *string             `hcl:"policy"`
	NodeSocket                *string             `hcl:"node_socket"`
	Experimental              *dockerExperimental `hcl:"experimental"`
}

type dockerExperimental struct {
	Sigstore *sigstoreBlock `hcl:"sigstore"`
}

// unixKeys are unknown to the docker attestor on Windows.
var unixKeys = []string{
	"docker_socket_path", "container_id_cgroup_matchers", "use_new_container_locator", "verbose_container_locator_logs", "podman_socket_path",
	"podman_socket_path_template", "use_rootless_podman", "insecure_mountinfo_fallback", "node_socket",
}

// windowsKeys are unknown to it on Unix.
var windowsKeys = []string{"docker_host"}

// movedDocker has the hints for keys that the docker attestor does not have, or not there.
func movedDocker(goos string) map[string]string {
	moved := movedSigstore(map[string]string{
		"allowed_subjects_list":                  "allowed_subjects_list is allowed_identities in sigstore {} today",
		"skip_signature_verification_image_list": "skip_signature_verification_image_list is skipped_images in sigstore {} today",
		"enforce_sct":                            "enforce_sct is the opposite of ignore_sct in sigstore {}",
		"docker_host":                            "docker_host is for Windows; here it is docker_socket_path",
	})
	if goos == windows {
		moved["docker_socket_path"] = "docker_socket_path is for Unix; here it is docker_host"
	}
	return moved
}

// readDocker reads a configuration of the docker attestor for a system.
func readDocker(text, goos string) (*DockerSettings, notes) {
	hidden := windowsKeys
	if goos == windows {
		hidden = unixKeys
	}
	var b dockerBlock
	var n notes
	if !n.decode(text, hidden, movedDocker(goos), &b) {
		return nil, n
	}
	s := b.settings(goos, &n)
	if n.wrong() {
		return nil, n
	}
	return s, n
}

func (b *dockerBlock) settings(goos string, n *notes) *DockerSettings {
	s := &DockerSettings{Version: b.DockerVersion, NewLocator: true}
	if goos == windows {
		s.Host = cmp.Or(b.DockerHost, defaultDockerHost)
	} else {
		b.unix(s, n)
	}
	s.Verification = b.verification(n)
	return s
}

// unix reads the keys of Unix.
func (b *dockerBlock) unix(s *DockerSettings, n *notes) {
	s.Socket = cmp.Or(b.DockerSocketPath, defaultDockerSocket)
	if !strings.Contains(s.Socket, "://") { // the error has the text that operators know
		n.remark("docker_socket_path: write it with its scheme, as in %s", defaultDockerSocket)
	}
	s.Matchers, s.Verbose, s.MountinfoFallback = b.ContainerIDCgroupMatchers, b.VerboseContainerLocator, b.InsecureMountinfoFallback
	legacy := b.UseNewContainerLocator != nil && !*b.UseNewContainerLocator
	switch {
	case len(s.Matchers) > 0 && !legacy:
		n.problem(problemMatchers)
	case len(s.Matchers) > 0:
		s.NewLocator = false
		n.remark(noteMatchers)
	default:
		n.usual(noteNewLocator)
	}
	if s.MountinfoFallback {
		n.remark(remarkMountinfo)
	}
	s.PodmanSocket = cmp.Or(b.PodmanSocketPath, defaultPodmanSocket)
	s.PodmanTemplate = cmp.Or(b.PodmanSocketPathTemplate, defaultPodmanTemplate)
	s.RootlessPodman = b.UseRootlessPodman
	if _, err := workload.ParsePodmanTemplate(s.PodmanTemplate); err != nil {
		n.problem(problemPodmanField+"%v", err)
	}
}

func (b *dockerBlock) verification(n *notes) Verification {
	block := b.Sigstore
	if b.Experimental != nil && b.Experimental.Sigstore != nil {
		onlyOne(n, block != nil, true, b.Policy, b.NodeSocket)
		remarkPlace(n)
		block = b.Experimental.Sigstore
	} else {
		onlyOne(n, block != nil, false, b.Policy, b.NodeSocket)
	}
	v := Verification{Policy: policyOf(b.Policy, n), Node: nodeOf(b.NodeSocket, n)}
	if block != nil {
		v.Sigstore = block.settings(n)
	}
	return v
}
