package spire

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"
)

// Cookie is the name, and the value, of the variable by which an agent says that it has started the plugin.
const Cookie = "WorkloadAttestor"

// Handshake is what plugin and agent agree on before the first call.
var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: Cookie, MagicCookieValue: Cookie}

// errNotServed says that no call could ever have come.
var errNotServed = errors.New("the plugin cannot listen for its agent; it needs a folder for its socket that it can write to, with a path of at most 80 bytes: $TMPDIR, or /tmp")

// Serve serves a plugin until the agent ends it, or ctx ends. The environment must have the cookie. It takes over the process: os.Stdout and
// os.Stderr become files of which the agent reads nothing, interrupts are ignored, and what libraries print is logged at debug.
func Serve(ctx context.Context, c Config) error {
	s := NewServer(c)
	defer s.Close()
	signal.Ignore(syscall.SIGPIPE) // which would end a plugin whose agent has closed its stderr
	quieten(c.Plugin.log)
	made, ended := false, make(chan struct{})
	defer close(ended)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugin.PluginSet{Cookie: &served{server: s}},
		Logger:          newLibraryLog(c.Plugin.log),
		GRPCServer: func(options []grpc.ServerOption) *grpc.Server {
			server := grpc.NewServer(append(options, s.Options()...)...)
			made = true
			c.Plugin.Go("stop when the process is told to end", func() {
				select {
				case <-ctx.Done():
					server.Stop()
				case <-ended:
				}
			})
			return server
		},
	})
	if !made {
		return errNotServed
	}
	return nil
}

// quieten sends what libraries print to the log.
func quieten(to *slog.Logger) {
	printed := slog.NewLogLogger(to.Handler(), slog.LevelDebug)
	log.SetFlags(0)
	log.SetOutput(printed.Writer())
	slog.SetDefault(to)
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, printed.Writer()))
}

// served is the plugin as go-plugin knows it.
type served struct {
	plugin.NetRPCUnsupportedPlugin
	server *Server
}

var _ plugin.GRPCPlugin = (*served)(nil)

// GRPCServer implements plugin.GRPCPlugin.
func (p *served) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	p.server.Register(server, func() (grpc.ClientConnInterface, error) {
		conn, err := broker.Dial(metricsBroker)
		if err != nil {
			return nil, err // and no interface with nothing in it
		}
		return conn, nil
	})
	return nil
}

// GRPCClient implements plugin.GRPCPlugin: for agents.
func (p *served) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this is the side of the plugin")
}
