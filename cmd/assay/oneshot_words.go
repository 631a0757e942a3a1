package main

import (
	"fmt"
	"regexp"
	"strings"
)

// oneShotName is the name of the policies that flags stand for.
const oneShotName = "one-shot"

// policyPlace is how messages begin that are about a place in such a policy.
var policyPlace = regexp.MustCompile(`(?m)^` + oneShotName + `:\d+:\d+: (?:(spec[^\s:]*): )?`)

// flagged is an error about the policy that flags stand for, in the words of the flags.
type flagged struct {
	error
	text string
}

// Error returns the text with flags in the place of fields.
func (f *flagged) Error() string { return f.text }

func (f *flagged) Unwrap() error { return f.error }

// told turns an error about the policy that the flags stand for into one about the flags.
func (o *oneShot) told(err error) error {
	told := usageError("%w", &flagged{error: err, text: o.words(err.Error())})
	if o.print {
		return told
	}
	return withHint(told, "--print-policy prints the policy that the flags stand for")
}

// words writes flags in the place of the policy's fields: nobody wrote that policy, so a position in it says nothing.
func (o *oneShot) words(message string) string {
	return policyPlace.ReplaceAllStringFunc(message, func(place string) string {
		path := policyPlace.FindStringSubmatch(place)[1]
		field, inside := strings.CutPrefix(path, "spec.authorities.signer."+oneShotFormat+".")
		switch flag := o.flagOf(field); {
		case inside && flag != "":
			return flag + ": "
		case path != "":
			return "the policy of these flags: " + path + ": "
		}
		return "the policy of these flags: "
	})
}

// told and words put flags in the place of fields, if the policy is the one that the flags stand for.
func (o *verifyOptions) told(err error) error {
	if len(o.policies) > 0 {
		return err
	}
	return o.trust.told(err)
}

func (o *verifyOptions) words(messages []string) []string {
	if len(o.policies) > 0 || len(messages) == 0 {
		return messages
	}
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = o.trust.words(m)
	}
	return all
}

// flagOf returns the flag that a field of the authority comes from; "" for fields that come from none.
func (o *oneShot) flagOf(field string) string {
	var i int
	switch {
	case (within(field, "key") || within(field, "keys")) && len(o.keys) > 0:
		if _, err := fmt.Sscanf(field, "keys[%d]", &i); err == nil && i < len(o.keys) {
			return fmt.Sprintf("--key %q", o.keys[i])
		}
		return fmt.Sprintf("--key %q", o.keys[0])
	case within(field, "attestations"):
		if _, err := fmt.Sscanf(field, "attestations[%d]", &i); err == nil && i < len(o.attestations) {
			return fmt.Sprintf("--attestation %q", o.attestations[i])
		}
		return "--attestation"
	case within(field, "trustedRoot") && o.trustedRoot == "":
		return "trust material"
	}
	for _, f := range flagsOfFields() {
		if within(field, f[0]) {
			return "--" + f[1]
		}
	}
	return ""
}

// within reports whether a field is the one above or stands in it.
func within(field, above string) bool {
	rest, found := strings.CutPrefix(field, above)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// flagsOfFields are fields of the authority with the flags that they come from; what stands in another field comes before that.
func flagsOfFields() [][2]string {
	const identity = "keyless.identities[0]."
	all := [][2]string{
		{identity + "subject", "certificate-identity"},
		{identity + "subjectRegExp", "certificate-identity-regexp"},
		{identity + "issuer", "certificate-oidc-issuer"},
		{identity + "issuerRegExp", "certificate-oidc-issuer-regexp"},
		{"pki.intermediates", "ca-intermediates"},
		{"pki.names[0].uriRegExp", "certificate-identity-regexp"},
		{"pki.names", "certificate-identity"},
		{"pki", "ca-roots"},
		{"trustedRoot", "trusted-root"},
		{"annotations", "annotation"},
		{"signature", "signature"},
		{"signedRepository", "signed-repository"},
		{"rekorURL", "rekor-url"},
		{"timestampThreshold", "use-signed-timestamps"},
		{"insecureIgnoreLog", "insecure-ignore-tlog"},
		{"insecureIgnoreSCT", "insecure-ignore-sct"},
	}
	for _, c := range workflowClaims {
		all = append(all, [2]string{identity + "claims." + c[1], c[0]})
	}
	return all
}

// looksAtRoot reports whether anything that the flags ask for is looked up in trust material.
func (o *oneShot) looksAtRoot() bool {
	return !o.byKey() || !o.insecureIgnoreLog || o.timestamps
}
