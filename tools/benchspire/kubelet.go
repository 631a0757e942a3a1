package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// A node's pods: as many as a kubelet runs by default, of a size that is usual.
const (
	nodePods = 110
	podSize  = 20 << 10 // bytes, about
)

// kubelet lists pods, of which each container of an engine is one.
type kubelet struct {
	server *http.Server
	port   int
}

// startKubelet starts a kubelet without TLS, as a read-only port is.
func startKubelet(running []container) (*kubelet, error) {
	list, err := podList(running)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &kubelet{port: listener.Addr().(*net.TCPAddr).Port}
	k.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list) })}
	go func() { _ = k.server.Serve(listener) }() // until close
	return k, nil
}

func (k *kubelet) close() { _ = k.server.Close() }

type object = map[string]any

// podList is what a kubelet answers: a pod for each container that runs, then others.
func podList(running []container) ([]byte, error) {
	var items []object
	for i := range max(nodePods, len(running)) {
		id, number := fmt.Sprintf("%064x", i), fmt.Sprint(i)
		if i < len(running) {
			id, number = running[i].id, running[i].number
		}
		status := object{
			"name": "app", "containerID": "docker://" + id, "image": imageName + ":1", "imageID": "docker-pullable://" + imageName + "@sha256:" + id,
			"state": object{"running": object{"startedAt": "2026-01-01T00:00:00Z"}},
		}
		items = append(items, object{
			"metadata": object{
				"name": "app-" + number, "namespace": "bench", "uid": fmt.Sprintf("00000000-0000-0000-0000-%012d", i), "labels": object{"number": number},
				"annotations": object{"filling": strings.Repeat("x", podSize)},
			},
			"spec":   object{"serviceAccountName": "default", "nodeName": "node"},
			"status": object{"phase": "Running", "containerStatuses": []object{status}},
		})
	}
	return json.Marshal(object{"kind": "PodList", "apiVersion": "v1", "items": items})
}
