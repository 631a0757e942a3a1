package shared

import "time"

// Limits of what a cache can cost; they stand in docs/reference/limits.md.
const (
	RecallWait = 50 * time.Millisecond // that a question waits for the cache, whatever it does
	MaxEntry   = 64 << 10              // bytes of an entry, as it is stored
	MaxQueue   = 1024                  // answers that wait to be kept; more are dropped
	MaxKeys    = 4                     // secrets in a file
	MaxKeyFile = 4 << 10               // bytes of that file

	keepWait    = time.Second      // for one entry to be stored
	dialWait    = 2 * time.Second  // to connect, with TLS and password
	idleWait    = time.Minute      // after which an unused connection is not trusted to be open
	maxConns    = 8                // connections at once
	maxLine     = 512              // bytes of a line of the protocol
	maxFailures = 3                // in a row; then the cache is left alone for minPause
	minPause    = time.Second      // doubled each time that it is not back
	maxPause    = 30 * time.Second // the longest
	keptAtLeast = time.Second      // what ends sooner is not worth an entry
)
