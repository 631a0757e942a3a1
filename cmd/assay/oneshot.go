package main

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// oneShot is the flags by which verify makes its policy itself, for this one call. They have cosign's names where cosign has them.
type oneShot struct {
	app   *app
	flags *pflag.FlagSet
	print bool

	keys                        many
	identity, identityRegExp    once
	issuer, issuerRegExp        once
	workflow                    [5]once // in the order of workflowClaims
	caRoots, caIntermediates    once
	trustedRoot                 once
	annotations, attestations   many
	signature, signedRepository once
	rekorURL                    once
	timestamps                  bool
	insecureIgnoreLog           bool
	insecureIgnoreSCT           bool
}

// workflowClaims are cosign's flags about a GitHub workflow, with the policy's fields.
var workflowClaims = [5][2]string{
	{"certificate-github-workflow-trigger", "githubWorkflowTrigger"},
	{"certificate-github-workflow-sha", "githubWorkflowSHA"},
	{"certificate-github-workflow-name", "githubWorkflowName"},
	{"certificate-github-workflow-repository", "githubWorkflowRepository"},
	{"certificate-github-workflow-ref", "githubWorkflowRef"},
}

// once is the text of a flag that is given once. An empty text is most likely a variable that is not set: it must not read as a flag
// that was not given.
type once string

// Set implements pflag.Value.
func (t *once) Set(s string) error {
	if *t != "" {
		return errors.New("given a second time; only one can hold")
	}
	*t = once(s)
	return writable(s)
}

// String implements pflag.Value.
func (t *once) String() string { return string(*t) }

// Type is the placeholder in the help.
func (t *once) Type() string { return "string" }

// many is the texts of a flag that may be repeated.
type many []string

// Set implements pflag.Value.
func (t *many) Set(s string) error {
	*t = append(*t, s)
	return writable(s)
}

// String implements pflag.Value.
func (t *many) String() string { return strings.Join(*t, " ") }

// Type is the placeholder in the help.
func (t *many) Type() string { return "string" }

// writable refuses what cannot stand in a policy.
func writable(s string) error {
	switch {
	case s == "":
		return errors.New("is empty; is a variable not set?")
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	}
	return nil
}

// oneShotFlags adds the flags that make a policy for one call.
func (a *app) oneShotFlags(cmd *cobra.Command) *oneShot {
	o := &oneShot{app: a, flags: pflag.NewFlagSet("trust", pflag.ContinueOnError)}
	f := o.flags
	f.SortFlags = false
	f.Var(&o.keys, "key",
		"trust the public key in `FILE`: PEM, - for standard input, env://NAME, or a KMS as in hashivault://name; may be repeated, any counts")
	f.Var(&o.identity, "certificate-identity", "trust certificates for exactly `NAME`: an e-mail address, a URI; needs an issuer")
	f.Var(&o.identityRegExp, "certificate-identity-regexp", "the same by an expression `RE2` for the whole name; cosign's may match a part")
	f.Var(&o.issuer, "certificate-oidc-issuer", "identity provider that must have known the name, exactly this `URL`")
	f.Var(&o.issuerRegExp, "certificate-oidc-issuer-regexp", "the same by an expression `RE2` for the whole URL; cosign's may match a part")
	f.Var(&o.workflow[0], "certificate-github-workflow-trigger", "what started the workflow, exactly this `TEXT`, as in push")
	f.Var(&o.workflow[1], "certificate-github-workflow-sha", "commit of the workflow, exactly this `TEXT`")
	f.Var(&o.workflow[2], "certificate-github-workflow-name", "name of the workflow, exactly this `TEXT`")
	f.Var(&o.workflow[3], "certificate-github-workflow-repository", "repository of the workflow, exactly this `TEXT`, as in acme/app")
	f.Var(&o.workflow[4], "certificate-github-workflow-ref", "branch or tag of the workflow, exactly this `TEXT`, as in refs/heads/main")
	f.Var(&o.caRoots, "ca-roots", "trust certificates of the own authority in `FILE`, in PEM; needs --certificate-identity and no issuer")
	f.Var(&o.caIntermediates, "ca-intermediates", "`FILE` with certificates between --ca-roots and signers, in PEM")
	f.Var(&o.trustedRoot, "trusted-root", "trusted_root.json `FILE` with the logs and authorities that count; nothing is fetched then")
	f.VarP(&o.annotations, "annotation", "a", "`KEY=VALUE` that the signature must carry; may be repeated (also --annotations)")
	f.Var(&o.attestations, "attestation", "need an attestation of this `TYPE` by the same signer, as in slsaprovenance1; may be repeated (also --type)")
	f.Var(&o.signature, "signature",
		"of the image itself: `required|none` (default required); none: the attestations suffice, as for cosign verify-attestation")
	f.Var(&o.signedRepository, "signed-repository", "repository that signatures name: match (default: the image's), ignore, or a `NAME`")
	f.Var(&o.rekorURL, "rekor-url", "ask the Rekor log at `URL` for the entry of a signature that brings none")
	f.BoolVar(&o.timestamps, "use-signed-timestamps", false, "need a time stamp (RFC 3161) by a trusted authority")
	f.BoolVar(&o.insecureIgnoreLog, "insecure-ignore-tlog", false, "need no entry in a transparency log")
	f.BoolVar(&o.insecureIgnoreSCT, "insecure-ignore-sct", false, "need no proof that the certificate was logged")
	cmd.Flags().AddFlagSet(f)
	cmd.Flags().BoolVar(&o.print, "print-policy", false, "print the policy that these flags stand for, and decide about nothing")
	cmd.Flags().SetNormalizeFunc(otherNames)
	o.complete(cmd)
	return o
}

// otherNames reads cosign's names of flags that have clearer ones here.
func otherNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "annotations":
		name = "annotation"
	case "type":
		name = "attestation"
	}
	return pflag.NormalizedName(name)
}

// complete says what the shell offers for the flags.
func (o *oneShot) complete(cmd *cobra.Command) {
	registerWords(cmd, "signature", "required", "none")
	registerWords(cmd, "signed-repository", "match", "ignore")
	registerWords(cmd, "certificate-oidc-issuer", "https://token.actions.githubusercontent.com", "https://gitlab.com", "https://accounts.google.com",
		"https://github.com/login/oauth")
	registerWords(cmd, "attestation", "slsaprovenance1", "slsaprovenance02", "slsaprovenance", "spdx", "spdxjson", "cyclonedx", "vuln", "openvex",
		"link", "custom")
	for _, name := range []string{"certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer-regexp", "annotation", "rekor-url"} {
		registerWords(cmd, name)
	}
	for _, c := range workflowClaims {
		registerWords(cmd, c[0])
	}
}

// given lists the flags that stand on the command line, in the order of the help.
func (o *oneShot) given() []*pflag.Flag {
	var given []*pflag.Flag
	o.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			given = append(given, f)
		}
	})
	return given
}

// Three kinds of signer can be trusted: keys, an own authority, and else identities.
func (o *oneShot) byKey() bool       { return len(o.keys) > 0 }
func (o *oneShot) byAuthority() bool { return o.caRoots != "" }

// What says who may sign with a certificate.
func (o *oneShot) names() bool   { return o.identity != "" || o.identityRegExp != "" }
func (o *oneShot) issuers() bool { return o.issuer != "" || o.issuerRegExp != "" }
func (o *oneShot) claims() bool  { return o.workflow != [5]once{} }

// check refuses command lines that contradict themselves or leave open whom to trust.
func (o *oneShot) check() error {
	for _, check := range []func() error{o.checkSigner, o.checkExact, o.checkExpressions, o.checkDemands} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (o *oneShot) checkSigner() error {
	someone := o.names() || o.issuers() || o.claims()
	switch {
	case o.byKey() && (someone || o.byAuthority()):
		return withHint(usageError("--key beside flags about certificates: a signature is made with one or the other"),
			"to accept both, write a policy with two authorities; --print-policy makes the start for each")
	case o.caIntermediates != "" && !o.byAuthority():
		return usageError("--ca-intermediates without --ca-roots; name the roots too")
	case o.byKey():
		return nil
	case o.byAuthority() && (o.issuers() || o.claims()):
		return withHint(usageError("--ca-roots beside flags about an identity provider: an own authority's certificates count by their names alone"),
			"for an own Fulcio give its certificates and logs by --trusted-root instead; cosign trusted-root create writes one")
	case o.byAuthority() && !o.names():
		return usageError("--ca-roots without a name: every certificate of that authority would count; add --certificate-identity")
	case o.byAuthority():
		return nil
	case !someone:
		return errNobody()
	case !o.names() && !o.issuers():
		return usageError("--certificate-github-workflow-… without an identity; add --certificate-identity and --certificate-oidc-issuer")
	case !o.names():
		return withHint(usageError("--certificate-oidc-issuer without a name: everybody whom that provider knows would count"),
			"add --certificate-identity or --certificate-identity-regexp")
	case !o.issuers():
		return withHint(usageError("--certificate-identity without an identity provider: any provider could claim that name"),
			"add --certificate-oidc-issuer or --certificate-oidc-issuer-regexp; or --ca-roots for certificates of an own authority")
	}
	return nil
}

// checkExact refuses stars in texts that cosign compares exactly: a policy would read them as wildcards.
func (o *oneShot) checkExact() error {
	type exact struct {
		name, otherwise string
		value           once
	}
	all := []exact{
		{"certificate-identity", "write --certificate-identity-regexp for several names", o.identity},
		{"certificate-oidc-issuer", "write --certificate-oidc-issuer-regexp for several providers", o.issuer},
	}
	for i, c := range workflowClaims {
		all = append(all, exact{c[0], "for several, write a policy; --print-policy makes the start", o.workflow[i]})
	}
	for _, e := range all {
		if strings.Contains(e.value.String(), "*") {
			return usageError("--%s %q: the whole text is compared, and * is no wildcard here; %s", e.name, e.value, e.otherwise)
		}
	}
	return nil
}

func (o *oneShot) checkExpressions() error {
	switch {
	case o.identity != "" && o.identityRegExp != "":
		return usageError("--certificate-identity and --certificate-identity-regexp: give one of them")
	case o.issuer != "" && o.issuerRegExp != "":
		return usageError("--certificate-oidc-issuer and --certificate-oidc-issuer-regexp: give one of them")
	}
	if _, err := regexp.Compile(o.identityRegExp.String()); err != nil {
		return usageError("--certificate-identity-regexp: %w", err)
	}
	if _, err := regexp.Compile(o.issuerRegExp.String()); err != nil {
		return usageError("--certificate-oidc-issuer-regexp: %w", err)
	}
	return nil
}

func (o *oneShot) checkDemands() error {
	switch {
	case o.signature != "" && o.signature != "required" && o.signature != "none":
		return withHint(usageError("--signature %q: want required or none", o.signature), "signatures are read from the registry, never from files")
	case o.signature == "none" && len(o.attestations) == 0:
		return usageError("--signature none without --attestation: nothing would be needed; name the type of an attestation")
	case o.signature == "none" && (len(o.annotations) > 0 || o.signedRepository != ""):
		return usageError("--signature none beside --annotation or --signed-repository, which are about the signature; leave one out")
	case o.insecureIgnoreSCT && (o.byKey() || o.byAuthority()):
		return usageError("--insecure-ignore-sct: only certificates of Fulcio carry such a proof; leave it out")
	case o.insecureIgnoreLog && o.rekorURL != "":
		return usageError("--insecure-ignore-tlog and --rekor-url: give one of them")
	}
	if _, err := o.annotationMap(); err != nil {
		return err
	}
	if err := o.repository().Validate(); err != nil {
		return usageError("--signed-repository: %w", err)
	}
	return o.checkRekorURL()
}

// repository is the repository that signatures must name.
func (o *oneShot) repository() trust.SignedRepository {
	switch o.signedRepository {
	case "", "match", "ignore":
		return trust.SignedRepository{Mode: o.signedRepository.String()}
	}
	return trust.SignedRepository{Exact: o.signedRepository.String()}
}

// checkRekorURL keeps passwords out of policies, which are printed.
func (o *oneShot) checkRekorURL() error {
	if o.rekorURL == "" {
		return nil
	}
	u, err := url.Parse(o.rekorURL.String())
	switch {
	case err != nil:
		// The cause repeats the text, which may hold a password.
		return usageError("--rekor-url: is no URL; write it as in https://rekor.example")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return usageError("--rekor-url: want a URL such as https://rekor.example")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return usageError("--rekor-url: carries a user, a password or a query; a policy is no place for them")
	}
	return nil
}

// maxAnnotationKey bounds the key of an annotation as a policy writes it, in bytes. YAML reads no longer ones.
const maxAnnotationKey = 1000

func (o *oneShot) annotationMap() (map[string]string, error) {
	annotations := map[string]string{}
	for _, a := range o.annotations {
		key, value, found := strings.Cut(a, "=")
		before, twice := annotations[key]
		switch {
		case !found || key == "":
			return nil, usageError("--annotation %q: want key=value", a)
		case value == "":
			return nil, usageError("--annotation %q: the value is empty; is a variable not set?", a)
		case twice && before != value:
			return nil, usageError("--annotation %q: %q was asked for before, and both cannot hold", a, key+"="+before)
		case len(policy.Quote(key)) > maxAnnotationKey:
			return nil, usageError("--annotation: the key is longer than %d bytes", maxAnnotationKey)
		}
		annotations[key] = value
	}
	return annotations, nil
}

// policy returns the policy that the flags stand for, read as a file would be, and its document.
func (o *oneShot) policy() (*policy.Policy, []byte, error) {
	document, err := o.document()
	if err != nil {
		return nil, nil, err
	}
	p, err := policy.Parse(policy.Source{Name: oneShotName, Data: document}, []string{oneShotFormat})
	if err != nil {
		return nil, nil, o.told(err)
	}
	if o.trustedRoot != "" && !o.looksAtRoot() {
		o.app.warnOf("--trusted-root: left out: a key with --insecure-ignore-tlog needs neither logs nor authorities")
	}
	return p, document, nil
}

// errNobody lists whom verify can be told to trust.
func errNobody() error {
	return withHint(usageError("nobody to trust: say whose word counts, by one of\n%s", unwrapped(`
  a policy:               assay verify --policy policy.yaml IMAGE
  a public key:           assay verify --key cosign.pub IMAGE
  a key in a KMS:         assay verify --key hashivault://release IMAGE
  an identity (keyless):  assay verify --certificate-identity dev@acme.example --certificate-oidc-issuer https://accounts.google.com IMAGE
  an own authority:       assay verify --ca-roots ca.pem --certificate-identity builder@acme.example IMAGE`)),
		"--print-policy prints the policy that such flags stand for; see assay verify --help")
}
