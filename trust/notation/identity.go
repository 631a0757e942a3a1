package notation

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/trust"
)

const subjectPrefix = "x509.subject:"

// identity is the attributes that the subject of a signing certificate must have, by their type.
type identity map[string]string

// parseIdentity reads "x509.subject: C=US, ST=WA, O=Acme". Attributes are compared, never texts: a part of a value matches nothing.
func parseIdentity(text string) (identity, error) {
	name, found := strings.CutPrefix(text, subjectPrefix)
	switch {
	case text == "*":
		return nil, errors.New("* lets everybody sign who has a certificate; write insecureAnyIdentity: true if that is meant")
	case !found:
		return nil, fmt.Errorf("%q does not begin with %s", clip(text), subjectPrefix)
	}
	dn, err := trust.ParseDN(name)
	if err != nil {
		return nil, err
	}
	attributes := dn.Attributes()
	id := make(identity, len(attributes))
	for _, a := range attributes {
		if _, twice := id[a.Type]; twice {
			return nil, fmt.Errorf("%q has an attribute twice", clip(name))
		}
		if strings.TrimSpace(a.Value) == "" {
			return nil, fmt.Errorf("%q has an attribute without a value", clip(name))
		}
		id[a.Type] = a.Value
	}
	return id, nil
}

// matches reports whether a subject has all attributes, each exactly once.
func (id identity) matches(subject map[string][]string) bool {
	for kind, value := range id {
		if values := subject[kind]; len(values) != 1 || values[0] != value {
			return false
		}
	}
	return len(id) > 0
}

// subjectOf returns the attributes of a certificate's subject. They are read from the certificate's own bytes: pkix.Name keeps only one of
// several common names.
func subjectOf(c *x509.Certificate) (map[string][]string, error) {
	var names pkix.RDNSequence
	if rest, err := asn1.Unmarshal(c.RawSubject, &names); err != nil || len(rest) > 0 {
		return nil, errors.New("its subject cannot be read")
	}
	if len(names) == 0 {
		return nil, errors.New("its subject is empty")
	}
	dn, err := trust.ParseDN(names.String())
	if err != nil {
		return nil, err
	}
	subject := map[string][]string{}
	for _, a := range dn.Attributes() {
		subject[a.Type] = append(subject[a.Type], a.Value)
	}
	return subject, nil
}

// checkIdentity wants the owner of a signing certificate to be one of those who may sign.
func (a *authority) checkIdentity(leaf *x509.Certificate) error {
	if a.anyIdentity {
		return nil
	}
	subject, err := subjectOf(leaf)
	if err != nil {
		return fmt.Errorf("signing certificate: %w", err)
	}
	for _, id := range a.identities {
		if id.matches(subject) {
			return nil
		}
	}
	return fmt.Errorf("signed by %q, who is none of the identities", clip(leaf.Subject.String()))
}
