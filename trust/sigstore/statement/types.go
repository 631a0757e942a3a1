package statement

// CosignSign is the predicate type under which cosign v3 signs an image: a statement with an empty predicate.
const CosignSign = "https://sigstore.dev/cosign/sign/v1"

// ShortNames lists the names that TypeOf knows.
func ShortNames() []string {
	return []string{"slsaprovenance", "slsaprovenance02", "slsaprovenance1", "spdx", "spdxjson", "cyclonedx", "link", "vuln", "openvex", "custom"}
}

// TypeOf returns the predicate type that one of cosign's short names stands for. Any other name is the type itself.
func TypeOf(name string) string {
	switch name {
	case "custom":
		return "https://cosign.sigstore.dev/attestation/v1"
	case "vuln":
		return "https://cosign.sigstore.dev/attestation/vuln/v1"
	case "slsaprovenance", "slsaprovenance02":
		return "https://slsa.dev/provenance/v0.2"
	case "slsaprovenance1":
		return "https://slsa.dev/provenance/v1"
	case "spdx", "spdxjson":
		return "https://spdx.dev/Document"
	case "cyclonedx":
		return "https://cyclonedx.org/bom"
	case "link":
		return "https://in-toto.io/Link/v1"
	case "openvex":
		return "https://openvex.dev/ns"
	}
	return name
}
