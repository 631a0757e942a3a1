package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

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
	file   string
	cache  string
	output string
}

func (a *app) trustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Show, check and fetch the keys and certificates behind Sigstore signatures",
		Long: strings.TrimSpace(`
Trust material is the keys and certificates of Sigstore's authorities and logs.
It is found as cosign finds it: SIGSTORE_ROOT_FILE, SIGSTORE_REKOR_PUBLIC_KEY,
SIGSTORE_CT_LOG_PUBLIC_KEY_FILE and SIGSTORE_TSA_CERTIFICATE_FILE name files,
TUF_ROOT (else ~/.sigstore/root) is the cache of cosign initialize, TUF_MIRROR and
TUF_ROOT_JSON name a TUF repository; else it is Sigstore's public good instance.`),
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.trustShowCommand(), a.trustCheckCommand(), a.trustUpdateCommand(), a.trustInitCommand())
	return cmd
}

// trustFlags adds the flags that say where material is.
func trustFlags(cmd *cobra.Command, o *trustOptions) {
	cmd.Flags().StringVar(&o.file, "trusted-root", "", "a trusted_root.json `FILE` in the place of what the installation gives")
	cacheFlag(cmd, o)
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "table or json")
	registerWords(cmd, "output", "table", "json")
}

func cacheFlag(cmd *cobra.Command, o *trustOptions) {
	cmd.Flags().StringVar(&o.cache, "cache", "", "`FOLDER` of the copy on disk (default $TUF_ROOT, then ~/.sigstore/root)")
}

func (o *trustOptions) check() error {
	if o.output != "table" && o.output != "json" {
		return usageError("--output %q: want table or json", o.output)
	}
	return nil
}

// trustSource returns the material that the flags and the environment name.
func (a *app) trustSource(o *trustOptions) (material.Source, error) {
	if o.file != "" {
		content, err := readLimited(o.file, maxMaterial)
		if err != nil {
			return nil, usageError("%w", err)
		}
		source, err := material.Given(o.file, content)
		if err != nil {
			return nil, usageError("%w", err)
		}
		return source, nil
	}
	k, err := a.keeperIn(o.cache)
	if err != nil {
		return nil, err
	}
	source, err := k.Default(0)
	if err != nil {
		return nil, usageError("trust material: %w", err)
	}
	return source, nil
}

func (a *app) trustShowCommand() *cobra.Command {
	var o trustOptions
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show where trust material comes from, how old it is, and what is in it; connects to nothing",
		Example: unwrapped(`
  assay trust show
  assay trust show --trusted-root trusted_root.json -o json`),
		Args: usageArgs(cobra.NoArgs),
	}
	trustFlags(cmd, &o)
	cmd.RunE = func(*cobra.Command, []string) error {
		view, err := a.trustView(&o)
		if err != nil {
			return err
		}
		if err := a.printTrust(o.output, view); err != nil {
			return err
		}
		return view.unusable()
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

  # the file for an air-gapped cluster
  assay trust check --trusted-root trusted_root.json`),
		Args: usageArgs(cobra.NoArgs),
	}
	trustFlags(cmd, &o)
	cmd.RunE = func(*cobra.Command, []string) error {
		view, err := a.trustView(&o)
		if err != nil {
			return err
		}
		if err := a.printCheck(o.output, view); err != nil {
			return err
		}
		if err := view.unusable(); err != nil {
			return err
		}
		if view.Stale || len(view.Warnings) > 0 {
			return &exitError{code: exitDenied}
		}
		return nil
	}
	return cmd
}

// trustView is what is shown of trust material.
type trustView struct {
	Source      string            `json:"source"`
	Kind        material.Kind     `json:"kind"`
	Version     string            `json:"version,omitempty"`
	AsOf        time.Time         `json:"asOf,omitzero"`       // last proved to be current
	AgeSeconds  int64             `json:"ageSeconds,omitzero"` // since then
	Expires     time.Time         `json:"expires,omitzero"`    // the end of that proof
	UsableUntil time.Time         `json:"usableUntil,omitzero"`
	Stale       bool              `json:"stale"`
	Error       string            `json:"error,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	Members     []material.Member `json:"members,omitempty"`

	now time.Time
}

// unusable returns the error that ends the program if there is nothing to use.
func (v *trustView) unusable() error {
	if v.Error == "" {
		return nil
	}
	return &exitError{code: exitCannotTell, err: fmt.Errorf("%s", v.Error)}
}

func (a *app) trustView(o *trustOptions) (*trustView, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	source, err := a.trustSource(o)
	if err != nil {
		return nil, err
	}
	return newTrustView(source, a.now()), nil
}

func newTrustView(source material.Source, now time.Time) *trustView {
	s := source.Status(now)
	v := &trustView{
		Source: s.Name, Kind: s.Kind, Version: s.Version, Stale: s.Stale,
		AsOf: s.AsOf.UTC(), AgeSeconds: int64(s.Age / time.Second), Expires: s.Expires.UTC(), now: now,
	}
	if !s.AsOf.IsZero() && s.MaxStale > 0 {
		v.UsableUntil = s.AsOf.Add(s.MaxStale).UTC()
	}
	r, err := source.Root(now)
	if err != nil {
		v.Error = err.Error()
		return v
	}
	if s.Warning != "" {
		v.Warnings = append(v.Warnings, s.Warning)
	}
	v.Members = r.Members()
	v.Warnings = append(v.Warnings, ending(v.Members, now)...)
	return v
}

// endsSoon is how long before the last member of a kind ends there is a warning.
const endsSoon = 30 * 24 * time.Hour

// ending warns about kinds of which nothing will be valid soon.
func ending(members []material.Member, now time.Time) []string {
	var warnings []string
	for _, kind := range trustKinds {
		known, valid, soon := 0, 0, 0
		for i := range members {
			m := &members[i]
			if m.Kind != kind.name {
				continue
			}
			known++
			if m.Valid(now) {
				valid++
			}
			if m.Valid(now.Add(endsSoon)) {
				soon++
			}
		}
		switch {
		case known == 0:
		case valid == 0:
			warnings = append(warnings, "no "+kind.title+" counts for what is signed now")
		case soon == 0:
			warnings = append(warnings, "no "+kind.title+" counts for what will be signed in 30 days")
		}
	}
	return warnings
}

func (a *app) printCheck(output string, v *trustView) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(v)
	}
	for _, w := range v.Warnings {
		fmt.Fprintf(a.stderr, "assay: warning: %s\n", plain(w))
	}
	if v.Error != "" {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "%s: version %s, %s\n", plain(v.Source), v.Version, v.age())
	return err
}

// age says how old the material is.
func (v *trustView) age() string {
	if v.AsOf.IsZero() {
		return "given, does not age"
	}
	age := "proved to be current " + v.AsOf.Format("2006-01-02 15:04")
	if v.Kind == material.KindEmbedded {
		age = "copy in the program, of " + day(v.AsOf)
	}
	if d := v.now.Sub(v.AsOf); d >= 48*time.Hour {
		age += fmt.Sprintf(", %d days ago", int(d/(24*time.Hour)))
	}
	return age
}

func (a *app) trustUpdateCommand() *cobra.Command {
	var o trustOptions
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Fetch trust material now, and print what changed",
		Example: unwrapped(`
  assay trust update

  # for a host without a network: fetch elsewhere, and carry the folder over
  assay trust update --cache ./sigstore-root`),
		Args: usageArgs(cobra.NoArgs),
	}
	cacheFlag(cmd, &o)
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usageError("--timeout %v: want more than 0", timeout)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		return a.trustUpdate(ctx, &o)
	}
	return cmd
}

func (a *app) trustUpdate(ctx context.Context, o *trustOptions) error {
	k, err := a.keeperIn(o.cache)
	if err != nil {
		return err
	}
	source, err := k.Default(0)
	if err != nil {
		return usageError("trust material: %w", err)
	}
	before := newTrustView(source, a.now())
	if before.Kind == material.KindGiven {
		fmt.Fprintf(a.stdout, "%s: given, nothing to fetch\n", plain(before.Source))
		return nil
	}
	fmt.Fprintf(a.stderr, "assay: fetching %s\n", plain(before.Source))
	if err := k.Refresh(ctx); err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	return a.printUpdate(before, newTrustView(source, a.now()))
}

func (a *app) trustInitCommand() *cobra.Command {
	var o trustOptions
	var mirror, root string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a TUF repository the default, as cosign initialize does",
		Long: strings.TrimSpace(`
Init fetches a TUF repository and keeps it in the cache, where cosign finds it
too. The first root.json that is trusted has to come from somewhere else than the
repository itself.`),
		Example: unwrapped(`
  assay trust init --mirror https://tuf.acme.example --root root.json

  # back to Sigstore's public good instance
  assay trust init`),
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&mirror, "mirror", "", "`URL` of the repository (default Sigstore's public good instance)")
	cmd.Flags().StringVar(&root, "root", "", "`FILE` with the first root.json that is trusted")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	cacheFlag(cmd, &o)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usageError("--timeout %v: want more than 0", timeout)
		}
		repository, err := tufRepository(mirror, root)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		return a.trustInit(ctx, &o, repository)
	}
	return cmd
}

// tufRepository returns the repository that the flags of init name.
func tufRepository(mirror, root string) (material.TUF, error) {
	t := material.TUF{Mirror: mirror}
	switch {
	case mirror == "" && root == "":
		return material.TUF{Mirror: material.PublicGoodMirror, Root: material.PublicGoodRoot()}, nil
	case mirror == "":
		t.Mirror = material.PublicGoodMirror
	case root == "":
		return t, withHint(usageError("--mirror needs --root: a repository cannot vouch for itself"), "give the root.json that its operator handed out")
	}
	var err error
	if t.Root, err = readLimited(root, maxMaterial); err != nil {
		return t, usageError("%w", err)
	}
	return t, nil
}
