// Package spire is SPIRE's enforcement point: the workload attestors docker and k8s, as plugins of a SPIRE agent. A workload gets an
// identity only if the image that it runs is vouched for.
//
// The protocol is here (Serve), and both attestors. An attestor reads its configuration and makes a State of it, which answers until the
// next configuration; the protocol sees to everything else: deadlines, panics, the swap of states, counters.
package spire

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
)

// Deadlines. The agent sets none of its own, and asks no second time.
const (
	EvidenceTimeout = 20 * time.Second // to find evidence, and to decide
	CallTimeout     = 30 * time.Second // for a whole call, unless its State asks for more
)

// Note is something that is to be said about a configuration.
type Note struct {
	Text    string
	Problem bool // it is an error: the configuration is refused; otherwise a remark
	Usual   bool // a remark that is made where nothing is unusual
}

// Attestor is one of the attestors behind the protocol. It is safe for concurrent use; Make is called by one goroutine at a time.
type Attestor interface {
	// Name is "docker" or "k8s", for logs.
	Name() string
	// Read reads the text of a configuration, which may be empty. It looks at nothing but the text: no files, no network. What it returns as
	// settings is for Make, which is called only where no note is a problem.
	Read(hcl string) (settings any, notes []Note)
	// Make opens what the settings name: files only, no connection, nothing that has to be waited for. What it returns answers from then on.
	// Previous is what answered until now, nil at first: caches whose key has not changed may be taken over from it, and it answers and is
	// closed without regard to that. The text of an error is for the operator.
	Make(settings any, trustDomain string, previous State) (State, error)
}

// State answers with one configuration. It is safe for concurrent use, and ends a call soon after its context has ended. Errors are those
// of google.golang.org/grpc/status; any other is codes.Unavailable: could not tell.
type State interface {
	// Attest returns the values of the selectors of a process, which is named in the plugin's own PID namespace. None, and no error: the
	// process is not one of this attestor's.
	Attest(ctx context.Context, pid int32) ([]string, error)
	// AttestReference does so for a workload that is named in another way. Callers are those for whom the agent asks, by the values of the
	// metadata key spire-agent-broker-caller-id.
	AttestReference(ctx context.Context, reference *anypb.Any, callers []string) ([]string, error)
	// Close lets go of what the state has opened. It is called once, when another state has taken its place and the last call has ended.
	Close()
}

// Patient is a State whose calls may take longer than CallTimeout.
type Patient interface {
	State
	// Patience is how long a call may take; it is asked once. 0 is CallTimeout.
	Patience() time.Duration
}

// Meter counts. *Plugin is one.
type Meter interface {
	// Count adds one to a counter. Labels are pairs of a name and a value, of which there are few. It never blocks.
	Count(name string, labels ...string)
}

var _ Meter = (*Plugin)(nil)
