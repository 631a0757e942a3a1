package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust"
)

// pushLog is where a GitLab job of DIA saves the output of docker push.
const pushLog = ".push_stdout.log"

// maxPushLog is how much of it is read, in bytes.
const maxPushLog = 4 << 20

// diaError is an error in a text that users of DIA and their scripts know.
type diaError string

// Error implements error.
func (e diaError) Error() string { return string(e) }

// The texts about digests; they end the program with 2.
const (
	errNotSHA256 = diaError("Digest is not sha256")
	errNoDigest  = diaError("Image digest not found")
)

var (
	hexDigest    = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
	pushedDigest = regexp.MustCompile(`digest: sha256:([0-9a-f]{64}) size`)
)

// target returns the image to sign, with its digest. No local daemon is asked: what it holds need not be what the registry has.
func (o *signOptions) target(ctx context.Context, client *registry.Client, name string) (image.Ref, error) {
	ref, err := image.Parse(name)
	if err != nil {
		return image.Ref{}, usageError("%w", err)
	}
	given, err := o.givenDigest()
	if err != nil {
		return image.Ref{}, err
	}
	switch own := ref.Digest(); {
	case !given.IsZero() && !own.IsZero() && given != own:
		return image.Ref{}, usageError("--digest %s is not the digest of %s", given.Hex(), ref)
	case !given.IsZero():
		return ref.At(given), nil
	case !own.IsZero():
		return ref, nil
	}
	logged, err := o.loggedDigest()
	if err != nil {
		return image.Ref{}, err
	}
	if !logged.IsZero() {
		fmt.Fprintf(o.app.stderr, "assay: digest %s from %s\n", logged, pushLog)
		return ref.At(logged), nil
	}
	found, err := client.Resolve(ctx, ref)
	if errors.Is(err, trust.ErrNotFound) {
		return image.Ref{}, withHint(fmt.Errorf("%s: %w: %w", ref, errNoDigest, err), "push the image first, or give its digest by -d")
	}
	if err != nil {
		return image.Ref{}, fmt.Errorf("%s: %w", ref, err)
	}
	return ref.At(found.Digest), nil
}

// givenDigest returns the digest of -d. It is lowered: tags are case-sensitive, and nobody looks for one in upper case.
func (o *signOptions) givenDigest() (image.Digest, error) {
	if o.digest == "" {
		return image.Digest{}, nil
	}
	if !hexDigest.MatchString(o.digest) {
		return image.Digest{}, withHint(fmt.Errorf("%w: %q", errNotSHA256, o.digest), "-d takes the 64 hexadecimal digits")
	}
	return image.ParseDigest("sha256:" + strings.ToLower(o.digest))
}

// loggedDigest returns the digest that docker push printed, in a job of DIA's GitLab form, and none where there is no log.
func (o *signOptions) loggedDigest() (image.Digest, error) {
	if o.cert != "" || o.idToken() == "" {
		return image.Digest{}, nil
	}
	content, err := readLimited(filepath.Join(o.pushLogFolder, pushLog), maxPushLog)
	if errors.Is(err, fs.ErrNotExist) {
		return image.Digest{}, nil
	}
	if err != nil {
		return image.Digest{}, err
	}
	if len(content) > maxPushLog {
		return image.Digest{}, fmt.Errorf("%s: is longer than %d bytes", pushLog, maxPushLog)
	}
	return digestOf(content)
}

// digestOf returns the one digest that a log of docker push tells. A log that tells several is of several images, and which of them
// is meant cannot be told.
func digestOf(log []byte) (image.Digest, error) {
	var found image.Digest
	for _, match := range pushedDigest.FindAllSubmatch(log, -1) {
		d, err := image.ParseDigest("sha256:" + string(match[1]))
		if err != nil {
			return image.Digest{}, fmt.Errorf("%s: %w", pushLog, err)
		}
		if !found.IsZero() && d != found {
			return image.Digest{}, withHint(fmt.Errorf("%s: tells several digests, %s and %s", pushLog, found, d), "give the one that is meant by -d")
		}
		found = d
	}
	if found.IsZero() {
		return image.Digest{}, withHint(fmt.Errorf("%s: %w", pushLog, errNoDigest), "did the push succeed? else give the digest by -d")
	}
	return found, nil
}
