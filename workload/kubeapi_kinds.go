package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

type knownKind struct {
	kind  Kind
	until time.Time
}

// Kind is a kind of objects, as the server knows it.
type Kind struct {
	Plural  string
	Group   string // "core" for the one without a name
	Version string
	Kind    string
	// Namespaced is that its objects are in namespaces.
	Namespaced bool
}

// APIVersion is group and version as manifests write them.
func (k Kind) APIVersion() string {
	if k.Group == coreGroup {
		return k.Version
	}
	return k.Group + "/" + k.Version
}

// coreGroup is how references call the group without a name.
const coreGroup = "core"

func (k Kind) path(namespace, name string) string {
	path := "/apis/" + url.PathEscape(k.Group) + "/" + url.PathEscape(k.Version)
	if k.Group == coreGroup {
		path = "/api/" + url.PathEscape(k.Version)
	}
	if namespace != "" {
		path += "/namespaces/" + url.PathEscape(namespace)
	}
	path += "/" + url.PathEscape(k.Plural)
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	return path
}

// Kind returns what the server knows of a kind by its plural, such as "pods", and its group, which is "core" for the one without a name.
// What it knows is remembered for some minutes. ErrNoKind: nothing.
func (a *KubeAPI) Kind(ctx context.Context, plural, group string) (Kind, error) {
	if err := plainNames(plural, group); err != nil {
		return Kind{}, fmt.Errorf("%w: %w", ErrNoKind, err)
	}
	key := plural + "." + group
	if k, known := a.rememberedKind(key); known {
		return k, nil
	}
	versions, err := a.versions(ctx, group)
	if err != nil {
		return Kind{}, err
	}
	for _, version := range versions {
		k, found, err := a.kindOf(ctx, plural, group, version)
		if err != nil {
			return Kind{}, err
		}
		if found {
			a.rememberKind(key, k)
			return k, nil
		}
	}
	return Kind{}, ErrNoKind
}

// versions returns the versions of a group, the preferred one first.
func (a *KubeAPI) versions(ctx context.Context, group string) ([]string, error) {
	if group == coreGroup {
		return []string{"v1"}, nil
	}
	var answer struct {
		PreferredVersion struct{ Version string }
		Versions         []struct{ Version string }
	}
	err := a.ask(ctx, http.MethodGet, "/apis/"+url.PathEscape(group), "application/json", nil, decodeInto(&answer))
	switch {
	case errors.Is(err, ErrNoObject):
		return nil, ErrNoKind
	case err != nil:
		return nil, err
	}
	versions := []string{answer.PreferredVersion.Version}
	for _, v := range answer.Versions {
		if v.Version != versions[0] {
			versions = append(versions, v.Version)
		}
	}
	for _, v := range versions {
		if err := plainNames(v); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", group, err)
		}
	}
	return versions, nil
}

func (a *KubeAPI) kindOf(ctx context.Context, plural, group, version string) (Kind, bool, error) {
	k := Kind{Plural: plural, Group: group, Version: version}
	k.Plural = ""
	var answer struct {
		Resources []struct {
			Name, Kind string
			Namespaced bool
		}
	}
	err := a.ask(ctx, http.MethodGet, strings.TrimSuffix(k.path("", ""), "/"), "application/json", nil, decodeInto(&answer))
	switch {
	case errors.Is(err, ErrNoObject):
		return Kind{}, false, nil
	case err != nil:
		return Kind{}, false, err
	}
	for _, r := range answer.Resources {
		if r.Name == plural {
			k.Plural, k.Kind, k.Namespaced = plural, r.Kind, r.Namespaced
			return k, true, nil
		}
	}
	return Kind{}, false, nil
}

func (a *KubeAPI) rememberedKind(key string) (Kind, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, known := a.kinds[key]
	return k.kind, known && time.Now().Before(k.until)
}

func (a *KubeAPI) rememberKind(key string, k Kind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kinds) >= maxKubeAPIKinds {
		clear(a.kinds)
	}
	a.kinds[key] = knownKind{k, time.Now().Add(kubeAPIKindTTL)}
}
