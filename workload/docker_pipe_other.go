//go:build !windows

package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
)

func dialPipe(string) dialFunc {
	return func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no named pipes here") }
}

func checkPipes(host string) error {
	return fmt.Errorf("docker host `%s`: named pipes are spoken on Windows only", host)
}
