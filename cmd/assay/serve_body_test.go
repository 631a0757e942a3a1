package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// T43: a body that comes drop by drop is left after its time; one that is there in time leaves the answer all of its own.
func TestT43_BodiesInDrops(t *testing.T) {
	const limit = 200 * time.Millisecond
	read := make(chan error, 1)
	server := httptest.NewServer(hurried(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		read <- err
		select {
		case <-time.After(2 * limit):
			fmt.Fprint(w, "whole")
		case <-r.Context().Done():
		}
	}), limit))
	defer server.Close()

	slow, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	select {
	case err := <-read:
		if err == nil {
			t.Error("the body that is not there was read whole")
		}
	case <-time.After(20 * time.Second):
		t.Error("the body is still waited for")
	}

	resp, err := http.Post(server.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "whole" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}
