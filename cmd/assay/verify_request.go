package main

import (
	"regexp"
	"strings"

	"github.com/assay-dev/assay/policy"
)

// namespaceNameLabel is the label that every namespace has, with its name.
const namespaceNameLabel = "kubernetes.io/metadata.name"

// request says where the images are about to run.
func (o *verifyOptions) request() (policy.Request, error) {
	r := policy.Request{Point: o.point, Namespace: o.namespace, HasNamespace: o.namespace != ""}
	if !o.labelsGiven {
		return r, nil
	}
	if !r.HasNamespace {
		return r, usageError("--namespace-labels without --namespace: whose labels are they?")
	}
	r.NamespaceLabels = map[string]string{namespaceNameLabel: o.namespace}
	if o.labels == "" {
		return r, nil
	}
	for _, pair := range strings.Split(o.labels, ",") {
		key, value, found := strings.Cut(pair, "=")
		before, twice := r.NamespaceLabels[key]
		switch {
		case !found || key == "" || strings.TrimSpace(pair) != pair:
			return r, withHint(usageError("--namespace-labels %q: want KEY=VALUE, with commas between", o.labels),
				"kubectl get namespace "+o.namespace+" --show-labels writes them so")
		case twice && before != value:
			return r, usageError("--namespace-labels %q: %s has two values", o.labels, key)
		}
		r.NamespaceLabels[key] = value
	}
	return r, nil
}

var isPlatform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+(/[a-z0-9.]+)?$`)

// checkContent refuses flags about content that nobody would see the effect of.
func (o *verifyOptions) checkContent() error {
	switch {
	case o.content && o.output != "json":
		return withHint(usageError("--content beside --output %s: only a verdict in JSON says which content it is about", o.output), "use -o json")
	case o.platform != "" && !o.content:
		return usageError("--platform without --content: it narrows the content that is told; a rule of a policy names the platform that it lets stand for an index")
	case o.platform != "" && !isPlatform.MatchString(o.platform):
		return usageError("--platform %q: want OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64", o.platform)
	}
	return nil
}
