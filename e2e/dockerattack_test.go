//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// attackFor is how long attackers try who need luck. Without the defence they mostly had it.
const (
	attackFor = 8 * time.Second
	attackers = 4
)

// engineClient asks dockerd over its socket, one request after the other.
type engineClient struct {
	client http.Client
}

func newEngineClient(socket string) *engineClient {
	return &engineClient{http.Client{Timeout: readyWithin, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
}

func (c *engineClient) ask(method, path string) (status int, body []byte, err error) {
	req, err := http.NewRequest(method, "http://docker"+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxDockerdAnswer))
	return resp.StatusCode, body, err
}

// startWhileRenaming starts NAME again and again, while the two containers swap their names as fast as the engine lets them. It prints which
// of them ever started.
func startWhileRenaming(ts *testscript.TestScript, name, other string) {
	socket := ts.Getenv("DOCKER_SOCKET")
	started := func(id string) bool {
		_, body, err := newEngineClient(socket).ask("GET", "/containers/"+id+"/json")
		ts.Check(err)
		var container struct{ State struct{ StartedAt time.Time } }
		ts.Check(json.Unmarshal(body, &container))
		return !container.State.StartedAt.IsZero()
	}
	id := func(name string) string {
		_, body, err := newEngineClient(socket).ask("GET", "/containers/"+name+"/json")
		ts.Check(err)
		var container struct{ ID string }
		ts.Check(json.Unmarshal(body, &container))
		return container.ID
	}
	first, second := id(name), id(other)

	var enough atomic.Bool
	swapped := make(chan error, 1)
	go func() { swapped <- swapNames(newEngineClient(socket), name, other, &enough) }()
	starters := make(chan error, attackers)
	for range attackers {
		go func() { starters <- startUntil(newEngineClient(socket), name, &enough) }()
	}
	for deadline := time.Now().Add(attackFor); time.Now().Before(deadline) && !started(second); {
		time.Sleep(100 * time.Millisecond)
	}
	enough.Store(true)
	ts.Check(<-swapped)
	for range attackers {
		ts.Check(<-starters)
	}
	fmt.Fprintf(ts.Stdout(), "%s started: %v\n%s started: %v\n", name, started(first), other, started(second))
}

// startUntil starts a container by its name until it is enough.
func startUntil(client *engineClient, name string, enough *atomic.Bool) error {
	for !enough.Load() {
		if _, _, err := client.ask("POST", "/containers/"+name+"/start"); err != nil {
			return err
		}
	}
	return nil
}

// swapNames renames two containers to and fro until it is enough; then each has its own name.
func swapNames(client *engineClient, name, other string, enough *atomic.Bool) error {
	steps := [][2]string{{name, name + "-away"}, {other, name}, {name, other}, {name + "-away", name}}
	for !enough.Load() {
		for _, step := range steps {
			for deadline := time.Now().Add(readyWithin); ; {
				status, _, err := client.ask("POST", "/containers/"+step[0]+"/rename?name="+step[1])
				if err != nil {
					return err
				}
				if status == http.StatusNoContent {
					break
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("rename %s: %d", step[0], status)
				}
			}
		}
	}
	return nil
}

// sendDockerd sends a request as a file has it, but for the ends of its lines up to the empty one.
func sendDockerd(ts *testscript.TestScript, file string) {
	head, body, _ := strings.Cut(ts.ReadFile(file), "\n\n")
	conn, err := net.Dial("unix", ts.Getenv("DOCKER_SOCKET"))
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(readyWithin)))
	_, err = io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+strings.TrimSuffix(body, "\n"))
	ts.Check(err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	ts.Check(err)
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxDockerdAnswer))
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s\n", resp.StatusCode, content)
}
