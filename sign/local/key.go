package local

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"
)

// Types of the PEM blocks that hold a private key (RFC 5958, RFC 8017, RFC 5915).
const (
	pemPKCS8     = "PRIVATE KEY"
	pemEncrypted = "ENCRYPTED PRIVATE KEY"
	pemPKCS1     = "RSA PRIVATE KEY"
	pemSEC1      = "EC PRIVATE KEY"
)

// minRSABits is the shortest RSA key that the format accepts in a chain.
const minRSABits = 2048

var errNoPassphrase = errors.New("is encrypted, and there is no passphrase")

func isKey(pemType string) bool { return strings.HasSuffix(pemType, "PRIVATE KEY") }

// parseKey reads a private key. A passphrase for a key that is not encrypted is not used: it may be set for several keys. No error
// tells anything of the key or the passphrase.
func parseKey(file, passphrase []byte) (crypto.Signer, error) {
	block, err := keyBlock(file)
	if err != nil {
		return nil, err
	}
	parsed, err := decodeKey(block, passphrase)
	if err != nil {
		return nil, err
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T cannot sign", parsed)
	}
	if r, ok := parsed.(*rsa.PrivateKey); ok && r.N.BitLen() < minRSABits {
		return nil, fmt.Errorf("an RSA key of %d bits is too short, at least %d are needed", r.N.BitLen(), minRSABits)
	}
	return signer, nil
}

func decodeKey(block *pem.Block, passphrase []byte) (any, error) {
	encrypted := block.Type == pemEncrypted || block.Headers["DEK-Info"] != ""
	if encrypted && len(passphrase) == 0 {
		return nil, errNoPassphrase
	}
	switch {
	case block.Type == pemEncrypted:
		return decryptPKCS8(block.Bytes, passphrase)
	case encrypted:
		return decryptLegacy(block, passphrase)
	case block.Type == pemPKCS8:
		return x509.ParsePKCS8PrivateKey(block.Bytes)
	case block.Type == pemPKCS1:
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case block.Type == pemSEC1:
		return x509.ParseECPrivateKey(block.Bytes)
	}
	return nil, fmt.Errorf("a PEM block %q is of no known kind", block.Type)
}

// decryptPKCS8 reads an encrypted PKCS#8 key (RFC 8018, PBES2).
func decryptPKCS8(der, passphrase []byte) (key any, err error) {
	// The library slices and decrypts what it has not measured: a file that was cut off makes it panic.
	defer func() {
		if recover() != nil {
			key, err = nil, errors.New("the encrypted key is malformed")
		}
	}()
	key, _, err = pkcs8.ParsePrivateKey(der, passphrase)
	return key, err
}

// decryptLegacy reads a key that is encrypted by headers of its PEM block (RFC 1421, section 4.6), as openssl wrote them before 1.0.
func decryptLegacy(block *pem.Block, passphrase []byte) (any, error) {
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(pem.EncodeToMemory(block), passphrase)
	if err != nil {
		return nil, fmt.Errorf("wrong passphrase, or a malformed key: %w", err)
	}
	return key, nil
}
