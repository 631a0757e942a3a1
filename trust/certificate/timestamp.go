package certificate

import (
	"bytes"
	"encoding/asn1"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/verification"

	"github.com/assay-dev/assay/trust"
)

// maxToken is how long a time-stamp token may be, in bytes: tokens with a chain inside have some 6 KiB.
const maxToken = 64 << 10

// timestamp returns the time at which a trusted authority saw the leaf. The authority's own chain must have been valid then.
func (a *authority) timestamp(b Bundle, now time.Time) (time.Time, error) {
	switch {
	case b.Timestamp == nil:
		return time.Time{}, trust.Untrusted("certificate has no time stamp beside it, and the policy says validity: timestamp")
	case len(b.Timestamp) > maxToken:
		return time.Time{}, trust.Untrusted("time stamp: %d bytes, at most %d are allowed", len(b.Timestamp), maxToken)
	}
	response, err := timestampResponse(b.Timestamp)
	if err != nil {
		return time.Time{}, trust.Untrusted("time stamp: %w", err)
	}
	stamped, err := verification.VerifyTimestampResponse(response, bytes.NewReader(b.Certificates[0].Raw), verification.VerifyOpts{Roots: a.timestampRoots})
	if err != nil {
		return time.Time{}, trust.Untrusted("time stamp: %w", err)
	}
	if stamped.Time.After(now) {
		return time.Time{}, trust.Untrusted("time stamp: made at %s, and it is %s", stamp(stamped.Time), stamp(now))
	}
	if err := a.denied.chain(stamped.Certificates); err != nil {
		return time.Time{}, err
	}
	return stamped.Time, nil
}

// timestampResponse puts a token into the response that carried it: a status "granted" and the token (RFC 3161, section 2.4.2).
func timestampResponse(token []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		Status struct{ Granted int }
		Token  asn1.RawValue
	}{Token: asn1.RawValue{FullBytes: token}})
}
