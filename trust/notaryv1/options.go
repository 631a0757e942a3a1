package notaryv1

import (
	"time"

	"github.com/assay-dev/assay/trust"
)

// Options is the section of an authority in a policy. A server and a root of trust are required; the zero value of everything else is
// the strict choice.
type Options struct {
	Server           string                 `yaml:"server" required:"true" doc:"URL of the Notary server: https://notary.example:4443"`
	GUN              string                 `yaml:"gun,omitempty" doc:"the name of an image's trust data at the server; by default {{registry}}/{{repository}}"`
	SignedRepository trust.SignedRepository `yaml:"signedRepository,omitempty" doc:"for mirrors: the repository whose trust data speak of the image; match (default) is the one asked for"`

	Root                    *RootOptions `yaml:"root,omitempty" doc:"the root of trust: whose root metadata count without another root's word"`
	InsecureTrustOnFirstUse bool         `yaml:"insecureTrustOnFirstUse,omitempty" doc:"the first root that the server presents is trusted, and kept"`

	Roles   []string        `yaml:"roles,omitempty" min:"1" doc:"the roles whose signature counts; the first that speaks of a tag decides about it; by default targets/releases, then targets"`
	Signers []SignerOptions `yaml:"signers,omitempty" min:"1" doc:"roles that must all have signed, with the keys that count; in the place of roles"`

	OfflineGrace time.Duration `yaml:"offlineGrace,omitempty" doc:"how long trust data count that were seen last, while the server is down; never longer than their timestamp; not at all by default"`
}

// RootOptions says which roots count: exactly one kind of its fields.
type RootOptions struct {
	Keys              string   `yaml:"keys,omitempty" doc:"public keys of the root role, in PEM"`
	KeysFiles         []string `yaml:"keysFiles,omitempty" min:"1" doc:"files with such keys"`
	Certificates      string   `yaml:"certificates,omitempty" doc:"certificates of the root role, in PEM, as root.json holds them"`
	CertificatesFiles []string `yaml:"certificatesFiles,omitempty" min:"1" doc:"files with such certificates"`
	CA                string   `yaml:"ca,omitempty" doc:"authorities that issue the certificates of root roles, in PEM"`
	CAFiles           []string `yaml:"caFiles,omitempty" min:"1" doc:"files with such authorities"`
}

// SignerOptions is a role that must have signed. The keys may be written as certificates or bare: they count alike.
type SignerOptions struct {
	Role         string   `yaml:"role" required:"true" doc:"full name of the role: targets/jenkins"`
	PublicKey    string   `yaml:"publicKey,omitempty" doc:"the key that must have signed, in PEM, or that in base64"`
	Certificate  string   `yaml:"certificate,omitempty" doc:"the same as a certificate"`
	PublicKeys   []string `yaml:"publicKeys,omitempty" min:"1" doc:"several keys"`
	Certificates []string `yaml:"certificates,omitempty" min:"1" doc:"several certificates"`
	Files        []string `yaml:"files,omitempty" min:"1" doc:"files with keys or certificates in PEM"`
	Threshold    int      `yaml:"threshold,omitempty" min:"1" doc:"how many of the keys must have signed; 1 by default"`
}
