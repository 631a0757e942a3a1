//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSigstore is
//
//	sigstore start [rekor1]            the Sigstore of all stories; its trusted roots, signing configurations and public keys are then
//	                                   in the story's folder, $FULCIO_URL, $REKOR_URL (Rekor v1) and $TSA_URL name its services, and
//	                                   nothing else can be reached but this machine ("offline")
//	sigstore token VAR [CLAIM=VALUE…]  a token of an identity provider ("iss" says which one; dev@lab.example by default), as $VAR
//	sigstore certificate NAME [expired] [no-sct] EMAIL
//	                                   NAME.pem and NAME-plain.key: a certificate as Fulcio makes them, of dev's provider
//	sigstore tuf start|update          a TUF repository with trusted_root.json: sets $TUF_URL, and writes root.json; update publishes
//	                                   the trusted_root.json that is now in the story's folder
func cmdSigstore(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "sigstore", neg)
	w := worldOf(ts)
	switch {
	case len(args) > 0 && args[0] == "start":
		w.startSigstore(ts, args[1:])
	case !w.signs:
		ts.Fatalf("sigstore: was not started")
	case len(args) >= 2 && args[0] == "token":
		token, err := w.sigstore.identity.token(args[2:])
		ts.Check(err)
		ts.Setenv(args[1], token)
	case len(args) >= 3 && args[0] == "certificate":
		email, options := args[len(args)-1], args[2:len(args)-1]
		expired, withSCT := slices.Contains(options, "expired"), !slices.Contains(options, "no-sct")
		ts.Check(w.sigstore.certificate(ts.MkAbs("."), args[1], email, expired, withSCT))
	case slices.Equal(args, []string{"tuf", "start"}):
		w.startTUF(ts)
	case slices.Equal(args, []string{"tuf", "update"}):
		ts.Check(w.tuf.publish(ts.MkAbs("trusted_root.json")))
	default:
		ts.Fatalf("usage: sigstore start [rekor1] | token VAR [CLAIM=VALUE...] | certificate NAME [expired] [no-sct] EMAIL | tuf start|update")
	}
}

func (w *world) startSigstore(ts *testscript.TestScript, args []string) {
	start, rekor1 := w.sigstore.start, slices.Contains(args, "rekor1")
	if rekor1 {
		start = w.sigstore.startRekor1
	}
	ts.Check(start())
	w.signs = true
	for _, pattern := range []string{"trusted_root*.json", "signing_config*.json", "*.pub", "fulcio-*.pem", "tsa-*.pem"} {
		files, err := filepath.Glob(w.sigstore.file(pattern))
		ts.Check(err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(filepath.Base(file)), text, 0o600))
		}
	}
	ts.Setenv("FULCIO_URL", w.sigstore.fulcio)
	if rekor1 {
		ts.Setenv("REKOR_URL", w.sigstore.rekor1)
	}
	ts.Setenv("TSA_URL", w.sigstore.tsa)
	w.offline(ts)
}

// offline makes a story's programs ask a proxy for everything that is not on this machine. It refuses, and writes down who was asked for.
func (w *world) offline(ts *testscript.TestScript) {
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Host)
		w.mu.Unlock()
		http.Error(rw, "nothing is out there", http.StatusBadGateway)
	}))
	ts.Defer(proxy.Close)
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		ts.Setenv(name, proxy.URL)
	}
	ts.Setenv("NO_PROXY", "127.0.0.1,localhost")
}

// cmdOffline is "offline": from here on nothing but this machine can be reached; and "offline asked", which prints who was asked for.
func cmdOffline(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "offline", neg)
	w := worldOf(ts)
	switch {
	case len(args) == 0:
		w.offline(ts)
	case len(args) == 1 && args[0] == "asked":
		w.mu.Lock()
		defer w.mu.Unlock()
		out := ts.Stdout() // replaces what the last command printed, also where nothing is
		for _, host := range w.asked {
			fmt.Fprintln(out, host)
		}
		w.asked = nil
	default:
		ts.Fatalf("usage: offline [asked]")
	}
}
