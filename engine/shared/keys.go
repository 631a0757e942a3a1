package shared

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/assay-dev/assay/engine"
)

// keySize is the bytes of a secret.
const keySize = 32

// Keys are the secrets of an installation. Entries are made with the first, and those of all are read, so that a new secret can be put
// before an old one without a gap. The zero value has none, and is refused.
type Keys struct{ list []secret }

// secret is one of them, ready for use.
type secret struct {
	master []byte
	names  []byte // the key of the MAC that names entries
}

// ParseKeys reads a file of secrets: base64 of 32 random bytes on each line, the first of which makes new entries. Empty lines, and lines
// that begin with "#", count for nothing. No error shows what stands in the file.
func ParseKeys(content []byte) (Keys, error) {
	if len(content) > MaxKeyFile {
		return Keys{}, fmt.Errorf("more than %d bytes", MaxKeyFile)
	}
	var k Keys
	number := 0
	for line := range bytes.Lines(content) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		master, err := base64.StdEncoding.Strict().DecodeString(string(line))
		switch {
		case err != nil || len(master) != keySize:
			return Keys{}, fmt.Errorf("line %d: want base64 of %d random bytes", number, keySize)
		case bytes.Equal(master, make([]byte, keySize)):
			return Keys{}, fmt.Errorf("line %d: is all zero", number)
		case len(k.list) == MaxKeys:
			return Keys{}, fmt.Errorf("more than %d keys", MaxKeys)
		}
		names, err := hkdf.Key(sha256.New, master, nil, "assay shared cache: names", keySize)
		if err != nil {
			return Keys{}, err
		}
		k.list = append(k.list, secret{master: master, names: names})
	}
	if len(k.list) == 0 {
		return Keys{}, errors.New("holds no key")
	}
	return k, nil
}

// String keeps secrets out of logs.
func (k Keys) String() string { return fmt.Sprintf("%d keys", len(k.list)) }

// GoString keeps secrets out of %#v.
func (k Keys) GoString() string { return k.String() }

// form is of the entries. Another one is not understood: its names are others.
const form = 1

// name names the entry of a question. Each field stands with its length, so that no two questions are one text.
func (s *secret) name(program string, q engine.SharedKey) string {
	mac := hmac.New(sha256.New, s.names)
	fmt.Fprintf(mac, "assay shared cache %d\n", form)
	for _, field := range []string{program, q.Authority, q.Version, q.Name, q.Tag, q.Digest.String()} {
		fmt.Fprintf(mac, "%d:%s", len(field), field)
	}
	fmt.Fprint(mac, q.Every)
	return "assay:" + hex.EncodeToString(mac.Sum(nil))
}

// saltSize is the bytes of an entry that derive its key.
const saltSize = 32

var errForged = errors.New("nobody who has a key of this installation made it for this question")

// seal makes an entry: its form, a random salt, and the content under a key of its own.
func (s *secret) seal(name string, content []byte) ([]byte, error) {
	entry := make([]byte, 1+saltSize, 1+saltSize+len(content)+16)
	entry[0] = form
	_, _ = rand.Read(entry[1:]) // it never fails
	aead, nonce, err := s.derive(entry[1:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(entry, nonce, content, bound(name)), nil
}

// open returns the content of an entry that was made under this name.
func (s *secret) open(name string, entry []byte) ([]byte, error) {
	switch {
	case len(entry) > MaxEntry:
		return nil, fmt.Errorf("more than %d bytes", MaxEntry)
	case len(entry) < 1+saltSize:
		return nil, errors.New("is no entry")
	case entry[0] != form:
		return nil, fmt.Errorf("is of form %d, and not %d", entry[0], form)
	}
	aead, nonce, err := s.derive(entry[1 : 1+saltSize])
	if err != nil {
		return nil, err
	}
	content, err := aead.Open(nil, nonce, entry[1+saltSize:], bound(name))
	if err != nil {
		return nil, errForged
	}
	return content, nil
}

// bound is what is authenticated beside the content: an entry of another form, or under another name, is not this one.
func bound(name string) []byte { return append([]byte{form}, name...) }

// derive makes the key and the nonce of one entry. Both are used once: the salt is as long as the secret, and random.
func (s *secret) derive(salt []byte) (cipher.AEAD, []byte, error) {
	const nonceSize = 12
	derived, err := hkdf.Key(sha256.New, s.master, salt, "assay shared cache: entry", keySize+nonceSize)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(derived[:keySize])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, derived[keySize:], err
}
