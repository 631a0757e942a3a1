package material

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/encoding/protojson"
)

// Limits of trust material.
const (
	maxTrustedRoot = 1 << 20 // bytes of a trusted_root.json, or of one part in PEM
	maxMembers     = 100     // authorities or logs of one kind
)

// Root is one version of trust material, parsed once. It does not change.
type Root struct {
	// TrustedMaterial returns the same maps and slices at each call; nobody may change them.
	root.TrustedMaterial
	// Version is of the content: the first 16 hex digits of the SHA-256 of JSON.
	Version string
	// JSON is the content as a trusted_root.json.
	JSON []byte
	// AsOf is when the content was last proved to be current; zero for material that was given and does not age.
	AsOf time.Time
}

// asOf returns the same content, proved at another time.
func (r *Root) asOf(t time.Time) *Root {
	other := *r
	other.AsOf = t
	return &other
}

// fixed is trust material in the form in which it is asked for.
type fixed struct {
	root.BaseTrustedMaterial // has no keys of signers
	fulcio                   []root.CertificateAuthority
	stamps                   []root.TimestampingAuthority
	rekor, ct                map[string]*root.TransparencyLog
}

var _ root.TrustedMaterial = (*fixed)(nil)

// FulcioCertificateAuthorities implements root.TrustedMaterial.
func (f *fixed) FulcioCertificateAuthorities() []root.CertificateAuthority { return f.fulcio }

// TimestampingAuthorities implements root.TrustedMaterial.
func (f *fixed) TimestampingAuthorities() []root.TimestampingAuthority { return f.stamps }

// RekorLogs implements root.TrustedMaterial.
func (f *fixed) RekorLogs() map[string]*root.TransparencyLog { return f.rekor }

// CTLogs implements root.TrustedMaterial.
func (f *fixed) CTLogs() map[string]*root.TransparencyLog { return f.ct }

var errEmpty = errors.New("is empty: neither an authority nor a log")

// parseRoot reads a trusted_root.json. Fields that are not known are errors: what they say would be ignored.
func parseRoot(content []byte) (*Root, error) {
	if len(content) > maxTrustedRoot {
		return nil, fmt.Errorf("more than %d bytes", maxTrustedRoot)
	}
	pb, err := root.NewTrustedRootProtobuf(content)
	if err != nil {
		return nil, fmt.Errorf("no trusted_root.json: %w", unquoted(cause(err)))
	}
	return newRoot(pb)
}

var protoPosition = regexp.MustCompile(`\(line (\d+):(\d+)\): (unknown field)?`)

// unquoted says where a parser of JSON stumbled, and not over what: who names a file in a policy may not be allowed to read it, such as a
// Secret of the namespace, and errors go into logs and into the status of objects.
func unquoted(err error) error {
	at := protoPosition.FindStringSubmatch(err.Error())
	switch {
	case at == nil:
		return errors.New("it is no JSON of one")
	case at[3] != "":
		return fmt.Errorf("line %s, column %s: %s", at[1], at[2], at[3])
	}
	return fmt.Errorf("line %s, column %s: this is no JSON of one", at[1], at[2])
}

// newRoot makes material of its wire form.
func newRoot(pb *prototrustroot.TrustedRoot) (*Root, error) {
	for _, n := range []int{len(pb.GetTlogs()), len(pb.GetCtlogs()), len(pb.GetCertificateAuthorities()), len(pb.GetTimestampAuthorities())} {
		if n > maxMembers {
			return nil, fmt.Errorf("%d authorities or logs of one kind, at most %d are read", n, maxMembers)
		}
	}
	if pb.GetMediaType() != root.TrustedRootMediaType01 {
		return nil, fmt.Errorf("its mediaType is not %s", root.TrustedRootMediaType01)
	}
	parsed, err := root.NewTrustedRootFromProtobuf(pb)
	if err != nil {
		return nil, err
	}
	f := &fixed{rekor: parsed.RekorLogs(), ct: parsed.CTLogs()}
	for _, a := range parsed.TimestampingAuthorities() {
		f.stamps = append(f.stamps, newTimestampingAuthority(a.(*root.SigstoreTimestampingAuthority)))
	}
	if len(f.rekor) != len(pb.GetTlogs()) || len(f.ct) != len(pb.GetCtlogs()) {
		return nil, errors.New("two logs of one kind have the same key ID")
	}
	for _, a := range parsed.FulcioCertificateAuthorities() {
		f.fulcio = append(f.fulcio, newAuthority(a.(*root.FulcioCertificateAuthority)))
	}
	if len(f.fulcio)+len(f.stamps)+len(f.rekor)+len(f.ct) == 0 {
		return nil, errEmpty
	}
	content, err := canonical(pb)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	return &Root{TrustedMaterial: f, Version: hex.EncodeToString(sum[:8]), JSON: content}, nil
}

// canonical writes material so that equal content has equal bytes; protojson varies its white space on purpose.
func canonical(pb *prototrustroot.TrustedRoot) ([]byte, error) {
	loose, err := protojson.Marshal(pb)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, loose); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// cause takes off what a library says before the cause.
func cause(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
