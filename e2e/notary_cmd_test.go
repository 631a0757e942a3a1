//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const notaryUsage = `usage:
	notary start [--signer ecdsa|ed25519] [--database] [--watched]
	notary stop|kill|restart|backup|restore
	notary key NAME
	notary root FILE GUN
	notary get FILE GUN ROLE.json
	notary fault die|endless|garbage|slow|none|STATUS [PART]
	notary serve FILE PART
	notary expire GUN
	notary asked`

// cmdNotary is
//
//	notary start [--signer ALGORITHM] [--database] [--watched]
//	                      Debian's notary-server with TLS at localhost. It sets $NOTARY to its URL and $NOTARY_HOST to its host and
//	                      port, writes its CA to notary-ca.pem, and makes Notary's command line and docker trust use it, whose keys all
//	                      have one passphrase. With --signer a notary-signer holds the keys of the server, ecdsa or ed25519; with
//	                      --database, which needs it, both keep what they have in MariaDB, else it is lost when they stop
//	notary stop|kill      ends server and signer, gently or as a power cut does
//	notary restart        starts what was stopped, at the same port
//	notary backup         keeps a copy of the database, and restore puts it back
//	notary key NAME       a signer's key: NAME.key, which is not encrypted, and NAME.pub
//	notary root FILE GUN  writes the certificates of a collection's root keys
//	notary get FILE GUN ROLE.json
//	                      writes a file of metadata as the server serves it
//
// and, of a server that is --watched, where PART is a part of a path, or nothing for all of them:
//
//	notary fault die [PART]      the server is killed when it has answered
//	notary fault endless|garbage|slow|STATUS [PART]
//	                             such an answer comes in the place of the server's
//	notary fault none            ends all faults
//	notary serve FILE PART       a file in the place of the server's answer
//	notary expire GUN            from now on, the timestamp is one that ended a minute ago, signed by the server's own key
//	notary asked                 prints what the server was asked since the last time: method and path
func cmdNotary(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "notary", neg)
	w := worldOf(ts)
	if len(args) == 0 {
		ts.Fatalf(notaryUsage)
	}
	if args[0] == "start" {
		w.startNotary(ts, args[1:])
		return
	}
	n := w.notary
	if n == nil {
		ts.Fatalf("notary was not started")
	}
	switch verb, rest := args[0], args[1:]; {
	case (verb == "stop" || verb == "kill") && len(rest) == 0:
		n.stop(verb == "kill")
	case verb == "restart" && len(rest) == 0:
		n.stop(false)
		ts.Check(n.start())
	case verb == "backup" && len(rest) == 0:
		ts.Check(n.copyDatabase("notary-mariadb", "notary-backup"))
	case verb == "restore" && len(rest) == 0:
		ts.Check(n.copyDatabase("notary-backup", "notary-mariadb"))
	case verb == "key" && len(rest) == 1:
		key, err := newKey()
		ts.Check(err)
		ts.Check((&pki{folder: n.folder}).keyPair(rest[0], key))
	case verb == "root" && len(rest) == 2:
		certificates, err := n.rootCertificates(rest[1])
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(rest[0]), certificates, 0o600))
	case verb == "get" && len(rest) == 3:
		content, err := n.get(rest[1], rest[2])
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(rest[0]), content, 0o600))
	case n.watcher == nil:
		ts.Fatalf(notaryUsage)
	default:
		n.interfere(ts, verb, rest)
	}
}

// interfere does what a watcher is needed for.
func (n *notary) interfere(ts *testscript.TestScript, verb string, args []string) {
	switch {
	case verb == "fault" && len(args) == 1 && args[0] == "none":
		ts.Check(n.watcher.set(notaryFault{}))
	case verb == "fault" && len(args) == 1:
		ts.Check(n.watcher.set(notaryFault{kind: args[0]}))
	case verb == "fault" && len(args) == 2:
		ts.Check(n.watcher.set(notaryFault{kind: args[0], part: args[1]}))
	case verb == "serve" && len(args) == 2:
		ts.Check(n.watcher.set(notaryFault{kind: "file", part: args[1], answer: []byte(ts.ReadFile(args[0]))}))
	case verb == "expire" && len(args) == 1:
		content, err := n.get(args[0], "timestamp.json")
		ts.Check(err)
		content, err = n.expired(content, time.Now().Add(-time.Minute))
		ts.Check(err)
		ts.Check(n.watcher.set(notaryFault{kind: "file", part: args[0] + "/_trust/tuf/timestamp.json", answer: content}))
	case verb == "asked" && len(args) == 0:
		out := ts.Stdout() // replaces what the last command printed, also where nothing is
		for _, request := range n.watcher.requests() {
			fmt.Fprintln(out, request)
		}
	default:
		ts.Fatalf(notaryUsage)
	}
}

func (w *world) startNotary(ts *testscript.TestScript, args []string) {
	var options notaryOptions
	for ; len(args) > 0; args = args[1:] {
		switch {
		case args[0] == "--signer" && len(args) > 1 && slices.Contains([]string{"ecdsa", "ed25519"}, args[1]):
			args = args[1:]
			options.signer = args[0]
		case args[0] == "--database":
			options.database = true
		case args[0] == "--watched":
			options.watched = true
		default:
			ts.Fatalf(notaryUsage)
		}
	}
	if options.database && options.signer == "" {
		ts.Fatalf("notary start --database needs --signer: the server's own keys are in no database")
	}
	n, err := newNotary(ts.MkAbs("."), ts.Getenv("PATH"), options)
	ts.Check(err)
	ts.Defer(n.Close)
	w.notary = n
	ts.Check(n.clients(ts.Getenv("HOME"), ts.Getenv("DOCKER_CONFIG")))
	for _, variable := range append(n.env(), "NOTARY="+n.url(), "NOTARY_HOST="+n.host()) {
		name, value, _ := strings.Cut(variable, "=")
		ts.Setenv(name, value)
	}
}

// copyDatabase stops everything, makes one folder of data a copy of the other, and starts everything again.
func (n *notary) copyDatabase(from, to string) error {
	if n.db == nil {
		return errors.New("there is no database")
	}
	n.stop(false)
	n.db.stop()
	if err := os.RemoveAll(n.file(to)); err != nil {
		return err
	}
	if err := os.CopyFS(n.file(to), os.DirFS(n.file(from))); err != nil {
		return err
	}
	if err := n.db.start(); err != nil {
		return err
	}
	return n.start()
}

// get returns a file of metadata from the server itself.
func (n *notary) get(gun, name string) ([]byte, error) {
	resp, err := insecureClient().Get(fmt.Sprintf("https://localhost:%d/v2/%s/_trust/tuf/%s", n.port, gun, name))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxRecorded))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s of %s: %s: %s", name, gun, resp.Status, content)
	}
	return content, err
}

// rootCertificates returns the certificates of the root role.
func (n *notary) rootCertificates(gun string) ([]byte, error) {
	content, err := n.get(gun, "root.json")
	if err != nil {
		return nil, err
	}
	var root struct {
		Signed struct {
			Keys  map[string]struct{ KeyVal struct{ Public string } }
			Roles struct{ Root struct{ KeyIDs []string } }
		}
	}
	if err := json.Unmarshal(content, &root); err != nil {
		return nil, err
	}
	var all []byte
	for _, id := range root.Signed.Roles.Root.KeyIDs {
		certificate, err := base64.StdEncoding.DecodeString(root.Signed.Keys[id].KeyVal.Public)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate...)
	}
	return all, nil
}
