package workload_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/workload"
)

func TestParsePodmanTemplate(t *testing.T) {
	tests := []struct{ text, want, err string }{
		{"unix:///run/user/%d/podman/podman.sock", "unix:///run/user/1000/podman/podman.sock", ""},
		{"%d", "1000", ""},
		{"a%%b%d%%", "a%b1000%", ""},
		{"unix:///run/%d/%", "", "trailing % at end of template"},
		{"%", "", "trailing % at end of template"},
		{"unix:///run/%s", "", "template only supports escaped %% or the %d UID placeholder"},
		{"unix:///run/%5d", "", "template only supports escaped %% or the %d UID placeholder"},
		{"unix:///run/x", "", "template must contain exactly one %d UID placeholder"},
		{"unix:///run/%%d", "", "template must contain exactly one %d UID placeholder"},
		{"", "", "template must contain exactly one %d UID placeholder"},
		{"unix:///run/%d/%d", "", "template must contain exactly one %d UID placeholder"},
	}
	for _, test := range tests {
		got, err := workload.ParsePodmanTemplate(test.text)
		if (err != nil || test.err != "") && (err == nil || err.Error() != test.err) {
			t.Errorf("%q: %v", test.text, err)
		}
		if err == nil && got.Host(1000) != test.want {
			t.Errorf("%q: got %q", test.text, got.Host(1000))
		}
		_, err = workload.OpenPodman(workload.PodmanConfig{Template: test.text})
		if (err != nil || test.err != "") && (err == nil || err.Error() != "invalid podman_socket_path_template: "+test.err) {
			t.Errorf("%q: %v", test.text, err)
		}
	}
}

// podmans is a folder with a socket for root and for each of the users, whose containers carry their name.
func podmans(t *testing.T, users ...uint32) (folder string, c workload.PodmanConfig) {
	t.Helper()
	folder, err := os.MkdirTemp("", "pod")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	listen := func(name string) {
		l, err := net.Listen("unix", filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: always(fmt.Sprintf(`{"Id":%q,"Config":{"Image":%q}}`, idA, name))}}
		s.Start()
		t.Cleanup(s.Close)
	}
	listen("root")
	for _, u := range users {
		listen(fmt.Sprintf("user-%d", u))
	}
	return folder, workload.PodmanConfig{Host: "unix://" + folder + "/root", Template: "unix://" + folder + "/user-%d"}
}

func openPodman(t *testing.T, c workload.PodmanConfig) *workload.Podman {
	t.Helper()
	var running sync.WaitGroup
	c.Go = func(_ string, fn func()) { running.Go(fn) }
	p, err := workload.OpenPodman(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); running.Wait() })
	return p
}

func TestDOCKER9_Sockets(t *testing.T) {
	own := uint32(os.Getuid())
	_, c := podmans(t, own)
	p := openPodman(t, c)
	for _, place := range []workload.PodmanPlace{{}, {Rootless: true, UID: own}, {}} {
		d, err := p.At(place)
		if err != nil {
			t.Fatal(err)
		}
		want := "root"
		if place.Rootless {
			want = fmt.Sprintf("user-%d", own)
		}
		if got, err := d.Running(t.Context(), idA); err != nil || got.Named != want {
			t.Errorf("%+v: got %q, %v", place, got.Named, err)
		}
	}
	if p.Clients() != 2 {
		t.Errorf("%d clients", p.Clients())
	}
}

// The socket of a user is that user's: nobody else speaks for the user's containers.
func TestDOCKER9_T52_Owners(t *testing.T) {
	own := uint32(os.Getuid())
	folder, c := podmans(t, own, own+1)
	c.Sleep = newClock().Sleep
	p := openPodman(t, c)
	refused := func(uid uint32, text string) {
		t.Helper()
		d, err := p.At(workload.PodmanPlace{Rootless: true, UID: uid})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.Running(t.Context(), idA); err == nil || errors.Is(err, workload.ErrAbsent) || !strings.Contains(err.Error(), text) {
			t.Errorf("got %+v, %v, want %q", got, err, text)
		}
	}
	refused(own+1, fmt.Sprintf("does not belong to user %d", own+1))
	refused(own+2, "no such file")
	if err := os.Symlink("root", filepath.Join(folder, fmt.Sprintf("user-%d", own+3))); err != nil {
		t.Fatal(err)
	}
	refused(own+3, fmt.Sprintf("does not belong to user %d", own+3))
	if own != 0 {
		t.Skip("only root can give a socket away")
	}
	if err := os.Chown(filepath.Join(folder, fmt.Sprintf("user-%d", own+1)), int(own+1), -1); err != nil {
		t.Fatal(err)
	}
	refused(own+1, "user 0 listens there, not user 1")
}

func TestPodmanClients(t *testing.T) {
	_, c := podmans(t)
	clk := newClock()
	c.Now = clk.Now
	p := openPodman(t, c)
	waits, idled := make(chan struct{}, 10), make(chan struct{})
	p.PauseTidying(func(ctx context.Context, d time.Duration) error {
		waits <- struct{}{}
		select {
		case <-idled:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	at := func(place workload.PodmanPlace) *workload.Docker {
		t.Helper()
		d, err := p.At(place)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	root := at(workload.PodmanPlace{})
	for uid := range uint32(200) {
		clk.advance(time.Millisecond)
		at(workload.PodmanPlace{Rootless: true, UID: uid})
		if at(workload.PodmanPlace{}) != root {
			t.Fatal("the one that is used was closed")
		}
	}
	if p.Clients() != 64 {
		t.Errorf("%d clients", p.Clients())
	}
	clk.advance(4 * time.Minute)
	at(workload.PodmanPlace{})
	clk.advance(time.Minute)
	<-waits
	idled <- struct{}{}
	<-waits // the first round has ended
	if p.Clients() != 1 || at(workload.PodmanPlace{}) != root {
		t.Errorf("%d clients", p.Clients())
	}
	clk.advance(5 * time.Minute)
	idled <- struct{}{}
	for p.Clients() != 0 {
		time.Sleep(time.Millisecond) // it is on its way
	}
	at(workload.PodmanPlace{}) // and closing begins anew
	clk.advance(5 * time.Minute)
	idled <- struct{}{}
	for p.Clients() != 0 {
		time.Sleep(time.Millisecond) // it is on its way
	}
	p.Close()
	if _, err := p.At(workload.PodmanPlace{}); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("unable to create Podman client for socket %q: ", c.Host)) {
		t.Errorf("after the end: %v", err)
	}
}

func TestPodmanHosts(t *testing.T) {
	p := openPodman(t, workload.PodmanConfig{Host: "foo", Template: "tcp://127.0.0.1:%d"})
	if _, err := p.At(workload.PodmanPlace{}); err == nil || err.Error() != "unable to create Podman client for socket \"foo\": unable to parse docker host `foo`" {
		t.Errorf("got %v", err)
	}
	if _, err := p.At(workload.PodmanPlace{Rootless: true, UID: 7}); err == nil ||
		err.Error() != "unable to create Podman client for socket \"tcp://127.0.0.1:7\": docker host `tcp://127.0.0.1:7`: only a unix socket has an owner" {
		t.Errorf("got %v", err)
	}
}
