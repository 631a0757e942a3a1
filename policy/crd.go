package policy

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// CustomResources returns the two CustomResourceDefinitions (apiextensions.k8s.io/v1) of policies as objects of a cluster, as YAML documents.
// formats is that of Schema. Their schemas refuse what the form of a document alone shows to be wrong, with the next step, and keep unknown
// fields, so that Parse can name them. They bound some lists and texts, generously, because the API server bounds the work for its checks.
func CustomResources(formats map[string]any) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Made by: assay policy crd\n")
	for _, r := range []resource{
		{kind: kind, plural: "trustpolicies", short: "tp", scope: "Cluster", doc: "says whose word is needed for which images, for the whole cluster"},
		{kind: namespaceKind, plural: "namespacetrustpolicies", short: "ntp", scope: "Namespaced", doc: "tightens, for the namespace that it lives in, what the cluster's policies decide; it can allow nothing that they do not"},
	} {
		s := structurer{formats: formats, namespaced: r.kind == namespaceKind}
		spec := s.of(reflect.TypeFor[wireSpec]())
		if s.err != nil {
			return nil, s.err
		}
		out.WriteString("---\n")
		text := yaml.NewEncoder(&out)
		text.SetIndent(2)
		if err := text.Encode(r.definition(spec)); err != nil {
			return nil, fmt.Errorf("custom resources: %w", err)
		}
	}
	return out.Bytes(), nil
}

// resource is what tells the two kinds apart.
type resource struct {
	kind, plural, short, scope, doc string
}

func (r resource) definition(spec object) object {
	group, version, _ := strings.Cut(apiVersion, "/")
	spec["description"] = "the policy itself"
	schema := object{
		"type": "object", "description": "A " + r.kind + " " + r.doc + ".", "required": []string{"spec"},
		"properties": object{
			"apiVersion": object{"type": "string"}, "kind": object{"type": "string"}, "metadata": object{"type": "object"},
			"spec": spec, "status": status(),
		},
	}
	return object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": r.plural + "." + group},
		"spec": object{
			"group": group, "scope": r.scope,
			"names": object{
				"kind": r.kind, "listKind": r.kind + "List", "plural": r.plural, "singular": strings.ToLower(r.kind),
				"shortNames": []string{r.short}, "categories": []string{"assay"},
			},
			"versions": []object{{
				"name": version, "served": true, "storage": true, "subresources": object{"status": object{}},
				"schema":                   object{"openAPIV3Schema": schema},
				"additionalPrinterColumns": columns(),
			}},
		},
	}
}

// Conditions of a policy in its status.
const (
	// ConditionAccepted says that the policy is the one that decides. Where it is false, what decides is the last one that was accepted.
	ConditionAccepted = "Accepted"
	// ConditionFresh says that the trust material of the policy's authorities is as new as they want it.
	ConditionFresh = "TrustMaterialFresh"
)

func columns() []object {
	condition := func(name, of, doc string) object {
		return object{"name": name, "type": "string", "description": doc, "jsonPath": `.status.conditions[?(@.type=="` + of + `")].status`}
	}
	return []object{
		{"name": "Mode", "type": "string", "description": "what becomes of a denial", "jsonPath": ".spec.mode"},
		condition("Accepted", ConditionAccepted, "whether this policy is the one that decides"),
		condition("Fresh", ConditionFresh, "whether its trust material is as new as it must be"),
		{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
	}
}

// status describes what Assay writes into an object, in the form of Kubernetes' own conditions (Condition of meta/v1).
func status() object {
	text := func(doc string, longest int) object {
		return object{"type": "string", "description": doc, "maxLength": longest}
	}
	generation := func(doc string) object {
		return object{"type": "integer", "format": "int64", "minimum": 0, "description": doc}
	}
	condition := object{
		"type": "object", "required": []string{"lastTransitionTime", "message", "reason", "status", "type"}, preserve: true,
		"properties": object{
			"type": text("what the condition says: "+ConditionAccepted+" or "+ConditionFresh, 316), "reason": text("why, in one word", 1024),
			"status":  object{"type": "string", "enum": []string{"True", "False", "Unknown"}, "description": "whether it is so"},
			"message": text("why, for people", 32768), "observedGeneration": generation("the version of the spec that the condition speaks about"),
			"lastTransitionTime": object{"type": "string", "format": "date-time", "description": "when status changed last"},
		},
	}
	return object{
		"type": "object", "description": "what Assay has to say about the policy", preserve: true,
		"properties": object{
			"observedGeneration": generation("the version of the spec that was looked at last"),
			"conditions": object{
				"type": "array", "items": condition, "description": "whether the policy decides, and whether its trust material is fresh",
				"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []string{"type"},
			},
		},
	}
}
