package kubernetes

import (
	"encoding/json"
	"io"
	"net/http"
)

// echo answers as DIA does where somebody wants to know whether it is there.
func echo(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"Success": "echo"}`) // whoever asked has left
}

// diaError is plainError in the shape of DIA.
func diaError(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"Error": text}) // whoever asked has left
}
