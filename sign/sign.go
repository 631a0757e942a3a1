// Package sign vouches for images: it has a certificate issued that names an image, and stores it beside the image.
//
// The key of such a certificate signs nothing and is dropped as soon as it is made: who vouches is the authority that issued the
// certificate (see trust/certificate, which owns the form in which it is stored). Packages below this one are authorities.
package sign

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/certificate"
)

// DefaultTTL is how long a certificate holds where nothing else is asked for.
const DefaultTTL = 10 * time.Minute

// DefaultPrefix is what a common name begins with where nothing else is asked for.
const DefaultPrefix = "dia-"

// maxCommonName is the longest common name, in characters (RFC 5280, appendix A.1, ub-common-name).
const maxCommonName = 64

// Request says what a certificate must say.
type Request struct {
	Ref        image.Ref  // the image, with its digest
	CommonName string     // of the subject
	AltNames   []string   // further DNS names
	URIs       []*url.URL // subject alternative names that bind the image
	TTL        time.Duration
}

// Issuer is an authority that issues certificates. It makes a key for each and keeps none: a private key must not leave the memory of
// the process, and nothing may write it.
type Issuer interface {
	// Issue returns a certificate for req, the leaf first and the intermediates of its chain after it, in order. The root is left out.
	Issue(ctx context.Context, req Request) ([]*x509.Certificate, error)
}

// Stamper witnesses when a certificate existed.
type Stamper interface {
	// Stamp returns a time-stamp token (RFC 3161) over the DER of a certificate, or nil for none.
	Stamp(ctx context.Context, leaf *x509.Certificate) ([]byte, error)
}

// Store is where images and their certificates lie. What it returns by digest has that digest; trust.ErrNotFound means, definitively,
// that something does not exist.
type Store interface {
	Manifest(ctx context.Context, ref image.Ref) (trust.Manifest, error)
	Blob(ctx context.Context, ref image.Ref, d trust.Descriptor, limit int64) ([]byte, error)
	PushBlob(ctx context.Context, ref image.Ref, content []byte) error
	PushManifest(ctx context.Context, ref image.Ref, mediaType string, content []byte) error
}

// Options says how images are signed. The zero value is an OCI artifact whose certificate names digest and repository.
type Options struct {
	Prefix    string        // of the common name; "" is DefaultPrefix
	AltNames  []string      // further DNS names of the certificate
	TTL       time.Duration // how long the certificate holds; 0 is DefaultTTL
	FileName  string        // of the file in the artifact; "" is the first 40 digits of the digest and ".pem"
	DIA       bool          // exactly the form of DIA: a Docker manifest, the leaf alone, no name of the repository in it
	Recursive bool          // sign the runnable children of an index as well, each with a certificate of its own
	Stamper   Stamper       // nil: no time stamp
}

// Result is what became of one digest.
type Result struct {
	Ref       image.Ref         // the image, with its digest
	Platform  string            // of a child of an index, else ""
	Tag       string            // where the certificate lies
	Leaf      *x509.Certificate // the certificate
	Unchanged bool              // exactly this was there already, and nothing was pushed
	Replaced  *Replaced         // what the tag named before, nil if it named nothing or is unchanged
	Warning   string            // why the certificate will probably not be accepted, or ""
}

// Replaced is a certificate that gave way to a newer one.
type Replaced struct {
	Manifest image.Digest      // of the manifest that held it
	Leaf     *x509.Certificate // nil if what was there holds no certificate that can be read
}

// Image signs the image with ref's digest: it has a certificate issued and stores it in ref's repository under the tag that
// certificate.Tag names, over whatever is there. The results are what was done, also beside an error. Nothing is pushed before
// all that the image needs was issued and packed, and the tag is pushed last.
func Image(ctx context.Context, store Store, issuer Issuer, ref image.Ref, o Options) ([]Result, error) {
	if ref.Digest().IsZero() {
		return nil, fmt.Errorf("%s: has no digest, and only digests are signed", ref)
	}
	targets := []child{{digest: ref.Digest()}}
	if o.Recursive {
		children, err := children(ctx, store, ref)
		if err != nil {
			return nil, err
		}
		targets = append(targets, children...)
	}
	var results []Result
	for _, t := range targets {
		result, err := signOne(ctx, store, issuer, ref.At(t.digest), o)
		if err != nil {
			return results, fmt.Errorf("%s: %w", ref.At(t.digest), err)
		}
		result.Platform = t.platform
		results = append(results, result)
	}
	return results, nil
}

func signOne(ctx context.Context, store Store, issuer Issuer, ref image.Ref, o Options) (Result, error) {
	tag := certificate.Tag(ref.Digest())
	tagged, err := ref.Tagged(tag)
	if err != nil {
		return Result{}, err
	}
	request, err := newRequest(ref, o)
	if err != nil {
		return Result{}, err
	}
	// Asked first: a registry that is down must not cost a certificate.
	before, err := current(ctx, store, tagged)
	if err != nil {
		return Result{}, err
	}
	certs, err := issuer.Issue(ctx, request)
	if err != nil {
		return Result{}, err
	}
	if len(certs) == 0 {
		return Result{}, errors.New("certificate: none was issued")
	}
	artifact, err := pack(ctx, certs, ref, o)
	if err != nil {
		return Result{}, err
	}
	result := Result{Ref: ref, Tag: tag, Leaf: certs[0], Warning: mismatch(certs[0], ref)}
	if before != nil && before.Manifest.Fits(artifact.Manifest) {
		result.Unchanged = true
		return result, nil
	}
	result.Replaced = before
	return result, push(ctx, store, tagged, artifact)
}

func newRequest(ref image.Ref, o Options) (Request, error) {
	prefix, ttl := o.Prefix, o.TTL
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	r := Request{Ref: ref, CommonName: certificate.CommonName(prefix, ref.Digest()), AltNames: o.AltNames, TTL: ttl}
	switch {
	case ttl < time.Second:
		return Request{}, fmt.Errorf("certificate: a life of %s is too short, at least a second is needed", ttl)
	case len(r.CommonName) > maxCommonName:
		return Request{}, fmt.Errorf("common name %q: %d characters, at most %d are allowed", r.CommonName, len(r.CommonName), maxCommonName)
	}
	if !o.DIA {
		r.URIs = []*url.URL{certificate.SAN(ref)}
	}
	return r, nil
}

func pack(ctx context.Context, certs []*x509.Certificate, ref image.Ref, o Options) (certificate.Artifact, error) {
	name, shape := o.FileName, certificate.OCI
	if name == "" {
		name = certificate.CommonName("", ref.Digest()) + ".pem"
	}
	if o.DIA {
		shape, certs = certificate.Docker, certs[:1]
	}
	var token []byte
	if o.Stamper != nil {
		var err error
		if token, err = o.Stamper.Stamp(ctx, certs[0]); err != nil {
			return certificate.Artifact{}, err
		}
	}
	return certificate.PackTimestamped(certs, token, name, shape)
}

// push stores the blobs before the manifest that names them, so that the tag never names what is not there.
func push(ctx context.Context, store Store, tagged image.Ref, a certificate.Artifact) error {
	for _, blob := range a.Blobs {
		if err := store.PushBlob(ctx, tagged, blob); err != nil {
			return fmt.Errorf("push of the certificate: %w", err)
		}
	}
	if err := store.PushManifest(ctx, tagged, a.MediaType, a.Manifest); err != nil {
		return fmt.Errorf("push of the certificate: %w", err)
	}
	return nil
}
