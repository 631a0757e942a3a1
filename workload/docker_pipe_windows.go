package workload

import (
	"context"
	"net"

	"github.com/Microsoft/go-winio"
)

func dialPipe(name string) dialFunc {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dockerTimeout)
		defer cancel()
		return winio.DialPipeContext(ctx, name)
	}
}

func checkPipes(string) error { return nil }
