package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// hash identifies a document together with the files that its sections have read.
type hash struct {
	mu       sync.Mutex
	document [sha256.Size]byte
	files    map[string]bool // "name\x00" and the digest of a content that was read under it
	text     string          // of all that, until another file is read
}

// Hash returns the SHA-256 in hexadecimal over the document's bytes and the names and contents of all files that its sections have
// read so far, in whatever order they did. It is the same for the same bytes, and another one for any other. Of an object of a cluster
// it counts kind, name, namespace and spec in place of the bytes, in whatever order and spacing they come.
func (p *Policy) Hash() string {
	h := &p.hash
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.text == "" {
		sum := sha256.New()
		sum.Write(h.document[:])
		for _, file := range slices.Sorted(maps.Keys(h.files)) {
			fmt.Fprintf(sum, "%d:%s", len(file), file)
		}
		h.text = hex.EncodeToString(sum.Sum(nil))
	}
	return h.text
}

// add notes a file that was read.
func (h *hash) add(name string, content []byte) {
	sum := sha256.Sum256(content)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files == nil {
		h.files = map[string]bool{}
	}
	h.files[name+"\x00"+string(sum[:])] = true
	h.text = ""
}
