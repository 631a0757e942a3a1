//go:build e2e

package e2e

import "fmt"

// material makes the files that cosign and assay are given: trusted_root.json and what differs from it by one thing, and the signing
// configurations.
func (s *sigstore) material() error {
	for name, parts := range map[string][]string{
		"trusted_root.json":             {s.trustCA(), s.trustRekor("rekor"), s.trustCT("ct"), s.trustTSA()},
		"trusted_root_other_rekor.json": {s.trustCA(), s.trustRekor("other-rekor"), s.trustCT("ct"), s.trustTSA()},
		"trusted_root_other_ct.json":    {s.trustCA(), s.trustRekor("rekor"), s.trustCT("other-ct"), s.trustTSA()},
		"trusted_root_no_tsa.json":      {s.trustCA(), s.trustRekor("rekor"), s.trustCT("ct")},
	} {
		if err := s.run("cosign", append([]string{"trusted-root", "create", "--out", s.file(name)}, parts...)...); err != nil {
			return err
		}
	}
	for name, parts := range map[string][]string{
		"signing_config.json":        append(append(s.signCA(s.fulcio), s.signRekor(s.rekor, 2)...), s.signTSA()...),
		"signing_config_no_log.json": append(s.signCA(s.fulcio), s.signTSA()...),
		"signing_config_no_sct.json": append(append(s.signCA(s.noSCT), s.signRekor(s.rekor, 2)...), s.signTSA()...),
		"signing_config_empty.json":  {},
	} {
		if err := s.run("cosign", append([]string{"signing-config", "create", "--out", s.file(name)}, parts...)...); err != nil {
			return err
		}
	}
	return nil
}

// materialRekor1 makes the same for Rekor v1: trusted_root_rekor1.json knows no other log and no time stamps, trusted_root_all.json all.
func (s *sigstore) materialRekor1() error {
	for name, parts := range map[string][]string{
		"trusted_root_rekor1.json":       {s.trustCA(), s.trustRekor1("rekor1"), s.trustCT("ct")},
		"trusted_root_other_rekor1.json": {s.trustCA(), s.trustRekor1("other-rekor1"), s.trustCT("ct")},
		"trusted_root_all.json":          {s.trustCA(), s.trustRekor("rekor"), s.trustRekor1("rekor1"), s.trustCT("ct"), s.trustTSA()},
	} {
		if err := s.run("cosign", append([]string{"trusted-root", "create", "--out", s.file(name)}, parts...)...); err != nil {
			return err
		}
	}
	args := append([]string{"signing-config", "create", "--out", s.file("signing_config_rekor1.json")}, s.signCA(s.fulcio)...)
	return s.run("cosign", append(args, s.signRekor(s.rekor1, 1)...)...)
}

func (s *sigstore) trustCA() string {
	return "--fulcio=url=" + s.fulcio + ",certificate-chain=" + s.file("fulcio-chain.pem")
}

func (s *sigstore) trustCT(key string) string {
	return "--ctfe=url=" + s.ctURL + ",public-key=" + s.file(key+".pub") + ",start-time=" + logsSince
}

func (s *sigstore) trustTSA() string {
	return "--tsa=url=" + s.tsa + ",certificate-chain=" + s.file("tsa-chain.pem")
}

func (s *sigstore) trustRekor(key string) string {
	return "--rekor=url=" + s.rekor + ",public-key=" + s.file(key+".pub") + ",start-time=" + logsSince + ",origin=localhost"
}

func (s *sigstore) trustRekor1(key string) string {
	return "--rekor=url=" + s.rekor1 + ",public-key=" + s.file(key+".pub") + ",start-time=" + logsSince
}

func (s *sigstore) signCA(url string) []string {
	return []string{"--fulcio=url=" + url + ",api-version=1,start-time=" + logsSince + ",operator=lab.example"}
}

func (s *sigstore) signRekor(url string, version int) []string {
	return []string{
		fmt.Sprintf("--rekor=url=%s,api-version=%d,start-time=%s,operator=lab.example", url, version, logsSince), "--rekor-config=ANY",
	}
}

func (s *sigstore) signTSA() []string {
	return []string{"--tsa=url=" + s.tsa + ",api-version=1,start-time=" + logsSince + ",operator=lab.example", "--tsa-config=ANY"}
}
