package convert

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// notationFormat is the format of the authorities that Notation writes.
const notationFormat = "notation"

const (
	anyScope      = "*"
	subjectPrefix = "x509.subject:"
)

// NotationOptions are what a trustpolicy.json does not say.
type NotationOptions struct {
	Name string // of the policy; "": notation
	// Stores are the certificates of trust stores in PEM, by "TYPE:NAME" as statements write them. A store that is not there becomes a file
	// that the policy names.
	Stores map[string]string
}

// trustPolicy is a trustpolicy.json (Notary Project specification, trust-store-trust-policy.md).
type trustPolicy struct {
	Version    string           `json:"version"`
	Statements []trustStatement `json:"trustPolicies"`
}

type trustStatement struct {
	Name         string   `json:"name"`
	Scopes       []string `json:"registryScopes"`
	Verification struct {
		Level           string            `json:"level"`
		Override        map[string]string `json:"override"`
		VerifyTimestamp string            `json:"verifyTimestamp"`
	} `json:"signatureVerification"`
	Stores     []string `json:"trustStores"`
	Identities []string `json:"trustedIdentities"`
}

// notationImport makes a policy of a trustpolicy.json.
type notationImport struct {
	file    string
	options NotationOptions
	names   map[string]bool // of authorities
	scopes  map[string]bool
	rules   []notationRule
	any     *notationRule // what the wildcard stands for
	notes   []Note
}

// notationRule is what becomes of a statement.
type notationRule struct {
	*trustStatement
	authority  string // "": the images pass
	images     []string
	identities []string
	actions    [][2]string // fields of the section, in order
	stores     map[string][]string
}

// Notation converts a trustpolicy.json of notation; file is its name, for messages.
func Notation(file string, data []byte, o NotationOptions) (*Result, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var doc trustPolicy
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: something stands behind the document", file)
	}
	switch {
	case doc.Version != "1.0":
		return nil, fmt.Errorf("%s: version %q, want 1.0", file, doc.Version)
	case len(doc.Statements) == 0:
		return nil, fmt.Errorf("%s: has no trustPolicies", file)
	}
	n := &notationImport{file: file, options: o, names: map[string]bool{}, scopes: map[string]bool{}}
	var all []error
	for i := range doc.Statements {
		if err := n.statement(&doc.Statements[i]); err != nil && len(all) < maxErrors {
			all = append(all, fmt.Errorf("%s: statement %q: %w", file, doc.Statements[i].Name, err))
		}
	}
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	n.note("", "verification plugins", change{was: "a signature could name a program that checks it", now: "the meaning becomes stricter: such a signature is denied", do: "sign without a plugin that verifies"})
	return n.result()
}

func (n *notationImport) note(statement, what string, c change) {
	if statement != "" {
		what = "statement " + statement + ": " + what
	}
	n.notes = append(n.notes, Note{File: n.file, What: what, Was: c.was, Now: c.now, Do: c.do, Urgent: c.urgent})
}

func (n *notationImport) statement(s *trustStatement) error {
	if s.Name == "" {
		return errors.New("has no name")
	}
	name := plainName(s.Name)
	if n.names[name] {
		return errors.New("another one has this name, or one that becomes the same")
	}
	n.names[name] = true
	r := &notationRule{trustStatement: s, authority: name, stores: map[string][]string{}}
	if err := n.images(r); err != nil {
		return err
	}
	if s.Verification.Level == "skip" {
		if len(s.Stores)+len(s.Identities)+len(s.Verification.Override) > 0 {
			return errors.New("level skip goes with neither trust stores, identities nor overrides")
		}
		r.authority = ""
		n.note(s.Name, "level", change{was: "skip: every image passes", now: "the same, by a rule that allows", do: "have the images signed, and require that", urgent: true})
		return n.add(r)
	}
	for _, step := range []func(*notationRule) error{n.level, n.trustStores, n.trustedIdentities} {
		if err := step(r); err != nil {
			return err
		}
	}
	return n.add(r)
}

// add puts the statement of the wildcard behind all others: a scope that names a repository comes before it.
func (n *notationImport) add(r *notationRule) error {
	if len(r.images) > 0 {
		n.rules = append(n.rules, *r)
		return nil
	}
	r.images = []string{"**"}
	n.any = r
	return nil
}

// images turns scopes into patterns; none for the wildcard.
func (n *notationImport) images(r *notationRule) error {
	if len(r.Scopes) == 0 {
		return errors.New("has no registryScopes")
	}
	for _, scope := range r.Scopes {
		if n.scopes[scope] {
			return fmt.Errorf("the scope %q stands twice; one statement decides about a repository", scope)
		}
		n.scopes[scope] = true
		if scope == anyScope {
			if len(r.Scopes) > 1 {
				return errors.New("the scope * goes with no other one")
			}
			return nil
		}
		ref, err := image.Parse(scope)
		host, _, _ := strings.Cut(scope, "/")
		switch {
		case strings.Contains(scope, "*"):
			return fmt.Errorf("the scope %q: notation has no patterns but * alone", scope)
		case err != nil:
			return fmt.Errorf("the scope %q: %w", scope, err)
		case strings.ContainsAny(strings.TrimPrefix(scope, host), ":@"):
			return fmt.Errorf("the scope %q names a tag or a digest; want a repository", scope)
		}
		if ref.Name() != scope {
			n.note(r.Name, "scope "+scope, change{was: "that name, letter by letter", now: ref.Name() + ", which is its canonical form", do: "check that this repository is meant"})
		}
		r.images = append(r.images, ref.Name())
	}
	return nil
}

// level turns a level and its overrides into fields.
func (n *notationImport) level(r *notationRule) error {
	v := r.Verification
	switch v.Level {
	case "strict":
	case "permissive":
		r.actions = append(r.actions, [2]string{"level", "insecurePermissive"})
		n.note(r.Name, "level", change{was: "permissive: what is expired or revoked passes", now: "the same (insecurePermissive)", do: "remove level once nothing depends on it", urgent: true})
	case "audit":
		n.note(r.Name, "level", change{was: "audit: a signature by anybody passes", now: "the meaning becomes stricter: strict", do: "to see first what is denied, write mode: audit into the policy"})
	default:
		return fmt.Errorf("level %q is unknown", v.Level)
	}
	for check := range v.Override {
		if !slices.Contains([]string{"authenticity", "authenticTimestamp", "expiry", "revocation"}, check) {
			return fmt.Errorf("override of %q, which cannot be overridden", check)
		}
	}
	if action, found := v.Override["authenticity"]; found && action != "enforce" {
		if action != "log" {
			return fmt.Errorf("override of authenticity with %q", action)
		}
		n.note(r.Name, "override of authenticity", change{was: "log: a signature by anybody passes", now: "the meaning becomes stricter: enforce", do: "to see first what is denied, write mode: audit into the policy"})
	}
	for _, check := range []string{"authenticTimestamp", "expiry", "revocation"} {
		if err := n.override(r, check); err != nil {
			return err
		}
	}
	switch v.VerifyTimestamp {
	case "", "always":
	case "afterCertExpiry":
		if slices.ContainsFunc(r.Stores, func(s string) bool { return strings.HasPrefix(s, "tsa:") }) {
			r.actions = append(r.actions, [2]string{"verifyTimestamp", v.VerifyTimestamp})
		}
	default:
		return fmt.Errorf("verifyTimestamp %q is unknown", v.VerifyTimestamp)
	}
	return nil
}

func (n *notationImport) override(r *notationRule, check string) error {
	action, found := r.Verification.Override[check]
	switch {
	case !found:
		return nil
	case action == "enforce":
		if r.Verification.Level == "permissive" {
			r.actions = append(r.actions, [2]string{check, "enforce"})
		}
		return nil
	case action == "log", action == "skip" && check == "revocation":
	default:
		return fmt.Errorf("override of %s with %q", check, action)
	}
	now := "insecureLog"
	if action == "skip" {
		now = "insecureSkip"
	}
	r.actions = append(r.actions, [2]string{check, now})
	n.note(r.Name, "override of "+check, change{was: action + ": what fails this check passes", now: "the same (" + now + ")", do: "remove " + check + " once nothing depends on it", urgent: true})
	return nil
}

// bringStore says how the certificates of a trust store get to where the policy looks for them.
func (n *notationImport) bringStore(kind, name string) string {
	const file = "write them there in PEM, beside the policy; or import again with --trust-store"
	if len(n.options.Stores) == 0 {
		return file
	}
	return file + " where x509/" + kind + "/" + name + " has certificates: what was given has none there"
}

func (n *notationImport) trustStores(r *notationRule) error {
	if len(r.Stores) == 0 {
		return errors.New("has no trustStores")
	}
	for _, store := range r.Stores {
		kind, name, found := strings.Cut(store, ":")
		if !found || plainName(name) != name || !slices.Contains([]string{"ca", "signingAuthority", "tsa"}, kind) {
			return fmt.Errorf("trust store %q: want ca:NAME, signingAuthority:NAME or tsa:NAME", store)
		}
		if slices.Contains(r.stores[kind], store) {
			continue
		}
		r.stores[kind] = append(r.stores[kind], store)
		if n.options.Stores[store] == "" {
			n.note(r.Name, "trust store "+store, change{was: "the certificates in truststore/x509/" + kind + "/" + name, now: "those of the file " + storeFile(kind, name), do: n.bringStore(kind, name)})
		}
	}
	if len(r.stores["ca"])+len(r.stores["signingAuthority"]) == 0 {
		return errors.New("has neither a ca nor a signingAuthority store")
	}
	if len(r.stores["ca"]) == 0 && len(r.stores["tsa"]) > 0 {
		delete(r.stores, "tsa")
		n.note(r.Name, "trust store tsa", change{was: "was never looked at, since there is no ca store", now: "left out", do: "nothing"})
	}
	return nil
}

func storeFile(kind, name string) string { return "truststore/" + kind + "/" + name + ".pem" }

func (n *notationImport) trustedIdentities(r *notationRule) error {
	for _, id := range r.Identities {
		switch {
		case id == "*":
			if len(r.Identities) > 1 {
				return errors.New("the identity * goes with no other one")
			}
			n.note(r.Name, "identity *", change{was: "everybody with a certificate of the trust stores", now: "the same (insecureAnyIdentity)", do: "name who signs: x509.subject: C=…, ST=…, O=…", urgent: true})
			return nil
		case strings.HasPrefix(id, subjectPrefix) && strings.TrimSpace(id[len(subjectPrefix):]) != "":
			r.identities = append(r.identities, id)
		case strings.Contains(id, ":") && !strings.HasPrefix(id, subjectPrefix):
			n.note(r.Name, "identity "+id, change{was: "one that a plugin knows", now: "the meaning becomes stricter: left out", do: "name who signs by x509.subject"})
		default:
			return fmt.Errorf("identity %q: want %s C=…, ST=…, O=…", id, subjectPrefix)
		}
	}
	if len(r.identities) == 0 {
		return errors.New("names no identity by x509.subject")
	}
	return nil
}

// result writes the policy, and reads it again: what comes out can be used.
func (n *notationImport) result() (*Result, error) {
	rules := n.rules
	if n.any != nil {
		rules = append(rules, *n.any)
	}
	var w policy.Writer
	w.Comment("Made of " + n.file + " by assay policy import notation, which reports what means something else than before.")
	w.Line("apiVersion: assay.dev/v1")
	w.Line("kind: TrustPolicy")
	w.Open("metadata")
	w.Text("name", cmp.Or(n.options.Name, "notation"))
	w.Close()
	w.Open("spec")
	w.Line("unmatched: deny")
	if slices.ContainsFunc(rules, func(r notationRule) bool { return r.authority != "" }) {
		w.Open("authorities")
		for i := range rules {
			n.writeAuthority(&w, &rules[i])
		}
		w.Close()
	}
	w.Line("rules:")
	for i := range rules {
		rules[i].write(&w)
	}
	if _, err := policy.Parse(policy.Source{Name: "policy", Data: w.Bytes()}, []string{notationFormat}); err != nil {
		var all policy.Errors
		if errors.As(err, &all) && all[0].Path == "metadata.name" {
			return nil, fmt.Errorf("name %q: %s; %s", n.options.Name, all[0].Text, all[0].Hint)
		}
		return nil, fmt.Errorf("the policy that comes out cannot be read: %w", err)
	}
	return &Result{Policy: w.Bytes(), Notes: n.notes}, nil
}

func (n *notationImport) writeAuthority(w *policy.Writer, r *notationRule) {
	if r.authority == "" {
		return
	}
	w.Comment("statement " + r.Name)
	w.Open(plainKey(r.authority))
	w.Open(notationFormat)
	w.Open("trustStores")
	for _, kind := range []string{"ca", "signingAuthority", "tsa"} {
		if len(r.stores[kind]) == 0 {
			continue
		}
		w.Line(kind + ":")
		for _, store := range r.stores[kind] {
			_, name, _ := strings.Cut(store, ":")
			if pem := n.options.Stores[store]; pem != "" {
				w.Comment(store)
				w.Block("- pem", pem)
				continue
			}
			w.Text("- file", storeFile(kind, name))
		}
	}
	w.Close()
	if len(r.identities) == 0 {
		w.Line("insecureAnyIdentity: true")
	} else {
		w.Line("identities:")
		for _, id := range r.identities {
			w.Line("- " + policy.Quote(id))
		}
	}
	for _, field := range r.actions {
		w.Text(field[0], field[1])
	}
	w.Close()
	w.Close()
}

func (r *notationRule) write(w *policy.Writer) {
	w.Comment("statement " + r.Name)
	quoted := make([]string, len(r.images))
	for i, pattern := range r.images {
		quoted[i] = policy.Quote(pattern)
	}
	w.Line("- images: [" + strings.Join(quoted, ", ") + "]")
	w.Indent()
	if r.authority == "" {
		w.Text("allow", "level skip of statement "+r.Name)
	} else {
		w.Line("require: [" + plainKey(r.authority) + "]")
	}
	w.Close()
}
