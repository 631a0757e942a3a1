package convert

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/image"
)

// What img-authz-plugin takes where a setting is empty.
const (
	pluginRegistry = "docker.io"
	pluginNotary   = "https://notary.docker.io"
)

// pluginNotaryEnds is when the server of pluginNotary ends, for people.
const pluginNotaryEnds = "2026-12-08"

// PluginSettings are the settings of img-authz-plugin, as they stand. An empty one is the plugin's default.
type PluginSettings struct {
	Registry string // REGISTRY: host, or host:port
	Notary   string // NOTARY: URL, https:// if it has no scheme
	NotaryCA string // NOTARY_ROOT_CA: PEM of the CA that vouches for the TLS certificate of the server; empty: the system's
}

// Plugin converts the settings of img-authz-plugin.
func Plugin(s PluginSettings, o Options) (*Result, error) {
	roots, err := writtenRoots(o)
	if err != nil {
		return nil, err
	}
	registry, err := readRegistry(cmp.Or(s.Registry, pluginRegistry))
	if err != nil {
		return nil, fmt.Errorf("REGISTRY: %w", err)
	}
	notary, err := readServer(cmp.Or(s.Notary, pluginNotary))
	if err != nil {
		return nil, fmt.Errorf("NOTARY: %w", err)
	}
	if !notary.tls {
		return nil, errors.New("NOTARY: the plugin speaks TLS only; write https://")
	}
	var hosts []Host
	if s.NotaryCA != "" {
		if !notary.named {
			return nil, fmt.Errorf("NOTARY: settings of registries cannot name the host %s, which has no dot and no port; write its full name", notary.host)
		}
		hosts = append(hosts, Host{Name: notary.host, CA: s.NotaryCA})
	}
	dct := &authority{name: "dct", server: notary, comment: "NOTARY=" + cmp.Or(s.Notary, pluginNotary)}
	d := document{
		name: cmp.Or(o.Name, "img-authz-plugin"), source: "REGISTRY and NOTARY", system: "img-authz-plugin", mode: o.Mode, roots: roots, roles: o.Roles, authorities: []*authority{dct},
		rules: []rule{
			{comment: "REGISTRY=" + cmp.Or(s.Registry, pluginRegistry), pattern: registry + "/**", authority: dct},
			{comment: "every other registry", pattern: "**", deny: "You can only use docker images from the following authorized registries: " + cmp.Or(s.Registry, pluginRegistry)},
		},
	}
	return d.result(s.notes(o, notary), hosts)
}

// readRegistry returns the canonical form of a host.
func readRegistry(text string) (string, error) {
	const want = "; write it as in registry.example:5000"
	ref, err := image.Parse(text + "/x/x")
	switch {
	case strings.Contains(text, "://"):
		return "", errors.New("is a URL" + want)
	case strings.Contains(text, "/"):
		return "", errors.New("has a path; write the host alone, and narrow the pattern of the policy's first rule")
	case err != nil:
		return "", fmt.Errorf("%q is no host of a registry"+want, text)
	case ref.Repository() != "x/x":
		return "", fmt.Errorf("%q would be read as a part of a Docker Hub name"+want, text)
	}
	return ref.Registry(), nil
}

// notaryEnds says that the server of the images of Docker Hub ends.
func notaryEnds() change {
	return change{
		was: pluginNotary, now: "the same, but this server ends on " + pluginNotaryEnds, urgent: true,
		do: "before that day, sign with a Notary server of your own, or have the rule require sigstore or notation",
	}
}

// notes says what changes.
func (s PluginSettings) notes(o Options, notary server) []Note {
	var all []Note
	add := func(what string, c change) {
		all = append(all, Note{What: what, Was: c.was, Now: c.now, Do: c.do, Urgent: c.urgent})
	}
	if s.Registry == "" {
		add("REGISTRY", change{was: "it is empty, which is " + pluginRegistry, now: "the same", do: "give REGISTRY=HOST if it is another one"})
	}
	if s.Notary == "" {
		add("NOTARY", change{was: "it is empty, which is " + pluginNotary, now: "the same", do: "give NOTARY=URL if it is another one"})
	}
	if notary.url == pluginNotary {
		add("NOTARY", notaryEnds())
	}
	if s.NotaryCA != "" {
		add("NOTARY_ROOT_CA", change{
			was: "the CA of the server's TLS certificate", now: "the same, by caFile in the settings of " + notary.host + ", for a registry on that host too", do: "give the settings by --registries",
		})
	}
	noteRoots(o, func(c change) { add("authority dct", c) })
	noteRoles(o, func(c change) { add("authority dct", c) })
	add("digests and IDs of images", change{
		was: "images were looked up by name and tag", now: "the meaning becomes stricter: the digest decides, by whatever name; it must be a signed one, and what runs must be that content", do: "nothing",
	})
	return all
}
