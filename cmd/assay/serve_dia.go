package main

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/policy"
)

// What DIA's webhook reads of its environment, and what it takes where nothing is said.
const (
	diaProtocol   = "DIAWH_PROTOCOL"
	diaPort       = "DIAWH_PORT"
	diaCORS       = "DIAWH_CORS"
	diaSkipVerify = "DIAWH_REGISTRY_SKIP_VERIFY"
	diaRoots      = "DIAWH_ATTESTOR_CA_CERT"
	diaTLSCert    = "DIAWH_TLS_CERT"
	diaTLSKey     = "DIAWH_TLS_KEY"
	diaSlice      = "DIGEST_SLICE"

	diaDefaultPort    = "8080"
	diaDefaultRoots   = "/etc/pki/tls/certs/ca.pem"
	diaDefaultTLSCert = "/etc/pki/tls/certs/diawh.crt"
	diaDefaultTLSKey  = "/etc/pki/tls/private/diawh.key"
	diaDefaultSlice   = "0-40"
)

var diaNames = []string{diaProtocol, diaPort, diaCORS, diaSkipVerify, diaRoots, diaTLSCert, diaTLSKey, diaSlice}

// diaServiceLink matches what Kubernetes puts into the environment of pods beside a Service called diawh.
var diaServiceLink = regexp.MustCompile(`^DIAWH_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// diaEnvironment is what DIA's environment asks for.
type diaEnvironment struct {
	roots, slice string
	skipVerify   bool
	mode         string
	hints        []string // for the log
}

// diaEnvironment reads the environment of DIA's webhook into the flags of a server. A flag that was given counts; where both cannot be meant,
// that is an error.
func (a *app) diaEnvironment(cmd *cobra.Command, o *serveOptions) (*diaEnvironment, error) {
	if err := a.refuseUnknownDIA(); err != nil {
		return nil, err
	}
	d := &diaEnvironment{roots: cmp.Or(a.getenv(diaRoots), diaDefaultRoots), slice: cmp.Or(a.getenv(diaSlice), diaDefaultSlice)}
	for _, read := range []func(*cobra.Command, *serveOptions) error{d.readPort(a), d.readTLS(a), d.readSwitches(a)} {
		if err := read(cmd, o); err != nil {
			return nil, err
		}
	}
	o.registries.skipTLSVerify = d.skipVerify
	return d, nil
}

// refuseUnknownDIA refuses names that DIA does not have: what is mistyped would be ignored in silence.
func (a *app) refuseUnknownDIA() error {
	if a.environ == nil {
		return nil
	}
	for _, pair := range a.environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "DIAWH_") || slices.Contains(diaNames, name) || diaServiceLink.MatchString(name) {
			continue
		}
		hint := "there are " + strings.Join(diaNames, ", ")
		if near := nearest(name, diaNames); near != "" {
			hint = "did you mean " + near + "?"
		}
		return withHint(usageError("%s: DIA has no such setting", name), hint)
	}
	return nil
}

func (d *diaEnvironment) hint(format string, args ...any) {
	d.hints = append(d.hints, fmt.Sprintf(format, args...))
}

func (d *diaEnvironment) readPort(a *app) func(*cobra.Command, *serveOptions) error {
	return func(cmd *cobra.Command, o *serveOptions) error {
		text := cmp.Or(a.getenv(diaPort), diaDefaultPort)
		port, err := strconv.ParseUint(text, 10, 16)
		switch {
		case strings.HasPrefix(text, "tcp://"):
			return withHint(usageError("%s: %q is what Kubernetes says about a Service called diawh", diaPort, text),
				"set enableServiceLinks: false in the pod's spec, or "+diaPort+" itself")
		case err != nil || port == 0:
			return withHint(usageError("%s: %q is no port", diaPort, text), "write a number, such as "+diaDefaultPort)
		case !cmd.Flags().Changed("listen"):
			o.listen = ":" + text
		case a.getenv(diaPort) != "":
			d.hint("%s: --listen %s counts", diaPort, o.listen)
		}
		return nil
	}
}

func (d *diaEnvironment) readTLS(a *app) func(*cobra.Command, *serveOptions) error {
	return func(cmd *cobra.Command, o *serveOptions) error {
		changed := cmd.Flags().Changed
		files := changed("tls-cert") || changed("tls-key") || changed("own-ca")
		switch protocol := a.getenv(diaProtocol); {
		case protocol != "" && protocol != "https" && protocol != "http":
			return withHint(usageError("%s: Unsupported api protocol %q", diaProtocol, protocol), "https (the default) or http")
		case protocol == "http" && files:
			return withHint(usageError("%s=http beside a certificate", diaProtocol), "leave one of them out")
		case protocol == "https" && o.plainHTTP:
			return withHint(usageError("%s=https beside --insecure-plain-http", diaProtocol), "leave one of them out")
		case protocol == "http":
			d.hint("%s=http: served without TLS; no API server calls a webhook like that", diaProtocol)
			o.plainHTTP = true
		case files || o.plainHTTP:
			for _, name := range []string{diaTLSCert, diaTLSKey} {
				if a.getenv(name) != "" {
					d.hint("%s: the flags about certificates count", name)
				}
			}
		default:
			o.cert, o.key = cmp.Or(a.getenv(diaTLSCert), diaDefaultTLSCert), cmp.Or(a.getenv(diaTLSKey), diaDefaultTLSKey)
		}
		return nil
	}
}

func (d *diaEnvironment) readSwitches(a *app) func(*cobra.Command, *serveOptions) error {
	return func(*cobra.Command, *serveOptions) error {
		switch cors := a.getenv(diaCORS); cors {
		case "", "disabled":
		case "enabled":
			d.hint("%s=enabled: without effect; no browser calls an admission webhook", diaCORS)
		default:
			return withHint(usageError("%s: %q", diaCORS, cors), "enabled or disabled; neither has an effect")
		}
		switch skip := a.getenv(diaSkipVerify); skip {
		case "":
			d.hint("%s is not set: the TLS certificates of registries are checked, which DIA did not; --registries gives the CAs of those that have one of their own", diaSkipVerify)
		case "false":
		case "true":
			d.skipVerify = true
			d.hint("%s=true: the TLS certificates of registries are not checked, so that whoever sits between can take evidence away; --registries gives the CAs of those that have one of their own",
				diaSkipVerify)
		default:
			return withHint(usageError("%s: %q", diaSkipVerify, skip), "true or false")
		}
		return nil
	}
}

// policies is the source of the one policy that DIA's settings are.
func (d *diaEnvironment) policies(r *reading) ([]*policy.Policy, error) {
	roots, err := r.file(d.roots, maxMaterial)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", diaRoots, err)
	}
	if !bytes.Contains(roots, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil, fmt.Errorf("%s does not contain any certificate in PEM format: %s", diaRoots, d.roots)
	}
	p, err := policy.Parse(policy.Source{
		Name: "policy of " + diaRoots + " and " + diaSlice, Data: d.document(),
		ReadFile: func(name string) ([]byte, error) { return r.file(name, maxMaterial) },
	}, formatNames())
	if err != nil {
		return nil, err
	}
	return []*policy.Policy{p}, nil
}

// document is the policy in YAML; examples/dia.yaml explains it.
func (d *diaEnvironment) document() []byte {
	return fmt.Appendf(nil, `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata:
  name: dia
spec:
  mode: %s
  scope:
    points: [kubernetes]
  authorities:
    attestor:
      certificate:
        rootsFiles: [%q]
        validity: issued
        commonName:
          slice: %q
          match: contains
  rules:
  - images: ["**"]
    require: attestor
    platform: linux/amd64
`, cmp.Or(d.mode, "enforce"), d.roots, d.slice)
}
