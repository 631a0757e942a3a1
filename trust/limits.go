package trust

// Limits of what is read of foreign bytes; they stand in docs/reference/limits.md.
const (
	MaxManifest   = 4 << 20  // bytes of a manifest or an index
	MaxEvidence   = 10 << 20 // bytes of one piece of evidence, counted after unpacking
	MaxSignatures = 50       // pieces of evidence that are looked at for one image
	MaxChain      = 10       // certificates in a chain, the leaf and the root among them
)
