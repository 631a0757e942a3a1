package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

const trustExitCodes = `Exit codes:
  0   the material is fresh
  1   it should have been refreshed, or ends soon
  2   there is none that may be used
  64  the command line or the settings are wrong
`

// trustOptions are the flags of the commands about trust material.
type trustOptions struct {
	file     string
	policies []string
	keys     []string
	cache    string
	output   string
}

func (a *app) trustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Show, check and fetch the keys and certificates behind signatures, and what was seen of trust data",
		Long: strings.TrimSpace(`
Trust material is the keys and certificates of Sigstore's authorities and logs.
It is found as cosign finds it: SIGSTORE_ROOT_FILE, SIGSTORE_REKOR_PUBLIC_KEY,
SIGSTORE_CT_LOG_PUBLIC_KEY_FILE and SIGSTORE_TSA_CERTIFICATE_FILE name files,
TUF_ROOT (else ~/.sigstore/root) is the cache of cosign initialize, TUF_MIRROR and
TUF_ROOT_JSON name a TUF repository; else it is Sigstore's public good instance.

With --policy, it is about the TUF repositories and the keys in key management
services that policies name; with --key, about such a key.

Trust data of Notary servers are fetched when an image is decided about. What was
seen of them is kept, so that no server can go back behind it: seen shows it, and
forget lets a repository begin anew.`),
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.trustShowCommand(), a.trustCheckCommand(), a.trustUpdateCommand(), a.trustInitCommand(), a.trustSeenCommand(), a.trustForgetCommand())
	return cmd
}

// trustFlags adds the flags that say where material is.
func trustFlags(cmd *cobra.Command, o *trustOptions) {
	cmd.Flags().StringVar(&o.file, "trusted-root", "", "a trusted_root.json `FILE` in the place of what the installation gives")
	whichFlags(cmd, o)
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "table or json")
	registerWords(cmd, "output", "table", "json")
}

// whichFlags adds the flags that say what to look after, and where copies of it are.
func whichFlags(cmd *cobra.Command, o *trustOptions) {
	cmd.Flags().StringArrayVarP(&o.policies, "policy", "p", nil,
		"what the policy `FILE`, or the policies of a folder, name, in the place of what the installation gives; may be repeated")
	cmd.Flags().StringArrayVar(&o.keys, "key", nil, "a key in a key management service by its `REF`, as in hashivault://name; may be repeated")
	cacheFlag(cmd, o)
}

func cacheFlag(cmd *cobra.Command, o *trustOptions) {
	cmd.Flags().StringVar(&o.cache, "cache", "", "`FOLDER` of the copy on disk (default $TUF_ROOT, then ~/.sigstore/root)")
}

func (o *trustOptions) check() error {
	if o.output != "table" && o.output != "json" {
		return usageError("--output %q: want table or json", o.output)
	}
	if o.file != "" && o.named() {
		return usageError("--trusted-root beside --policy or --key: ask for each of them alone")
	}
	return nil
}

// named reports whether flags name what to look after; else it is what the installation gives.
func (o *trustOptions) named() bool { return len(o.policies)+len(o.keys) > 0 }

// trustMaterial returns the keeper of what the flags and the environment name, and the one source that it is about; that is nil if policies
// or keys are named, and there is no keeper if a file is.
func (a *app) trustMaterial(o *trustOptions) (*material.Keeper, material.Source, error) {
	if o.file != "" {
		content, err := readLimited(o.file, maxMaterial)
		if err != nil {
			return nil, nil, usageError("%w", err)
		}
		source, err := material.Given(o.file, content)
		if err != nil {
			return nil, nil, usageError("%w; give a trusted_root.json", err)
		}
		return nil, source, nil
	}
	k, err := a.keeperIn(o.cache)
	if err != nil {
		return nil, nil, err
	}
	if o.named() {
		return k, nil, a.nameMaterial(k, o)
	}
	source, err := k.Default(0)
	if err != nil {
		return nil, nil, usageError("trust material: %w", err)
	}
	return k, source, nil
}

// nameMaterial makes a keeper know what policies and keys are about.
func (a *app) nameMaterial(k *material.Keeper, o *trustOptions) error {
	if len(o.policies) > 0 {
		if _, _, err := a.policiesWith(k, o.policies); err != nil {
			return err
		}
	}
	for _, ref := range o.keys {
		if _, err := k.KMS(ref); err != nil {
			return usageError("--key: %w", err)
		}
	}
	return nil
}

func (a *app) trustShowCommand() *cobra.Command {
	var o trustOptions
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show where trust material comes from, how old it is, and what is in it; connects to nothing",
		Example: unwrapped(`
  assay trust show
  assay trust show --trusted-root trusted_root.json -o json
  assay trust show --policy policies/`),
		Args: usageArgs(cobra.NoArgs),
	}
	trustFlags(cmd, &o)
	cmd.RunE = func(*cobra.Command, []string) error {
		views, err := a.trustViews(&o)
		if err != nil {
			return err
		}
		for i, v := range views {
			if err := a.printTrust(o.output, v, i); err != nil {
				return err
			}
		}
		return unusable(views)
	}
	return cmd
}

func (a *app) trustCheckCommand() *cobra.Command {
	var o trustOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say by the exit code whether trust material is fresh; connects to nothing",
		Long: strings.TrimSpace(`
Check says whether trust material can be used, is fresh, and has members of each
kind that do not end within 30 days.

` + trustExitCodes),
		Example: unwrapped(`
  # in a monitoring job
  assay trust check || alert

  # the same for what policies name
  assay trust check --policy policies/ || alert

  # the file for an air-gapped cluster
  assay trust check --trusted-root trusted_root.json`),
		Args: usageArgs(cobra.NoArgs),
	}
	trustFlags(cmd, &o)
	cmd.RunE = func(*cobra.Command, []string) error {
		views, err := a.trustViews(&o)
		if err != nil {
			return err
		}
		doubtful := false
		for _, v := range views {
			if err := a.printCheck(o.output, v); err != nil {
				return err
			}
			doubtful = doubtful || v.Stale || len(v.Warnings) > 0
		}
		if err := unusable(views); err != nil {
			return err
		}
		if doubtful {
			return &exitError{code: exitDenied}
		}
		return nil
	}
	return cmd
}
