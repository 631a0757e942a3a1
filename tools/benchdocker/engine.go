package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// patience is how long an engine or a plugin may take to start, and to end.
const patience = 30 * time.Second

// dockerEngine is a Docker engine that asks one plugin.
type dockerEngine struct {
	folder string
	cmd    *exec.Cmd
	client *http.Client
}

// startEngine starts an engine with all its state in a folder.
func startEngine(program, folder, plugin string) (*dockerEngine, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	socket := filepath.Join(folder, "docker.sock")
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	e := &dockerEngine{folder: folder, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}}
	e.cmd = exec.Command(program, "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"), "--host", "unix://"+socket, "--bridge", "none", "--iptables=false", "--storage-driver", "vfs",
		"--authorization-plugin="+plugin)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err = e.ping(); err == nil {
			return e, nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name()) // what there is of it
			e.stop()
			return nil, errors.Join(fmt.Errorf("%s did not start", program), err, fmt.Errorf("%s", text))
		}
	}
}

// stop ends the engine gently, so that it unmounts what it mounted.
func (e *dockerEngine) stop() {
	e.client.CloseIdleConnections()
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() })
	_ = e.cmd.Wait() // told to end
	timer.Stop()
}

// ask sends a request and returns how long the answer took.
func (e *dockerEngine) ask(method, path string, body []byte, want int) (time.Duration, []byte, error) {
	req, err := http.NewRequest(method, "http://docker"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	start := time.Now()
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	content, err := io.ReadAll(resp.Body)
	took := time.Since(start)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, content)
	}
	return took, content, err
}

func (e *dockerEngine) ping() (time.Duration, error) {
	took, _, err := e.ask(http.MethodGet, "/_ping", nil, http.StatusOK)
	return took, err
}

func (e *dockerEngine) inspect(image string) (time.Duration, error) {
	took, _, err := e.ask(http.MethodGet, "/images/"+image+"/json", nil, http.StatusOK)
	return took, err
}

// create creates a container, and removes it when the time is taken.
func (e *dockerEngine) create(body []byte) (time.Duration, error) {
	took, content, err := e.ask(http.MethodPost, "/containers/create", body, http.StatusCreated)
	if err != nil {
		return 0, err
	}
	var created struct{ ID string }
	if err := json.Unmarshal(content, &created); err != nil {
		return 0, err
	}
	_, _, err = e.ask(http.MethodDelete, "/containers/"+created.ID, nil, http.StatusNoContent)
	return took, err
}

func (e *dockerEngine) pull(image string) error {
	_, content, err := e.ask(http.MethodPost, "/images/create?fromImage="+url.QueryEscape(image), nil, http.StatusOK)
	if err == nil && bytes.Contains(content, []byte(`"error"`)) {
		err = fmt.Errorf("%s: %s", image, content)
	}
	return err
}

func (e *dockerEngine) version() (string, error) {
	_, content, err := e.ask(http.MethodGet, "/version", nil, http.StatusOK)
	if err != nil {
		return "", err
	}
	var v struct{ Version string }
	return "Docker engine " + v.Version, json.Unmarshal(content, &v)
}
