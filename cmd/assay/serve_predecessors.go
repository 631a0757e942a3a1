package main

import (
	"slices"

	"github.com/spf13/cobra"
)

// predecessors are the settings of other webhooks that serve kubernetes obeys as they are.
type predecessors struct {
	trustFile *trustFileOptions
	useDIA    bool
	dia       *diaEnvironment // nil: DIA's environment is not asked for
	mode      string
}

func (p *predecessors) flags(a *app, cmd *cobra.Command) {
	p.trustFile = a.trustFileFlags(cmd)
	cmd.Flags().BoolVar(&p.useDIA, "dia-environment", false, "obey the environment of DIA's webhook (DIAWH_…, DIGEST_SLICE), whose attestor then is a policy; implies --dia-paths")
	cmd.Flags().StringVar(&p.mode, "converted-mode", "", "what becomes of a denial by the policies that --trust-file and --dia-environment are: enforce, warn or audit (default enforce)")
	registerWords(cmd, "converted-mode", "enforce", "warn", "audit")
}

// read changes o as the settings have it. They are policies as well.
func (p *predecessors) read(a *app, cmd *cobra.Command, o *serveKubernetesOptions) error {
	if err := p.trustFile.check(cmd); err != nil {
		return err
	}
	switch {
	case p.mode != "" && p.trustFile.file == "" && !p.useDIA:
		return usageError("--converted-mode without --trust-file and --dia-environment: no policy would have it")
	case !slices.Contains([]string{"", "enforce", "warn", "audit"}, p.mode):
		return usageError("--converted-mode %q: want enforce, warn or audit", p.mode)
	}
	p.trustFile.mode = p.mode
	if p.trustFile.file != "" {
		o.otherPolicies = true
		o.registries.more = p.trustFile.registries
	}
	if !p.useDIA {
		return nil
	}
	o.otherPolicies, o.dia = true, true
	var err error
	if p.dia, err = a.diaEnvironment(cmd, o.serveOptions); err != nil {
		return err
	}
	p.dia.mode = p.mode
	return nil
}

// obey puts the policies that the settings are beside those of files.
func (p *predecessors) obey(s *server) error {
	if p.trustFile.file != "" {
		if err := s.policySource("trust-file", p.trustFile.policies(s.log)); err != nil {
			return err
		}
	}
	if p.dia == nil {
		return nil
	}
	for _, hint := range p.dia.hints {
		s.log.Warn("environment of DIA", "hint", hint)
	}
	s.unchecked = p.dia.skipVerify
	return s.policySource("dia-environment", p.dia.policies)
}
