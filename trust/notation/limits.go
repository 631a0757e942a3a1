package notation

import "time"

// Limits of what is read; they stand in docs/reference/limits.md.
const (
	maxEnvelope   = 1 << 20   // bytes of a signature: a chain and a time stamp need some 20 KiB
	maxFetched    = 16 << 20  // bytes of signatures that are fetched for one image
	maxManifest   = 256 << 10 // bytes of the manifest of a signature: it names one layer
	maxLayers     = 1         // layers of such a manifest (Notary Project specification, signature-specification.md)
	maxToken      = 64 << 10  // bytes of a time stamp
	maxRSABits    = 8192      // of any key in a chain: larger ones take long to check
	minRSABits    = 2048
	maxTrusted    = 500 // certificates in one trust store
	maxIdentities = 100

	maxOCSP        = 64 << 10        // bytes of an OCSP answer, which are some 2 KiB
	maxCRL         = 10 << 20        // bytes of a revocation list
	maxServers     = 4               // revocation servers of one kind that are asked for one certificate
	maxQuestions   = 64              // questions to revocation servers for one image
	maxAnswers     = 32 << 20        // bytes of all answers for one image
	maxKept        = 64 << 20        // bytes of answers of revocation servers that are kept
	askTimeout     = 3 * time.Second // for one OCSP answer
	listTimeout    = 8 * time.Second // for one revocation list
	dialTimeout    = 2 * time.Second
	batch          = 8 // requests that are made side by side
	maxHeader      = 64 << 10
	maxIdleServers = 8
)
