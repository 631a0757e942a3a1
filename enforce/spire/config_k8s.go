package spire

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Defaults of the k8s attestor.
const (
	defaultSecurePort        = 10250
	defaultNodeNameEnv       = "MY_NODE_NAME"
	defaultMaxPollAttempts   = 60
	defaultPollRetryInterval = 500 * time.Millisecond
	defaultReloadInterval    = time.Minute
)

const noteLegacyLocator = "Using the legacy container locator. This feature will be removed in a future release."

// kubernetesBlock is the configuration of the k8s attestor.
type kubernetesBlock struct {
	KubeletReadOnlyPort        int                     `hcl:"kubelet_read_only_port"`
	KubeletSecurePort          int                     `hcl:"kubelet_secure_port"`
	KubeletCAPath              string                  `hcl:"kubelet_ca_path"`
	SkipKubeletVerification    bool                    `hcl:"skip_kubelet_verification"`
	TokenPath                  string                  `hcl:"token_path"`
	CertificatePath            string                  `hcl:"certificate_path"`
	PrivateKeyPath             string                  `hcl:"private_key_path"`
	UseAnonymousAuthentication bool                    `hcl:"use_anonymous_authentication"`
	NodeName                   string                  `hcl:"node_name"`
	NodeNameEnv                string                  `hcl:"node_name_env"`
	MaxPollAttempts            int                     `hcl:"max_poll_attempts"`
	PollRetryInterval          string                  `hcl:"poll_retry_interval"`
	ReloadInterval             string                  `hcl:"reload_interval"`
	DisableContainerSelectors  bool                    `hcl:"disable_container_selectors"`
	UseNewContainerLocator     *bool                   `hcl:"use_new_container_locator"`
	VerboseContainerLocator    bool                    `hcl:"verbose_container_locator_logs"`
	InsecureMountinfoFallback  bool                    `hcl:"insecure_mountinfo_fallback"`
	EnableNamespaceLabels      bool                    `hcl:"enable_namespace_labels"`
	DisableKubeletClient       bool                    `hcl:"disable_kubelet_client"`
	ExcludeCompletedPods       *bool                   `hcl:"exclude_completed_pods"`
	Sigstore                   *sigstoreBlock          `hcl:"sigstore"`
	Policy                     *string                 `hcl:"policy"`
	NodeSocket                 *string                 `hcl:"node_socket"`
	Experimental               *kubernetesExperimental `hcl:"experimental"`
}

type kubernetesExperimental struct {
	Sigstore  *anySigstoreBlock `hcl:"sigstore"`
	APIServer *apiServerBlock   `hcl:"api_server"`
	Broker    *brokerBlock      `hcl:"broker"`
}

type apiServerBlock struct {
	Cache *cacheBlock `hcl:"cache"`
}

type cacheBlock struct {
	Enabled bool `hcl:"enabled"`
}

type brokerBlock struct {
	AccessPolicy string        `hcl:"access_policy"`
	Brokers      []brokerEntry `hcl:"brokers"`
}

type brokerEntry struct {
	ID                string `hcl:"id"`
	PodReferenceScope string `hcl:"pod_reference_scope"`
}

// locatorKeys are unknown to the k8s attestor on Windows.
var locatorKeys = []string{"use_new_container_locator", "verbose_container_locator_logs", "insecure_mountinfo_fallback", "node_socket"}

// movedKubernetes has the hints for keys that the k8s attestor does not have, or not there.
func movedKubernetes() map[string]string {
	const below = " is an old key of experimental { sigstore {} }; today it is "
	return movedSigstore(map[string]string{
		"allowed_subjects_list":                  "allowed_subjects_list" + below + "allowed_identities in sigstore {}",
		"skip_signature_verification_image_list": "skip_signature_verification_image_list" + below + "skipped_images in sigstore {}",
		"enforce_sct":                            "enforce_sct" + below + "the opposite of ignore_sct in sigstore {}",
		"api_server":                             "api_server belongs in experimental {}",
		"broker":                                 "broker belongs in experimental {}",
	})
}

// readKubernetes reads a configuration of the k8s attestor for a system.
func readKubernetes(text, goos string) (*KubernetesSettings, notes) {
	var hidden []string
	if goos == windows {
		hidden = locatorKeys
	}
	var b kubernetesBlock
	var n notes
	if !n.decode(text, hidden, movedKubernetes(), &b) {
		return nil, n
	}
	s := b.settings(goos, &n)
	if n.wrong() {
		return nil, n
	}
	return s, n
}

func (b *kubernetesBlock) settings(goos string, n *notes) *KubernetesSettings {
	s := &KubernetesSettings{
		DisableKubeletClient: b.DisableKubeletClient, DisableContainerSelectors: b.DisableContainerSelectors,
		Verbose: b.VerboseContainerLocator, MountinfoFallback: b.InsecureMountinfoFallback,
		NewLocator:      b.UseNewContainerLocator == nil || *b.UseNewContainerLocator,
		NamespaceLabels: b.EnableNamespaceLabels, ExcludeCompletedPods: b.ExcludeCompletedPods == nil || *b.ExcludeCompletedPods,
	}
	b.kubelet(s, n)
	b.polling(s, n)
	if goos != windows {
		remarkLocator(s, n)
	}
	s.Verification = b.verification(n)
	if x := b.Experimental; x != nil {
		s.ObjectCache = x.APIServer != nil && x.APIServer.Cache != nil && x.APIServer.Cache.Enabled
		if x.Broker != nil {
			s.Broker = x.Broker.settings(s.DisableKubeletClient, n)
		}
	}
	return s
}

func remarkLocator(s *KubernetesSettings, n *notes) {
	if s.NewLocator {
		n.usual(noteNewLocator)
	} else {
		n.remark(noteLegacyLocator)
	}
	if s.MountinfoFallback {
		n.remark(remarkMountinfo)
	}
}

// kubelet reads the keys about the way to the kubelet.
func (b *kubernetesBlock) kubelet(s *KubernetesSettings, n *notes) {
	s.CAPath, s.SkipVerification, s.TokenPath = b.KubeletCAPath, b.SkipKubeletVerification, b.TokenPath
	s.CertificatePath, s.PrivateKeyPath, s.Anonymous = b.CertificatePath, b.PrivateKeyPath, b.UseAnonymousAuthentication
	s.NodeName, s.NodeNameEnv = b.NodeName, cmp.Or(b.NodeNameEnv, defaultNodeNameEnv)
	if b.DisableKubeletClient {
		b.conflicts(n)
		return
	}
	s.ReadOnlyPort, s.SecurePort = max(b.KubeletReadOnlyPort, 0), max(b.KubeletSecurePort, 0)
	switch {
	case s.ReadOnlyPort > 0 && s.SecurePort > 0:
		n.problem("cannot use both the read-only and secure port")
	case s.ReadOnlyPort == 0 && s.SecurePort == 0:
		s.SecurePort = defaultSecurePort
	case s.ReadOnlyPort > math.MaxUint16:
		n.problem("kubelet_read_only_port: %d is above %d", s.ReadOnlyPort, math.MaxUint16)
	case s.SecurePort > math.MaxUint16:
		n.problem("kubelet_secure_port: %d is above %d", s.SecurePort, math.MaxUint16)
	}
	b.authentication(s, n)
}

// authentication says what is wrong with the keys that name who asks, or without effect.
func (b *kubernetesBlock) authentication(s *KubernetesSettings, n *notes) {
	if s.SkipVerification {
		n.remark("skip_kubelet_verification: the kubelet can be anybody")
	}
	switch {
	case s.Anonymous:
		for _, key := range present(map[string]bool{
			"token_path": s.TokenPath != "", "certificate_path": s.CertificatePath != "", "private_key_path": s.PrivateKeyPath != "",
		}) {
			n.remark("use_anonymous_authentication: %s is without effect", key)
		}
	case s.CertificatePath != "" && s.PrivateKeyPath == "":
		n.problem("the private key path is required with the certificate path")
	case s.CertificatePath == "" && s.PrivateKeyPath != "":
		n.problem("the certificate path is required with the private key path")
	}
}

// conflicts names the keys that say something about a kubelet nobody asks.
func (b *kubernetesBlock) conflicts(n *notes) {
	for _, key := range []struct {
		name string
		set  bool
	}{
		{"kubelet_read_only_port", b.KubeletReadOnlyPort != 0},
		{"kubelet_secure_port", b.KubeletSecurePort != 0},
		{"kubelet_ca_path", b.KubeletCAPath != ""},
		{"skip_kubelet_verification", b.SkipKubeletVerification},
		{"token_path", b.TokenPath != ""},
		{"certificate_path", b.CertificatePath != ""},
		{"private_key_path", b.PrivateKeyPath != ""},
		{"use_anonymous_authentication", b.UseAnonymousAuthentication},
		{"node_name_env", b.NodeNameEnv != ""},
		{"node_name", b.NodeName != ""},
		{"reload_interval", b.ReloadInterval != ""},
	} {
		if key.set {
			n.problem("disable_kubelet_client cannot be used with %s", key.name)
		}
	}
}

// polling reads the keys about how often the kubelet is asked.
func (b *kubernetesBlock) polling(s *KubernetesSettings, n *notes) {
	s.MaxPollAttempts = b.MaxPollAttempts
	if s.MaxPollAttempts <= 0 {
		s.MaxPollAttempts = defaultMaxPollAttempts
	}
	s.PollRetryInterval = duration(b.PollRetryInterval, "poll retry interval", defaultPollRetryInterval, n)
	s.ReloadInterval = duration(b.ReloadInterval, "reload interval", defaultReloadInterval, n)
}

func duration(text, name string, otherwise time.Duration, n *notes) time.Duration {
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		n.problem("unable to parse %s: %v", name, err)
	}
	if d <= 0 {
		return otherwise
	}
	return d
}

func (b *kubernetesBlock) verification(n *notes) Verification {
	v := Verification{Policy: policyOf(b.Policy, n), Node: nodeOf(b.NodeSocket, n)}
	older := b.Experimental != nil && b.Experimental.Sigstore != nil
	onlyOne(n, b.Sigstore != nil, older, b.Policy, b.NodeSocket)
	switch {
	case older:
		v.Sigstore = b.Experimental.Sigstore.settings(n)
	case b.Sigstore != nil:
		v.Sigstore = b.Sigstore.settings(n)
	}
	return v
}

// Scopes of the pods that a broker may ask about.
const (
	scopeNode    = "agent_node"
	scopeCluster = "cluster"
)

func (b *brokerBlock) settings(noKubelet bool, n *notes) *BrokerSettings {
	s := &BrokerSettings{Permissive: b.AccessPolicy == "permissive"}
	switch b.AccessPolicy {
	case "permissive", "enforced":
	case "":
		n.problem("experimental.broker.access_policy: must be specified as one of [permissive, enforced]")
	default:
		n.problem("experimental.broker.access_policy: unsupported value %q; must be one of [permissive, enforced]", b.AccessPolicy)
	}
	if len(b.Brokers) == 0 {
		n.problem("experimental.broker.brokers: at least one broker is required")
	}
	for i, entry := range b.Brokers {
		if entry.ID == "" {
			n.problem("experimental.broker.brokers[%d].id: must be specified", i)
			continue
		}
		if slices.ContainsFunc(s.Brokers, func(other Broker) bool { return other.ID == entry.ID }) {
			n.problem("experimental.broker.brokers[%s].id: duplicate broker id", entry.ID)
			continue
		}
		s.Brokers = append(s.Brokers, entry.broker(noKubelet, n))
	}
	return s
}

func (e brokerEntry) broker(noKubelet bool, n *notes) Broker {
	if err := checkSPIFFEID(e.ID); err != nil {
		n.problem("experimental.broker.brokers[%s].id: %v", e.ID, err)
	}
	scope := cmp.Or(e.PodReferenceScope, scopeNode)
	switch {
	case scope != scopeNode && scope != scopeCluster:
		n.problem("experimental.broker.brokers[%s].pod_reference_scope: unsupported value %q; must be one of [agent_node, cluster]", e.ID, scope)
	case scope != scopeCluster && noKubelet:
		n.problem(`experimental.broker.brokers[%s].pod_reference_scope: must be "cluster" when disable_kubelet_client is true`, e.ID)
	}
	return Broker{ID: e.ID, Cluster: scope == scopeCluster}
}
