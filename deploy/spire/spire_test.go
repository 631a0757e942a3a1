package spire_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl"
	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/printer"
	"sigs.k8s.io/yaml"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/workload"
)

// agent is what an agent's configuration says of an attestor.
type agent struct {
	Plugins struct {
		WorkloadAttestor map[string]struct {
			Cmd      string            `hcl:"plugin_cmd"`
			Args     []string          `hcl:"plugin_args"`
			Checksum string            `hcl:"plugin_checksum"`
			Data     map[string]string `hcl:"plugin_data"`
		}
	} `hcl:"plugins"`
}

// The configurations can be read, keep the names of the built-in attestors, name the program by an absolute path, and demand a proof. The same
// words are on the page of the point.
func TestAgentConfigurations(t *testing.T) {
	page, err := os.ReadFile("../../docs/start/spire.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"docker": "agent-docker.conf", "k8s": "agent-k8s.conf"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var read agent
		if err := hcl.Unmarshal(content, &read); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		attestors := read.Plugins.WorkloadAttestor
		got := attestors[name]
		if len(attestors) != 1 || got.Cmd != "/opt/assay/assay" || !slices.Equal(got.Args, []string{"spire", name}) || len(got.Checksum) != 64 {
			t.Errorf("%s: %+v", file, attestors)
		}
		text := ""
		for key, value := range got.Data {
			text += fmt.Sprintf("%s = %q\n", key, value)
		}
		if notes := refused(name, text); len(notes) > 0 {
			t.Errorf("%s: the attestor says %q", file, notes)
		}
		if got.Data["policy"] != "/etc/assay/policies" {
			t.Errorf("%s demands nothing: %v", file, got.Data)
		}
		if !strings.Contains(string(page), "deploy/spire/"+file) {
			t.Errorf("docs/start/spire.md lacks %s", file)
		}
	}
}

// To see the pods of a node is all that the agent needs of its kubelet. By nodes/proxy it could run commands in all of them.
func TestDaemonSetRights(t *testing.T) {
	content, err := os.ReadFile("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: ClusterRole\n")) {
			if err := yaml.UnmarshalStrict(document, &role); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if len(role.Rules) != 1 {
		t.Fatalf("%+v", role)
	}
	rule := role.Rules[0]
	if !slices.Equal(rule.Resources, []string{"pods", "nodes", "nodes/pods"}) || !slices.Equal(rule.Verbs, []string{"get"}) {
		t.Errorf("the agent may do %+v", rule)
	}
}

func made(name string) spire.Attestor {
	shared := spire.New(spire.NewLog(io.Discard))
	proc := workload.NewProc(fstest.MapFS{})
	if name == "k8s" {
		return spire.NewKubernetes(spire.KubernetesConfig{Plugin: shared, Proc: proc})
	}
	return spire.NewDocker(spire.DockerConfig{Plugin: shared, Proc: proc})
}

// refused returns what the attestor itself has to say against its configuration.
func refused(name, text string) []string {
	var problems []string
	_, notes := made(name).Read(text)
	for _, n := range notes {
		if n.Problem {
			problems = append(problems, n.Text)
		}
	}
	return problems
}

// Every piece of an agent's configuration on a page about the point is read by the attestor that it names.
func TestConfigurationsOnPages(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*/*spire*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%q, %v", pages, err)
	}
	read := 0
	for _, page := range pages {
		for i, block := range blocks(t, page) {
			name, data := pluginData(t, block)
			if problems := refused(name, data); len(problems) > 0 {
				t.Errorf("%s, block %d: %q", page, i+1, problems)
			}
			read++
		}
	}
	if read < 5 {
		t.Errorf("only %d pieces were read", read)
	}
}

// The page for those who come from SPIRE's attestors says what the log says: which block stands for one with old keys.
func TestOldKeysOnPage(t *testing.T) {
	all := blocks(t, "../../docs/start/from-spire.md")
	if len(all) != 4 {
		t.Fatalf("%d blocks", len(all))
	}
	_, before := pluginData(t, all[2])
	_, after := pluginData(t, all[3])
	attestor := made("k8s")
	_, notes := attestor.Read(before)
	for _, n := range notes {
		_, block, found := strings.Cut(n.Text, "which change the selectors: ")
		if !found {
			continue
		}
		said, _ := attestor.Read(block)
		written, _ := attestor.Read(after)
		if said == nil || !reflect.DeepEqual(said, written) {
			t.Errorf("the log says %s, the page %s", block, after)
		}
		return
	}
	t.Errorf("no block is named: %v", notes)
}

// blocks are the pieces of HCL on a page.
func blocks(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, match := range hclBlock.FindAllStringSubmatch(string(content), -1) {
		all = append(all, match[1])
	}
	return all
}

var hclBlock = regexp.MustCompile("(?s)```hcl\n(.*?)```")

// pluginData is the name of an attestor, and its configuration as an agent prints it again.
func pluginData(t *testing.T, text string) (name, data string) {
	t.Helper()
	file, err := hcl.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	attestors := file.Node.(*ast.ObjectList).Filter("WorkloadAttestor").Items
	if len(attestors) != 1 {
		t.Fatalf("%d attestors: %s", len(attestors), text)
	}
	body := attestors[0].Val.(*ast.ObjectType).List.Filter("plugin_data")
	var out bytes.Buffer
	if err := printer.Fprint(&out, body.Items[0].Val.(*ast.ObjectType).List); err != nil {
		t.Fatal(err)
	}
	return attestors[0].Keys[0].Token.Value().(string), out.String()
}

// The program comes into the agent's container by an init container, and can be changed by nobody there. The plugin finds what it needs.
func TestDaemonSet(t *testing.T) {
	content, err := os.ReadFile("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.DaemonSet
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		if bytes.Contains(document, []byte("kind: DaemonSet")) {
			if err := yaml.UnmarshalStrict(document, &set); err != nil {
				t.Fatal(err)
			}
		}
	}
	pod := set.Spec.Template.Spec
	if !pod.HostPID || len(pod.InitContainers) != 1 || len(pod.Containers) != 1 {
		t.Fatalf("%+v", pod)
	}
	if args := pod.InitContainers[0].Args; !slices.Equal(args, []string{"spire", "install", "/opt/assay"}) {
		t.Errorf("the init container does %q", args)
	}
	mounts := map[string]corev1.VolumeMount{}
	for _, m := range pod.Containers[0].VolumeMounts {
		mounts[m.MountPath] = m
		if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	if m, ok := mounts["/opt/assay"]; !ok || !m.ReadOnly {
		t.Errorf("the program can be changed: %+v", m)
	}
	if m, ok := mounts["/tmp"]; !ok || m.ReadOnly {
		t.Errorf("there is no place for the socket: %+v", m)
	}
	if _, ok := mounts["/etc/assay/policies"]; !ok {
		t.Error("there are no policies")
	}
}
