package material

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/assay-dev/assay/trust"
)

// Parts is trust material in PEM. What is empty does not exist.
type Parts struct {
	Fulcio                []byte   // certificates of authorities, in any order: one whose subject is its issuer is a root, others are intermediates
	RekorKeys             []byte   // public keys of Rekor v1 logs
	CTLogKeys             []byte   // public keys of certificate transparency logs
	TimestampCertificates [][]byte // one chain each of a time-stamp authority
}

// wire returns the parts in the form of a trusted_root.json.
func (p *Parts) wire() (*prototrustroot.TrustedRoot, error) {
	pb := &prototrustroot.TrustedRoot{MediaType: root.TrustedRootMediaType01}
	var err error
	if pb.CertificateAuthorities, err = fulcioChains(p.Fulcio); err != nil {
		return nil, fmt.Errorf("certificates of Fulcio: %w", err)
	}
	if pb.Tlogs, err = logs(p.RekorKeys); err != nil {
		return nil, fmt.Errorf("keys of Rekor: %w", err)
	}
	if pb.Ctlogs, err = logs(p.CTLogKeys); err != nil {
		return nil, fmt.Errorf("keys of certificate transparency logs: %w", err)
	}
	for _, file := range p.TimestampCertificates {
		chain, err := stampChain(file)
		if err != nil {
			return nil, fmt.Errorf("certificates of a time-stamp authority: %w", err)
		}
		pb.TimestampAuthorities = append(pb.TimestampAuthorities, chain)
	}
	return pb, nil
}

// fulcioChains returns an authority for each way from an intermediate up to a root, and one for each root that has no intermediate.
func fulcioChains(file []byte) ([]*prototrustroot.CertificateAuthority, error) {
	if len(file) == 0 {
		return nil, nil
	}
	certs, err := certificates(file)
	if err != nil {
		return nil, err
	}
	var chains [][]*x509.Certificate
	used := map[*x509.Certificate]bool{}
	for _, c := range certs {
		if !c.BasicConstraintsValid || !c.IsCA {
			return nil, fmt.Errorf("certificate %q is not an authority's (CA:TRUE)", clip(c.Subject.String()))
		}
		if selfSigned(c) {
			continue
		}
		chain, err := upward(c, certs)
		if err != nil {
			return nil, err
		}
		chains = append(chains, chain)
		used[chain[len(chain)-1]] = true
	}
	for _, c := range certs {
		if selfSigned(c) && !used[c] {
			chains = append(chains, []*x509.Certificate{c})
		}
	}
	var found []*prototrustroot.CertificateAuthority
	for _, chain := range chains {
		found = append(found, wireChain(chain))
	}
	return found, nil
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// upward returns the chain from a certificate to its root, both included.
func upward(c *x509.Certificate, all []*x509.Certificate) ([]*x509.Certificate, error) {
	chain := []*x509.Certificate{c}
	for last := c; !selfSigned(last); last = chain[len(chain)-1] {
		i := slices.IndexFunc(all, func(parent *x509.Certificate) bool {
			return !slices.Contains(chain, parent) && bytes.Equal(parent.RawSubject, last.RawIssuer) && last.CheckSignatureFrom(parent) == nil
		})
		switch {
		case i < 0:
			return nil, fmt.Errorf("certificate %q: its issuer %q is not among them; add the chain up to the root",
				clip(last.Subject.String()), clip(last.Issuer.String()))
		case len(chain) == trust.MaxChain:
			return nil, fmt.Errorf("chain of more than %d certificates", trust.MaxChain)
		}
		chain = append(chain, all[i])
	}
	return chain, nil
}

func stampChain(file []byte) (*prototrustroot.CertificateAuthority, error) {
	certs, err := certificates(file)
	if err != nil {
		return nil, err
	}
	var leaf *x509.Certificate
	for _, c := range certs {
		switch {
		case c.IsCA:
		case leaf != nil:
			return nil, errors.New("several certificates are not an authority's; give one chain in each file")
		default:
			leaf = c
		}
	}
	if leaf == nil {
		return nil, errors.New("the certificate that signs time stamps is missing; give the whole chain, from it to the root")
	}
	chain, err := upward(leaf, certs)
	if err != nil {
		return nil, err
	}
	if len(chain) != len(certs) {
		return nil, fmt.Errorf("%d certificates do not belong to the chain of %q; remove them", len(certs)-len(chain), clip(leaf.Subject.String()))
	}
	ca := wireChain(chain)
	// What has no URL of its own needs a name: thresholds tell authorities apart by it.
	ca.Uri = "urn:" + trust.Fingerprint(leaf.RawSubjectPublicKeyInfo)
	return ca, nil
}

func wireChain(chain []*x509.Certificate) *prototrustroot.CertificateAuthority {
	last := chain[len(chain)-1]
	ca := &prototrustroot.CertificateAuthority{
		Subject:   &protocommon.DistinguishedName{CommonName: last.Subject.CommonName},
		CertChain: &protocommon.X509CertificateChain{},
		ValidFor:  &protocommon.TimeRange{},
	}
	if len(last.Subject.Organization) > 0 {
		ca.Subject.Organization = last.Subject.Organization[0]
	}
	for _, c := range chain {
		ca.CertChain.Certificates = append(ca.CertChain.Certificates, &protocommon.X509Certificate{RawBytes: c.Raw})
	}
	return ca
}

// logs returns a log for each public key of a file. Their keys are valid since ever: a bare key does not say more.
func logs(file []byte) ([]*prototrustroot.TransparencyLogInstance, error) {
	if len(file) == 0 {
		return nil, nil
	}
	blocks, err := pemBlocks(file, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	var found []*prototrustroot.TransparencyLogInstance
	for _, spki := range blocks {
		public, err := x509.ParsePKIXPublicKey(spki)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		if err := checkPublic(public); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(spki)
		found = append(found, &prototrustroot.TransparencyLogInstance{
			HashAlgorithm: protocommon.HashAlgorithm_SHA2_256,
			LogId:         &protocommon.LogId{KeyId: sum[:]},
			PublicKey: &protocommon.PublicKey{
				RawBytes: spki, KeyDetails: details(public), ValidFor: &protocommon.TimeRange{Start: timestamppb.New(time.Unix(0, 0))},
			},
		})
	}
	return found, nil
}

// details names the kind of a key that checkPublic accepted.
func details(public crypto.PublicKey) protocommon.PublicKeyDetails {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
		case elliptic.P384():
			return protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384
		}
		return protocommon.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512
	case *rsa.PublicKey:
		switch bits := k.N.BitLen(); {
		case bits < 3072:
			return protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256
		case bits < 4096:
			return protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256
		}
		return protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256
	}
	return protocommon.PublicKeyDetails_PKIX_ED25519
}

func certificates(file []byte) ([]*x509.Certificate, error) {
	blocks, err := pemBlocks(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, der := range blocks {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		if !slices.ContainsFunc(certs, c.Equal) {
			certs = append(certs, c)
		}
	}
	return certs, nil
}

// pemBlocks returns the contents of a file's PEM blocks, all of which must be of one kind.
func pemBlocks(file []byte, kind string) ([][]byte, error) {
	if len(file) > maxTrustedRoot {
		return nil, fmt.Errorf("more than %d bytes", maxTrustedRoot)
	}
	var blocks [][]byte
	for rest := file; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type != kind:
			return nil, fmt.Errorf("a PEM block is %q, want %q", clip(block.Type), kind)
		case len(blocks) == maxMembers:
			return nil, fmt.Errorf("more than %d PEM blocks", maxMembers)
		}
		blocks = append(blocks, block.Bytes)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("no %q in PEM", kind)
	}
	return blocks, nil
}
