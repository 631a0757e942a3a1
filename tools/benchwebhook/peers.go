package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
)

// peers are the servers to compare with, by their names.
var peers = map[string]http.HandlerFunc{alwaysAllow: allow, floor: least}

// The names of the servers.
const (
	assay       = "assay"
	alwaysAllow = "always-allow"
	floor       = "floor"
)

// servePeer serves until it is killed, and tells its address on stdout.
func servePeer(h http.HandlerFunc, cert, key string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, listener.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("/validate", h)
	return http.ServeTLS(listener, mux, cert, key)
}

// allow decides nothing, the usual way: the types of Kubernetes, and encoding/json.
func allow(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var pod corev1.Pod
	if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: len(pod.Spec.Containers) > 0}
	review.Request = nil
	out, err := json.Marshal(&review)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out)
}

// needed is what a point must know of a review.
type needed struct {
	APIVersion string `json:"apiVersion"`
	Request    struct {
		UID       string `json:"uid"`
		Namespace string `json:"namespace"`
		Operation string `json:"operation"`
		Object    struct {
			Spec struct {
				Containers          []named `json:"containers"`
				InitContainers      []named `json:"initContainers"`
				EphemeralContainers []named `json:"ephemeralContainers"`
			} `json:"spec"`
		} `json:"object"`
	} `json:"request"`
}

type named struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

// least is the least that somebody does who looks at the images: one pass over the review for the fields that are needed, and an answer.
func least(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var in needed
	if err := json.Unmarshal(body, &in); err == nil && len(in.Request.Object.Spec.Containers) == 0 {
		err = errors.New("no containers")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"apiVersion":"`+in.APIVersion+`","kind":"AdmissionReview","response":{"uid":"`+in.Request.UID+`","allowed":true}}`)
}
