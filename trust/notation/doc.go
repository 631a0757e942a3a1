// Package notation is the format of Notary Project signatures: an envelope in JWS or COSE that refers to an image, signed by the key of
// an X.509 certificate, perhaps with a time stamp.
//
// Envelopes are read, and their signatures checked, by notation-core-go. What a signature means to a policy is decided here and not by the
// verifier of notation-go: that one takes the time from the clock and asks revocation servers while it checks, and a check does no I/O.
// Find asks these servers, for certificates of trusted signers only, and puts the answers beside the signatures.
//
// A payload names a digest and no repository: a signature holds for a copy of the image anywhere.
package notation
