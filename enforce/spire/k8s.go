package spire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/workload"
)

// KubernetesConfig is what the k8s attestor is made of.
type KubernetesConfig struct {
	Plugin *Plugin
	Proc   *workload.Proc
	// NewVerifier makes what a configuration demands. It is called for those that demand something.
	NewVerifier NewVerifier
	// Getenv reads the environment, where the name of the node and the address of the API server stand. Nil: it is empty.
	Getenv func(string) string
	// ServiceAccount are folders that may have ca.crt and token of the pod's service account; nil: those of the system.
	ServiceAccount []string
	GOOS           string // the system whose keys hold; "": the one that the program was built for
}

// NewKubernetes makes the attestor of the containers of a Kubernetes node.
func NewKubernetes(c KubernetesConfig) Attestor {
	c.GOOS = cmp.Or(c.GOOS, runtime.GOOS)
	if c.Getenv == nil {
		c.Getenv = func(string) string { return "" }
	}
	return &kubernetesAttestor{c}
}

type kubernetesAttestor struct{ KubernetesConfig }

// Name implements Attestor.
func (a *kubernetesAttestor) Name() string { return "k8s" }

// Read implements Attestor.
func (a *kubernetesAttestor) Read(hcl string) (any, []Note) {
	s, n := readKubernetes(hcl, a.GOOS)
	if s == nil {
		return nil, n
	}
	return s, n
}

func (a *kubernetesAttestor) locator(s *KubernetesSettings) workload.LocatorConfig {
	return workload.LocatorConfig{
		Proc: a.Proc, Pods: true, Legacy: !s.NewLocator, MountinfoFallback: s.MountinfoFallback, Log: a.Plugin.Log(), Verbose: s.Verbose,
		OnFallback: func() { a.Plugin.Count("mountinfo_fallbacks", "attestor", a.Name()) },
	}
}

func (a *kubernetesAttestor) kubelet(s *KubernetesSettings) workload.KubeletConfig {
	return workload.KubeletConfig{
		Host: cmp.Or(s.NodeName, a.Getenv(s.NodeNameEnv)), Port: max(s.ReadOnlyPort, s.SecurePort), ReadOnly: s.ReadOnlyPort > 0,
		CAFile: s.CAPath, TokenFile: s.TokenPath, ServiceAccount: a.serviceAccount(), CertFile: s.CertificatePath, KeyFile: s.PrivateKeyPath,
		Anonymous: s.Anonymous, InsecureSkipVerification: s.SkipVerification, KeepCompleted: !s.ExcludeCompletedPods,
		ReloadInterval: s.ReloadInterval, PollInterval: s.PollRetryInterval, Go: a.Plugin.Go, Fetched: a.fetched,
	}
}

// fetched says once what all who wait for a list are told, and what in one can never be found.
func (a *kubernetesAttestor) fetched(list *workload.PodList, err error) {
	log := a.Plugin.Log()
	if err != nil {
		a.Plugin.Count("kubelet_errors", "attestor", a.Name())
		log.Warn("The kubelet gave no list of pods", "error", enforce.Plain(err.Error()))
		return
	}
	if list.Skipped > 0 {
		log.Warn("Pods without a UID are left out", "pods", list.Skipped)
	}
	for _, id := range list.Malformed {
		log.Error("Malformed container ID", "container_id", enforce.Plain(id))
	}
}

// serviceAccount is where the files of the service account are. In a host process container of Windows the folders are below another one.
func (a *kubernetesAttestor) serviceAccount() []string {
	mount := a.Getenv("CONTAINER_SANDBOX_MOUNT_POINT")
	if a.ServiceAccount != nil || a.GOOS != windows || mount == "" {
		return a.ServiceAccount
	}
	return []string{
		filepath.Join(mount, "var/run/secrets/kubernetes.io/serviceaccount"), filepath.Join(mount, "run/secrets/kubernetes.io/serviceaccount"),
	}
}

func (a *kubernetesAttestor) api(s *KubernetesSettings) workload.KubeAPIConfig {
	return workload.KubeAPIConfig{
		Host: a.Getenv("KUBERNETES_SERVICE_HOST"), Port: a.Getenv("KUBERNETES_SERVICE_PORT"), ServiceAccount: a.serviceAccount(),
		ReloadInterval: s.ReloadInterval, Watch: s.ObjectCache, Go: a.Plugin.Go,
	}
}

// Make implements Attestor. Clients stay with what they know, as long as they are made in the same way.
func (a *kubernetesAttestor) Make(settings any, _ string, previous State) (State, error) {
	s, ok := settings.(*KubernetesSettings)
	if !ok {
		return nil, fmt.Errorf("no settings of the k8s attestor: %T", settings)
	}
	before, _ := previous.(*kubernetesState)
	if before == nil {
		before = &kubernetesState{node: &nodeMemory{}}
	}
	made := &kubernetesState{plugin: a.Plugin, proc: a.Proc, settings: s, node: before.node}
	if err := made.open(a, s, before); err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

func (k *kubernetesState) open(a *kubernetesAttestor, s *KubernetesSettings, before *kubernetesState) (err error) {
	if k.locator, err = workload.NewLocator(a.locator(s)); err != nil {
		return err
	}
	if !s.DisableKubeletClient {
		if k.kubelet, err = openKubelet(a.kubelet(s), before.kubelet); err != nil {
			return err
		}
	}
	k.api = openKubeAPI(a.api(s), before.api)
	a.countWeakened(s)
	if s.Verification.Demanded() {
		k.verifier, err = demand(a.NewVerifier, s.Verification, a.Name())
	}
	return err
}

func (a *kubernetesAttestor) countWeakened(s *KubernetesSettings) {
	for key, weak := range map[string]bool{"skip_kubelet_verification": s.SkipVerification, "insecure_mountinfo_fallback": s.MountinfoFallback} {
		if weak {
			a.Plugin.Count("weakened_checks", "attestor", a.Name(), "key", key)
		}
	}
}

func openKubelet(c workload.KubeletConfig, before *kept[*workload.Kubelet]) (*kept[*workload.Kubelet], error) {
	client, err := workload.OpenKubelet(c) // always, so that its files are read: one that cannot be is an error of this configuration
	if err != nil {
		return nil, err
	}
	key := madeBy(c.Host, c.Port, c.ReadOnly, c.CAFile, c.TokenFile, c.ServiceAccount, c.CertFile, c.KeyFile, c.Anonymous, c.InsecureSkipVerification,
		c.KeepCompleted, c.ReloadInterval, c.PollInterval)
	if before.share(key) {
		client.Close()
		return before, nil
	}
	return keep(client, key, client.Close), nil
}

func openKubeAPI(c workload.KubeAPIConfig, before *kept[*workload.KubeAPI]) *kept[*workload.KubeAPI] {
	key := madeBy(c.Host, c.Port, c.ServiceAccount, c.ReloadInterval, c.Watch)
	if before.share(key) {
		return before
	}
	client := workload.NewKubeAPI(c)
	return keep(client, key, client.Close)
}

// madeBy is a text that differs where one of the parts of a configuration does.
func madeBy(parts ...any) string {
	var key strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&key, "%q\x00", fmt.Sprint(part))
	}
	return key.String()
}

// kubernetesState answers with one configuration of the k8s attestor.
//
// It keeps nothing of an answer. Which pod a container belongs to never changes, but its labels and the state of its containers do, and
// they are in the same list; so every answer is of a list that is not older than poll_retry_interval, and calls within this time share one. The
// evidence of images is kept by the engine, by digest.
type kubernetesState struct {
	plugin   *Plugin
	proc     *workload.Proc
	settings *KubernetesSettings
	locator  *workload.Locator
	kubelet  *kept[*workload.Kubelet] // nil: its client is disabled
	api      *kept[*workload.KubeAPI]
	verifier Verifier // nil: nothing is demanded
	node     *nodeMemory
}

var _ Patient = (*kubernetesState)(nil)

// nodeMemory is what is known of a node whatever the configuration says.
type nodeMemory struct {
	// foreign is that a pod's container was found at a place that looks like another manager's. Then such places mean nothing here.
	foreign atomic.Bool
}

// Patience implements Patient.
func (k *kubernetesState) Patience() time.Duration {
	polling := maxPatience
	if attempts, interval := k.settings.MaxPollAttempts, k.settings.PollRetryInterval; attempts < int(maxPatience/interval) {
		polling = time.Duration(attempts) * interval
	}
	return polling + CallTimeout
}

// maxPatience is the longest time that a configuration can make a call wait for the kubelet.
const maxPatience = time.Hour

// Close implements State.
func (k *kubernetesState) Close() {
	if k.verifier != nil {
		k.verifier.Close()
	}
	k.kubelet.release()
	k.api.release()
}

// Attest implements State.
func (k *kubernetesState) Attest(ctx context.Context, pid int32) ([]string, error) {
	return k.process(ctx, pid, nil)
}

// found is a pod and, where one is known, the container that is meant.
type found struct {
	pod       *workload.Pod
	container *workload.ContainerStatus
}

var errNoKubelet = errors.New("kubelet client is disabled")
