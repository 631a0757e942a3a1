package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// maxDescriptor is how much is read of standard input, in bytes: descriptors can have annotations and a little data.
const maxDescriptor = 64 << 10

// readDescriptor reads what containerd says of the image beside its name. It must be about the digest of the command line. That nobody ever
// ends standard input is for the caller to notice.
func readDescriptor(in io.Reader, q *ask.Question) error {
	content, err := io.ReadAll(io.LimitReader(in, maxDescriptor+1))
	switch {
	case err != nil:
		return fmt.Errorf("cannot be read: %w", err)
	case len(content) == 0:
		return errors.New("is missing")
	case len(content) > maxDescriptor:
		return fmt.Errorf("has more than %d bytes", maxDescriptor)
	}
	var digest string
	fields := map[string]any{"mediaType": &q.MediaType, "digest": &digest, "size": &q.Size}
	if err := ask.DecodeObject(content, fields, ask.Among); err != nil {
		return err
	}
	if digest != q.Digest {
		return errors.New("is about another digest than the command line")
	}
	return nil
}
