package registry

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/assay-dev/assay/trust"
)

// StatusError is an answer of a registry or a token service that is no success. Its text is "METHOD URL: " and then, as far as the
// answer says it, "CODE: message; detail", else the status line.
//
// It wraps trust.ErrNotFound only if it says, definitively, that something does not exist (OCI distribution specification, "Error
// Codes"), and trust.ErrUnavailable if it says that whoever answers is overloaded or broken.
type StatusError struct {
	Method     string
	URL        string // of the first request, if there were redirects; without query
	StatusCode int

	reason   string
	notFound bool
}

// Error implements error.
func (e *StatusError) Error() string { return e.Method + " " + e.URL + ": " + e.reason }

// Is makes a definitive "does not exist" equal to trust.ErrNotFound, and an outage to trust.ErrUnavailable.
func (e *StatusError) Is(target error) bool {
	switch target {
	case trust.ErrNotFound:
		return e.notFound
	case trust.ErrUnavailable:
		return isOverload(e.StatusCode)
	}
	return false
}

// errNoAnswer says that one attempt took too long; the context of the caller has not ended.
var errNoAnswer = errors.New("no answer in time")

// statusError makes an error of an answer. plain says whether a 404 without an error document is definitive on this route: manifests,
// where many registries and every HEAD have none.
func statusError(a answer, plain bool) *StatusError {
	return newStatusError(a, decodeErrors(a.body), plain)
}

func newStatusError(a answer, errs errcode.Errors, plain bool) *StatusError {
	e := &StatusError{Method: a.method, URL: a.url, StatusCode: a.status}
	e.reason = describe(a, errs)
	if a.status == http.StatusNotFound {
		e.notFound = slices.ContainsFunc(errs, unknown) || plain && len(errs) == 0 && !a.foreign
	}
	if hint := schemeHint(a); hint != "" {
		e.reason += hint
	}
	return e
}

// unknown reports whether an error of a registry says that something does not exist.
func unknown(e errcode.Error) bool {
	switch e.Code {
	case errcode.ErrorCodeManifestUnknown, errcode.ErrorCodeNameUnknown, errcode.ErrorCodeBlobUnknown, "NOT_FOUND":
		return true
	}
	return false
}

// decodeErrors reads an error document (OCI distribution specification, "Error Codes"); what is none gives no errors.
func decodeErrors(body []byte) errcode.Errors {
	var document struct {
		Errors errcode.Errors `json:"errors"`
	}
	if len(body) > maxErrorBody || json.Unmarshal(body, &document) != nil {
		return nil
	}
	return slices.DeleteFunc(document.Errors, func(e errcode.Error) bool { return e.Code == "" })
}

func describe(a answer, errs errcode.Errors) string {
	if len(errs) == 0 {
		return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)))
	}
	var texts []string
	for _, e := range errs[:min(len(errs), maxForeignErrors)] {
		text := a.quote(e.Code)
		if e.Message != "" {
			text += ": " + a.quote(e.Message)
		}
		if e.Detail != nil {
			text += "; " + a.quote(fmt.Sprint(e.Detail))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// clean makes foreign text fit for a message and a log: one line, printable, of bounded length.
func clean(s string) string {
	if len(s) > maxForeignText {
		s = strings.ToValidUTF8(s[:maxForeignText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// quote makes text of the answer fit for a message.
func (a answer) quote(text string) string {
	for _, secret := range a.secrets {
		if len(secret) >= shortestSecret {
			text = strings.ReplaceAll(text, secret, "[secret]")
		}
	}
	return clean(text)
}

// shortestSecret is the shortest text that is looked for: anything shorter is part of any message.
const shortestSecret = 3

// secretsOf returns what a value of Authorization gives away.
func secretsOf(authorization string) []string {
	kind, secret, _ := strings.Cut(authorization, " ")
	if kind != "Basic" {
		return []string{secret}
	}
	plain, _ := base64.StdEncoding.DecodeString(secret) // our own encoding
	_, password, _ := strings.Cut(string(plain), ":")
	return []string{secret, string(plain), password}
}

// schemeHint recognises servers that speak TLS and got plain HTTP.
func schemeHint(a answer) string {
	if a.status != http.StatusBadRequest || !strings.HasPrefix(a.url, "http://") {
		return ""
	}
	body := strings.ToLower(string(a.body[:min(len(a.body), 1024)]))
	if strings.Contains(body, "http request") && strings.Contains(body, "https") {
		return a.hint(tlsHint, tlsSpelledHint)
	}
	return ""
}

const (
	plainHint = "; the server speaks plain HTTP: set insecurePlainHTTP for this host if that is meant"
	tlsHint   = "; the server speaks HTTPS: remove insecurePlainHTTP for this host, or give a loopback host a caFile"
	caHint    = "; set caFile for this host to the CA that issued its certificate"
	certHint  = "; the server wants a client certificate: set certFile and keyFile for this host"

	plainSpelledHint = "; the server speaks plain HTTP: write http in its address and set insecurePlainHTTP for this host if that is meant"
	tlsSpelledHint   = "; the server speaks HTTPS: write https in its address"
	notFoundHint     = "; is that a Notary server? One says METADATA_NOT_FOUND of what it does not have"
)

// hint returns what to do about the scheme: that of a registry follows from settings, that of a Notary server is part of its address.
func (a answer) hint(registry, spelled string) string {
	if a.spelled {
		return spelled
	}
	return registry
}

// noAnswerError says why there was no answer. It keeps the cause, but not always the cause's words: those may quote the server.
type noAnswerError struct {
	text  string
	cause error
	down  bool // nobody answers there
}

func (e *noAnswerError) Error() string        { return e.text }
func (e *noAnswerError) Unwrap() error        { return e.cause }
func (e *noAnswerError) Is(target error) bool { return target == trust.ErrUnavailable && e.down }

// transportError explains why there was no answer, with a hint where we know one. down says that it is an outage.
func transportError(a answer, err error, down bool) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the connection was closed without an answer: %w", io.ErrUnexpectedEOF)
	}
	text, hint := err.Error(), ""
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		hint = a.hint(plainHint, plainSpelledHint)
	case strings.Contains(text, `malformed HTTP response "\x15\x03`):
		hint = a.hint(tlsHint, tlsSpelledHint)
	case errors.As(err, &unknown):
		hint = caHint
	case strings.Contains(text, "tls: certificate required"):
		hint = certHint
	}
	return &noAnswerError{text: a.method + " " + a.url + ": " + a.quote(text) + hint, cause: err, down: down}
}
