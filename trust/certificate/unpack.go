package certificate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/assay-dev/assay/trust"
)

// Unpack reads the layer of an artifact: a tar, plain or in gzip, with exactly one regular file at its root, which ParsePEM reads.
// A second entry of any kind, and anything behind the end of the tar, is an error. At most trust.MaxEvidence bytes are read,
// counted after decompression.
func Unpack(layer []byte) (Bundle, error) {
	var u unpacker
	return u.unpack(layer)
}

// unpacker keeps decompressors, which are large, from one layer to the next. Its zero value is ready; it is safe for concurrent use.
type unpacker struct {
	gzip sync.Pool // of *gzip.Reader
}

func (u *unpacker) unpack(layer []byte) (Bundle, error) {
	file, err := u.file(layer)
	if err != nil {
		return Bundle{}, fmt.Errorf("layer of the certificate: %w", err)
	}
	b, err := ParsePEM(file)
	if err != nil {
		return Bundle{}, fmt.Errorf("file in the layer of the certificate: %w", err)
	}
	return b, nil
}

// file returns the content of the one file of a layer.
func (u *unpacker) file(layer []byte) ([]byte, error) {
	if len(layer) > trust.MaxEvidence {
		return nil, errTooLong
	}
	if !bytes.HasPrefix(layer, []byte{0x1f, 0x8b}) { // RFC 1952, section 2.3.1
		return oneFile(bytes.NewReader(layer))
	}
	z, _ := u.gzip.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	packed := bytes.NewReader(layer)
	defer func() {
		packed.Reset(nil) // what is kept must not keep the evidence
		u.gzip.Put(z)
	}()
	if err := z.Reset(packed); err != nil {
		return nil, err
	}
	return oneFile(z)
}

func oneFile(unpacked io.Reader) ([]byte, error) {
	r := &bounded{r: unpacked, left: trust.MaxEvidence}
	t := tar.NewReader(r)
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the tar is empty, want one file")
	case err != nil:
		return nil, fmt.Errorf("tar: %w", err)
	case h.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("%q is a directory, a link or a device, want one regular file and nothing else", clip(h.Name))
	case strings.Contains(path.Clean(h.Name), "/"):
		return nil, fmt.Errorf("%q does not lie at the root of the tar", clip(h.Name))
	case h.Size > maxFile:
		// Asked before reading: a sparse file has few bytes in the tar and as many as it likes in its header.
		return nil, fmt.Errorf("%q has %d bytes, at most %d are allowed", clip(h.Name), h.Size, maxFile)
	}
	content := make([]byte, h.Size)
	if _, err := io.ReadFull(t, content); err != nil {
		return nil, fmt.Errorf("tar: %w", err)
	}
	second, err := t.Next()
	if err == nil {
		return nil, fmt.Errorf("the tar has a second entry %q, want exactly one file", clip(second.Name))
	}
	if !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("tar: %w", err)
	}
	return content, onlyZeros(r)
}

// onlyZeros reads what is behind the end of a tar. Some writers pad with zeros; another tar would be read by some readers only.
func onlyZeros(r io.Reader) error {
	var b [512]byte
	for {
		n, err := r.Read(b[:])
		if len(bytes.Trim(b[:n], "\x00")) > 0 {
			return errors.New("there are bytes behind the end of the tar")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errTooLong = fmt.Errorf("more than %d bytes after unpacking", trust.MaxEvidence)

// bounded reads at most left bytes and then fails, where an io.LimitedReader would end as if all had been read.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errTooLong
	}
	if len(p) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	b.left -= n
	if b.left < 0 {
		return 0, errTooLong
	}
	return n, err
}
