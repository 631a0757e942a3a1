package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/assay-dev/assay/registry/registrytest"
)

// What a burst is: many images that nobody asked about before, at once, at a registry that takes its time.
const (
	burstImages    = 500
	burstLatency   = 50 * time.Millisecond
	maxConnections = 64  // to one registry at a time: registry.maxConnections
	wantedBurst    = 2.0 // times the time that the connections allow, at most
)

// burst asks about different images at once, each in a pod of its own.
func (s *stage) burst() error {
	requests := make([][]byte, burstImages)
	clients := make([]*client, burstImages)
	for i := range burstImages {
		name, err := s.signed(fmt.Sprintf("burst/app%d", i))
		if err != nil {
			return err
		}
		requests[i] = requestOf(reviewOf([]string{name}))
		if clients[i], err = dial(s.servers[0].address); err != nil {
			return err
		}
		defer clients[i].conn.Close()
	}
	s.registry.ResetRequests()
	s.registry.SetFault(func(*http.Request) bool { return true }, registrytest.Slow(burstLatency))
	start := time.Now()
	var group sync.WaitGroup
	for i, c := range clients {
		group.Go(func() { c.failed = c.ask(requests[i]) })
	}
	group.Wait()
	took := time.Since(start)
	for _, c := range clients {
		if c.failed != nil {
			return errors.Join(errors.New("burst"), c.failed)
		}
	}
	asked := len(s.registry.Requests())
	allowed := burstLatency * time.Duration(asked) / maxConnections
	ratio := took.Seconds() / allowed.Seconds()
	fmt.Printf("\na burst of %d images, %d requests to a registry that takes %v for each: %v\n", burstImages, asked, burstLatency, took.Round(time.Millisecond))
	fmt.Printf("burst: %.2f × the %v that %d connections allow; target at most %.0f: %s\n",
		ratio, allowed.Round(time.Millisecond), maxConnections, wantedBurst, verdict(ratio <= wantedBurst))
	return nil
}
