package spire

import "time"

// DockerSettings is what a configuration of the docker attestor says, defaults filled in. It is text only: nothing that it names was
// opened.
type DockerSettings struct {
	// Socket is docker_socket_path, the Docker host on Unix. Host is docker_host, the one on Windows. Exactly one of them is set.
	Socket, Host string
	// Version is the version of Docker's API, "1.44". "" is negotiated.
	Version string
	// Matchers are container_id_cgroup_matchers, which mean something only where NewLocator is false.
	Matchers []string
	// NewLocator is false only if it was switched off and Matchers are given.
	NewLocator bool
	// Verbose logs every cgroup entry that is looked at.
	Verbose bool
	// MountinfoFallback is insecure_mountinfo_fallback: a workload shapes its own mounts.
	MountinfoFallback bool
	// PodmanSocket is the socket of root's Podman, PodmanTemplate those of users: it has exactly one %d, for the uid.
	PodmanSocket, PodmanTemplate string
	// RootlessPodman lets the Podman of users be asked.
	RootlessPodman bool
	Verification   Verification
}

// KubernetesSettings is what a configuration of the k8s attestor says, defaults filled in. It is text only: no file and no variable that it
// names was read.
type KubernetesSettings struct {
	// DisableKubeletClient is disable_kubelet_client: nothing about the kubelet below means anything then, and processes cannot be attested.
	DisableKubeletClient bool
	// ReadOnlyPort or SecurePort is above 0, the other is 0.
	ReadOnlyPort, SecurePort int
	// CAPath and TokenPath are "" where the default holds, which depends on what is there (/var/run/… before /run/…).
	CAPath, TokenPath string
	// SkipVerification is skip_kubelet_verification: the kubelet can be anybody.
	SkipVerification bool
	// CertificatePath and PrivateKeyPath are both set or both empty.
	CertificatePath, PrivateKeyPath string
	// Anonymous is use_anonymous_authentication, which beats token and certificate.
	Anonymous bool
	// NodeName comes before the variable that NodeNameEnv names, which is never empty. Neither gives a name: 127.0.0.1.
	NodeName, NodeNameEnv string
	// MaxPollAttempts, PollRetryInterval and ReloadInterval are above 0.
	MaxPollAttempts                   int
	PollRetryInterval, ReloadInterval time.Duration
	DisableContainerSelectors         bool
	// NewLocator is false for the legacy rules.
	NewLocator bool
	// Verbose and MountinfoFallback are as in DockerSettings.
	Verbose, MountinfoFallback bool
	// NamespaceLabels is enable_namespace_labels.
	NamespaceLabels      bool
	ExcludeCompletedPods bool
	// ObjectCache is experimental.api_server.cache.enabled: metadata of objects is kept by watch.
	ObjectCache bool
	// Broker is nil where nobody may ask about references through the agent's broker.
	Broker       *BrokerSettings
	Verification Verification
}

// BrokerSettings says which brokers may ask about what.
type BrokerSettings struct {
	// Permissive is access_policy = "permissive". Otherwise the API server is asked about each reference of a broker.
	Permissive bool
	// Brokers are at least one, each with an ID of its own.
	Brokers []Broker
}

// Broker is somebody who asks in the name of workloads.
type Broker struct {
	ID string // its SPIFFE ID
	// Cluster is pod_reference_scope = "cluster". Otherwise only pods of the agent's node are known.
	Cluster bool
}

// Verification says what proof is demanded of the image of a workload. The zero value demands nothing. At most one field is set.
type Verification struct {
	Sigstore *SigstoreSettings
	Policy   string // file or folder of the TrustPolicy; "" for none
	Node     string // path of the socket of the node's daemon, which decides by its own policies; "" for none
}

// Demanded reports whether a proof is demanded at all.
func (v Verification) Demanded() bool { return v.Sigstore != nil || v.Policy != "" || v.Node != "" }

// SigstoreSettings is what a sigstore block says.
type SigstoreSettings struct {
	// Old says that the block has the old keys of the k8s attestor. Then identities are compared exactly, no identities let nothing pass but
	// skipped images, attestations are not looked at, tags are never looked up, and the selectors are the old ones.
	Old bool
	// Identities are the subjects that count, by issuer. Each issuer has at least one. Without any, every signer counts, unless Old.
	Identities map[string][]string
	// SkippedImages are the images that pass without a proof, as written.
	SkippedImages []string
	// RekorURL is an absolute http(s) URL.
	RekorURL string
	// IgnoreTlog, IgnoreAttestations and IgnoreSCT leave out a check.
	IgnoreTlog, IgnoreAttestations, IgnoreSCT bool
	// PartialPatterns is insecure_partial_patterns: patterns match parts of a string.
	PartialPatterns bool
	// Credentials are by registry as written. Each has both fields.
	Credentials map[string]Credential
}

// Credential is what a registry is told. Neither field is ever logged.
type Credential struct{ Username, Password string }
