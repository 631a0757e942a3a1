// Package convert makes policies of other systems' settings, and reports every place where the meaning changes.
//
// What cannot be said in a policy, or would be said by accident, is an error with its line; a policy that comes out can be read by
// package policy. Where a check becomes stricter, the report says so; what would make one weaker is only written where a field with
// insecure in its name says so too. Package convert does no I/O and knows no format: it writes the sections of notaryv1 and notation as text.
package convert

import (
	"fmt"
	"strings"
	"time"
)

// Options are what the settings of another system do not say. The zero value is the strict choice, and a name of its own.
type Options struct {
	Name  string   // of the policy; "": that of the system
	Roots Roots    // of the trust data
	Roles []string // whose targets count where no signers are named; none: the format's default
	Mode  string   // of the policy: enforce, warn or audit; "": enforce, which is not written

	// Now is when certificates must be valid.
	Now time.Time
}

// Roots are what trust data begin with, in PEM: one of the three, or none.
type Roots struct {
	Keys         string
	Certificates string
	CA           string
}

// given returns the field of a format's section that r stands for, with its content.
func (r Roots) given() (field, content string, err error) {
	count := 0
	for _, kind := range [][2]string{{"keys", r.Keys}, {"certificates", r.Certificates}, {"ca", r.CA}} {
		if kind[1] != "" {
			field, content, count = kind[0], kind[1], count+1
		}
	}
	if count > 1 {
		return "", "", fmt.Errorf("roots are given as keys, as certificates or as a CA: keep one kind")
	}
	return field, content, nil
}

// Result is a policy and what there is to know about it.
type Result struct {
	Policy []byte // YAML
	Notes  []Note // in the order of the source's lines, what is about all of it at the end
	Hosts  []Host // settings of the servers that need some, in the order of the source
}

// Note is a place where the policy means something else than its source, or that somebody should look at.
type Note struct {
	File string // "" if there is none
	Line int    // 0: all of it
	What string // the setting
	Was  string
	Now  string
	Do   string
	// Urgent says that somebody should act: a check is weaker than it need be, and the policy calls that insecure, or something ends.
	Urgent bool
}

// String returns n on one line.
func (n Note) String() string {
	var b strings.Builder
	switch {
	case n.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", n.File, n.Line)
	case n.File != "":
		fmt.Fprintf(&b, "%s: ", n.File)
	}
	fmt.Fprintf(&b, "%s: before: %s; now: %s; to do: %s", n.What, n.Was, n.Now, n.Do)
	return b.String()
}

// Host is how a Notary server is reached, which is no matter of a policy.
type Host struct {
	Name      string // with its port unless that is 443, as settings of registries write it
	CA        string // that vouches for its TLS certificate, PEM; "": the system's
	PlainHTTP bool
	Username  string
	Password  string
	Source    string // where the login stands, for people: "trust.yaml:9"
}

// String returns the name. It keeps the password out of logs.
func (h Host) String() string { return "settings of " + h.Name }

// GoString keeps the password out of %#v.
func (h Host) GoString() string { return h.String() }
