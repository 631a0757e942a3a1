// Package shared keeps what authorities proved in a cache that several processes of one installation ask: Valkey, Redis, or whatever speaks
// their protocol (RESP 2).
//
// The cache is believed in nothing. Who can read it sees neither which images are asked about nor who signed them; who can write to it, or
// stands in its place, can make a process check for itself, at a price that is bounded, and no more:
//
//   - An entry is encrypted and authenticated (AES-256-GCM) with a key that is derived for it alone from a secret of the installation and a
//     random salt. Its name is part of what is authenticated, so that an entry does not serve another question.
//   - The name is a MAC of the question: the form of the entry, the program's version, the policy's hash, the authority, the version of its
//     trust material, the repository, the tag, the digest.
//   - An entry says when it was made and how long it holds, whatever the cache does with it.
//   - What comes from the cache is bounded before it is read, and a question waits RecallWait for it at most. After a few failures in a
//     row the cache is left alone for a while.
//
// The protocol is spoken by this package and not by a library: each length that the cache announces is bounded before anything is made for it.
package shared
