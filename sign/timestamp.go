package sign

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"

	"github.com/digitorus/timestamp"
)

// maxTimestamp is how long the answer of a time-stamp authority may be, in bytes: tokens with a chain inside have some 6 KiB.
const maxTimestamp = 64 << 10

// nonceBits is how large the number is by which an answer is told from an older one.
const nonceBits = 64

// TimestampAuthority is a time-stamp authority that is reached over HTTP (RFC 3161, section 3.4). Its word is checked by whoever
// verifies; here it is only seen to be about the right certificate.
type TimestampAuthority struct {
	URL    string
	Client *http.Client // sets the deadline of a request, and follows redirects or not
}

var _ Stamper = TimestampAuthority{}

// Stamp implements Stamper, by one request.
func (a TimestampAuthority) Stamp(ctx context.Context, leaf *x509.Certificate) ([]byte, error) {
	token, err := a.stamp(ctx, leaf.Raw)
	if err != nil {
		return nil, fmt.Errorf("time stamp: %w", err)
	}
	return token, nil
}

func (a TimestampAuthority) stamp(ctx context.Context, content []byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, err
	}
	query, err := timestamp.CreateRequest(bytes.NewReader(content), &timestamp.RequestOptions{Certificates: true, Nonce: nonce})
	if err != nil {
		return nil, err
	}
	answer, err := a.ask(ctx, query)
	if err != nil {
		return nil, err
	}
	stamped, err := timestamp.ParseResponse(answer)
	if err != nil {
		return nil, err
	}
	want := sha256.Sum256(content)
	switch {
	case !bytes.Equal(stamped.HashedMessage, want[:]):
		return nil, errors.New("is about something else than the certificate")
	case stamped.Nonce == nil || stamped.Nonce.Cmp(nonce) != 0:
		return nil, errors.New("answers another request")
	}
	return stamped.RawToken, nil
}

func (a TimestampAuthority) ask(ctx context.Context, query []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(query))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	response, err := a.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", a.URL, response.Status)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxTimestamp+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", a.URL, err)
	case len(answer) > maxTimestamp:
		return nil, fmt.Errorf("%s: the answer is longer than %d bytes", a.URL, maxTimestamp)
	}
	return answer, nil
}
