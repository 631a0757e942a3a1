package docker

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of names that are under way.
const (
	maxNameLength = 1 << 10          // bytes of a container's name
	maxClaims     = 4096             // requests at once; more are denied
	claimFor      = 30 * time.Second // the daemon has looked up a name long before
	claimKept     = time.Hour        // how long a request is waited for of whose end nothing was told
)

// names keeps containers' names from changing hands between the look at what is behind one and the daemon's own. Who may rename could
// otherwise have a container looked at and another one started. It is safe for concurrent use.
type names struct {
	now func() time.Time

	mu     sync.Mutex
	claims []claim // the oldest first
}

// claim is one request about a name that the daemon has not told the end of.
type claim struct {
	name    string
	request requestID
	gives   bool      // the name to a container; else it is about the one that has it
	allowed time.Time // zero: it is being decided about
}

// counts reports whether the daemon may still be about to look up the name.
func (c *claim) counts(now time.Time) bool {
	return c.allowed.IsZero() || now.Sub(c.allowed) < claimFor
}

// requestID is what the daemon says of a request before and after it obeyed, hashed: an address can be long.
type requestID [sha256.Size]byte

func (r *request) id() requestID {
	return sha256.Sum256(fmt.Appendf(nil, "%q", []string{r.User, r.UserAuthNMethod, r.RequestMethod, r.RequestURI}))
}

// called returns a container's name as the daemon takes what somebody wrote.
func called(written string) string { return strings.TrimPrefix(strings.TrimSpace(written), "/") }

// begin reports whether a request about a name can be decided about: none of the other kind is under way. It then is under way itself until it
// ends.
func (n *names) begin(name string, request requestID, gives bool) bool {
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claims = slices.DeleteFunc(n.claims, func(c claim) bool { return !c.allowed.IsZero() && now.Sub(c.allowed) >= claimKept })
	if len(n.claims) >= maxClaims {
		return false
	}
	for _, c := range n.claims {
		if c.name == name && c.gives != gives && c.counts(now) {
			return false
		}
	}
	n.claims = append(n.claims, claim{name: name, request: request, gives: gives})
	return true
}

// allow notes that the daemon is about to obey a request that has begun.
func (n *names) allow(request requestID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.IndexFunc(n.claims, func(c claim) bool { return c.request == request && c.allowed.IsZero() }); i >= 0 {
		n.claims[i].allowed = n.now()
	}
}

// end notes that a request was denied, or that the daemon has obeyed. Of those that are alike the oldest ends: one of which nothing was told
// does not end a later one too early.
func (n *names) end(request requestID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.IndexFunc(n.claims, func(c claim) bool { return c.request == request }); i >= 0 {
		n.claims = slices.Delete(n.claims, i, i+1)
	}
}

// none reports whether no request is under way.
func (n *names) none() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.claims) == 0
}
