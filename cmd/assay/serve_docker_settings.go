package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
)

// dockerSettings is what the environment says of the one registry and its Notary server, as img-authz-plugin was told.
type dockerSettings struct {
	registry, notary       string
	registryCA, notaryCA   string // PEM, or the name of a file
	credentials            string // USER:PASSWORD
	policy                 string
	routes                 []string
	defaultHost, notaryURL string // where nothing is said
}

func (a *app) dockerSettings() dockerSettings {
	s := dockerSettings{
		registry: a.getenv("REGISTRY"), notary: a.getenv("NOTARY"), notaryCA: a.getenv("NOTARY_ROOT_CA"),
		registryCA: a.getenv("REGISTRY_CA"), credentials: a.getenv("REGISTRY_CREDENTIALS"), policy: a.getenv("POLICY"),
		defaultHost: "docker.io", notaryURL: "https://notary.docker.io",
	}
	for pair := range strings.SplitSeq(a.getenv("ROUTES"), ",") {
		if pair = strings.TrimSpace(pair); pair != "" {
			s.routes = append(s.routes, pair)
		}
	}
	return s
}

// pemOf returns certificates that a setting is, or the content of the file that it names.
func pemOf(r *reading, name, setting string) (string, error) {
	if setting == "" || strings.Contains(setting, "-----BEGIN") {
		return setting, nil
	}
	content, err := r.file(setting, maxMaterial)
	if err != nil {
		return "", usageError("%s: neither certificates in PEM nor a file: %w", name, err)
	}
	return string(content), nil
}

// convert makes of the settings what an import would.
func (s *dockerSettings) convert(r *reading, now time.Time) (*convert.Result, error) {
	ca, err := pemOf(r, "NOTARY_ROOT_CA", s.notaryCA)
	if err != nil {
		return nil, err
	}
	return convert.Plugin(convert.PluginSettings{Registry: s.registry, Notary: s.notary, NotaryCA: ca}, convert.Options{Now: now})
}

// policies returns the source of the policy that the settings are, which tells log of each place where it means something else than before.
func (s *dockerSettings) policies(log *slog.Logger, now func() time.Time) func(*reading) ([]*policy.Policy, error) {
	return func(r *reading) ([]*policy.Policy, error) {
		result, err := s.convert(r, now())
		if err != nil {
			return nil, err
		}
		p, err := policy.Parse(policy.Source{Name: "REGISTRY and NOTARY (converted)", Data: result.Policy}, formatNames())
		if err != nil {
			return nil, err
		}
		for _, n := range result.Notes {
			level := slog.LevelInfo
			if n.Urgent {
				level = slog.LevelWarn
			}
			log.Log(context.Background(), level, "settings", "note", enforce.Plain(n.String()))
		}
		return []*policy.Policy{p}, nil
	}
}

// registries adds what the settings say of the registry and of the Notary server to settings of files, which count where both name a host. The CA
// of the Notary server is tried for a registry on the same host, and the login of the registry at a Notary server there.
func (s *dockerSettings) registries(r *reading, settings []registry.Settings) ([]registry.Settings, error) {
	registryCA, err := pemOf(r, "REGISTRY_CA", s.registryCA)
	if err != nil {
		return nil, err
	}
	notaryCA, err := pemOf(r, "NOTARY_ROOT_CA", s.notaryCA)
	if err != nil {
		return nil, err
	}
	user, password, found := strings.Cut(s.credentials, ":")
	if s.credentials != "" && (!found || user == "" || password == "") {
		return nil, usageError("REGISTRY_CREDENTIALS: want USER:PASSWORD")
	}
	host, server := hostOf(cmp.Or(s.registry, s.defaultHost)), hostOf(cmp.Or(s.notary, s.notaryURL))
	beside := host != "" && withoutPort(host) == withoutPort(server)
	add := func(one registry.Settings) {
		if one.Host == "" || one.CA == "" && one.Username == "" && !one.InsecureAllowLoopback ||
			slices.ContainsFunc(settings, func(of registry.Settings) bool { return of.Host == one.Host }) {
			return
		}
		settings = append(settings, one)
	}
	one := registry.Settings{Host: host, CA: registryCA, Username: user, Password: password, InsecureAllowLoopback: s.registry != "" && loops(host)}
	if beside && one.CA == "" {
		one.CA = notaryCA
	}
	add(one)
	other := registry.Settings{Host: server, CA: notaryCA, InsecureAllowLoopback: s.notary != "" && loops(server)}
	if beside {
		other.Username, other.Password = user, password
	}
	add(other)
	return settings, nil
}

// hostOf returns the canonical form of a host, or of a URL's; "" if it is none, which the conversion to a policy says.
func hostOf(text string) string {
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil {
			return ""
		}
		text = u.Host
	}
	ref, err := image.Parse(text + "/x/x")
	if err != nil || strings.Contains(text, "/") || ref.Repository() != "x/x" {
		return ""
	}
	return ref.Registry()
}

func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// loops reports whether somebody who wrote a host meant this one.
func loops(host string) bool {
	name := withoutPort(host)
	return name == "localhost" || name == "[::1]" || strings.HasPrefix(name, "127.")
}
