package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Of two certificates that can be wrong, whoever reads the log is told which it is.
func TestUpstreamErrorsNameTheCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, unknown := http.Get(s.URL)
	expired := &url.Error{Op: "Post", URL: s.URL, Err: &net.OpError{Op: "remote error", Err: tls.AlertError(45)}}
	for _, row := range []struct {
		err  error
		want string
	}{
		{unknown, "--upstream-ca"},
		{expired, "--upstream-cert"},
		{fmt.Errorf("dial: %w", net.ErrClosed), ""},
	} {
		got := withCertificate(row.err)
		if !errors.Is(got, row.err) || row.want == "" && got.Error() != row.err.Error() || !strings.Contains(got.Error(), row.want) {
			t.Errorf("got %v, want it to name %s", got, row.want)
		}
	}
}
