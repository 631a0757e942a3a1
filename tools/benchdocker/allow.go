package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
)

// alwaysAllow is the name of the plugin to compare with.
const alwaysAllow = "always-allow"

// serveAllow serves a plugin that reads what it is asked, and allows it, until it is killed.
func serveAllow(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(allow))
}

func allow(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.1+json")
	if r.URL.Path == "/Plugin.Activate" {
		_, _ = io.WriteString(w, `{"Implements":["authz"]}`)
		return
	}
	var request struct {
		RequestMethod, RequestURI string
		RequestBody               []byte
		RequestHeaders            map[string]string
	}
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, `{"Allow":true}`)
}
