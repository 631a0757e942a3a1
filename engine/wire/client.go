package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/assay-dev/assay/engine"
)

// ErrAnswer is of errors of Client.Ask about an answer that came and cannot be used: it cannot be read, or is about something else.
var ErrAnswer = errors.New("the answer cannot be used")

// ErrQuestion is of errors of Client.Ask about a question that cannot be sent.
var ErrQuestion = errors.New("the question cannot be sent")

// maxFailure is how many bytes of an answer without verdicts are read.
const maxFailure = 4 << 10

// Client asks another process. It is safe for concurrent use.
type Client struct {
	HTTP *http.Client // redirects are not followed, whatever it says
	URL  string       // scheme, host and perhaps a path, without a slash at its end; Path is added
}

// Ask returns a verdict for each question, in their order. Whatever goes wrong is an error, and then there is no verdict: nobody answers
// before ctx ends, another status than 200, another form, too much, a verdict about something else.
func (c *Client) Ask(ctx context.Context, reqs ...engine.Request) ([]engine.Verdict, error) {
	if c.HTTP == nil {
		return nil, errors.New("wire: nothing to ask with")
	}
	body, err := EncodeQuestions(reqs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQuestion, err)
	}
	asked, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+Path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	asked.Header.Set("Content-Type", "application/json")
	asked.Header["Idempotency-Key"] = nil // is not sent, and has a connection that has just ended replaced by a new one
	direct := *c.HTTP                     // a question goes where it was meant to go, and nowhere else
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := direct.Do(asked)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, refused(answer)
	}
	limit := min(len(reqs)*(MaxVerdict+1)+maxFailure, MaxVerdictsBody)
	told, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer could not be read: %w", err)
	case len(told) > limit:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, limit)
	}
	verdicts, err := DecodeVerdicts(told, len(reqs))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	for i := range verdicts {
		if err := About(reqs[i], &verdicts[i]); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
		}
	}
	return verdicts, nil
}

// StatusError is an answer without verdicts.
type StatusError struct {
	Status int    // of HTTP
	Text   string // what it says of itself, for people; "" if nothing
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("status %d", e.Status)
	}
	return fmt.Sprintf("status %d: %.512q", e.Status, e.Text)
}

func refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxFailure)) // it is for people alone
	var said struct{ Error string }
	_ = json.Unmarshal(text, &said)
	return &StatusError{Status: answer.StatusCode, Text: said.Error}
}
