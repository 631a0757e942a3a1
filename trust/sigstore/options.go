package sigstore

import (
	"errors"
	"time"

	"github.com/assay-dev/assay/trust"
)

// Options is the section of an authority in a policy. Exactly one of keyless, key, keys and pki says whose signature counts; the
// zero value of everything else is the strict choice.
type Options struct {
	SignerOptions

	Formats          []string               `yaml:"formats,omitempty" enum:"signature,bundle" min:"1" doc:"the shapes of evidence that are looked for: signature (tags that end in .sig and .att) and bundle (referrers); both by default"`
	Signature        string                 `yaml:"signature,omitempty" enum:"required,none" doc:"required (default): the image itself must be signed; none: the attestations suffice"`
	Annotations      map[string]string      `yaml:"annotations,omitempty" doc:"annotations that the signature must carry, each with this value"`
	SignedRepository trust.SignedRepository `yaml:"signedRepository,omitempty" doc:"the repository that a signature must name, where it names one; match (default) is the one asked for"`

	LogThreshold       int    `yaml:"logThreshold,omitempty" min:"1" doc:"transparency logs (Rekor) that must hold the signature, each counted once; 1 by default"`
	TimestampThreshold int    `yaml:"timestampThreshold,omitempty" min:"1" doc:"time-stamp authorities (RFC 3161) that must have seen the signature, each counted once; none by default"`
	SCTThreshold       int    `yaml:"sctThreshold,omitempty" min:"1" doc:"certificate transparency logs that must have seen the certificate, each counted once; 1 by default for keyless, none for pki"`
	InsecureIgnoreLog  bool   `yaml:"insecureIgnoreLog,omitempty" doc:"no transparency log is asked for; a certificate must then be valid at the time of a trusted time stamp, or now"`
	InsecureIgnoreSCT  bool   `yaml:"insecureIgnoreSCT,omitempty" doc:"certificates need not have been seen by a certificate transparency log"`
	RekorURL           string `yaml:"rekorURL,omitempty" doc:"a Rekor log (v1) that is asked for the entry of a signature that carries none"`

	TrustedRoot *TrustedRootOptions `yaml:"trustedRoot,omitempty" doc:"where the keys and certificates of logs and authorities come from; by default what the installation gives, else Sigstore's public good instance"`

	Attestations []AttestationOptions `yaml:"attestations,omitempty" min:"1" doc:"attestations that the image must have, all of them"`
}

// SignerOptions says whose signature counts: exactly one of its fields.
type SignerOptions struct {
	Keyless *KeylessOptions `yaml:"keyless,omitempty" doc:"short-lived certificates for the identities of an identity provider"`
	Key     *KeyOptions     `yaml:"key,omitempty" doc:"one public key"`
	Keys    []KeyOptions    `yaml:"keys,omitempty" min:"1" doc:"several public keys, any of which counts"`
	PKI     *PKIOptions     `yaml:"pki,omitempty" doc:"certificates of an own certificate authority"`
}

// KeylessOptions lists identities; any of them counts.
type KeylessOptions struct {
	Identities []IdentityOptions `yaml:"identities" required:"true" min:"1" doc:"who may sign"`
}

// IdentityOptions is one identity. All that is given must hold for the same certificate.
type IdentityOptions struct {
	Issuer        string        `yaml:"issuer,omitempty" doc:"URL of the identity provider; * stands for characters between two slashes, ** for any"`
	IssuerRegExp  string        `yaml:"issuerRegExp,omitempty" doc:"the same as a regular expression (RE2) for the whole URL"`
	Subject       string        `yaml:"subject,omitempty" doc:"name in the certificate: e-mail address, URI; * stands for characters between two slashes, ** for any"`
	SubjectRegExp string        `yaml:"subjectRegExp,omitempty" doc:"the same as a regular expression (RE2) for the whole name"`
	Claims        ClaimsOptions `yaml:"claims,omitempty" doc:"what the identity provider said of the build, as Fulcio writes it into the certificate; same wildcards"`
}

// ClaimsOptions are extensions of Fulcio's certificates, by the names in Fulcio's documentation (docs/oid-info.md).
type ClaimsOptions struct {
	BuildSignerURI                      string `yaml:"buildSignerURI,omitempty" doc:"build instructions that signed"`                                // 1.3.6.1.4.1.57264.1.9
	BuildSignerDigest                   string `yaml:"buildSignerDigest,omitempty" doc:"version of these instructions"`                              // .10
	RunnerEnvironment                   string `yaml:"runnerEnvironment,omitempty" doc:"github-hosted or self-hosted"`                               // .11
	SourceRepositoryURI                 string `yaml:"sourceRepositoryURI,omitempty" doc:"repository of the source"`                                 // .12
	SourceRepositoryDigest              string `yaml:"sourceRepositoryDigest,omitempty" doc:"commit"`                                                // .13
	SourceRepositoryRef                 string `yaml:"sourceRepositoryRef,omitempty" doc:"branch or tag"`                                            // .14
	SourceRepositoryIdentifier          string `yaml:"sourceRepositoryIdentifier,omitempty" doc:"number of the repository, which outlives its name"` // .15
	SourceRepositoryOwnerURI            string `yaml:"sourceRepositoryOwnerURI,omitempty" doc:"owner of the repository"`                             // .16
	SourceRepositoryOwnerIdentifier     string `yaml:"sourceRepositoryOwnerIdentifier,omitempty" doc:"number of the owner"`                          // .17
	BuildConfigURI                      string `yaml:"buildConfigURI,omitempty" doc:"build instructions at the top"`                                 // .18
	BuildConfigDigest                   string `yaml:"buildConfigDigest,omitempty" doc:"version of these instructions"`                              // .19
	BuildTrigger                        string `yaml:"buildTrigger,omitempty" doc:"what started the build: push, schedule, …"`                       // .20
	RunInvocationURI                    string `yaml:"runInvocationURI,omitempty" doc:"the run of the build"`                                        // .21
	SourceRepositoryVisibilityAtSigning string `yaml:"sourceRepositoryVisibilityAtSigning,omitempty" doc:"public, private or internal"`              // .22
	GitHubWorkflowTrigger               string `yaml:"githubWorkflowTrigger,omitempty" doc:"older name of buildTrigger"`                             // .2
	GitHubWorkflowSHA                   string `yaml:"githubWorkflowSHA,omitempty" doc:"older name of sourceRepositoryDigest"`                       // .3
	GitHubWorkflowName                  string `yaml:"githubWorkflowName,omitempty" doc:"name of the workflow"`                                      // .4
	GitHubWorkflowRepository            string `yaml:"githubWorkflowRepository,omitempty" doc:"owner/name of the repository"`                        // .5
	GitHubWorkflowRef                   string `yaml:"githubWorkflowRef,omitempty" doc:"older name of sourceRepositoryRef"`                          // .6
}

// KeyOptions is a public key: ECDSA, RSA (2048 bits and more) or Ed25519. It is written as its PEM, or as a mapping with exactly one of
// pem, file and kms.
type KeyOptions struct {
	PEM        string    `yaml:"pem,omitempty" doc:"the key in PEM"`
	File       string    `yaml:"file,omitempty" doc:"a file with the key in PEM"`
	KMS        string    `yaml:"kms,omitempty" doc:"a key in a key management service, such as hashivault://name"`
	ValidFrom  time.Time `yaml:"validFrom,omitempty" doc:"signatures count from this time on; they then need a trusted time"`
	ValidUntil time.Time `yaml:"validUntil,omitempty" doc:"signatures count up to this time; they then need a trusted time"`
}

// UnmarshalText reads the short form: the PEM alone.
func (k *KeyOptions) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("is empty; paste the key from BEGIN PUBLIC KEY to END PUBLIC KEY")
	}
	*k = KeyOptions{PEM: string(text)}
	return nil
}

// PKIOptions is an own certificate authority. A certificate counts if one of its names fits one of the rules.
type PKIOptions struct {
	Roots              string        `yaml:"roots,omitempty" doc:"certificates of the authorities that count, in PEM"`
	RootsFiles         []string      `yaml:"rootsFiles,omitempty" doc:"files with such certificates"`
	Intermediates      string        `yaml:"intermediates,omitempty" doc:"certificates between a root and a leaf, in PEM, where signatures do not carry them"`
	IntermediatesFiles []string      `yaml:"intermediatesFiles,omitempty" doc:"files with such certificates"`
	Names              []NameOptions `yaml:"names" required:"true" min:"1" doc:"subject alternative names that may sign, any of them"`
}

// NameOptions is a rule for a subject alternative name: exactly one of its fields.
type NameOptions struct {
	DNS       string `yaml:"dns,omitempty" doc:"a host name, exactly"`
	Email     string `yaml:"email,omitempty" doc:"an e-mail address; * and ** as in subject"`
	URI       string `yaml:"uri,omitempty" doc:"a URI; * and ** as in subject"`
	IP        string `yaml:"ip,omitempty" doc:"an IP address, exactly"`
	URIRegExp string `yaml:"uriRegExp,omitempty" doc:"a URI by a regular expression (RE2) for the whole of it"`
}

// TrustedRootOptions says where the keys and certificates of logs and authorities come from: one word ("public-good", "default"), or a
// mapping with one of file, inline, tuf and parts. Material that is given in the policy or in files is never fetched from anywhere.
type TrustedRootOptions struct {
	Word     string        `yaml:"-"`
	File     string        `yaml:"file,omitempty" doc:"a trusted_root.json"`
	Inline   string        `yaml:"inline,omitempty" doc:"the content of a trusted_root.json"`
	TUF      *TUFOptions   `yaml:"tuf,omitempty" doc:"an own TUF repository with a trusted_root.json"`
	Parts    *PartsOptions `yaml:"parts,omitempty" doc:"keys and certificates, each for itself"`
	MaxStale time.Duration `yaml:"maxStale,omitempty" min:"1" doc:"how long fetched material may be used after it was last proved to be current; 365d by default"`
}

// UnmarshalText reads the forms that are one word.
func (t *TrustedRootOptions) UnmarshalText(text []byte) error {
	*t = TrustedRootOptions{Word: string(text)}
	return nil
}

// Enum lists the words that UnmarshalText reads.
func (TrustedRootOptions) Enum() []string { return []string{"default", "public-good"} }

// TUFOptions is a TUF repository.
type TUFOptions struct {
	Mirror   string `yaml:"mirror" required:"true" doc:"URL of the repository"`
	Root     string `yaml:"root,omitempty" doc:"the first root.json that is trusted"`
	RootFile string `yaml:"rootFile,omitempty" doc:"a file with it"`
}

// PartsOptions is trust material in PEM. What is left out does not exist: no log, no authority.
type PartsOptions struct {
	Fulcio                     string   `yaml:"fulcio,omitempty" doc:"certificates of the authority that certifies identities, roots and intermediates, in PEM"`
	FulcioFiles                []string `yaml:"fulcioFiles,omitempty" doc:"files with such certificates"`
	RekorKeys                  string   `yaml:"rekorKeys,omitempty" doc:"public keys of Rekor v1 logs, in PEM"`
	RekorKeysFiles             []string `yaml:"rekorKeysFiles,omitempty" doc:"files with such keys"`
	CTLogKeys                  string   `yaml:"ctLogKeys,omitempty" doc:"public keys of certificate transparency logs, in PEM"`
	CTLogKeysFiles             []string `yaml:"ctLogKeysFiles,omitempty" doc:"files with such keys"`
	TimestampCertificates      string   `yaml:"timestampCertificates,omitempty" doc:"certificate chain of a time-stamp authority, in PEM"`
	TimestampCertificatesFiles []string `yaml:"timestampCertificatesFiles,omitempty" doc:"files with one such chain each"`
}

// AttestationOptions is a demand for an attestation (in-toto statement in a DSSE envelope) about the image.
type AttestationOptions struct {
	PredicateType string             `yaml:"predicateType" required:"true" min:"1" doc:"type of the predicate, exactly, or one of cosign's short names: slsaprovenance, slsaprovenance02, slsaprovenance1, spdx, spdxjson, cyclonedx, link, vuln, openvex, custom; any, with select: any, is any type"`
	SignedBy      *SignerOptions     `yaml:"signedBy,omitempty" doc:"who must have signed it; by default who must have signed the image"`
	Select        string             `yaml:"select,omitempty" enum:"latest,any,all" doc:"of several that are signed well: the latest (default), any or all must satisfy age and conditions"`
	MaxAge        time.Duration      `yaml:"maxAge,omitempty" min:"1" doc:"signed at most this long ago, by a trusted time; for certificates that are valid for a day at most, since signatures by lasting keys can be given a new time"`
	Conditions    []ConditionOptions `yaml:"conditions,omitempty" min:"1" doc:"CEL expressions over predicate, image and now; all must be true"`
}

// ConditionOptions is a CEL expression, written alone or with a message.
type ConditionOptions struct {
	CEL     string `yaml:"cel" required:"true" min:"1" doc:"an expression that is true or false"`
	Message string `yaml:"message,omitempty" doc:"what is said if it is not true"`
}

// UnmarshalText reads the short form: the expression alone.
func (c *ConditionOptions) UnmarshalText(text []byte) error {
	*c = ConditionOptions{CEL: string(text)}
	return nil
}
