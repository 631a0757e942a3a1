package main

import "github.com/spf13/cobra"

// predecessors are the settings of other webhooks that serve kubernetes obeys as they are.
type predecessors struct {
	trustFile *trustFileOptions
	useDIA    bool
	dia       *diaEnvironment // nil: DIA's environment is not asked for
}

func (p *predecessors) flags(a *app, cmd *cobra.Command) {
	p.trustFile = a.trustFileFlags(cmd)
	cmd.Flags().BoolVar(&p.useDIA, "dia-environment", false, "obey the environment of DIA's webhook (DIAWH_…, DIGEST_SLICE), whose attestor then is a policy; implies --dia-paths")
}

// read changes o as the settings have it. They are policies as well.
func (p *predecessors) read(a *app, cmd *cobra.Command, o *serveKubernetesOptions) error {
	if err := p.trustFile.check(cmd); err != nil {
		return err
	}
	if p.trustFile.file != "" {
		o.otherPolicies = true
		o.registries.more = p.trustFile.registries
	}
	if !p.useDIA {
		return nil
	}
	o.otherPolicies, o.dia = true, true
	var err error
	p.dia, err = a.diaEnvironment(cmd, o.serveOptions)
	return err
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
