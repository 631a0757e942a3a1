package notation

// Options is the section of an authority in a policy. Trust stores and identities are required; the zero value of everything else is the
// strict choice.
type Options struct {
	TrustStores         TrustStores       `yaml:"trustStores" doc:"whose certificates count, by what for"`
	Identities          []string          `yaml:"identities,omitempty" doc:"who may sign: x509.subject: and attributes that the subject of the signing certificate has, each once"`
	InsecureAnyIdentity bool              `yaml:"insecureAnyIdentity,omitempty" doc:"everybody counts who has a certificate of a trust store, as identity * does in a trustpolicy.json"`
	Annotations         map[string]string `yaml:"annotations,omitempty" doc:"annotations that were signed with the image"`

	Level              string `yaml:"level,omitempty" enum:"strict,insecurePermissive" doc:"what is enforced where the three fields below say nothing: strict (default), or insecurePermissive, under which they are insecureLog"`
	AuthenticTimestamp string `yaml:"authenticTimestamp,omitempty" enum:"enforce,insecureLog" doc:"the certificates were valid when the image was signed, by a trusted time, or are valid now"`
	Expiry             string `yaml:"expiry,omitempty" enum:"enforce,insecureLog" doc:"a signature that its signer let expire does not count"`
	Revocation         string `yaml:"revocation,omitempty" enum:"enforce,insecureLog,insecureSkip" doc:"the servers that certificates name say that none is revoked; insecureSkip asks none"`
	VerifyTimestamp    string `yaml:"verifyTimestamp,omitempty" enum:"always,afterCertExpiry" doc:"always (default): with a tsa store every signature needs a time stamp; afterCertExpiry: only one whose certificates have expired"`
}

// TrustStores are the certificates that count. One of ca and signingAuthority is required.
type TrustStores struct {
	CA               []StoreOptions `yaml:"ca,omitempty" doc:"for signatures of the scheme notary.x509"`
	SigningAuthority []StoreOptions `yaml:"signingAuthority,omitempty" doc:"for signatures of the scheme notary.x509.signingAuthority, whose word about the time counts as well"`
	TSA              []StoreOptions `yaml:"tsa,omitempty" doc:"roots of time-stamp authorities"`
}

// StoreOptions are certificates of a trust store: exactly one of its fields.
type StoreOptions struct {
	File string `yaml:"file,omitempty" doc:"a file with certificates in PEM"`
	PEM  string `yaml:"pem,omitempty" doc:"certificates in PEM"`
}
