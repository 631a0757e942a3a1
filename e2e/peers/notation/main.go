// Command notation-signer signs images, and verifies them, with notation-go: what the notation CLI does, for the stories.
//
//	notation-signer [flags] sign KEY CHAIN REF@DIGEST
//	notation-signer verify CONFIG REF@DIGEST
//	notation-signer serve ADDRESS FOLDER
//
// CHAIN is certificates in PEM, the leaf first and the root last. CONFIG is a folder with trustpolicy.json and truststore.
// serve serves the files of a folder, such as revocation lists, until it is killed.
package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/tspclient-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"
)

var (
	isCOSE    = flag.Bool("cose", false, "write COSE in the place of JWS")
	expires   = flag.Duration("expires", 0, "the signature's end, from now")
	tsa       = flag.String("tsa", "", "URL of a time-stamp authority")
	tsaRoot   = flag.String("tsa-root", "", "its root certificate in PEM")
	authority = flag.Bool("signing-authority", false, "sign by the scheme notary.x509.signingAuthority")
	plugin    = flag.String("plugin", "", "name of a verification plugin that the signature demands")
	metadata  = flag.String("annotation", "", "value of the annotation stage that is signed")
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("notation-signer: ")
	flag.Parse()
	var err error
	switch args := flag.Args(); {
	case len(args) == 4 && args[0] == "sign":
		err = sign(args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "verify":
		err = verify(args[1], args[2])
	case len(args) == 3 && args[0] == "serve":
		err = http.ListenAndServe(args[1], http.FileServer(http.Dir(args[2])))
	default:
		err = fmt.Errorf("usage: notation-signer [flags] sign KEY CHAIN REF@DIGEST | verify CONFIG REF@DIGEST | serve ADDRESS FOLDER")
	}
	if err != nil {
		log.Fatal(err)
	}
}

func open(ref string) (registry.Repository, error) {
	r, err := remote.NewRepository(ref)
	if err != nil {
		return nil, err
	}
	r.PlainHTTP = true
	return registry.NewRepository(r), nil
}

func sign(key, chain, ref string) error {
	repository, err := open(ref)
	if err != nil {
		return err
	}
	generic, err := signer.NewGenericSignerFromFiles(key, chain)
	if err != nil {
		return err
	}
	var s notation.Signer = generic
	if *authority || *plugin != "" {
		s = &special{key: key, chain: chain}
	}
	options := notation.SignOptions{ArtifactReference: ref}
	options.SignatureMediaType = jws.MediaTypeEnvelope
	if *isCOSE {
		options.SignatureMediaType = cose.MediaTypeEnvelope
	}
	options.ExpiryDuration = *expires
	if *metadata != "" {
		options.UserMetadata = map[string]string{"stage": *metadata}
	}
	if *tsa != "" {
		if options.Timestamper, err = tspclient.NewHTTPTimestamper(&http.Client{Timeout: 10 * time.Second}, *tsa); err != nil {
			return err
		}
		roots, err := corex509.ReadCertificateFile(*tsaRoot)
		if err != nil {
			return err
		}
		options.TSARootCAs = x509.NewCertPool()
		for _, c := range roots {
			options.TSARootCAs.AddCert(c)
		}
	}
	_, err = notation.Sign(context.Background(), s, repository, options)
	return err
}

// special signs what the generic signer of notation-go cannot.
type special struct{ key, chain string }

// Sign implements notation.Signer.
func (s *special) Sign(_ context.Context, target ocispec.Descriptor, options notation.SignerSignOptions) ([]byte, *signature.SignerInfo, error) {
	local, err := localSigner(s.key, s.chain)
	if err != nil {
		return nil, nil, err
	}
	request := &signature.SignRequest{
		Payload: signature.Payload{
			ContentType: "application/vnd.cncf.notary.payload.v1+json",
			Content:     fmt.Appendf(nil, `{"targetArtifact":{"mediaType":%q,"digest":%q,"size":%d}}`, target.MediaType, target.Digest, target.Size),
		},
		Signer: local, SigningTime: time.Now(), SigningScheme: signature.SigningSchemeX509,
	}
	if *authority {
		request.SigningScheme = signature.SigningSchemeX509SigningAuthority
	}
	if *plugin != "" {
		request.ExtendedSignedAttributes = []signature.Attribute{{Key: "io.cncf.notary.verificationPlugin", Critical: true, Value: *plugin}}
	}
	envelope, err := signature.NewEnvelope(options.SignatureMediaType)
	if err != nil {
		return nil, nil, err
	}
	made, err := envelope.Sign(request)
	if err != nil {
		return nil, nil, err
	}
	content, err := envelope.Content()
	if err != nil {
		return nil, nil, err
	}
	return made, &content.SignerInfo, nil
}

func localSigner(key, chain string) (signature.LocalSigner, error) {
	certs, err := corex509.ReadCertificateFile(chain)
	if err != nil {
		return nil, err
	}
	private, err := corex509.ReadPrivateKeyFile(key)
	if err != nil {
		return nil, err
	}
	return signature.NewLocalSigner(certs, private)
}

func verify(config, ref string) error {
	repository, err := open(ref)
	if err != nil {
		return err
	}
	dir.UserConfigDir = config
	v, err := verifier.NewFromConfig()
	if err != nil {
		return err
	}
	_, _, err = notation.Verify(context.Background(), v, repository, notation.VerifyOptions{ArtifactReference: ref, MaxSignatureAttempts: 50})
	return err
}
