package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// ObjectFile is what a policy that is an object of a cluster names in place of a file: one key of a Secret or ConfigMap in the policy's own
// namespace, or for a policy of the whole cluster in Assay's.
type ObjectFile struct {
	Kind string // "secret" or "configmap"
	Name string
	Key  string
}

// String returns the form that ParseObjectFile reads.
func (f ObjectFile) String() string { return f.Kind + ":" + f.Name + "/" + f.Key }

var (
	objectName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	objectKey  = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
)

// maxObjectName is the longest name of an object, and of a key of a Secret or ConfigMap, in characters.
const maxObjectName = 253

// ParseObjectFile reads a name of the form "secret:NAME/KEY" or "configmap:NAME/KEY", which is how an object of a cluster names files, as
// Source.ReadFile is given it. There is no form that names a namespace. Errors say what form is right.
func ParseObjectFile(name string) (ObjectFile, error) {
	kind, rest, found := strings.Cut(name, ":")
	if !found || kind != "secret" && kind != "configmap" {
		return ObjectFile{}, fmt.Errorf("%q is no file that a policy in a cluster can name; write secret:NAME/KEY or configmap:NAME/KEY", clip(name))
	}
	parts := strings.Split(rest, "/")
	switch {
	case len(parts) > 2:
		return ObjectFile{}, fmt.Errorf("%q has %d parts, and other namespaces cannot be named: a policy reads from one namespace only; write %s:NAME/KEY",
			clip(name), len(parts), kind)
	case len(parts) < 2 || parts[1] == "":
		return ObjectFile{}, fmt.Errorf("%q does not say which key of the %s is meant; write %s:NAME/KEY", clip(name), kind, kind)
	}
	f := ObjectFile{Kind: kind, Name: parts[0], Key: parts[1]}
	switch {
	case len(f.Name) > maxObjectName || !objectName.MatchString(f.Name):
		return ObjectFile{}, fmt.Errorf("%q: %q is no name of a %s; write %s:NAME/KEY", clip(name), clip(f.Name), kind, kind)
	case len(f.Key) > maxObjectName || !objectKey.MatchString(f.Key) || f.Key == "." || strings.HasPrefix(f.Key, ".."):
		return ObjectFile{}, fmt.Errorf("%q: %q is no key of a %s; write %s:NAME/KEY", clip(name), clip(f.Key), kind, kind)
	}
	return f, nil
}

// objectFileError is why a file that an object names could not be read.
type objectFileError struct{ cause error }

// Error returns the cause with a next step.
func (e *objectFileError) Error() string {
	text := e.cause.Error()
	if strings.Contains(text, "; ") {
		return text
	}
	return text + "; write secret:NAME/KEY or configmap:NAME/KEY, of what is there"
}

// Unwrap returns the cause.
func (e *objectFileError) Unwrap() error { return e.cause }
