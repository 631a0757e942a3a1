package workload

import (
	"context"
	"time"
)

// KubeletConfig says where a node's kubelet is and how to be known to it.
type KubeletConfig struct {
	// Host is the node's name or address, and the name that the kubelet's certificate must have. Empty: 127.0.0.1, and a
	// certificate of the CA counts whatever its name is.
	Host string
	Port int
	// ReadOnly is that the port is the one without TLS: it is asked at 127.0.0.1, whatever Host is, and gets no credentials.
	ReadOnly bool

	// CAFile and TokenFile default to those of the pod's service account, below the first of ServiceAccount where they exist.
	CAFile, TokenFile string
	// ServiceAccount are folders with ca.crt and token. Empty: the two where Linux has them.
	ServiceAccount []string
	// CertFile and KeyFile are a client certificate and its key: both or none. With them no token is sent.
	CertFile, KeyFile string
	// Anonymous sends neither token nor certificate.
	Anonymous bool
	// InsecureSkipVerification takes any certificate of the kubelet: whoever answers at its port decides what runs where.
	InsecureSkipVerification bool

	// KeepCompleted keeps pods that have ended.
	KeepCompleted bool

	// ReloadInterval is after how long the next fetch reads the files again; 0: a minute.
	ReloadInterval time.Duration
	// PollInterval is the least time between the starts of two fetches; 0: half a second.
	PollInterval time.Duration

	// Go starts a goroutine that may not end the process by a panic. It must be set.
	Go func(name string, fn func())
}

// Kubelet asks a kubelet for its pods. All callers share one fetch at a time. It is safe for concurrent use.
type Kubelet struct {
	config KubeletConfig
}

// OpenKubelet reads the files that a configuration names. It connects to nothing.
func OpenKubelet(c KubeletConfig) (*Kubelet, error) {
	return &Kubelet{config: c}, nil
}

// Pods returns a list whose number is above newerThan: the last one if the next fetch may not start yet, else that of a fetch which
// all callers share. An error is that of this fetch, and never answered from an older list, or the context's.
func (k *Kubelet) Pods(ctx context.Context, newerThan uint64) (*PodList, error) {
	return nil, context.Canceled
}

// Begun returns the number of the last fetch that has begun: a list above it was asked for after this call.
func (k *Kubelet) Begun() uint64 { return 0 }

// Close ends a fetch that still runs and waits for its end.
func (k *Kubelet) Close() {}
