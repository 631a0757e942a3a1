package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/sign"
	"github.com/assay-dev/assay/trust"
)

const signHelp = `Issue a certificate that names an image by its digest, and store it beside the
image under the tag dia-<digest>. The certificate comes from a CA in files, from
Vault's PKI engine, or is one that exists already. No Docker daemon is needed,
and the certificate's private key is never written.

The digest is that of -d, or of IMAGE itself if it has one, or what the registry
says that IMAGE names. In a GitLab job with Vault it is the one in
.push_stdout.log, the saved output of docker push, if that file exists.

Environment:
  VAULT_PKI_PATH, VAULT_AUTH_PATH, VAULT_AUTH_ROLE, VAULT_PKI_TTL
                            as the flags of the same names
  VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT, VAULT_CAPATH,
  VAULT_CACERT_BYTES, VAULT_CLIENT_CERT, VAULT_CLIENT_KEY, VAULT_SKIP_VERIFY,
  VAULT_TLS_SERVER_NAME, VAULT_PROXY_ADDR, VAULT_CLIENT_TIMEOUT
                            where Vault is and how to trust it
  CI_JOB_JWT                GitLab's token, where --id-token-env names none
  CI_PROJECT_ID, CI_JOB_ID  make the names of certificates from Vault
  DOCKER_REG_IMAGE          the image, where none is given
  ASSAY_CA_KEY_PASSPHRASE   the passphrase of an encrypted --ca-key

Exit codes:
  0   signed, or unchanged
  2   not signed: no digest, or the registry, Vault or the CA refused or failed
  64  the command line is wrong
Called as dia-sign.sh, an unknown option ends with 1.`

const signExamples = `  # with a CA in files
  assay sign --ca-cert ca.pem --ca-key ca.key registry.example/team/app:1.0

  # in a GitLab job with "id_tokens: {VAULT_ID_TOKEN: {aud: https://vault.example}}"
  export VAULT_ADDR=https://vault.example VAULT_AUTH_PATH=auth/jwt/gitlab
  export VAULT_AUTH_ROLE=signer VAULT_PKI_PATH=pki/issue/by-gitlab-id
  assay sign --id-token-env VAULT_ID_TOKEN "$CI_REGISTRY_IMAGE:$CI_COMMIT_TAG"

  # a certificate that was issued elsewhere, in the exact form of DIA
  assay sign --compat dia --cert image.crt -d 5f70bf18a0… registry.example/team/app

  # an index and each of its platforms
  assay sign --recursive --ca-cert ca.pem --ca-key ca.key registry.example/team/app:1.0`

// signTimeout bounds one request to a time-stamp authority.
const signTimeout = 30 * time.Second

// signOptions are the flags of sign.
type signOptions struct {
	app        *app
	registries *registryOptions

	asDIA         bool
	compat        string
	cert          string
	digest        string
	caCert        string
	caKey         string
	passphrase    string
	vault         vaultOptions
	idTokenEnv    string
	prefix        string
	ttl           time.Duration
	recursive     bool
	timestampURL  string
	output        string
	pushLogFolder string
}

func (a *app) signCommand() *cobra.Command {
	o := &signOptions{app: a, pushLogFolder: "."}
	cmd := &cobra.Command{
		Use:     "sign [flags] IMAGE",
		Short:   "Issue a certificate for an image and store it beside the image",
		Long:    signHelp,
		Example: signExamples,
		Args:    func(_ *cobra.Command, args []string) error { return o.checkArgs(args) },
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.cert, "cert", "c", "", "attach the certificate in `FILE`, in PEM or as base64 of PEM")
	f.StringVarP(&o.digest, "digest", "d", "", "sign the digest of these 64 `HEX` digits of sha256")
	f.StringVar(&o.caCert, "ca-cert", "", "issue with the CA certificate in `FILE`, in PEM, its chain after it")
	f.StringVar(&o.caKey, "ca-key", "", "the CA's key, a PEM `FILE` in PKCS#8, PKCS#1 or SEC1")
	f.StringVar(&o.passphrase, "ca-key-passphrase-file", "", "`FILE` with the passphrase of --ca-key")
	f.StringVar(&o.vault.pkiPath, "vault-pki-path", "", "issue with Vault at `PATH`, for example pki/issue/by-gitlab-id ($VAULT_PKI_PATH)")
	f.StringVar(&o.vault.authPath, "vault-auth-path", "", "log in to Vault at `PATH`, for example auth/jwt/gitlab ($VAULT_AUTH_PATH)")
	f.StringVar(&o.vault.role, "vault-auth-role", "", "log in to Vault as `ROLE` ($VAULT_AUTH_ROLE)")
	f.BoolVar(&o.vault.insecurePlainHTTP, "insecure-vault-plain-http", false, "send tokens to a Vault without TLS that is not on this host")
	f.StringVar(&o.idTokenEnv, "id-token-env", "", "`NAME` of the variable with the job's token, as in GitLab's id_tokens")
	f.StringVar(&o.prefix, "common-name-prefix", "", "what the common name begins with (default dia-, and the project's id with Vault)")
	f.DurationVar(&o.ttl, "ttl", 0, "how long the certificate holds ($VAULT_PKI_TTL, default 10m)")
	f.BoolVar(&o.recursive, "recursive", false, "sign the children of an index as well, each with its own certificate")
	f.StringVar(&o.timestampURL, "timestamp-url", "", "add a time stamp (RFC 3161) of the authority at `URL`")
	f.StringVar(&o.compat, "compat", "", "dia: exactly DIA's form, a Docker manifest with the leaf alone, for old webhooks")
	o.registries = a.registryFlags(cmd)
	f.StringVarP(&o.output, "output", "o", "text", "text, or json: one object for each digest")
	f.BoolVar(&o.asDIA, "as-dia-sign", false, "behave as dia-sign.sh")
	_ = f.MarkHidden("as-dia-sign") // fails only for flags that do not exist
	cmd.SetFlagErrorFunc(o.flagError)
	return cmd
}

// flagError gives an unknown option the text, and under the old name the exit code, that users of DIA know.
func (o *signOptions) flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return withHint(usageError("%w", err), "see "+cmd.CommandPath()+" --help")
	}
	name := "--" + unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		name = "-" + unknown.GetSpecifiedName()
	}
	code := exitUsage
	if o.asDIA {
		code = exitDenied
	}
	return withHint(&exitError{code: code, err: diaError("Unknown option " + name)}, "see "+cmd.CommandPath()+" --help")
}

func (o *signOptions) checkArgs(args []string) error {
	if o.asDIA && o.compat == "" {
		o.compat = "dia"
	}
	switch {
	case len(args) > 1:
		return usageError("%d images, sign takes one", len(args))
	case len(args) == 0 && o.app.getenv("DOCKER_REG_IMAGE") == "":
		return withHint(usageError("no image"), "name one, or set DOCKER_REG_IMAGE")
	case o.compat != "" && o.compat != "dia" && o.compat != "none":
		return usageError("--compat %q: want dia or none", o.compat)
	case o.output != "text" && o.output != "json":
		return usageError("--output %q: want text or json", o.output)
	case o.cert != "" && o.recursive:
		return usageError("--cert with --recursive: one certificate names one digest")
	case o.cert != "" && o.ttl != 0:
		return usageError("--cert with --ttl: how long the certificate holds was settled when it was issued")
	case o.ttl < 0:
		return usageError("--ttl %s: is negative", o.ttl)
	case o.timestampURL != "" && o.compat == "dia":
		return usageError("--timestamp-url with --compat dia: DIA's form has no time stamp")
	}
	return nil
}

// failed says that nothing, or not everything, was signed.
func failed(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return &exitError{code: exitCannotTell, err: err}
}

func (o *signOptions) run(ctx context.Context, args []string) error {
	name := o.app.getenv("DOCKER_REG_IMAGE")
	if len(args) > 0 {
		name = args[0]
	}
	issuer, options, err := o.issuer()
	if err != nil {
		return failed(err)
	}
	client, err := o.registries.client()
	if err != nil {
		return failed(err)
	}
	defer client.CloseIdleConnections()
	results, err := o.sign(ctx, client, issuer, name, options)
	if printErr := o.print(results); err == nil {
		err = printErr
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

func (o *signOptions) sign(ctx context.Context, client *registry.Client, issuer sign.Issuer, name string, options sign.Options) ([]sign.Result, error) {
	ref, err := o.target(ctx, client, name)
	if err != nil {
		return nil, err
	}
	options.DIA = o.compat == "dia"
	options.Recursive = o.recursive
	if o.timestampURL != "" {
		options.Stamper = sign.TimestampAuthority{URL: o.timestampURL, Client: &http.Client{Timeout: signTimeout}}
	}
	return sign.Image(ctx, client, issuer, ref, options)
}

// signedJSON is a result as JSON.
type signedJSON struct {
	Ref       string        `json:"ref"`
	Digest    string        `json:"digest"`
	Platform  string        `json:"platform,omitempty"`
	Tag       string        `json:"tag"`
	Subject   string        `json:"subject"`
	Serial    string        `json:"serial"`
	NotAfter  time.Time     `json:"notAfter"`
	Unchanged bool          `json:"unchanged,omitempty"`
	Replaced  *replacedJSON `json:"replaced,omitempty"`
	Warning   string        `json:"warning,omitempty"`
}

type replacedJSON struct {
	Manifest string     `json:"manifest"`
	Subject  string     `json:"subject,omitempty"`
	Serial   string     `json:"serial,omitempty"`
	NotAfter *time.Time `json:"notAfter,omitempty"`
}

// print writes what was signed to stdout, and what the user should know about it to stderr.
func (o *signOptions) print(results []sign.Result) error {
	for _, r := range results {
		if r.Warning != "" {
			fmt.Fprintf(o.app.stderr, "assay: warning: %s\n", r.Warning)
		}
		if r.Replaced != nil {
			fmt.Fprintf(o.app.stderr, "assay: replaced %s\n", describeReplaced(r.Replaced))
		}
		if err := o.printOne(r); err != nil {
			return err
		}
	}
	return nil
}

func (o *signOptions) printOne(r sign.Result) error {
	leaf := trust.DescribeCertificate(r.Leaf)
	if o.output != "json" {
		verb := "signed"
		if r.Unchanged {
			verb = "unchanged"
		}
		_, err := fmt.Fprintf(o.app.stdout, "%s %s with %s, serial %s, valid until %s\n",
			verb, r.Ref, leaf.Subject, leaf.Serial, r.Leaf.NotAfter.UTC().Format(time.RFC3339))
		return err
	}
	out := signedJSON{
		Ref: r.Ref.String(), Digest: r.Ref.Digest().String(), Platform: r.Platform, Tag: r.Tag,
		Subject: leaf.Subject, Serial: leaf.Serial, NotAfter: r.Leaf.NotAfter.UTC(), Unchanged: r.Unchanged, Warning: r.Warning,
	}
	if old := r.Replaced; old != nil {
		out.Replaced = &replacedJSON{Manifest: old.Manifest.String()}
		if old.Leaf != nil {
			c, until := trust.DescribeCertificate(old.Leaf), old.Leaf.NotAfter.UTC()
			out.Replaced.Subject, out.Replaced.Serial, out.Replaced.NotAfter = c.Subject, c.Serial, &until
		}
	}
	encoder := json.NewEncoder(o.app.stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func describeReplaced(r *sign.Replaced) string {
	if r.Leaf == nil {
		return "what was there, " + r.Manifest.String() + ", which held no certificate that can be read"
	}
	c := trust.DescribeCertificate(r.Leaf)
	return strings.Join([]string{"the certificate " + c.Subject, "serial " + c.Serial, "valid until " + r.Leaf.NotAfter.UTC().Format(time.RFC3339)}, ", ")
}
