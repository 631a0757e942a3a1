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
	"time"

	"github.com/assay-dev/assay/engine/wire"
)

// Of two certificates that can be wrong, whoever reads the log is told which it is.
func TestUpstreamErrorsNameTheCertificate(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, unknown := http.Get(s.URL)
	expired := &url.Error{Op: "Post", URL: s.URL, Err: &net.OpError{Op: "remote error", Err: tls.AlertError(45)}}
	now := time.Now()
	before, after := now.Add(-time.Second), now.Add(time.Second)
	for _, row := range []struct {
		err  error
		ends *time.Time
		want string
	}{
		{unknown, &after, "--upstream-ca"},
		{expired, &after, "perhaps its certificate (--upstream-cert)"},
		{&url.Error{Op: "Post", URL: s.URL, Err: errors.New("http2: client conn could not be established")}, &after, "perhaps its certificate (--upstream-cert)"},
		{expired, &before, "(--upstream-cert) ended at "},
		{fmt.Errorf("dial: %w", net.ErrClosed), &after, ""},
		{fmt.Errorf("read: %w", wire.ErrAnswer), &before, ""},
		{fmt.Errorf("dial: %w", net.ErrClosed), nil, ""},
	} {
		got := withCertificate(row.err, row.ends, now)
		if !errors.Is(got, row.err) || row.want == "" && got.Error() != row.err.Error() || !strings.Contains(got.Error(), row.want) {
			t.Errorf("got %v, want it to name %s", got, row.want)
		}
	}
}
