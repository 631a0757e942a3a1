package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/policy"
)

const importHelp = `Import makes a policy of another system's settings. The policy goes to standard
output, and to standard error one line for each place where it means something
else than before: what it was, what it is, and what to do. Warnings are about
checks that are weaker than they need be.

Credentials and CAs of Notary servers belong into the settings of registries,
which are printed as well, without passwords; --registries-out writes them.

Exit codes: 0 if there is a policy, 64 if there is none. No file is overwritten.`

const pinHelp = `

Where the root is found, in the folder of somebody who signs, not at the server that
is to be checked by it. Each repository has a certificate of its own for the root key,
which is the same for all of an owner; --root-key names that key:
  jq -r '.signed as $s | $s.roles.root.keyids[] | $s.keys[.].keyval.public' \
    ~/.docker/trust/tuf/registry.example/app/metadata/root.json | base64 -d |
    openssl x509 -noout -pubkey > root.pub`

func (a *app) policyImportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import SYSTEM ...",
		Short: "Make a policy of another system's settings, and say what changes",
		Long:  importHelp,
		Args:  oneOfTheSystems,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.importTrustFileCommand(), a.importPluginCommand(), a.importNotationCommand())
	return cmd
}

// oneOfTheSystems refuses a system that nothing is imported from, with the one that may be meant.
func oneOfTheSystems(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(append(names, c.Name()), c.Aliases...)
	}
	hint := "there is: " + strings.Join(names, ", ")
	begun := func(name string) bool { return strings.HasPrefix(name, args[0]) }
	if name := nearest(args[0], names); name != "" {
		hint = "did you mean " + cmd.CommandPath() + " " + name + "?"
	} else if i := slices.IndexFunc(names, begun); i >= 0 {
		hint = "did you mean " + cmd.CommandPath() + " " + names[i] + "?"
	}
	return withHint(usageError("nothing is imported from %q", args[0]), hint)
}

// importOptions are the flags of all imports.
type importOptions struct {
	app                         *app
	name                        once
	rootKeys, rootCertificates  many
	rootCAs, roles              many
	output, registriesOut       once
	strict, insecureUnanchored  bool
	ignoredNamespaces, notaryCA once
}

func (a *app) importFlags(cmd *cobra.Command) *importOptions {
	o := &importOptions{app: a}
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(&o.name, "name", "`NAME` of the policy (default "+cmd.Name()+")")
	f.Var(&o.rootCertificates, "root-certificate", "PEM `FILE` with certificates of the trust data's roots; may be repeated, any counts")
	f.Var(&o.rootKeys, "root-key", "PEM `FILE` with public keys of the roots")
	f.Var(&o.rootCAs, "root-ca", "PEM `FILE` with CAs that vouch for the roots' certificates")
	f.Var(&o.roles, "roles", "`ROLE`s whose targets count where no signers are named, separated by commas (default targets/releases,targets: the first that has signed a tag decides)")
	f.VarP(&o.output, "output", "o", "write the policy to `FILE`, which must not exist (default standard output)")
	f.Var(&o.registriesOut, "registries-out", "write the settings of the Notary servers to `FILE` for --registries, which must not exist, and passwords and CAs beside it")
	for _, name := range []string{"name", "roles"} {
		registerWords(cmd, name)
	}
	return o
}

// options reads what the flags name.
func (o *importOptions) options() (convert.Options, error) {
	c := convert.Options{Name: o.name.String(), Now: o.app.now()}
	for _, roles := range o.roles {
		c.Roles = append(c.Roles, strings.Split(roles, ",")...)
	}
	for _, kind := range []struct {
		flag, block string
		files       many
		into        *string
	}{
		{"root-certificate", "CERTIFICATE", o.rootCertificates, &c.Roots.Certificates},
		{"root-key", "PUBLIC KEY", o.rootKeys, &c.Roots.Keys},
		{"root-ca", "CERTIFICATE", o.rootCAs, &c.Roots.CA},
	} {
		for _, file := range kind.files {
			data, err := readWhole(file)
			if err != nil {
				return c, usageError("--%s: %w", kind.flag, err)
			}
			text, _, err := publicPEM(data, kind.block)
			if err != nil {
				return c, usageError("--%s %q: %w", kind.flag, file, err)
			}
			*kind.into += text
		}
	}
	return c, nil
}

func (a *app) importTrustFileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "container-signature-enforcer FILE",
		Aliases: []string{"opa-notary-connector"},
		Short:   "Import a trust.yaml of container-signature-enforcer (opa-notary-connector)",
		Long: strings.TrimSpace(`
Import the trust.yaml of container-signature-enforcer, formerly called
opa-notary-connector, or the values of its Helm chart; - is standard input.

Each repository becomes a rule, in the order of their priorities, and each
combination of a server and its signers an authority. Expressions match whole
names here. Keys may be written in upper or lower case; unknown ones are errors.` + pinHelp),
		Example: unwrapped(`
  assay policy import container-signature-enforcer trust.yaml > policy.yaml

  # out of the cluster, with the settings of the Notary servers and their passwords
  kubectl -n webhook get secret opa-notary-connector-config -o jsonpath='{.data.trust\.yaml}' | base64 -d |
    assay policy import container-signature-enforcer --registries-out registries.yaml - > policy.yaml

  # as mode.json or the chart's values have it, and with roots that are known
  assay policy import container-signature-enforcer --strict=false --root-ca notary-roots.pem trust.yaml`),
		Args: usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	o := a.importFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.strict, "strict", true, "a digest that is not the signed one is a denial; false: the signed one takes its place (default what the file says, else true)")
	f.Lookup("strict").DefValue = "" // said in words
	f.BoolVar(&o.insecureUnanchored, "insecure-unanchored", false, "let expressions match any part of a name, as they did")
	f.Var(&o.notaryCA, "notary-ca", "PEM `FILE` with the CAs of the Notary servers' TLS certificates, for their settings")
	f.Var(&o.ignoredNamespaces, "ignored-namespaces", "`LABEL=VALUE` by which the webhook left namespaces out; the policy then does not speak about them")
	registerWords(cmd, "ignored-namespaces", "sighup.io/webhook=ignore")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		options, err := o.options()
		if err != nil {
			return err
		}
		trustFile := convert.TrustFileOptions{Options: options, InsecureUnanchored: o.insecureUnanchored, IgnoredNamespaces: o.ignoredNamespaces.String()}
		if trustFile.NotaryCA, err = readCertificates("notary-ca", o.notaryCA.String()); err != nil {
			return err
		}
		if cmd.Flags().Changed("strict") {
			trustFile.Strict = &o.strict
		}
		name, data, err := a.readImported(args[0])
		if err != nil {
			return usageError("%w", err)
		}
		result, err := convert.TrustFile(name, data, trustFile)
		if err != nil {
			return importError(err)
		}
		return o.write(result)
	}
	return cmd
}

// readImported reads what is to be imported, and says what to call it.
func (a *app) readImported(path string) (name string, data []byte, err error) {
	if path != "-" {
		data, err = readLimited(path, policy.MaxPolicy)
		return path, data, err
	}
	data, err = io.ReadAll(io.LimitReader(a.stdin, policy.MaxPolicy+1))
	return "standard input", data, err
}

// importError adds to an error of a file that uses more of YAML than is read how to write it out.
func importError(err error) error {
	text := err.Error()
	for _, sign := range []string{"an anchor (&", "an alias (*", "a merge key (<<)"} {
		if strings.Contains(text, sign) {
			return withHint(usageError("%w", err), "yq 'explode(.)' FILE writes the values out; give its output by -")
		}
	}
	return usageError("%w", err)
}

func (a *app) importPluginCommand() *cobra.Command {
	keys := []string{"REGISTRY", "NOTARY", "NOTARY_ROOT_CA"}
	cmd := &cobra.Command{
		Use:   "img-authz-plugin [REGISTRY=HOST] [NOTARY=URL] [NOTARY_ROOT_CA=FILE]",
		Short: "Import the settings of img-authz-plugin",
		Long: strings.TrimSpace(`
Import the settings of img-authz-plugin, as docker plugin set takes them. What is
absent or empty is the plugin's default: docker.io and https://notary.docker.io.
NOTARY_ROOT_CA is a file with the CA of the Notary server's TLS certificate in
PEM, or its text.` + pinHelp),
		Example: unwrapped(`
  assay policy import img-authz-plugin REGISTRY=registry.acme.example NOTARY=https://notary.acme.example:4443 > policy.yaml

  # with a CA of its own
  assay policy import img-authz-plugin REGISTRY=registry.acme.example NOTARY=notary.acme.example:4443 \
    NOTARY_ROOT_CA=ca.pem --registries-out registries.yaml -o policy.yaml`),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var words []string
			for _, key := range keys {
				words = append(words, key+"=")
			}
			return words, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		},
	}
	o := a.importFlags(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		options, err := o.options()
		if err != nil {
			return err
		}
		settings, err := readPluginSettings(keys, args)
		if err != nil {
			return err
		}
		result, err := convert.Plugin(settings, options)
		if err != nil {
			return usageError("%w", err)
		}
		return o.write(result)
	}
	return cmd
}

// readPluginSettings reads KEY=VALUE words.
func readPluginSettings(keys, args []string) (convert.PluginSettings, error) {
	var s convert.PluginSettings
	given := map[string]bool{}
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		switch {
		case !found:
			return s, withHint(usageError("%q: want KEY=VALUE", arg), "keys are "+strings.Join(keys, ", "))
		case given[key]:
			return s, usageError("%s: given a second time; only one can hold", key)
		}
		given[key] = true
		switch key {
		case "REGISTRY":
			s.Registry = value
		case "NOTARY":
			s.Notary = value
		case "NOTARY_ROOT_CA":
			var err error
			if s.NotaryCA, err = readPluginCA(value); err != nil {
				return s, err
			}
		default:
			hint := "keys are " + strings.Join(keys, ", ")
			if name := nearest(key, keys); name != "" {
				hint = "did you mean " + name + "?"
			}
			return s, withHint(usageError("%s: the plugin has no such setting", key), hint)
		}
	}
	return s, nil
}

// readPluginCA reads a CA from a file, or from the text itself, which is what the plugin takes.
func readPluginCA(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	data := []byte(value)
	if !strings.Contains(value, "-----BEGIN") {
		var err error
		if data, err = readWhole(value); err != nil {
			return "", usageError("NOTARY_ROOT_CA: %w", err)
		}
	}
	text, _, err := publicPEM(data, "CERTIFICATE")
	if err != nil {
		return "", usageError("NOTARY_ROOT_CA: %w", err)
	}
	return text, nil
}

// write hands out what an import has made.
func (o *importOptions) write(r *convert.Result) error {
	settings := settingsOf(r.Hosts)
	var files []newFile
	if o.registriesOut != "" && len(r.Hosts) > 0 {
		files = settings.files(o.registriesOut.String())
	}
	if o.output != "" {
		files = append(files, newFile{o.output.String(), r.Policy, 0o644})
	}
	if err := createAll(files); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return withHint(usageError("%w", err), "no file is overwritten; move it away, or name another one")
		}
		return usageError("%w", err)
	}
	for _, n := range r.Notes {
		kind := "changed"
		if n.Urgent {
			kind = "warning"
		}
		fmt.Fprintf(o.app.stderr, "assay: %s: %s\n", kind, plain(n.String()))
	}
	for _, f := range files {
		fmt.Fprintf(o.app.stderr, "assay: wrote %s (mode %04o)\n", plain(f.name), f.mode)
	}
	o.hint(r, settings)
	if o.output != "" {
		return nil
	}
	return o.app.printPolicy(r.Policy)
}

// hint says what to do next.
func (o *importOptions) hint(r *convert.Result, settings hostSettings) {
	file, registries := "policy.yaml", ""
	if o.output != "" {
		file = o.output.String()
	}
	switch {
	case len(r.Hosts) == 0 && o.registriesOut != "":
		fmt.Fprintf(o.app.stderr, "assay: hint: no server needs settings; %s is not written\n", plain(o.registriesOut.String()))
	case len(r.Hosts) > 0 && o.registriesOut == "":
		fmt.Fprintf(o.app.stderr, "assay: hint: give these settings by --registries registries.yaml; --registries-out FILE writes them, with the files that they name:\n%s",
			settings.text)
		registries = " --registries registries.yaml"
	case len(r.Hosts) > 0:
		registries = " --registries " + shellWord(o.registriesOut.String())
	}
	fmt.Fprintf(o.app.stderr, "assay: hint: next: assay policy check %s; then, for images that run today: assay verify --policy %[1]s%s IMAGE\n", shellWord(file), registries)
}

// hostSettings is a file for --registries.
type hostSettings struct {
	text   string
	beside []newFile // that it names, without their folder
}

// settingsOf writes the settings of hosts. Passwords stand in files of their own only.
func settingsOf(hosts []convert.Host) hostSettings {
	var w policy.Writer
	var s hostSettings
	w.Line("registries:")
	for _, h := range hosts {
		file := strings.Map(func(r rune) rune {
			if strings.ContainsRune("[]:", r) {
				return '-'
			}
			return r
		}, h.Name)
		w.Text("- host", h.Name)
		w.Indent()
		if h.CA != "" {
			w.Comment("the CA that was given")
			w.Text("caFile", file+"-ca.pem")
			s.beside = append(s.beside, newFile{file + "-ca.pem", []byte(h.CA), 0o644})
		}
		if h.PlainHTTP {
			w.Line("insecurePlainHTTP: true")
		}
		w.Text("username", h.Username)
		if h.Password != "" {
			w.Comment("the password of " + h.Source + ", in a file that nobody else can read (chmod 600)")
			w.Text("passwordFile", file+".password")
			s.beside = append(s.beside, newFile{file + ".password", []byte(h.Password), 0o600})
		}
		w.Close()
	}
	s.text = w.String()
	return s
}

// files are the settings as a file with a name, and those that it names beside it.
func (s hostSettings) files(name string) []newFile {
	var all []newFile
	for _, f := range s.beside {
		f.name = filepath.Join(filepath.Dir(name), f.name)
		all = append(all, f)
	}
	return append(all, newFile{name, []byte(s.text), 0o644})
}

// newFile is a file that is to be made.
type newFile struct {
	name    string
	content []byte
	mode    os.FileMode
}

// createAll makes files, or none of them. A file that is there is an error: it may hold what somebody wrote.
func createAll(files []newFile) (err error) {
	var made []string
	defer func() {
		if err != nil {
			for _, name := range made {
				err = errors.Join(err, os.Remove(name))
			}
		}
	}()
	for _, file := range files {
		f, err := os.OpenFile(file.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, file.mode)
		if err != nil {
			return err
		}
		made = append(made, file.name)
		if _, err = f.Write(file.content); err != nil {
			return errors.Join(err, f.Close())
		}
		if err = f.Close(); err != nil {
			return err
		}
	}
	return nil
}
