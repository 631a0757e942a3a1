package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// patience is how long an engine may take to start, and to end.
const patience = 30 * time.Second

// imageName is the image of the containers.
const imageName = "benchspire"

// engine is a Docker engine with running containers.
type engine struct {
	socket  string
	cmd     *exec.Cmd
	client  *http.Client
	running []container
}

// container is a container, and the process in it.
type container struct {
	id, number string
	pid        int32
}

// startEngine starts an engine with all its state in a folder.
func startEngine(program, folder string) (*engine, error) {
	e := &engine{socket: filepath.Join(folder, "docker.sock")}
	e.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", e.socket)
	}}}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	e.cmd = exec.Command(program, "--data-root", filepath.Join(folder, "data"), "--exec-root", filepath.Join(folder, "exec"),
		"--pidfile", filepath.Join(folder, "pid"), "--host", e.host(), "--bridge", "none", "--iptables=false", "--storage-driver", "vfs")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if _, err = e.ask(http.MethodGet, "/_ping", nil, http.StatusOK); err == nil {
			return e, nil
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name()) // what there is of it
			e.stop()
			return nil, errors.Join(fmt.Errorf("%s did not start", program), err, fmt.Errorf("%s", text))
		}
	}
}

// host is how the plugin's configuration names the engine.
func (e *engine) host() string { return "unix://" + e.socket }

// stop ends the engine gently, so that it unmounts what it mounted.
func (e *engine) stop() {
	e.client.CloseIdleConnections()
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	timer := time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() })
	_ = e.cmd.Wait() // told to end
	timer.Stop()
}

// ask sends a request.
func (e *engine) ask(method, path string, body []byte, want ...int) ([]byte, error) {
	req, err := http.NewRequest(method, "http://docker"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	for _, code := range want {
		if resp.StatusCode == code {
			return content, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, content)
}

// start runs containers of an image that has nothing but this program.
func (e *engine) start(n int) error {
	packed, err := packSelf()
	if err != nil {
		return err
	}
	if _, err := e.ask(http.MethodPost, "/images/create?fromSrc=-&repo="+imageName+"&tag=1", packed, http.StatusOK); err != nil {
		return err
	}
	for i := range n {
		c, err := e.run(strconv.Itoa(i))
		if err != nil {
			return err
		}
		e.running = append(e.running, c)
	}
	return nil
}

// packSelf returns an archive with this program in it.
func packSelf() ([]byte, error) {
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	err = w.WriteHeader(&tar.Header{Name: sleeper, Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	return packed.Bytes(), errors.Join(err, w.Close())
}

func (e *engine) run(number string) (container, error) {
	body, err := json.Marshal(map[string]any{
		"Image": imageName + ":1", "Cmd": []string{"/" + sleeper, sleeper}, "Labels": map[string]string{"number": number},
		"HostConfig": map[string]any{"NetworkMode": "none"},
	})
	if err != nil {
		return container{}, err
	}
	content, err := e.ask(http.MethodPost, "/containers/create", body, http.StatusCreated)
	if err != nil {
		return container{}, err
	}
	var created struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(content, &created); err != nil {
		return container{}, err
	}
	if _, err := e.ask(http.MethodPost, "/containers/"+created.ID+"/start", nil, http.StatusNoContent); err != nil {
		return container{}, err
	}
	content, err = e.ask(http.MethodGet, "/containers/"+created.ID+"/json", nil, http.StatusOK)
	if err != nil {
		return container{}, err
	}
	var state struct{ State struct{ Pid int32 } }
	if err := json.Unmarshal(content, &state); err != nil {
		return container{}, err
	}
	if state.State.Pid == 0 {
		return container{}, fmt.Errorf("container %s does not run; %s has to be built without cgo", created.ID, os.Args[0])
	}
	return container{id: created.ID, number: number, pid: state.State.Pid}, nil
}

// kill removes the containers.
func (e *engine) kill() {
	for _, c := range e.running {
		_, _ = e.ask(http.MethodDelete, "/containers/"+c.id+"?force=1", nil, http.StatusNoContent) // the folder goes with the engine
	}
}
