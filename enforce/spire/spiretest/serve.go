package spiretest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/enforce/spire/proto/metricsv1"
)

// Serve serves an attestor within the test, over a socket, without a process and without go-plugin. The plugin that make gets shares its
// log with the host. The caller has to Close the host.
func Serve(ctx context.Context, make func(*spire.Plugin) spire.Attestor) (*Host, error) {
	folder, err := os.MkdirTemp("", "spiretest")
	if err != nil {
		return nil, err
	}
	h := &Host{Log: NewLog(), Counters: newCounters()}
	shared := spire.New(spire.NewLog(h.Log))
	served := spire.NewServer(spire.Config{Plugin: shared, Attestor: make(shared)})
	agent := grpc.NewServer()
	metricsv1.RegisterMetricsServer(agent, h.Counters)
	server := grpc.NewServer(append(served.Options(), grpc.WaitForHandlers(true))...)
	served.Register(server, func() (grpc.ClientConnInterface, error) { return dial(filepath.Join(folder, "agent")) })
	h.closer = func() {
		if h.conn != nil {
			_ = h.conn.Close()
		}
		server.Stop()
		served.Close()
		agent.Stop()
		_ = os.RemoveAll(folder)
	}
	for name, s := range map[string]*grpc.Server{"agent": agent, "plugin": server} {
		if err := listen(s, filepath.Join(folder, name)); err != nil {
			h.closer()
			return nil, err
		}
	}
	if h.conn, err = dial(filepath.Join(folder, "plugin")); err == nil {
		err = h.init(ctx, true)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func listen(server *grpc.Server, socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() { _ = server.Serve(listener) }() // until Stop
	return nil
}

func dial(socket string) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", socket, err)
	}
	return conn, nil
}
