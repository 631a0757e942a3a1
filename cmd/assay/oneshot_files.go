package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/assay-dev/assay/policy"
)

// oneShotSigner is the content of what the flags name.
type oneShotSigner struct {
	keys                 []oneShotKey
	roots, intermediates string // certificates in PEM
	trustedRoot          string // JSON
}

// oneShotKey is a public key in PEM, or the name of one in a KMS.
type oneShotKey struct {
	pem, kms string
}

// readSigner reads the files that the flags name.
func (o *oneShot) readSigner() (oneShotSigner, error) {
	var s oneShotSigner
	for _, name := range o.keys {
		k, err := o.readKey(name)
		if err != nil {
			return s, err
		}
		s.keys = append(s.keys, k)
	}
	var err error
	if s.roots, err = readCertificates("ca-roots", o.caRoots.String()); err != nil {
		return s, err
	}
	if s.intermediates, err = readCertificates("ca-intermediates", o.caIntermediates.String()); err != nil {
		return s, err
	}
	if o.trustedRoot == "" || !o.looksAtRoot() {
		return s, nil
	}
	data, err := readWhole(o.trustedRoot.String())
	if err != nil {
		return s, usageError("--trusted-root: %w", err)
	}
	if s.trustedRoot, err = indentedJSON(data); err != nil {
		return s, withHint(usageError("--trusted-root %s: is no JSON: %w", o.trustedRoot, err), "cosign trusted-root create writes such a file")
	}
	return s, nil
}

// readKey reads a public key by cosign's ways of naming one, as far as nothing is fetched.
func (o *oneShot) readKey(name string) (oneShotKey, error) {
	scheme, _, found := strings.Cut(name, "://")
	switch {
	case !found && name == "-":
		data, err := o.readStdin()
		return keyFromPEM(name, data, err)
	case !found:
		data, err := readWhole(name)
		return keyFromPEM(name, data, err)
	case scheme == "env":
		return o.keyFromEnv(name)
	case slices.Contains([]string{"hashivault", "awskms", "gcpkms", "azurekms"}, scheme):
		if u, err := url.Parse(name); err == nil && u.User != nil {
			return oneShotKey{}, usageError("--key: the KMS's address carries a user or a password; a policy is no place for them")
		}
		return oneShotKey{kms: name}, nil
	case scheme == "http" || scheme == "https":
		return oneShotKey{}, withHint(usageError("--key %q: keys are not fetched from the web", name), "fetch it once, look at it, and give the file")
	}
	return oneShotKey{}, withHint(
		usageError("--key %q: unknown kind of key; want a file, -, env://, hashivault://, awskms://, gcpkms:// or azurekms://", name),
		"cosign public-key --key "+shellWord(name)+" > cosign.pub writes the key to a file")
}

func (o *oneShot) keyFromEnv(name string) (oneShotKey, error) {
	variable := strings.TrimPrefix(name, "env://")
	content := o.app.getenv(variable)
	if content == "" {
		return oneShotKey{}, usageError("--key %q: the variable is not set", name)
	}
	return keyFromPEM(name, []byte(content), nil)
}

func keyFromPEM(name string, data []byte, err error) (oneShotKey, error) {
	if err != nil {
		return oneShotKey{}, usageError("--key: %w", err)
	}
	text, count, err := publicPEM(data, "PUBLIC KEY", "RSA PUBLIC KEY")
	switch {
	case err != nil:
		return oneShotKey{}, usageError("--key %q: %w", name, err)
	case count > 1:
		return oneShotKey{}, usageError("--key %q: %d keys; keep each in a file of its own and repeat --key", name, count)
	}
	return oneShotKey{pem: text}, nil
}

// readCertificates reads the certificates of a flag; none where the flag was not given.
func readCertificates(flag, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	data, err := readWhole(name)
	if err != nil {
		return "", usageError("--%s: %w", flag, err)
	}
	text, _, err := publicPEM(data, "CERTIFICATE")
	if err != nil {
		return "", usageError("--%s %q: %w", flag, name, err)
	}
	return text, nil
}

// publicPEM returns the blocks in PEM data and their number. They are written anew, so that nothing else of a file gets into a
// policy. A block of a type that is not wanted is an error, whose text has nothing of its content.
func publicPEM(data []byte, types ...string) (string, int, error) {
	var b strings.Builder
	begun, count := bytes.Count(data, []byte("-----BEGIN ")), 0
	for {
		block, rest := pem.Decode(data)
		switch {
		case block == nil && count < begun:
			return "", 0, errors.New("a PEM block cannot be read; is the file complete?")
		case block == nil && count == 0:
			return "", 0, fmt.Errorf("no %s in PEM", types[0])
		case block == nil:
			return b.String(), count, nil
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return "", 0, errors.New("a private key, which belongs to the signer alone; give the public one")
		case !slices.Contains(types, block.Type):
			return "", 0, fmt.Errorf("a %q, want a %s", block.Type, types[0])
		}
		count++
		data = rest
		if err := pem.Encode(&b, &pem.Block{Type: block.Type, Bytes: block.Bytes}); err != nil {
			return "", 0, err
		}
	}
}

// readWhole reads a file that must fit into a policy.
func readWhole(name string) ([]byte, error) {
	data, err := readLimited(name, policy.MaxPolicy)
	if err == nil && len(data) > policy.MaxPolicy {
		return nil, errTooLong(name)
	}
	return data, err
}

func (o *oneShot) readStdin() ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(o.app.stdin, policy.MaxPolicy+1))
	if err == nil && len(data) > policy.MaxPolicy {
		return nil, errTooLong("standard input")
	}
	return data, err
}

func errTooLong(name string) error {
	return fmt.Errorf("%s: more than %d bytes, which no policy can hold", name, policy.MaxPolicy)
}
