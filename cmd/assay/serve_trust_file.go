package main

import (
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
)

// trustFileOptions are the flags about a trust.yaml of container-signature-enforcer that is obeyed as it is.
type trustFileOptions struct {
	app    *app
	file   string
	strict bool
	given  bool // strict was
	mode   string
}

// trustFileFlags adds the flags about a trust file to a command.
func (a *app) trustFileFlags(cmd *cobra.Command) *trustFileOptions {
	o := &trustFileOptions{app: a}
	f := cmd.Flags()
	f.StringVar(&o.file, "trust-file", "", "trust.yaml `FILE` of container-signature-enforcer, obeyed as if it were imported (see assay policy import); read again when it changes")
	f.BoolVar(&o.strict, "trust-file-strict", true, "with --trust-file: a digest that is not the signed one is a denial; false: the signed one takes its place (default what the file says, else true)")
	f.Lookup("trust-file-strict").DefValue = "" // said in words
	return o
}

// check reads what flags were given.
func (o *trustFileOptions) check(cmd *cobra.Command) error {
	o.given = cmd.Flags().Changed("trust-file-strict")
	if o.given && o.file == "" {
		return usageError("--trust-file-strict without --trust-file: there is nothing to be strict about")
	}
	return nil
}

// convert reads the file and makes of it what an import would.
func (o *trustFileOptions) convert(r *reading) (*convert.Result, error) {
	data, err := r.file(o.file, policy.MaxPolicy)
	if err != nil {
		return nil, err
	}
	options := convert.TrustFileOptions{Options: convert.Options{Now: o.app.now(), Mode: o.mode}}
	if o.given {
		options.Strict = &o.strict
	}
	return convert.TrustFile(o.file, data, options)
}

// policies returns the source of the policy that the file is, which tells log of each place where it means something else than before.
func (o *trustFileOptions) policies(log *slog.Logger) func(*reading) ([]*policy.Policy, error) {
	return func(r *reading) ([]*policy.Policy, error) {
		result, err := o.convert(r)
		if err != nil {
			return nil, err
		}
		p, err := policy.Parse(policy.Source{Name: o.file + " (converted)", Data: result.Policy}, formatNames())
		if err != nil {
			return nil, err
		}
		for _, n := range result.Notes {
			if n.Urgent {
				log.Warn("trust file: a check is weaker than it need be", "note", enforce.Plain(n.String()))
				continue
			}
			log.Info("trust file: a meaning has changed", "note", enforce.Plain(n.String()))
		}
		return []*policy.Policy{p}, nil
	}
}

// registries adds what the file says about Notary servers to settings. Settings that were written for a host count; the file gives its login
// where they have none.
func (o *trustFileOptions) registries(r *reading, settings []registry.Settings) ([]registry.Settings, error) {
	result, err := o.convert(r)
	if err != nil {
		return nil, err
	}
	for _, h := range result.Hosts {
		i := slices.IndexFunc(settings, func(s registry.Settings) bool { return s.Host == h.Name })
		if i < 0 {
			settings = append(settings, registry.Settings{
				Host: h.Name, InsecurePlainHTTP: h.PlainHTTP, Username: h.Username, Password: h.Password,
			})
			continue
		}
		if settings[i].Username == "" {
			settings[i].Username, settings[i].Password = h.Username, h.Password
		}
	}
	return settings, nil
}
