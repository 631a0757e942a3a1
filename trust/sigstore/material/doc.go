// Package material is Sigstore's trust material: the certificates and keys of certificate authorities, transparency logs and time-stamp
// authorities, and the public keys of signers.
//
// Material is parsed once for each version and does not change afterwards. It is fetched in the background, by a Keeper, and never where
// an image is decided about: a Source answers from memory, or says that it cannot tell.
package material
