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
	var y yamlText
	y.line("# " + o.commandLine())
	y.line("apiVersion: assay.dev/v1")
	y.line("kind: TrustPolicy")
	y.line("metadata:")
	y.line("  name: " + oneShotName)
	y.line("spec:")
	y.line("  unmatched: deny")
	y.line("  authorities:")
	y.line("    signer:")
	y.line("      " + oneShotFormat + ":")
	y.depth = 4
	o.writeSigner(&y, signer)
	o.writeDemands(&y, annotations)
	if signer.trustedRoot != "" {
		y.open("trustedRoot")
		y.block("inline", signer.trustedRoot)
		y.close()
	}
	y.depth = 0
	y.line("  rules:")
	y.line(`  - images: ["**"]`)
	y.line("    require: [signer]")
	y.line("    digest: pin")
	return y.Bytes(), nil
}

func (o *oneShot) writeSigner(y *yamlText, s oneShotSigner) {
	switch {
	case o.byKey() && len(s.keys) == 1:
		y.open("key")
		s.keys[0].write(y, "")
		y.close()
	case o.byKey():
		y.line("keys:")
		for _, k := range s.keys {
			k.write(y, "- ")
		}
	case o.byAuthority():
		o.writeAuthority(y, s)
	default:
		o.writeIdentity(y)
	}
}

func (k oneShotKey) write(y *yamlText, dash string) {
	if k.kms != "" {
		y.text(dash+"kms", k.kms)
		return
	}
	y.block(dash+"pem", k.pem)
}

func (o *oneShot) writeAuthority(y *yamlText, s oneShotSigner) {
	y.open("pki")
	y.block("roots", s.roots)
	if s.intermediates != "" {
		y.block("intermediates", s.intermediates)
	}
	y.line("names:")
	y.text("- uriRegExp", o.identityRegExp.String())
	y.text("- "+kindOfName(o.identity.String()), o.identity.String())
	y.close()
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

func (o *oneShot) writeIdentity(y *yamlText) {
	y.open("keyless")
	y.line("identities:")
	y.text("- issuer", o.issuer.String())
	y.text("- issuerRegExp", o.issuerRegExp.String())
	y.depth++
	y.text("subject", o.identity.String())
	y.text("subjectRegExp", o.identityRegExp.String())
	if o.claims() {
		y.open("claims")
		for i, c := range workflowClaims {
			y.text(c[1], o.workflow[i].String())
		}
		y.close()
	}
	y.depth--
	y.close()
}

func (o *oneShot) writeDemands(y *yamlText, annotations map[string]string) {
	y.text("signature", o.signature.String())
	if len(annotations) > 0 {
		y.open("annotations")
		for _, key := range slices.Sorted(maps.Keys(annotations)) {
			y.text(quoted(key), annotations[key])
		}
		y.close()
	}
	repository := o.repository()
	y.text("signedRepository", repository.Mode)
	if repository.Exact != "" {
		y.open("signedRepository")
		y.text("exact", repository.Exact)
		y.close()
	}
	if o.timestamps {
		y.line("timestampThreshold: 1")
	}
	if o.insecureIgnoreLog {
		y.line("insecureIgnoreLog: true")
	}
	if o.insecureIgnoreSCT {
		y.line("insecureIgnoreSCT: true")
	}
	y.text("rekorURL", o.rekorURL.String())
	if len(o.attestations) > 0 {
		y.line("attestations:")
		for _, kind := range o.attestations {
			y.text("- predicateType", kind)
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

// yamlText writes a YAML document line by line. What comes from outside is always quoted, or a block of text that was looked at.
type yamlText struct {
	bytes.Buffer
	depth int
}

func (y *yamlText) line(s string) { fmt.Fprintf(y, "%*s%s\n", 2*y.depth, "", s) }

// open begins the mapping that is the value of a key.
func (y *yamlText) open(key string) {
	y.line(key + ":")
	y.depth++
}

func (y *yamlText) close() { y.depth-- }

// text writes a key with its value, and nothing for an empty one.
func (y *yamlText) text(key, value string) {
	if value != "" {
		y.line(key + ": " + quoted(value))
	}
}

// block writes a text of several lines that ends with a line break, as it is if that is safe.
func (y *yamlText) block(key, value string) {
	inside, whole := strings.CutSuffix(value, "\n")
	if !whole || strings.TrimSpace(inside) != inside || strings.ContainsFunc(inside, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		y.text(key, value)
		return
	}
	y.line(key + ": |")
	indent := "  "
	if strings.HasPrefix(key, "- ") {
		indent = "    "
	}
	for line := range strings.SplitSeq(inside, "\n") {
		y.line(indent + line)
	}
}

// quoted writes a text in double quotes, with escapes for what cannot be seen.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// indentedJSON returns JSON with one value a line.
func indentedJSON(data []byte) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(data), "", "  "); err != nil {
		return "", err
	}
	return b.String() + "\n", nil
}
