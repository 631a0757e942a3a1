package ask

import "time"

// What the program goes by that containerd starts, for itself and for those who install it or look at it.
const (
	// ConfigFile is its configuration.
	ConfigFile = "/etc/assay/containerd-verifier.json"
	// ConfigVariable names another file. The environment is containerd's own, so that whoever can set it could replace the program.
	ConfigVariable = "ASSAY_CONTAINERD_VERIFIER_CONFIG"
	// MaxConfig is the limit of the configuration, in bytes.
	MaxConfig = 64 << 10
	// DefaultTimeout is for everything together. containerd kills a verifier after 10 s unless it is told otherwise, and then nobody learns why.
	DefaultTimeout = 9 * time.Second
	// DescriptorType is what containerd says that standard input is.
	DescriptorType = "application/vnd.oci.descriptor.v1+json"
)
