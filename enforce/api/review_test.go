package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/api"
	"github.com/assay-dev/assay/engine"
)

// reviewer knows the tokens "USER" and "USER GROUP".
type reviewer struct {
	mu      sync.Mutex
	asked   []string
	gone    map[string]bool
	down    error
	waiting chan struct{} // a review ends when it can be read from; nil: at once
	begun   chan struct{} // is written to when a review begins; nil: nobody wants to know
}

func (r *reviewer) Review(ctx context.Context, token string) (string, []string, error) {
	r.mu.Lock()
	r.asked = append(r.asked, token)
	down, gone := r.down, r.gone[token]
	r.mu.Unlock()
	if r.begun != nil {
		r.begun <- struct{}{}
	}
	if r.waiting != nil {
		select {
		case <-r.waiting:
		case <-ctx.Done():
			return "", nil, ctx.Err()
		}
	}
	user, group, _ := strings.Cut(token, ".")
	switch {
	case down != nil:
		return "", nil, down
	case gone || user == "stranger":
		return "", nil, nil
	case user == "broken":
		panic("broken")
	}
	return user, []string{"all", group}, nil
}

func (r *reviewer) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// reviewLab is a server whose clients are known by r.
type reviewLab struct {
	*reviewer
	url     string
	end     func() // after which nobody writes to log and refused
	time    atomic.Int64
	log     bytes.Buffer
	refused map[string]int
}

func newReviewLab(t *testing.T, edit func(*api.Config)) *reviewLab {
	t.Helper()
	l := &reviewLab{reviewer: &reviewer{gone: map[string]bool{}}, refused: map[string]int{}}
	c := api.Config{
		Point: fixed(engine.Verdict{Allowed: true}), Connector: true, Gatekeeper: true,
		TokenReview: &api.TokenReview{Reviewer: l.reviewer, Users: []string{"deployer"}, Groups: []string{"ci"}},
		Log:         slog.New(slog.NewTextHandler(&l.log, nil)), Refused: l.turned, Now: func() time.Time { return time.Unix(1e9+l.time.Load(), 0) },
	}
	if edit != nil {
		edit(&c)
	}
	s := server(t, c)
	l.url, l.end = s.URL, s.Close
	return l
}

func (l *reviewLab) turned(reason string) {
	l.reviewer.mu.Lock()
	defer l.reviewer.mu.Unlock()
	l.refused[reason]++
}

const oneImage = `{"images":["a"]}`

func (l *reviewLab) ask(t *testing.T, token string) response {
	t.Helper()
	return mustPost(t, l.url+"/v1/verdicts", oneImage, "Authorization", "Bearer "+token)
}

func TestTokensThatSomebodyElseKnows(t *testing.T) {
	l := newReviewLab(t, nil)
	tests := []struct {
		token string
		want  int
	}{
		{"deployer", 200}, {"jane.ci", 200}, // by name, and by group
		{"jane", 403}, {"deployer2", 403}, {"jane.ci2", 403}, {"Deployer", 403}, {"ci", 403}, {"jane.", 403}, // patterns are exact
		{"stranger", 401}, {"", 401}, {strings.Repeat("x", 16<<10+1), 401},
		{"broken", 503},
	}
	for _, test := range tests {
		if got := l.ask(t, test.token); got.status != test.want || got.status != 200 && strings.Contains(got.body, "allowed\":true") {
			t.Errorf("%.20s: got %d %s, want %d", test.token, got.status, got.body, test.want)
		}
	}
	if got := mustPost(t, l.url+"/v1/verdicts", oneImage, "Authorization", "Basic deployer"); got.status != 401 {
		t.Errorf("another scheme: got %d", got.status)
	}
	l.end()
	if !strings.Contains(l.log.String(), `client="user deployer"`) {
		t.Errorf("the log does not say who asked: %s", &l.log)
	}
	if l.refused[api.Forbidden] != 6 || l.refused[api.Unreviewed] != 1 || l.refused[api.Unauthenticated] != 4 {
		t.Errorf("counted %v", l.refused)
	}
}

// A server that cannot be asked lets nobody in, in the words of every dialect, and says so once in the log.
func TestWhoeverCannotBeToldIsNotAnswered(t *testing.T) {
	l := newReviewLab(t, nil)
	l.down = errors.New("connection refused\nforged=line")
	for path, body := range map[string]string{
		"/v1/verdicts": oneImage, "/checkImage": `{"image":"a"}`,
		"/gatekeeper": `{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":["a"]}}`,
	} {
		got := mustPost(t, l.url+path, body, "Authorization", "Bearer deployer")
		if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "could not tell who asks") || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "refused") {
			t.Errorf("%s: got %d %s", path, got.status, got.body)
		}
	}
	l.reviewer.mu.Lock()
	l.down = nil
	l.reviewer.mu.Unlock()
	if got := l.ask(t, "deployer"); got.status != 200 {
		t.Errorf("it was kept: got %d %s", got.status, got.body)
	}
	l.end()
	if strings.Count(l.log.String(), "could not tell who asks") != 1 || strings.Contains(l.log.String(), "\nforged") {
		t.Errorf("got the log %s", &l.log)
	}
}

func TestReviewsAreRemembered(t *testing.T) {
	l := newReviewLab(t, nil)
	times := func(token string, want int) {
		t.Helper()
		for range 3 {
			if got := l.ask(t, token); got.status != want {
				t.Fatalf("%s: got %d %s, want %d", token, got.status, got.body, want)
			}
		}
	}
	times("deployer", 200)
	times("stranger", 401)
	times("jane", 403)
	if got := l.count(); got != 3 {
		t.Errorf("got %d reviews, want 3", got)
	}
	// Its holder was deleted: it counts for a minute at most.
	l.gone["deployer"] = true
	l.time.Add(59)
	times("deployer", 200)
	l.time.Add(1)
	times("deployer", 401)
	// A "no" is kept for less.
	l.gone["deployer"] = false
	times("deployer", 401)
	l.time.Add(5)
	times("deployer", 200)
}

func TestEqualTokensAtOnceAreReviewedOnce(t *testing.T) {
	l := newReviewLab(t, nil)
	l.waiting, l.begun = make(chan struct{}), make(chan struct{}, 1)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := l.ask(t, "deployer"); got.status != 200 {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	<-l.begun
	close(l.waiting)
	all.Wait()
	if got := l.count(); got != 1 {
		t.Errorf("got %d reviews, want 1", got)
	}
}

// T47: strangers with ever new tokens have no more than a few reviews going on at once, whether they wait for the answer or not.
func TestT47_StrangersWithTokens(t *testing.T) {
	l := newReviewLab(t, nil)
	l.waiting = make(chan struct{})
	ctx, leave := context.WithTimeout(t.Context(), time.Second)
	defer leave()
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if r, err := post(ctx, l.url+"/v1/verdicts", oneImage, "Authorization", fmt.Sprintf("Bearer stranger.%d", i)); err == nil && r.status == 200 {
				t.Errorf("got %d %s", r.status, r.body)
			}
		})
	}
	all.Wait()
	if got := l.count(); got < 1 || got > 16 {
		t.Errorf("got %d reviews at once, want 16 at most", got)
	}
	close(l.waiting)
}

// Tokens of the file are sent to nobody else.
func TestTokensOfTheFileAreNotReviewed(t *testing.T) {
	tokens := &api.Tokens{}
	if err := tokens.Use([]byte("ci " + sum("secret"))); err != nil {
		t.Fatal(err)
	}
	l := newReviewLab(t, func(c *api.Config) { c.Tokens = tokens })
	if got := l.ask(t, "secret"); got.status != 200 || l.count() != 0 {
		t.Errorf("got %d and %d reviews", got.status, l.count())
	}
	if got := l.ask(t, "deployer"); got.status != 200 || l.count() != 1 {
		t.Errorf("another token: got %d and %d reviews", got.status, l.count())
	}
}

func TestReviewsThatLeaveOpenWhoMayAsk(t *testing.T) {
	for name, review := range map[string]api.TokenReview{
		"nobody named": {Reviewer: &reviewer{}}, "nobody to ask": {Users: []string{"a"}}, "an empty group": {Reviewer: &reviewer{}, Groups: []string{""}},
	} {
		if _, err := api.New(api.Config{Point: fixed(engine.Verdict{}), TokenReview: &review}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
