package notaryv1

import "time"

// Limits of what is read and followed of trust data; they stand in docs/reference/limits.md.
const (
	MaxFile  = 10 << 20 // bytes of a metadata file
	MaxDepth = 8        // delegations in each other, below targets

	maxRoots      = 64              // versions of a root between the one that the policy trusts and the current one
	maxKeys       = 256             // keys in one file
	maxTop        = 1 << 20         // bytes of a root, a timestamp or a snapshot: they are read before a signature says anything of them
	maxSignatures = 64              // signatures on one file that are looked at
	maxRoles      = 512             // delegations in one file
	maxNesting    = 32              // objects and lists in each other in a file
	maxGUN        = 1024            // bytes of a name at a Notary server
	maxFloors     = 64              // signers of one role, one after another, whose highest versions are kept
	maxRole       = 255             // bytes of a role's name
	maxSigners    = 32              // roles in signers, or in roles, of one authority
	maxProofs     = 16              // ways in which one question is proved that are told apart
	maxFiles      = 64 << 20        // bytes of files that are kept read, with which of their signatures hold
	maxVerified   = 64 << 20        // bytes of files of repositories that are kept verified, for each authority
	updateTimeout = time.Minute     // for an update of one repository's trust data that many may wait for
	bridgeAfter   = 5 * time.Second // for an update where what is kept can stand for the server (offlineGrace)
	seenEvery     = time.Minute     // so often the time of an answer without news is written down
)
