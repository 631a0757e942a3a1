package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// maxSerialDigits is how long a serial number of the denied list may be: 20 octets (RFC 5280, section 4.1.2.2), and some to spare
// for authorities that do not keep to it.
const maxSerialDigits = 128

// denied is the list of what is refused at once.
type denied struct {
	serials map[string]bool // in the form of trust.Serial
	keys    map[string]bool // in the form of trust.Fingerprint
	digests map[image.Digest]bool
}

func (d denied) digest(digest image.Digest) error {
	if d.digests[digest] {
		return trust.Untrusted("digest %s is on the denied list of the policy", digest)
	}
	return nil
}

func (d denied) chain(chain []*x509.Certificate) error {
	if len(d.serials) == 0 && len(d.keys) == 0 {
		return nil
	}
	for _, c := range chain {
		if serial := trust.Serial(c.SerialNumber); d.serials[serial] {
			return trust.Untrusted("serial number %s is on the denied list of the policy", serial)
		}
		if key := trust.Fingerprint(c.RawSubjectPublicKeyInfo); d.keys[key] {
			return trust.Untrusted("key %s is on the denied list of the policy", key)
		}
	}
	return nil
}

// parseSerial reads a serial number in hexadecimal, with or without colons, and returns it in the form of trust.Serial.
func parseSerial(s string) (string, error) {
	digits := strings.ReplaceAll(s, ":", "")
	if digits == "" || len(digits) > maxSerialDigits || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return "", fmt.Errorf("%q is no serial number in hexadecimal", clip(s))
	}
	n, ok := new(big.Int).SetString(digits, 16)
	if !ok {
		return "", fmt.Errorf("%q is no serial number in hexadecimal", clip(s))
	}
	return trust.Serial(n), nil
}

// checkFingerprint reports what is wrong with a fingerprint that should have the form of trust.Fingerprint.
func checkFingerprint(s string) error {
	encoded, found := strings.CutPrefix(s, "SHA256:")
	if !found {
		return errors.New(`does not begin with "SHA256:"`)
	}
	sum, err := base64.RawStdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return err
	}
	if len(sum) != sha256.Size {
		return fmt.Errorf("%d bytes, SHA-256 has %d", len(sum), sha256.Size)
	}
	return nil
}
