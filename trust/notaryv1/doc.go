// Package notaryv1 is the format of Docker Content Trust: what notary and docker trust sign about images, kept by a Notary server beside
// the registry.
//
// For each repository the server keeps metadata in a dialect of The Update Framework (TUF): a root, a timestamp, a snapshot, targets,
// and targets that others were delegated to sign. Targets name the digest of a tag. The dialect differs from TUF's own files in the
// names of types and files, in how signatures and hashes are written, and in that snapshots name hashes and no versions; the duties of a
// client are those of the specification, whose sections (of version 1.0) are named in the comments.
//
// Find fetches what is new and puts it beside what was seen before. Check goes through the whole workflow on these bytes, from the
// root of trust in the policy to the digest, and does no I/O. Remember keeps what was verified in a Store, so that a server can never
// go back behind it.
package notaryv1
