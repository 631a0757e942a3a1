//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// deployed is what a pod is made of in a Deployment.
type deployed struct {
	Spec struct {
		Template struct {
			Spec struct {
				ServiceAccountName string
				Containers         []struct {
					Args         []string
					Env          []struct{ Name, Value string }
					VolumeMounts []struct{ Name, MountPath string }
				}
				Volumes []struct {
					Name      string
					ConfigMap struct{ Name string }
					Secret    struct {
						SecretName string
						Items      []struct{ Key, Path string }
					}
				}
			}
		}
	}
}

// cmdPod is "pod NAMESPACE RELEASE": what one pod of a release's Deployment would run is run here, with its arguments, files and rights, and
// its Service leads to it. The output is in pod.log, and its port must be that of the Service. There is nothing that runs pods in a cluster of an API server alone.
func cmdPod(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "pod", neg)
	if len(args) != 2 {
		ts.Fatalf("usage: pod NAMESPACE RELEASE")
	}
	namespace, name := args[0], args[1]
	var d deployed
	deployment := name
	if !strings.Contains(name, "assay") {
		deployment += "-assay"
	}
	getObject(ts, &d, "deployment", deployment, "-n", namespace)
	spec := d.Spec.Template.Spec
	root := ts.MkAbs("pod")
	inside := func(text string) string {
		for _, mount := range spec.Containers[0].VolumeMounts {
			text = strings.ReplaceAll(text, mount.MountPath+"/", filepath.Join(root, mount.MountPath)+"/")
			if strings.HasSuffix(text, "="+mount.MountPath) {
				text = strings.TrimSuffix(text, mount.MountPath) + filepath.Join(root, mount.MountPath)
			}
		}
		return text
	}
	for _, mount := range spec.Containers[0].VolumeMounts {
		folder := filepath.Join(root, mount.MountPath)
		ts.Check(os.MkdirAll(folder, 0o700))
		for _, volume := range spec.Volumes {
			if volume.Name != mount.Name {
				continue
			}
			names := map[string]string{}
			for _, item := range volume.Secret.Items {
				names[item.Key] = item.Path
			}
			if volume.ConfigMap.Name != "" {
				mountObject(ts, folder, names, "configmap", volume.ConfigMap.Name, "-n", namespace)
			}
			if volume.Secret.SecretName != "" {
				mountObject(ts, folder, names, "secret", volume.Secret.SecretName, "-n", namespace)
			}
		}
	}
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + root}
	for _, e := range spec.Containers[0].Env {
		env = append(env, e.Name+"="+inside(e.Value))
	}
	var flags []string
	port := ""
	for _, arg := range spec.Containers[0].Args {
		flags = append(flags, inside(arg))
		if listen, found := strings.CutPrefix(arg, "--listen=:"); found {
			port = listen
		}
	}
	worldOf(ts).kubernetes.account(namespace, spec.ServiceAccountName, "pod.kubeconfig")
	flags = append(flags, "--kubeconfig="+ts.MkAbs("pod.kubeconfig"))
	path, err := find(ts, "assay")
	ts.Check(err)
	p, err := launch(ts.MkAbs("."), ts.MkAbs("pod.log"), env, path, flags...)
	ts.Check(err)
	ts.Defer(p.end)
	worldOf(ts).servers["pod"] = p
	ts.Check(p.await(func() error { return answers("https://localhost:" + port + "/readyz") }))
	leadTo(ts, namespace, name, port)
}

func getObject(ts *testscript.TestScript, into any, args ...string) {
	ts.Check(ts.Exec("kubectl", append([]string{"get", "-o", "json"}, args...)...))
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), into))
}

// mountObject writes the keys of a ConfigMap or a Secret as files.
func mountObject(ts *testscript.TestScript, folder string, names map[string]string, args ...string) {
	var object struct{ Data map[string]string }
	getObject(ts, &object, args...)
	for key, value := range object.Data {
		content := []byte(value)
		if args[0] == "secret" {
			var err error
			content, err = base64.StdEncoding.DecodeString(value)
			ts.Check(err)
		}
		if names[key] != "" {
			key = names[key]
		}
		ts.Check(os.WriteFile(filepath.Join(folder, key), content, 0o600))
	}
}

// leadTo makes a Service's endpoint of this machine's own address: a loopback address is not allowed there.
func leadTo(ts *testscript.TestScript, namespace, service, port string) {
	number, err := strconv.Atoi(port)
	ts.Check(err)
	addresses, err := net.InterfaceAddrs()
	ts.Check(err)
	var own string
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
			own = ip.IP.String()
		}
	}
	slice := fmt.Sprintf(`{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":%q,"namespace":%q,"labels":{"kubernetes.io/service-name":%q}},`+
		`"addressType":"IPv4","ports":[{"name":"https","port":%d,"protocol":"TCP"}],"endpoints":[{"addresses":[%q],"conditions":{"ready":true}}]}`, service, namespace, service, number, own)
	ts.Check(os.WriteFile(ts.MkAbs("endpoints.json"), []byte(slice), 0o600))
	ts.Check(ts.Exec("kubectl", "apply", "-f", "endpoints.json"))
}
