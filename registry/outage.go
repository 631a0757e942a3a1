package registry

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
)

// isOverload reports whether a status says that whoever answers is overloaded or broken.
func isOverload(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isOutage reports whether the error of an attempt says that nobody answers: no address for the name, no connection, a connection that
// was cut, no answer in time. What the guard refuses, a certificate that does not fit and an answer that nobody can read are no
// outages: there somebody is, and it may be somebody else.
func isOutage(err error) bool {
	var refused *AddressError
	if errors.As(err, &refused) {
		return false
	}
	if errors.Is(err, errNoAnswer) || isBroken(err) || isCutStream(err) {
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "dial" || op.Op == "read" || op.Op == "write" // a TLS alert is one, too
	}
	var slow net.Error
	return errors.As(err, &slow) && slow.Timeout()
}

// isBroken reports whether a connection ended before its answer did, or never came about.
func isBroken(err error) bool {
	for _, broken := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNREFUSED} {
		if errors.Is(err, broken) {
			return true
		}
	}
	return false
}

// cutStream is what HTTP/2 has in the place of a cut connection (RFC 9113, section 5.4.2). The type of net/http has no name that could
// be used, and turns itself into any type with the same fields.
type cutStream struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (cutStream) Error() string { return "the stream was cut" }

// isCutStream reports whether the other end has cut a stream with a code that blames neither us nor the protocol (RFC 9113, section 7).
func isCutStream(err error) bool {
	var cut cutStream
	if !errors.As(err, &cut) {
		return false
	}
	switch cut.Code {
	case 0x2, 0x7, 0x8, 0xb: // INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM
		return true
	}
	return false
}
