package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check, explain and import policies",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.policyCheckCommand(), a.policyExplainCommand(), a.policySchemaCommand(), a.policyCRDCommand(), a.policyImportCommand())
	return cmd
}

func (a *app) policyCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Read policies as the engine would, and say what is wrong with them",
		Long: strings.TrimSpace(`
Check reads policies with everything that they name, certificates and revocation
lists included. Each error has its file, line and column.

Exit codes: 0 if the policies can be used, 64 if not.`),
		Example: "  assay policy check policies/ extra.yaml",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			policies, err := a.checkedPolicies(args)
			if err != nil {
				return err
			}
			a.warn(policies)
			for _, p := range policies {
				fmt.Fprintf(a.stdout, "%s: policy %s: %s, %d authorities, %d rules\n", p.File, p.Name, p.Mode, len(p.Authorities), len(p.Rules))
			}
			return nil
		},
	}
}

// checkedPolicies loads policies and has the engine make their authorities; nothing is fetched.
func (a *app) checkedPolicies(paths []string) ([]*policy.Policy, error) {
	keeper, err := a.keeper()
	if err != nil {
		return nil, err
	}
	policies, e, err := a.policiesWith(keeper, paths)
	if err != nil {
		return nil, err
	}
	a.warnOf(e.Warnings()...)
	return policies, nil
}

// policiesWith loads policies and has an engine make their authorities with a keeper, which then knows what they need; nothing is fetched.
func (a *app) policiesWith(keeper *material.Keeper, paths []string) ([]*policy.Policy, *engine.Engine, error) {
	policies, err := loadPolicies(paths)
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	client, err := registry.New(registry.Config{})
	if err != nil {
		return nil, nil, err
	}
	e, err := a.makeEngine(policies, peers{source: client, keeper: keeper})
	return policies, e, err
}

func (a *app) policyExplainCommand() *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "explain IMAGE... --policy FILE",
		Short: "Show which rule would decide about an image and what it needs; asks no registry",
		Example: unwrapped(`
  assay policy explain --policy policy.yaml registry.example/app:1
  assay policy explain --policy policies/ -o json docker.io/library/alpine`),
		Args: usageArgs(cobra.MinimumNArgs(1)),
	}
	paths := policyFlag(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", output, "text, or json: one explanation a line")
	registerWords(cmd, "output", "text", "json")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if output != "text" && output != "json" {
			return usageError("--output %q: want text or json", output)
		}
		policies, err := a.checkedPolicies(*paths)
		if err != nil {
			return err
		}
		for _, arg := range args {
			ref, err := image.Parse(arg)
			if err != nil {
				return usageError("%w", err)
			}
			for _, p := range policies {
				if err := a.printExplanation(output, a.explain(p, ref)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return cmd
}

// explanation says what one policy would do with an image, as far as that can be said without a registry.
type explanation struct {
	Image  string `json:"image"`
	Policy string `json:"policy"`
	Mode   string `json:"mode"`
	Rule   string `json:"rule,omitempty"`
	Does   string `json:"does"`
	Digest string `json:"digest,omitempty"`
	Until  string `json:"until,omitempty"`
}

func (a *app) explain(p *policy.Policy, ref image.Ref) explanation {
	e := explanation{Image: ref.String(), Policy: p.Name, Mode: p.Mode.String()}
	rule, index, err := p.Match(policy.Query{Ref: ref, Now: a.now()})
	switch {
	case err != nil:
		e.Does = "depends on what the tag stands for: " + err.Error()
		return e
	case rule == nil && p.Unmatched == policy.IgnoreUnmatched:
		e.Does = "no rule matches: no opinion"
		return e
	case rule == nil:
		e.Does = "no rule matches: deny"
		return e
	}
	e.Rule = fmt.Sprintf("rules[%d], %s", index, p.Place(rule.Line))
	if !rule.Until.IsZero() {
		e.Until = rule.Until.UTC().Format("2006-01-02T15:04:05Z")
	}
	switch {
	case rule.Deny != "":
		e.Does = "deny: " + rule.Deny
	case rule.Allow != "":
		e.Does = "allow: " + rule.Allow
	default:
		e.Does, e.Digest = "require "+requirementText(rule.Require), rule.Digest.String()
	}
	return e
}

// requirementText writes a tree of authorities as one line: "all of (release, 1 of (jenkins, gitlab))".
func requirementText(r *policy.Requirement) string {
	if r.Authority != "" {
		return r.Authority
	}
	parts := make([]string, len(r.Of))
	for i := range r.Of {
		parts[i] = requirementText(&r.Of[i])
	}
	list := strings.Join(parts, ", ")
	switch {
	case len(parts) == 1:
		return list
	case r.Distinct:
		return fmt.Sprintf("%d different signers of (%s)", r.AtLeast, list)
	case r.AtLeast == len(parts):
		return "all of (" + list + ")"
	}
	return "any of (" + list + ")"
}

func (a *app) printExplanation(output string, e explanation) error {
	if output == "json" {
		out := json.NewEncoder(a.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(e)
	}
	fmt.Fprintf(a.stdout, "%s\n  policy  %s (%s)\n", e.Image, e.Policy, e.Mode)
	for _, line := range [][2]string{{"rule", e.Rule}, {"does", e.Does}, {"digest", e.Digest}, {"until", e.Until}} {
		if line[1] != "" {
			fmt.Fprintf(a.stdout, "  %-6s  %s\n", line[0], line[1])
		}
	}
	return nil
}

func (a *app) policySchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of policies, for editors",
		Example: unwrapped(`
  assay policy schema > trustpolicy.schema.json
  # then, as the first line of a policy:
  # yaml-language-server: $schema=trustpolicy.schema.json`),
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			schema, err := policy.Schema(formatOptions())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s\n", schema)
			return err
		},
	}
}

func (a *app) policyCRDCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "crd",
		Short: "Print the CustomResourceDefinitions of policies, for Kubernetes",
		Long: strings.TrimSpace(`
Crd prints the definitions of TrustPolicy and NamespaceTrustPolicy, by which policies can
be objects of a cluster. The Helm chart has the same ones.`),
		Example: unwrapped(`
  assay policy crd | kubectl apply --server-side -f -
  kubectl get trustpolicies`),
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			definitions, err := policy.CustomResources(formatOptions())
			if err != nil {
				return err
			}
			_, err = a.stdout.Write(definitions)
			return err
		},
	}
}

// formatOptions returns what the section of each format is decoded into.
func formatOptions() map[string]any {
	options := map[string]any{}
	for _, f := range formats.All(formats.Config{}) {
		options[f.Name()] = f.Options()
	}
	return options
}
