package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/assay-dev/assay/policy"
)

// oneShotFormat is the format of the policies that flags stand for.
const oneShotFormat = "sigstore"

// document writes the policy that the flags stand for. Everything that they name stands in it, so that it needs no other file.
func (o *oneShot) document() ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	signer, err := o.readSigner()
	if err != nil {
		return nil, err
	}
	annotations, err := o.annotationMap()
	if err != nil {
		return nil, err
	}
	var y policy.Writer
	y.Line("# " + o.commandLine())
	y.Line("apiVersion: assay.dev/v1")
	y.Line("kind: TrustPolicy")
	y.Open("metadata")
	y.Line("name: " + oneShotName)
	y.Close()
	y.Open("spec")
	y.Line("unmatched: deny")
	y.Open("authorities")
	y.Open("signer")
	y.Open(oneShotFormat)
	o.writeSigner(&y, signer)
	o.writeDemands(&y, annotations)
	if signer.trustedRoot != "" {
		y.Open("trustedRoot")
		y.Block("inline", signer.trustedRoot)
		y.Close()
	}
	y.Close()
	y.Close()
	y.Close()
	y.Line("rules:")
	y.Line(`- images: ["**"]`)
	y.Line("  require: [signer]")
	y.Line("  digest: pin")
	return y.Bytes(), nil
}

func (o *oneShot) writeSigner(y *policy.Writer, s oneShotSigner) {
	switch {
	case o.byKey() && len(s.keys) == 1:
		y.Open("key")
		s.keys[0].write(y, "")
		y.Close()
	case o.byKey():
		y.Line("keys:")
		for _, k := range s.keys {
			k.write(y, "- ")
		}
	case o.byAuthority():
		o.writeAuthority(y, s)
	default:
		o.writeIdentity(y)
	}
}

func (k oneShotKey) write(y *policy.Writer, dash string) {
	if k.kms != "" {
		y.Text(dash+"kms", k.kms)
		return
	}
	y.Block(dash+"pem", k.pem)
}

func (o *oneShot) writeAuthority(y *policy.Writer, s oneShotSigner) {
	y.Open("pki")
	y.Block("roots", s.roots)
	if s.intermediates != "" {
		y.Block("intermediates", s.intermediates)
	}
	y.Line("names:")
	y.Text("- uriRegExp", o.identityRegExp.String())
	y.Text("- "+kindOfName(o.identity.String()), o.identity.String())
	y.Close()
}

// kindOfName says which kind of subject alternative name a text is, by its form.
func kindOfName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return "ip"
	}
	switch {
	case strings.Contains(name, ":"):
		return "uri"
	case strings.Contains(name, "@"):
		return "email"
	}
	return "dns"
}

func (o *oneShot) writeIdentity(y *policy.Writer) {
	y.Open("keyless")
	y.Line("identities:")
	y.Text("- issuer", o.issuer.String())
	y.Text("- issuerRegExp", o.issuerRegExp.String())
	y.Indent()
	y.Text("subject", o.identity.String())
	y.Text("subjectRegExp", o.identityRegExp.String())
	if o.claims() {
		y.Open("claims")
		for i, c := range workflowClaims {
			y.Text(c[1], o.workflow[i].String())
		}
		y.Close()
	}
	y.Close()
	y.Close()
}

func (o *oneShot) writeDemands(y *policy.Writer, annotations map[string]string) {
	y.Text("signature", o.signature.String())
	if len(annotations) > 0 {
		y.Open("annotations")
		for _, key := range slices.Sorted(maps.Keys(annotations)) {
			y.Text(policy.Quote(key), annotations[key])
		}
		y.Close()
	}
	repository := o.repository()
	y.Text("signedRepository", repository.Mode)
	if repository.Exact != "" {
		y.Open("signedRepository")
		y.Text("exact", repository.Exact)
		y.Close()
	}
	if o.timestamps {
		y.Line("timestampThreshold: 1")
	}
	if o.insecureIgnoreLog {
		y.Line("insecureIgnoreLog: true")
	}
	if o.insecureIgnoreSCT {
		y.Line("insecureIgnoreSCT: true")
	}
	y.Text("rekorURL", o.rekorURL.String())
	if len(o.attestations) > 0 {
		y.Line("attestations:")
		for _, kind := range o.attestations {
			y.Text("- predicateType", kind)
		}
	}
}

// commandLine is the trust flags as a shell reads them. They name keys and never hold one.
func (o *oneShot) commandLine() string {
	words := []string{"assay verify"}
	for _, f := range o.given() {
		switch v := f.Value.(type) {
		case *many:
			for _, one := range *v {
				words = append(words, "--"+f.Name, shellWord(one))
			}
		case *once:
			words = append(words, "--"+f.Name, shellWord(v.String()))
		default:
			words = append(words, "--"+f.Name+strings.TrimSuffix("="+v.String(), "=true"))
		}
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// shellWord writes a text as one word of bash, on one line and without anything that cannot be seen.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	if !strings.ContainsFunc(s, func(r rune) bool { return r == '\'' || !unicode.IsPrint(r) }) {
		return "'" + s + "'"
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, octet := range []byte(string(r)) {
				fmt.Fprintf(&b, `\%03o`, octet)
			}
		}
	}
	return "$'" + b.String() + "'"
}

// indentedJSON returns JSON with one value a line.
func indentedJSON(data []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(data), "", "  "); err != nil {
		return "", err
	}
	return b.String() + "\n", nil
}
