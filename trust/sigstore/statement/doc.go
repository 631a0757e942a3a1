// Package statement decodes what Sigstore signatures sign, and evaluates conditions over it.
//
// Three documents are signed: the claims of an image signature ("simple signing", containers/image, containers-signature.5), in-toto
// statements (github.com/in-toto/attestation, spec/v1/statement.md), and DSSE envelopes around the latter
// (github.com/secure-systems-lab/dsse, protocol.md). All of them are JSON, and JSON leaves open what a reader does with a member that
// stands there twice, with bytes that are no text, or with a name in another case. One parser must not see another document than the
// next one, so whatever leaves that open is refused, at any depth.
//
// Errors about foreign bytes are a "no", see trust.IsNo: what was signed stays as it is, and another attempt reads the same.
package statement
