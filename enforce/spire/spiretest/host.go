// Package spiretest plays the SPIRE agent for tests: it starts a plugin as the agent does, or serves one within the test, calls it, offers it
// counters, and reads its log as strictly as the agent does.
package spiretest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/attestorv1"
	"github.com/assay-dev/assay/enforce/spire/proto/configv1"
	"github.com/assay-dev/assay/enforce/spire/proto/initv1"
	"github.com/assay-dev/assay/enforce/spire/proto/metricsv1"
)

// Names on the wire.
const (
	ConfigService   = "spire.service.common.config.v1.Config"
	AttestorService = "spire.plugin.agent.workloadattestor.v1.WorkloadAttestor"
	MetricsService  = "spire.hostservice.common.metrics.v1.Metrics"

	callerKey = "spire-agent-broker-caller-id"
	brokerID  = 1
)

// startTimeout is how long a plugin has until it listens, as the agent has it.
const startTimeout = 60 * time.Second

// Host is an agent with one plugin.
type Host struct {
	Log      *Log      // what the plugin wrote to stderr
	Counters *Counters // what the plugin counted at the agent
	Services []string  // what the plugin said that it serves

	conn   *grpc.ClientConn
	client *plugin.Client // nil: the plugin is served within the test
	closer func()
	once   sync.Once
}

// Options are what an agent may do otherwise.
type Options struct {
	Env        []string // the whole environment, to which the cookie is added; nil: the test's
	Dir        string   // working folder
	Name       string   // of the plugin, in the agent's configuration; "": WorkloadAttestor
	NoCounters bool     // the agent has no counters to offer
	DeadBroker bool     // the agent offers counters, and nobody is there
}

// Start starts a program as a plugin, and has the first talk with it. The caller has to Close the host.
func Start(ctx context.Context, command []string, o Options) (*Host, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = o.Dir
	cmd.Env = o.Env
	h := &Host{Log: NewLog(), Counters: newCounters()}
	offered := &offer{counters: h.Counters, dead: o.DeadBroker || o.NoCounters}
	h.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: spire.Cookie, MagicCookieValue: spire.Cookie},
		Plugins:          plugin.PluginSet{o.name(): offered},
		Cmd:              cmd,
		SkipHostEnv:      o.Env != nil,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Stderr:           h.Log,
		Logger:           hclog.NewNullLogger(),
		StartTimeout:     startTimeout,
	})
	h.closer = h.client.Kill
	if err := h.connect(ctx, offered, o); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (o Options) name() string { return cmp.Or(o.Name, spire.Cookie) }

func (h *Host) connect(ctx context.Context, offered *offer, o Options) error {
	protocol, err := h.client.Client()
	if err != nil {
		return fmt.Errorf("start the plugin: %w; it wrote: %s", err, strings.Join(h.Log.Raw(), "\n"))
	}
	if _, err := protocol.Dispense(o.name()); err != nil {
		return err
	}
	h.conn = offered.conn
	return h.init(ctx, !o.NoCounters)
}

func (h *Host) init(ctx context.Context, counters bool) error {
	names := []string{"spire.hostservice.nobody.knows.v1.It"}
	if counters {
		names = append(names, MetricsService)
	}
	answer, err := initv1.NewInitClient(h.conn).Init(ctx, &initv1.InitRequest{HostServiceNames: names})
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	h.Services = answer.GetPluginServiceNames()
	if !slices.Contains(h.Services, ConfigService) {
		return errors.New("no supported configuration interface found")
	}
	return nil
}

// Configure puts a configuration into force.
func (h *Host) Configure(ctx context.Context, trustDomain, hcl string) error {
	_, err := configv1.NewConfigClient(h.conn).Configure(ctx, &configv1.ConfigureRequest{
		CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: trustDomain}, HclConfiguration: hcl,
	})
	return err
}

// Validate has a configuration looked at.
func (h *Host) Validate(ctx context.Context, trustDomain, hcl string) (valid bool, notes []string, err error) {
	answer, err := configv1.NewConfigClient(h.conn).Validate(ctx, &configv1.ValidateRequest{
		CoreConfiguration: &configv1.CoreConfiguration{TrustDomain: trustDomain}, HclConfiguration: hcl,
	})
	return answer.GetValid(), answer.GetNotes(), err
}

// Attest returns the selectors of a process.
func (h *Host) Attest(ctx context.Context, pid int32) ([]string, error) {
	answer, err := attestorv1.NewWorkloadAttestorClient(h.conn).Attest(ctx, &attestorv1.AttestRequest{Pid: pid})
	return answer.GetSelectorValues(), err
}

// AttestReference returns the selectors of what is named by a message of the package broker, or by an Any. Callers are those for whom the agent asks.
func (h *Host) AttestReference(ctx context.Context, reference proto.Message, callers ...string) ([]string, error) {
	packed, ok := reference.(*anypb.Any)
	if !ok && reference != nil {
		var err error
		if packed, err = anypb.New(reference); err != nil {
			return nil, err
		}
	}
	for _, c := range callers {
		ctx = metadata.AppendToOutgoingContext(ctx, callerKey, c)
	}
	request := &attestorv1.AttestReferenceRequest{Reference: packed}
	answer, err := attestorv1.NewWorkloadAttestorClient(h.conn).AttestReference(ctx, request)
	return answer.GetSelectorValues(), err
}

// Conn is the connection to the plugin.
func (h *Host) Conn() grpc.ClientConnInterface { return h.conn }

// PID is the process of the plugin; 0 if it is served within the test.
func (h *Host) PID() int {
	if h.client == nil || h.client.ReattachConfig() == nil {
		return 0
	}
	return h.client.ReattachConfig().Pid
}

// Exited reports whether the plugin has ended.
func (h *Host) Exited() bool { return h.client != nil && h.client.Exited() }

// Address is the socket at which the plugin listens; "" if it is served within the test.
func (h *Host) Address() string {
	if h.client == nil || h.client.ReattachConfig() == nil {
		return ""
	}
	return h.client.ReattachConfig().Addr.String()
}

// Close ends the plugin as an agent does that ends.
func (h *Host) Close() {
	h.once.Do(func() {
		if h.conn != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, _ = initv1.NewInitClient(h.conn).Deinit(ctx, &initv1.DeinitRequest{}) // it may have ended already
		}
		h.closer()
	})
}

// offer is the plugin as go-plugin's client knows it, with what the agent offers to it.
type offer struct {
	plugin.NetRPCUnsupportedPlugin
	counters *Counters
	dead     bool
	conn     *grpc.ClientConn
}

// GRPCServer implements plugin.GRPCPlugin: for plugins.
func (o *offer) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the side of the agent")
}

// GRPCClient implements plugin.GRPCPlugin.
func (o *offer) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	if !o.dead {
		go broker.AcceptAndServe(brokerID, func(options []grpc.ServerOption) *grpc.Server {
			server := grpc.NewServer(options...)
			metricsv1.RegisterMetricsServer(server, o.counters)
			return server
		})
	}
	o.conn = conn
	return o, nil
}
