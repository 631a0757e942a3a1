package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
)

// spirePatternSigns are the characters that make a pattern of an issuer or subject in a sigstore block.
const spirePatternSigns = `*+?^${}[]|()`

// yamlObject is a mapping of a policy; JSON is YAML.
type yamlObject = map[string]any

// spirePolicy writes a sigstore block as the policy that stands for it; nil for none. A signature and an attestation are demanded by an authority
// each, so that a refusal can say which is missing.
func spirePolicy(s *spire.SigstoreSettings) ([]byte, error) {
	if s == nil {
		return nil, nil
	}
	identities, err := spireIdentities(s)
	if err != nil {
		return nil, err
	}
	if len(identities) == 0 { // nobody counts, and nothing is asked
		return json.Marshal(spireDocument(nil, yamlObject{"images": []string{"**"}, "deny": "nobody's signature counts"}))
	}
	demand := func(more yamlObject) yamlObject {
		maps.Copy(more, yamlObject{"keyless": yamlObject{"identities": identities}})
		switch {
		case s.IgnoreTlog:
			more["insecureIgnoreLog"] = true
		case s.RekorURL != "":
			more["rekorURL"] = s.RekorURL
		}
		if s.IgnoreSCT {
			more["insecureIgnoreSCT"] = true
		}
		return yamlObject{"sigstore": more}
	}
	// What is signed is told by the digest alone: images are signed where they are built, and run from where they were copied to.
	authorities := yamlObject{spire.SignatureAuthority: demand(yamlObject{"signedRepository": "ignore"})}
	require := []string{spire.SignatureAuthority}
	if !s.IgnoreAttestations {
		authorities[spire.AttestationAuthority] = demand(yamlObject{
			"signature": "none", "attestations": []yamlObject{{"predicateType": "any", "select": "any"}},
		})
		require = append(require, spire.AttestationAuthority)
	}
	return json.Marshal(spireDocument(authorities, yamlObject{"images": []string{"**"}, "require": yamlObject{"all": require}}))
}

func spireDocument(authorities, rule yamlObject) yamlObject {
	spec := yamlObject{"rules": []yamlObject{rule}}
	if authorities != nil {
		spec["authorities"] = authorities
	}
	return yamlObject{
		"apiVersion": "assay.dev/v1", "kind": "TrustPolicy", "metadata": yamlObject{"name": "sigstore"}, "spec": spec,
	}
}

// spireIdentities returns who may sign, in the words of a policy. None: nobody may.
func spireIdentities(s *spire.SigstoreSettings) ([]yamlObject, error) {
	if len(s.Identities) == 0 && !s.Old {
		return []yamlObject{{"issuerRegExp": ".*", "subjectRegExp": ".*"}}, nil
	}
	var all []yamlObject
	for _, issuer := range slices.Sorted(maps.Keys(s.Identities)) {
		subjects := s.Identities[issuer]
		if len(subjects) == 0 && !s.Old {
			return nil, fmt.Errorf("allowed_identities: issuer %q has no subjects; name them, or leave the issuer out", issuer)
		}
		issuers, err := spireTexts("issuer", issuer, s)
		if err != nil {
			return nil, fmt.Errorf("allowed_identities: issuer %q: %w", issuer, err)
		}
		for _, subject := range subjects {
			names, err := spireTexts("subject", subject, s)
			if err != nil {
				return nil, fmt.Errorf("allowed_identities: issuer %q: subject %q: %w", issuer, subject, err)
			}
			for _, one := range issuers {
				for _, other := range names {
					identity := maps.Clone(one)
					maps.Copy(identity, other)
					all = append(all, identity)
				}
			}
		}
	}
	return all, nil
}

// spireTexts returns what an issuer or subject stands for: itself, and where it has signs of a pattern, also what the whole of which fits that
// pattern. The pattern comes first, so that a refusal speaks of it.
func spireTexts(field, text string, s *spire.SigstoreSettings) ([]yamlObject, error) {
	if text == "" {
		return nil, fmt.Errorf("is empty, and what is absent satisfies nothing")
	}
	if !strings.ContainsAny(text, spirePatternSigns) {
		return []yamlObject{{field: text}}, nil
	}
	literal := yamlObject{field + "RegExp": regexp.QuoteMeta(text)}
	if s.Old {
		return []yamlObject{literal}, nil
	}
	if _, err := image.CompileRegExp(text); err != nil {
		hint := ""
		if strings.HasPrefix(text, "*") {
			hint = fmt.Sprintf("; it is a regular expression: for any text write .* as in %q", "."+text)
		}
		return nil, fmt.Errorf("pattern %q: %w%s", text, err, hint)
	}
	pattern := text
	if s.PartialPatterns {
		pattern = `(?s:.*)(?:` + text + `)(?s:.*)`
	}
	return []yamlObject{{field + "RegExp": pattern}, literal}, nil
}

// spireRegistries says how registries are reached: with the credentials of a sigstore block, else with those that Docker's and Podman's files have.
// Who runs a container has pulled it already, so that a registry on this host may be asked as any other.
func (a *app) spireRegistries(s *spire.SigstoreSettings) (*registryOptions, error) {
	o := &registryOptions{app: a, authFiles: a.authFiles()}
	var settings []registry.Settings
	if s != nil {
		var err error
		if settings, err = spireCredentials(s.Credentials); err != nil {
			return nil, err
		}
	}
	o.more = func(_ *reading, others []registry.Settings) ([]registry.Settings, error) {
		for _, name := range append([]string{filepath.Join(o.dockerFolder(), "config.json")}, o.authFiles...) {
			if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() { // the agent would wait for whoever writes to a pipe
				return nil, fmt.Errorf("%s: is no plain file, and cannot be read again when it changes", name)
			}
		}
		return append(others, settings...), nil
	}
	return o, nil
}

// spireCredentials returns settings with the credentials of a block. All names of Docker Hub are one.
func spireCredentials(given map[string]spire.Credential) ([]registry.Settings, error) {
	var settings []registry.Settings
	for _, name := range slices.Sorted(maps.Keys(given)) {
		bare := name
		if !strings.Contains(bare, "://") {
			bare, _, _ = strings.Cut(bare, "/")
		}
		host := hostOf(bare)
		if host == "" {
			return nil, fmt.Errorf("registry_credentials: %q names no registry; write its host, such as registry.example:5000", name)
		}
		if slices.ContainsFunc(settings, func(one registry.Settings) bool { return one.Host == host }) {
			return nil, fmt.Errorf("registry_credentials: %q is %s, for which there are credentials already; remove one of them", name, host)
		}
		c := given[name]
		settings = append(settings, registry.Settings{Host: host, Username: c.Username, Password: c.Password})
	}
	return settings, nil
}

// authFiles are the files in which Podman and its kin keep credentials, in the order in which they are asked.
func (a *app) authFiles() []string {
	var files []string
	add := func(folder string, rest ...string) {
		if folder != "" {
			files = append(files, filepath.Join(append([]string{folder}, rest...)...))
		}
	}
	add(a.getenv("REGISTRY_AUTH_FILE"))
	if runtime := a.getenv("XDG_RUNTIME_DIR"); runtime != "" {
		add(runtime, "containers", "auth.json")
	} else {
		add("/run/containers", strconv.Itoa(os.Getuid()), "auth.json")
	}
	if config := a.getenv("XDG_CONFIG_HOME"); config != "" {
		add(config, "containers", "auth.json")
	} else if home := a.getenv("HOME"); home != "" {
		add(home, ".config", "containers", "auth.json")
	}
	return files
}
