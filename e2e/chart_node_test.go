//go:build e2e

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rendered is an object of the chart, as far as is looked at here.
type rendered struct {
	Kind     string
	Metadata struct{ Name string }
	Rules    []struct {
		Resources, Verbs []string
		ResourceNames    []string `yaml:"resourceNames"`
	}
	Spec struct {
		Selector       any
		UpdateStrategy struct {
			RollingUpdate struct {
				MaxSurge       int `yaml:"maxSurge"`
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		} `yaml:"updateStrategy"`
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				HostPID        bool `yaml:"hostPID"`
				HostIPC        bool `yaml:"hostIPC"`
				Containers     []chartContainer
				InitContainers []chartContainer `yaml:"initContainers"`
				Volumes        []struct {
					Name     string
					HostPath *struct{ Path, Type string } `yaml:"hostPath"`
				}
			}
		}
	}
}

// chartContainer is a container of a pod.
type chartContainer struct {
	ImagePullPolicy string `yaml:"imagePullPolicy"`
	Args            []string
	SecurityContext struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		Privileged   *bool
		ReadOnly     bool `yaml:"readOnlyRootFilesystem"`
		Capabilities struct{ Drop, Add []string }
	} `yaml:"securityContext"`
}

func objectsOf(t *testing.T, text string) []rendered {
	t.Helper()
	var all []rendered
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o rendered
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if o.Kind != "" {
			all = append(all, o)
		}
	}
	return all
}

func one(t *testing.T, all []rendered, kind, name string) rendered {
	t.Helper()
	i := slices.IndexFunc(all, func(o rendered) bool { return o.Kind == kind && o.Metadata.Name == name })
	if i < 0 {
		t.Fatalf("there is no %s %s", kind, name)
	}
	return all[i]
}

const aNode = "policyResources.alone=true,node.enabled=true"

// T41: a node's daemon can read policies, and nothing else; of the node it has its own folders.
func TestT41_ChartsNodeHasNoMoreThanItNeeds(t *testing.T) {
	all := objectsOf(t, render(t, "--values", "testdata/chart/node.values.yaml"))
	for _, role := range []rendered{one(t, all, "ClusterRole", "guard-node"), one(t, all, "Role", "guard-node")} {
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				if verb != "list" && verb != "watch" {
					t.Errorf("%s %s: %v of %v", role.Kind, role.Metadata.Name, verb, rule.Resources)
				}
			}
			if role.Kind == "Role" && len(rule.ResourceNames) == 0 {
				t.Errorf("%v are not named one by one", rule.Resources)
			}
			if slices.Contains(rule.Resources, "*") || role.Kind == "ClusterRole" && slices.Contains(rule.Resources, "secrets") {
				t.Errorf("too much: %v", rule.Resources)
			}
		}
	}
	d := one(t, all, "DaemonSet", "guard-node")
	pod := d.Spec.Template.Spec
	for _, c := range append(pod.Containers, pod.InitContainers...) {
		if !slices.Contains(c.SecurityContext.Capabilities.Drop, "ALL") || len(c.SecurityContext.Capabilities.Add) > 0 {
			t.Errorf("capabilities: %+v", c.SecurityContext.Capabilities)
		}
		if s := c.SecurityContext; !s.ReadOnly || s.Escalation == nil || *s.Escalation || s.Privileged == nil || *s.Privileged {
			t.Errorf("got %+v", s)
		}
		if c.ImagePullPolicy != "IfNotPresent" {
			t.Errorf("a start would ask for a pull: %s", c.ImagePullPolicy)
		}
	}
	if pod.HostPID || pod.HostIPC {
		t.Errorf("got %+v", pod)
	}
	var paths []string
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			paths = append(paths, v.HostPath.Path)
		}
	}
	if slices.Sort(paths); !slices.Equal(paths, []string{"/run/assay", "/var/lib/assay"}) {
		t.Errorf("of the node it has %q", paths)
	}
}

// Neither the Service of the webhook nor its disruption budget takes the pods of nodes for its own.
func TestChartsNodesAreNoWebhooks(t *testing.T) {
	all := objectsOf(t, render(t, "--set", aNode))
	labels := one(t, all, "DaemonSet", "guard-node").Spec.Template.Metadata.Labels
	if labels["app.kubernetes.io/name"] != "assay-node" {
		t.Errorf("got %v", labels)
	}
	text := render(t, "--set", aNode)
	for _, m := range regexp.MustCompile(`(?m)^ +app\.kubernetes\.io/name: (\S+)$`).FindAllStringSubmatch(text, -1) {
		if m[1] != "assay" && m[1] != "assay-node" {
			t.Errorf("got %s", m[1])
		}
	}
	for _, kind := range []string{"Service", "PodDisruptionBudget", "NetworkPolicy"} {
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.Contains(document, "\nkind: "+kind+"\n") && strings.Contains(document, "assay-node") {
				t.Errorf("%s chooses nodes:\n%s", kind, document)
			}
		}
	}
	if off := render(t, "--set", "policyResources.alone=true"); strings.Contains(off, "DaemonSet") {
		t.Error("it is there without being wanted")
	}
}

// An upgrade has the next daemon's image pulled while the one before answers, unless both would need one port.
func TestT41_ChartsNodeIsNeverWithoutADaemon(t *testing.T) {
	for set, want := range map[string][2]int{
		aNode: {1, 0}, aNode + ",node.metricsPort=9323": {0, 1}, aNode + ",node.metricsPort=9323,node.hostNetwork=false,node.dnsPolicy=ClusterFirst": {1, 0},
	} {
		d := one(t, objectsOf(t, render(t, "--set", set)), "DaemonSet", "guard-node")
		if got := d.Spec.UpdateStrategy.RollingUpdate; got.MaxSurge != want[0] || got.MaxUnavailable != want[1] {
			t.Errorf("%s: got %+v", set, got)
		}
		if args := d.Spec.Template.Spec.Containers[0].Args; !slices.Contains(args, "--take-over") {
			t.Errorf("%s: got %q", set, args)
		}
	}
}
