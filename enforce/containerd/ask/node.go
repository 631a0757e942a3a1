package ask

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"time"
)

// Begun is the status by which the daemon says, before its answer, that it has begun to decide.
const Begun = http.StatusProcessing

// OnBegun returns a context with which Node calls fn when the daemon says that it decides: it is there, and what takes its time from then on is
// the image.
func OnBegun(ctx context.Context, fn func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		if code == Begun {
			fn()
		}
		return nil
	}})
}

// Node asks the daemon that listens at a unix socket. The time that it may take is ctx's.
//
// An error says that there is no daemon that answers: it is away, it died in the middle, it is too slow, it broke down before it could
// say anything, it does not know the question, its answer has a form that is not known, or who listens is neither root nor the user of
// this process. Then somebody else may be asked. An answer is an answer, also one that could not tell, and so is it where the daemon says
// that it does not answer this question: nobody else is to be asked then.
func Node(ctx context.Context, socket string, q Question) (Answer, error) {
	body, err := q.Encode()
	if err != nil {
		return Answer{}, err
	}
	if !filepath.IsAbs(socket) {
		return Answer{}, fmt.Errorf("the socket %.200q: not an absolute path", socket)
	}
	transport := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaders,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+Path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Content-Type", MediaType)
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, away(ctx, socket, start, err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return Answer{}, away(ctx, socket, start, err)
	}
	a, err := answered(resp.StatusCode, content)
	if err != nil {
		return Answer{}, fmt.Errorf("the node daemon at %s: %w", socket, err)
	}
	return a, nil
}

// answered makes an answer of a response. Only one of the status 200 can allow.
func answered(status int, content []byte) (Answer, error) {
	switch {
	case status == http.StatusOK:
		a, err := DecodeAnswer(content)
		if err != nil {
			return Answer{}, fmt.Errorf("its answer %w", err)
		}
		return a, nil
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return Answer{}, fmt.Errorf("it does not know the question (status %d)", status)
	case status < 400 || status >= 500:
		return Answer{}, fmt.Errorf("it answers with status %d", status)
	}
	a, err := DecodeAnswer(content)
	if err != nil || a.Allowed {
		a = No(CouldNotTell, fmt.Sprintf("could not tell: the node daemon does not answer this question: status %d", status))
	}
	return a, nil
}

// away says why there was no answer.
func away(ctx context.Context, socket string, start time.Time, err error) error {
	var inner *net.OpError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the node daemon at %s: no answer within %v", socket, time.Since(start).Round(time.Millisecond))
	case errors.As(err, &inner) && inner.Op == "dial":
		err = inner.Err
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it left in the middle of the answer")
	}
	return fmt.Errorf("the node daemon at %s: %w", socket, err)
}

// dial connects with whoever listens, if that is root or the user of this process. Anybody else may have come first where the folder of
// the socket lets them.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	uid, err := listener(conn)
	if err == nil && !trusted(uid, os.Geteuid()) {
		err = fmt.Errorf("user %d listens, who is neither root nor the user of this process", uid)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// unnamed is what the kernel calls users of other user namespaces, who can be anybody (overflowuid).
const unnamed = 65534

func trusted(uid uint32, own int) bool {
	return uid == 0 || uid != unnamed && int64(uid) == int64(own)
}
