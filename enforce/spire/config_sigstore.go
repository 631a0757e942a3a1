package spire

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const defaultRekorURL = "https://rekor.sigstore.dev"

// sigstoreBlock is a sigstore block with the keys of today.
type sigstoreBlock struct {
	AllowedIdentities       map[string][]string        `hcl:"allowed_identities"`
	SkippedImages           []string                   `hcl:"skipped_images"`
	RekorURL                *string                    `hcl:"rekor_url"`
	IgnoreTlog              *bool                      `hcl:"ignore_tlog"`
	IgnoreAttestations      *bool                      `hcl:"ignore_attestations"`
	IgnoreSCT               *bool                      `hcl:"ignore_sct"`
	RegistryCredentials     map[string]credentialBlock `hcl:"registry_credentials"`
	InsecurePartialPatterns *bool                      `hcl:"insecure_partial_patterns"`
}

type credentialBlock struct {
	Username string `hcl:"username"`
	Password string `hcl:"password"`
}

// anySigstoreBlock is a sigstore block of the k8s attestor below experimental: it may have the old keys instead.
type anySigstoreBlock struct {
	AllowedSubjects         map[string][]string        `hcl:"allowed_subjects_list"`
	OldSkippedImages        []string                   `hcl:"skip_signature_verification_image_list"`
	EnforceSCT              *bool                      `hcl:"enforce_sct"`
	AllowedIdentities       map[string][]string        `hcl:"allowed_identities"`
	SkippedImages           []string                   `hcl:"skipped_images"`
	RekorURL                *string                    `hcl:"rekor_url"`
	IgnoreTlog              *bool                      `hcl:"ignore_tlog"`
	IgnoreAttestations      *bool                      `hcl:"ignore_attestations"`
	IgnoreSCT               *bool                      `hcl:"ignore_sct"`
	RegistryCredentials     map[string]credentialBlock `hcl:"registry_credentials"`
	InsecurePartialPatterns *bool                      `hcl:"insecure_partial_patterns"`
}

func (b *anySigstoreBlock) current() *sigstoreBlock {
	return &sigstoreBlock{
		AllowedIdentities: b.AllowedIdentities, SkippedImages: b.SkippedImages, RekorURL: b.RekorURL, IgnoreTlog: b.IgnoreTlog,
		IgnoreAttestations: b.IgnoreAttestations, IgnoreSCT: b.IgnoreSCT, RegistryCredentials: b.RegistryCredentials,
		InsecurePartialPatterns: b.InsecurePartialPatterns,
	}
}

// oldKeys returns the keys of the old set that are there.
func (b *anySigstoreBlock) oldKeys() []string {
	return present(map[string]bool{
		"allowed_subjects_list":                  b.AllowedSubjects != nil,
		"skip_signature_verification_image_list": b.OldSkippedImages != nil,
		"enforce_sct":                            b.EnforceSCT != nil,
	})
}

// newKeys returns the keys that only the new set has.
func (b *anySigstoreBlock) newKeys() []string {
	return present(map[string]bool{
		"allowed_identities":        b.AllowedIdentities != nil,
		"skipped_images":            b.SkippedImages != nil,
		"ignore_tlog":               b.IgnoreTlog != nil,
		"ignore_attestations":       b.IgnoreAttestations != nil,
		"ignore_sct":                b.IgnoreSCT != nil,
		"registry_credentials":      b.RegistryCredentials != nil,
		"insecure_partial_patterns": b.InsecurePartialPatterns != nil,
	})
}

func present(keys map[string]bool) []string {
	maps.DeleteFunc(keys, func(_ string, there bool) bool { return !there })
	return slices.Sorted(maps.Keys(keys))
}

// movedSigstore has the hints for keys of a sigstore block that stand outside of one.
func movedSigstore(moved map[string]string) map[string]string {
	for _, name := range []string{
		"allowed_identities", "skipped_images", "rekor_url", "ignore_tlog", "ignore_attestations", "ignore_sct", "registry_credentials",
		"insecure_partial_patterns",
	} {
		moved[name] = name + " belongs in sigstore {}"
	}
	return moved
}

// onlyOne says so if two demands, or one in two places, are there.
func onlyOne(n *notes, top, experimental bool, policy, node *string) {
	sigstore := top || experimental
	switch {
	case top && experimental:
		n.problem("sigstore is there twice: at the top and in experimental; keep the one at the top")
	case node != nil && (sigstore || policy != nil):
		n.problem("only one of [sigstore, policy, node_socket] can be used")
	case sigstore && policy != nil:
		n.problem("only one of [sigstore, policy] can be used")
	}
}

// nodeOf returns the socket of the node's daemon, without its scheme. One that is named by an empty text is demanded all the same.
func nodeOf(socket *string, n *notes) string {
	if socket == nil {
		return ""
	}
	path := strings.TrimPrefix(*socket, "unix://")
	switch {
	case path == "":
		n.problem("node_socket: names no socket; leave the key out where nothing is demanded")
	case strings.Contains(path, "://"):
		n.problem("node_socket: %s is no unix socket; write a path, as in /run/assay/node.sock", *socket)
	case !filepath.IsAbs(path):
		n.problem("node_socket: %s: write an absolute path, as in /run/assay/node.sock", *socket)
	}
	return path
}

// policyOf returns the file or folder of the policy. One that is named by an empty text, as templates do without their value, is demanded all the
// same.
func policyOf(policy *string, n *notes) string {
	switch {
	case policy == nil:
		return ""
	case *policy == "":
		n.problem("policy: names no file; leave the key out where nothing is demanded")
	case !filepath.IsAbs(*policy):
		n.remark("policy: %s is looked for in the agent's working folder; write an absolute path", *policy)
	}
	return *policy
}

// remarkPlace says that a block stands where newer versions of SPIRE refuse it.
func remarkPlace(n *notes) {
	n.remark("sigstore in experimental: newer versions of SPIRE refuse it there; move the block to the top")
}

// settings reads a block with the keys of today.
func (b *sigstoreBlock) settings(n *notes) *SigstoreSettings {
	s := &SigstoreSettings{
		Identities: b.AllowedIdentities, SkippedImages: b.SkippedImages, RekorURL: defaultRekorURL,
		IgnoreTlog: is(b.IgnoreTlog), IgnoreAttestations: is(b.IgnoreAttestations), IgnoreSCT: is(b.IgnoreSCT), PartialPatterns: is(b.InsecurePartialPatterns),
	}
	for _, issuer := range slices.Sorted(maps.Keys(s.Identities)) {
		if len(s.Identities[issuer]) == 0 {
			n.problem("sigstore.allowed_identities: issuer %q has no subject: name at least one, or leave the issuer out", issuer)
		}
	}
	if len(s.Identities) == 0 {
		n.remark("sigstore: allowed_identities is empty: a signature of anybody counts")
	}
	if s.PartialPatterns {
		n.remark("sigstore: insecure_partial_patterns: a pattern counts where it fits a part of an issuer or subject")
	}
	if b.RekorURL != nil {
		s.RekorURL = *b.RekorURL
		if err := absolute(s.RekorURL); err != nil {
			n.problem("sigstore.rekor_url: %v", err)
		}
	}
	s.Credentials = credentials(b.RegistryCredentials, n)
	return s
}

func is(b *bool) bool { return b != nil && *b }

func absolute(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is no absolute http or https URL", text)
	}
	return nil
}

// credentials returns those that are complete. Nothing of them is said but the registry.
func credentials(blocks map[string]credentialBlock, n *notes) map[string]Credential {
	complete := map[string]Credential{}
	for _, registry := range slices.Sorted(maps.Keys(blocks)) {
		b := blocks[registry]
		if b.Username == "" || b.Password == "" {
			n.remark("sigstore.registry_credentials: %q has not both of username and password, and is ignored", registry)
			continue
		}
		complete[registry] = Credential(b)
	}
	if len(complete) == 0 {
		return nil
	}
	return complete
}

// settings reads a block of the k8s attestor below experimental: the keys decide which generation it is of.
func (b *anySigstoreBlock) settings(n *notes) *SigstoreSettings {
	older, newer := b.oldKeys(), b.newKeys()
	switch {
	case len(older) > 0 && len(newer) > 0:
		n.problem("sigstore: the old keys %s and the new keys %s cannot be used together", strings.Join(older, ","), strings.Join(newer, ","))
		return nil
	case len(older) > 0:
		return b.oldSettings(older, n)
	case len(newer) == 0 && b.RekorURL != nil:
		n.problem("experimental.sigstore: rekor_url alone says nothing about who may sign: add allowed_identities (or allowed_subjects_list, the old key)")
		return nil
	}
	remarkPlace(n)
	return b.current().settings(n)
}

// oldSettings reads a block with old keys.
func (b *anySigstoreBlock) oldSettings(keys []string, n *notes) *SigstoreSettings {
	s := &SigstoreSettings{
		Old: true, Identities: map[string][]string{}, SkippedImages: b.OldSkippedImages,
		IgnoreAttestations: true, IgnoreSCT: b.EnforceSCT != nil && !*b.EnforceSCT,
	}
	for issuer, subjects := range b.AllowedSubjects {
		if len(subjects) > 0 { // without, nobody of this issuer counts
			s.Identities[issuer] = subjects
		}
	}
	if b.RekorURL == nil {
		n.problem("missing Rekor URL")
		return nil
	}
	s.RekorURL = *b.RekorURL
	if err := secure(s.RekorURL); err != nil {
		n.problem("failed to set Rekor URL: %v", err)
		return nil
	}
	n.remark("experimental.sigstore: the keys %s are old; in new keys, which change the selectors: %s", strings.Join(keys, ","), s.inNewKeys())
	if len(s.Identities) == 0 {
		n.remark("experimental.sigstore: allowed_subjects_list is empty: no image passes but those of skip_signature_verification_image_list")
	}
	return s
}

// secure is what the old key demands of the address of a log.
func secure(text string) error {
	if text == "" {
		return errors.New("rekor URL is empty")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("failed parsing rekor URI: %w", err)
	case u.Host == "":
		return errors.New("host is required on rekor URL")
	case u.Scheme != "https":
		return fmt.Errorf("invalid rekor URL Scheme %q", u.Scheme)
	}
	return nil
}

// patternSigns are the characters that make a pattern of an issuer or subject.
const patternSigns = `*+?^${}[]|()`

// inNewKeys writes old settings as the block that stands for them today. Old identities are no patterns: what would be one is quoted.
func (s *SigstoreSettings) inNewKeys() string {
	var b strings.Builder
	b.WriteString("sigstore { allowed_identities = {")
	for _, issuer := range slices.Sorted(maps.Keys(s.Identities)) {
		fmt.Fprintf(&b, " %s = %s", strconv.Quote(exactly(issuer)), quotedList(s.Identities[issuer], exactly))
	}
	if len(s.Identities) == 0 {
		b.WriteString(` "nobody" = ["nobody"]`)
	}
	b.WriteString(" }")
	if len(s.SkippedImages) > 0 {
		b.WriteString(" skipped_images = " + quotedList(s.SkippedImages, func(image string) string { return image }))
	}
	fmt.Fprintf(&b, " rekor_url = %s ignore_attestations = true", strconv.Quote(s.RekorURL))
	if s.IgnoreSCT {
		b.WriteString(" ignore_sct = true")
	}
	return b.String() + " }"
}

func exactly(identity string) string {
	if strings.ContainsAny(identity, patternSigns) {
		return regexp.QuoteMeta(identity)
	}
	return identity
}

func quotedList(texts []string, write func(string) string) string {
	quoted := make([]string, 0, len(texts))
	for _, text := range texts {
		quoted = append(quoted, strconv.Quote(write(text)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
