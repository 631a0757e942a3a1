package policy

import (
	"time"

	"go.yaml.in/yaml/v3"
)

// The types of this file are the document as it is written. Schema is made from them, and so are most of the parser's checks.

const (
	apiVersion    = "assay.dev/v1"
	kind          = "TrustPolicy"
	namespaceKind = "NamespaceTrustPolicy"
)

type wireDocument struct {
	APIVersion string       `yaml:"apiVersion" required:"true" enum:"assay.dev/v1" hint:"write apiVersion: assay.dev/v1" doc:"version of this form of document"`
	Kind       string       `yaml:"kind" required:"true" enum:"TrustPolicy" hint:"write kind: TrustPolicy" doc:"what the document is"`
	Metadata   wireMetadata `yaml:"metadata" required:"true" hint:"write metadata: {name: …}" doc:"names the policy"`
	Spec       wireSpec     `yaml:"spec" required:"true" hint:"add spec with rules" doc:"the policy itself"`

	namespace string // of an object
}

// wireObject is the document as an object of a cluster, without what only the cluster says about it.
type wireObject struct {
	APIVersion string             `yaml:"apiVersion" required:"true" enum:"assay.dev/v1" hint:"write apiVersion: assay.dev/v1"`
	Kind       string             `yaml:"kind" required:"true" enum:"TrustPolicy,NamespaceTrustPolicy" hint:"write kind: TrustPolicy or NamespaceTrustPolicy"`
	Metadata   wireObjectMetadata `yaml:"metadata" required:"true" hint:"write metadata: {name: …}"`
	Spec       wireSpec           `yaml:"spec" required:"true" hint:"add spec with rules"`
}

// wireObjectMetadata is what counts of an object's metadata. The API server has checked the form of both.
type wireObjectMetadata struct {
	Name      string `yaml:"name" required:"true" pattern:"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$" hint:"give a name of lower-case letters, digits, '-' and '.', such as production"`
	Namespace string `yaml:"namespace" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" hint:"name one namespace, of lower-case letters, digits and '-'"`
}

type wireMetadata struct {
	Name        string            `yaml:"name" required:"true" pattern:"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$" hint:"give a name of lower-case letters, digits, '-' and '.', such as production" doc:"name of the policy, shown in verdicts: lower-case letters, digits, '-' and '.'"`
	Labels      map[string]string `yaml:"labels" empty:"true" doc:"labels; they have no meaning here"`
	Annotations map[string]string `yaml:"annotations" empty:"true" doc:"annotations; they have no meaning here"`
}

type wireSpec struct {
	Mode        Mode             `yaml:"mode" doc:"enforce (default): a denial stops the image; warn: it runs and the user is told; audit: it runs and the denial is only recorded"`
	Scope       *wireScope       `yaml:"scope" hint:"say what is in scope, or remove it to speak about all" doc:"the requests that this policy speaks about; absent: all"`
	Unmatched   Unmatched        `yaml:"unmatched" doc:"an image in scope that no rule matches: deny (default), or ignore (this policy has no opinion)"`
	Authorities wireAuthorities  `yaml:"authorities" doc:"those whose word counts, by name"`
	Rules       []wireRule       `yaml:"rules" required:"true" min:"1" hint:"write at least one rule, such as - {images: [\"**\"], deny: not ours}" doc:"the first rule that matches an image decides"`
	Revoked     []wireRevocation `yaml:"revoked" doc:"what is no longer trusted; it beats every proof of every rule"`
}

type wireScope struct {
	Points     []wirePoint     `yaml:"points" min:"1" hint:"name a point, or remove it to speak about all" doc:"enforcement points"`
	Namespaces *wireNamespaces `yaml:"namespaces" hint:"say what is in scope, or remove it to speak about all" doc:"Kubernetes namespaces; a request without a namespace is then out of scope"`
}

// wirePoint is the name of an enforcement point.
type wirePoint string

// Enum returns the known points.
func (wirePoint) Enum() []string { return Points() }

type wireNamespaces struct {
	Names    []wireGlob    `yaml:"names" min:"1" hint:"name a namespace, or remove it to speak about all" doc:"names, with * for any characters; where a selector stands beside it, both must fit"`
	Selector *wireSelector `yaml:"selector" hint:"say what is in scope, or remove it to speak about all" doc:"labels of the namespace"`
}

// wireGlob is the name of a namespace, or several by *.
type wireGlob string

// Pattern returns the form of a glob.
func (wireGlob) Pattern() string { return namespaceGlob.String() }

type wireSelector struct {
	MatchLabels      map[string]string `yaml:"matchLabels" min:"1" empty:"true" doc:"labels that must have these values"`
	MatchExpressions []wireExpression  `yaml:"matchExpressions" min:"1" doc:"conditions on labels, all of which must hold"`
}

type wireExpression struct {
	Key      string   `yaml:"key" required:"true" min:"1" doc:"name of the label"`
	Operator string   `yaml:"operator" required:"true" enum:"In,NotIn,Exists,DoesNotExist" hint:"write In, NotIn, Exists or DoesNotExist" doc:"In and NotIn need values; NotIn and DoesNotExist hold where the label is absent"`
	Values   []string `yaml:"values" empty:"true" doc:"for In and NotIn"`
}

// wireAuthorities is the authorities in the order of the document. Their sections stay nodes.
type wireAuthorities struct {
	list []wireAuthority
}

type wireAuthority struct {
	place   cursor
	name    string
	format  string
	section cursor
}

// decodeNode keeps each authority's place. Names and formats are checked when the policy is compiled.
func (w *wireAuthorities) decodeNode(d *decoder, c cursor) {
	if c.node.Kind != yaml.MappingNode {
		d.fail(c.node, c.path, "%s where a mapping is wanted; write name: {format: {…}}", describe(c.node))
		return
	}
	for i := range len(c.node.Content) / 2 {
		place := c.pair(i)
		w.list = append(w.list, wireAuthority{place: place, name: place.key.Value})
	}
}

type wireRule struct {
	Images       []string     `yaml:"images" min:"1" hint:"write a pattern, such as registry.example/prod/**" doc:"patterns of images: * stays inside one segment, ** spans segments; :tag and @digest may follow"`
	ImagesRegExp []string     `yaml:"imagesRegExp" min:"1" hint:"write an expression, or remove it" doc:"regular expressions (RE2) that must match a whole canonical name, or name:tag"`
	Local        *wireLocal   `yaml:"local" hint:"say which: write labels, base or builtBy" doc:"images that were made on the host where they are to run, in the place of images; everything that is given must hold"`
	Require      *wireRequire `yaml:"require" doc:"the authorities whose word is needed"`
	Deny         *string      `yaml:"deny" max:"2048" pattern:"\\S" hint:"say why: those who are stopped will read it" doc:"denies, for this reason"`
	Allow        *string      `yaml:"allow" max:"2048" pattern:"\\S" hint:"say why: it is shown in verdicts" doc:"allows without evidence, for this reason"`
	Until        *time.Time   `yaml:"until" doc:"from then on the rule no longer matches (RFC 3339)"`
	Digest       *DigestRule  `yaml:"digest" doc:"pin (default): a point that can, adds the digest that was vouched for; keep: the reference stays as it is; required: a reference without a digest is denied; insecureReplace: a digest beside a tag is replaced by the one for which the tag is signed, or else stands, and which must be vouched for"`
	Platform     *string      `yaml:"platform" max:"256" pattern:"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9_.]+)?$" hint:"write it as in linux/amd64" doc:"the child of a multi-platform image that may be vouched for in its place, and is then pinned"`
}

// wireLocal is what a rule says of images that were made on the host.
type wireLocal struct {
	Labels  map[string]string `yaml:"labels" min:"1" empty:"true" hint:"write the labels that the image must have, or remove it" doc:"labels that the image must have, with these values, in which * stands for any characters"`
	Base    []string          `yaml:"base" min:"1" hint:"write a pattern, such as registry.example/base/**, or remove it" doc:"patterns of images: the lowest layers are those of such an image, for which an authority of this policy vouches"`
	BuiltBy []string          `yaml:"builtBy" min:"1" hint:"write the name in a client certificate, or remove it" doc:"names in client certificates, with * for any characters: one of these had it built, as the enforcement point itself saw"`
}

type wireRevocation struct {
	Key      string        `yaml:"key" max:"256" pattern:"^SHA256:[A-Za-z0-9+/]{43}=?$" hint:"write the fingerprint as SHA256: and 43 characters of base64, over the DER form of the public key" doc:"fingerprint of a public key, SHA256:…"`
	Serial   string        `yaml:"serial" max:"256" pattern:"^-?[0-9A-Fa-f]{1,2}(:?[0-9A-Fa-f]{2}){0,63}$" hint:"write hexadecimal octets, as in 4f:a2:01" doc:"serial number of a certificate, hexadecimal; needs issuer"`
	Issuer   string        `yaml:"issuer" min:"1" doc:"distinguished name of the issuer of that certificate (RFC 2253), as in CN=GitLab CI,O=Acme"`
	Identity *wireIdentity `yaml:"identity" doc:"subject in the words of an identity provider"`
	Digest   string        `yaml:"digest" max:"256" pattern:"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" hint:"write sha256: and 64 digits in lower case" doc:"digest of an image"`
	After    *time.Time    `yaml:"after" doc:"only what was signed from then on, or at an unknown time (RFC 3339)"`
	Reason   string        `yaml:"reason" min:"1" doc:"why; shown in verdicts"`
}

type wireIdentity struct {
	Issuer  string `yaml:"issuer" required:"true" min:"1" hint:"write the identity provider's URL" doc:"the identity provider"`
	Subject string `yaml:"subject" required:"true" min:"1" hint:"write the subject, such as an e-mail address" doc:"the subject"`
}
