// Package cluster is what the point kubernetes knows of the cluster that it stands in.
//
// It is apart from the point, which is decided by bytes and values, because of the weight of Kubernetes' client.
package cluster

import (
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// Cluster is the way to one API server. Everything that this package knows of the cluster is made from it.
type Cluster struct {
	config *rest.Config
	log    *slog.Logger
}

// logOnce is for the one logger that Kubernetes' client has for the whole process: it must not be replaced while it is used.
var logOnce sync.Once

// Open prepares the way. kubeconfig is the name of a file; without one, the pod's service account is used. Kubernetes' client logs for the
// whole process, and does so to the log of the first one that was opened. Nothing is asked yet.
func Open(kubeconfig string, log *slog.Logger) (*Cluster, error) {
	logOnce.Do(func() { klog.SetSlogLogger(log) })
	config, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "assay"
	return &Cluster{config: config, log: log}, nil
}

// unhurried is for clients that do not hold requests back by a rate of their own: the API server waits for the answer to one of its own. The
// usual rate is five a second.
func (c *Cluster) unhurried() *rest.Config {
	config := rest.CopyConfig(c.config)
	config.QPS = -1
	return config
}

func load(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("service account of the pod: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return config, nil
}
