package notaryv1

import (
	"fmt"
	"sync"
	"time"
)

// outages are the servers that are down while what is kept stands for them. The zero value is ready.
type outages struct {
	mu      sync.Mutex
	bridged map[string]outage // by server
}

type outage struct {
	host        string
	seen, until time.Time // of the repository that was asked for last
}

func (o *outages) begin(k Key, seen, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bridged == nil {
		o.bridged = map[string]outage{}
	}
	o.bridged[k.Server] = outage{host: k.host(), seen: seen, until: until}
}

func (o *outages) end(server string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.bridged, server)
}

// warning says that a server is bridged, or nothing.
func (o *outages) warning(server string, now time.Time) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, found := o.bridged[server]
	if !found || !now.Before(b.until) {
		return ""
	}
	return fmt.Sprintf("Notary server %s is down; trust data of %s count until %s (offlineGrace)", b.host, b.seen.UTC().Format(time.RFC3339), b.until.UTC().Format(time.RFC3339))
}
