package spire

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
)

// refusal is an error whose meaning its code alone does not tell.
type refusal struct {
	meaning enforce.Meaning
	status  *status.Status
}

// Refuse returns an error for a call, in the code and the words that programs know, with what it means: enforce.No, enforce.CannotTell or
// enforce.Bug. An error made by google.golang.org/grpc/status alone means what its code says.
func Refuse(meaning enforce.Meaning, code codes.Code, text string) error {
	return &refusal{meaning: meaning, status: status.New(code, text)}
}

func (r *refusal) Error() string { return r.status.Message() }

// GRPCStatus is what the caller is told.
func (r *refusal) GRPCStatus() *status.Status { return r.status }

// Errors that are the protocol's own.
var (
	errBug           = Refuse(enforce.Bug, codes.Internal, "internal error; the log of the plugin has it")
	errNotConfigured = Refuse(enforce.CannotTell, codes.FailedPrecondition, "not configured")
)

// tryAgain begins the texts of errors that nobody named.
const tryAgain = "could not tell, try again: "

// meaningOf returns what an error means. It is never Yes.
func meaningOf(err error) enforce.Meaning {
	var known *refusal
	if errors.As(err, &known) {
		if known.meaning == enforce.Yes {
			return enforce.Bug
		}
		return known.meaning
	}
	switch status.Code(err) {
	case codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented, codes.NotFound, codes.Unauthenticated:
		return enforce.No
	}
	return enforce.CannotTell
}

// told makes of an error of a state what the caller is told. Left is the end of the caller's own context.
func told(err, left error) error {
	var known *refusal
	switch _, ok := status.FromError(err); {
	case errors.As(err, &known):
		return err
	case ok && status.Code(err) != codes.OK:
		return err
	case left != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return status.FromContextError(left).Err()
	}
	return Refuse(enforce.CannotTell, codes.Unavailable, tryAgain+enforce.Plain(err.Error()))
}
