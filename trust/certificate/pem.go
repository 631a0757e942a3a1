package certificate

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/assay-dev/assay/trust"
)

// Types of the PEM blocks of an artifact's file.
const (
	pemCertificate = "CERTIFICATE"
	pemTimestamp   = "RFC3161 TIMESTAMP TOKEN"
)

// maxFile is how long the file in an artifact may be, in bytes: ten certificates and a time stamp need a tenth of it.
const maxFile = 1 << 20

// The texts that users of DIA know.
var (
	errNoPEM      = errors.New("dia-image layer does not contain any CERTIFICATE in PEM format")
	errPrivateKey = errors.New("holds a PRIVATE KEY, which is now known to everybody who can pull it; withdraw the key and sign anew without it")
)

// Bundle is what the file of an artifact holds.
type Bundle struct {
	Certificates []*x509.Certificate // the leaf, then its chain; at least one and at most trust.MaxChain
	Timestamp    []byte              // a time-stamp token (RFC 3161) over the DER of the leaf, or nil
}

// ParsePEM reads the file of an artifact: the leaf certificate, perhaps its chain, perhaps one block "RFC3161 TIMESTAMP TOKEN".
// Text and blank lines around the blocks are skipped. Private keys, malformed blocks and blocks of other types are errors.
func ParsePEM(file []byte) (Bundle, error) {
	if len(file) > maxFile {
		return Bundle{}, fmt.Errorf("%d bytes, at most %d are allowed", len(file), maxFile)
	}
	blocks, err := pemBlocks(file, trust.MaxChain+1)
	if err != nil {
		return Bundle{}, err
	}
	var b Bundle
	for _, block := range blocks {
		switch {
		case block.Type == pemTimestamp && b.Timestamp == nil && len(b.Certificates) > 0:
			b.Timestamp = block.Bytes
			continue
		case block.Type == pemTimestamp:
			return Bundle{}, fmt.Errorf("the block %q must stand once, after the certificates", pemTimestamp)
		case block.Type != pemCertificate:
			return Bundle{}, fmt.Errorf("%w: a PEM block %q has no place there", errNoPEM, clip(block.Type))
		case b.Timestamp != nil:
			return Bundle{}, fmt.Errorf("the block %q must stand once, after the certificates", pemTimestamp)
		case len(b.Certificates) == trust.MaxChain:
			return Bundle{}, fmt.Errorf("more than %d certificates", trust.MaxChain)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Bundle{}, fmt.Errorf("failed to parse certificate: %w", err)
		}
		b.Certificates = append(b.Certificates, c)
	}
	if len(b.Certificates) == 0 {
		return Bundle{}, errNoPEM
	}
	return b, nil
}

// pemBlocks returns the PEM blocks of a file, at most most of them. The decoder skips a block that it cannot read; here that is an
// error, so that a broken first block does not make the second one the leaf.
func pemBlocks(file []byte, most int) ([]*pem.Block, error) {
	begun := bytes.Count(file, []byte("-----BEGIN"))
	if begun > most {
		return nil, fmt.Errorf("%d PEM blocks, at most %d are allowed", begun, most)
	}
	var blocks []*pem.Block
	for {
		var block *pem.Block
		block, file = pem.Decode(file)
		if block == nil {
			break
		}
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errPrivateKey
		case len(block.Headers) > 0:
			return nil, fmt.Errorf("a PEM block %q has headers", clip(block.Type))
		}
		blocks = append(blocks, block)
	}
	if len(blocks) != begun {
		return nil, fmt.Errorf("%w: %d of %d PEM blocks are malformed", errNoPEM, begun-len(blocks), begun)
	}
	return blocks, nil
}
