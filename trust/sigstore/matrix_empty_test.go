package sigstore

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// T4, T6: what is written and empty is an error when the policy is loaded, in every field: it must not be read as what was left out.
func TestT4_T6_EmptyIsRefused(t *testing.T) {
	for _, e := range empties(reflect.TypeFor[Options](), "", "%s") {
		t.Run(e.path+" "+e.section, func(t *testing.T) {
			err := load(t, e.section)
			var all policy.Errors
			if !errors.As(err, &all) {
				t.Fatalf("%s: got %v, want an error at %s", e.section, err, e.path)
			}
			for _, one := range all {
				if path := strings.TrimPrefix(one.Path, "spec.authorities.release.sigstore."); strings.HasPrefix(path, e.path) && one.Hint != "" {
					return
				}
			}
			t.Errorf("%s: got %v, want one at %s, with a next step", e.section, err, e.path)
		})
	}
}

// T6: what is empty beside what is not does not vanish.
func TestT6_EmptyBesideOthers(t *testing.T) {
	signer := func(more string) string {
		return "{keyless: {identities: [{issuer: 'https://a.example', subject: b" + more + "}]}"
	}
	pki := func(name string) string { return "{pki: {roots: x, names: [{" + name + "}]}}" }
	for section, path := range map[string]string{
		signer(`, claims: {runnerEnvironment: ""}`) + "}":                     "keyless.identities[0].claims.runnerEnvironment",
		signer(`, claims: {buildTrigger: push, runnerEnvironment: ''}`) + "}": "keyless.identities[0].claims.runnerEnvironment",
		signer(`, claims: {}`) + "}":                                          "keyless.identities[0].claims",
		signer(`, issuerRegExp: ""`) + "}":                                    "keyless.identities[0].issuerRegExp",
		signer("") + `, trustedRoot: {file: ""}}`:                             "trustedRoot.file",
		signer("") + `, trustedRoot: {inline: ""}}`:                           "trustedRoot.inline",
		signer("") + `, trustedRoot: {}}`:                                     "trustedRoot",
		signer("") + `, trustedRoot: {parts: {}}}`:                            "trustedRoot.parts",
		signer("") + `, signedRepository: {exact: ""}}`:                       "signedRepository.exact",
		signer("") + `, signedRepository: {}}`:                                "signedRepository",
		signer("") + `, rekorURL: ""}`:                                        "rekorURL",
		signer("") + `, annotations: {}}`:                                     "annotations",
		signer("") + `, annotations: {a: ""}}`:                                "annotations.a",
		pki(`email: "", uri: a`):                                              "pki.names[0].email",
	} {
		err := load(t, section)
		var all policy.Errors
		if !errors.As(err, &all) || len(all) != 1 || all[0].Path != "spec.authorities.release.sigstore."+path || all[0].Text != "is empty" {
			t.Errorf("%s: got %v, want one error, that %s is empty", section, err, path)
		}
	}
}

// load reads a section as it stands in a policy.
func load(t *testing.T, section string) error {
	t.Helper()
	const around = "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: x}\nspec:\n  authorities: {release: {sigstore: %s}}\n  rules: [{images: ['**'], require: release}]\n"
	p, err := policy.Parse(policy.Source{Name: "prod.yaml", Data: fmt.Appendf(nil, around, section)}, []string{"sigstore"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{Material: must(material.New(material.Config{}))}).New(p.Authorities[0].Section)
	return err
}

// empty is a section in which one field is written and empty.
type empty struct{ path, section string }

// empties lists them for all fields below a type that stands at a path; around is the section with a place for that type's value.
func empties(of reflect.Type, path, around string) []empty {
	var all []empty
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous {
			all = append(all, empties(f.Type, path, around)...)
			continue
		}
		if name == "-" {
			continue
		}
		at, inside := path+name, fmt.Sprintf(around, "{"+name+": %s}")
		add := func(path, value string) {
			all = append(all, empty{path, fmt.Sprintf(inside, value)})
		}
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			add(at, "[]")
			inner, at, inside = inner.Elem(), at+"[0]", fmt.Sprintf(inside, "[%s]")
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case inner.Kind() == reflect.String, inner == reflect.TypeFor[time.Time](), inner == reflect.TypeFor[time.Duration]():
			add(at, `""`)
		case inner.Kind() == reflect.Map:
			add(at, "{}")
			add(at+".a", `{a: ""}`)
		case inner.Kind() == reflect.Struct:
			add(at, "{}")
			all = append(all, empties(inner, at+".", inside)...)
		case inner.Kind() != reflect.Int && inner.Kind() != reflect.Bool:
			add(at, "a "+inner.Kind().String()+" that no row is made for")
		}
	}
	return all
}
