// Package certificate is the format "certificate": one X.509 certificate vouches for one image.
//
// A certificate authority issues a certificate that names the image, and the certificate is stored beside the image under the tag
// "dia-<digits of the digest>" (see Tag). The certificate's key signs nothing: who vouches is the authority, and the certificate's
// dates say when it did. The image is named by a URI among the subject alternative names, "oci://registry/repository@sha256:…",
// or, in the older form of the tool DIA, by a part of its digest in the common name. Where such a URI is present it decides.
//
// The package owns the wire format: Tag, SAN, CommonName and Pack write it, Layer, Unpack and ParsePEM read it.
package certificate
