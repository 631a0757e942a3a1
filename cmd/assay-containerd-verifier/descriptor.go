package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

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

// checkPlace refuses a name that is of one place to containerd, which takes the first part of each for a registry, and of another to everybody
// else, who know short names of Docker Hub. A kubelet's names are long.
func checkPlace(name string) error {
	host, path, found := strings.Cut(name, "/")
	if !found || !strings.ContainsAny(host, ".:[") && host != "localhost" && strings.ToLower(host) == host {
		return errors.New("the image's name has no registry, and containerd would take its first part for one; write docker.io/… for Docker Hub")
	}
	if host = strings.ToLower(host); (host == "docker.io" || host == "index.docker.io") && !strings.Contains(path, "/") {
		return errors.New("the image's name is one of two of Docker Hub; write docker.io/library/…")
	}
	return nil
}
