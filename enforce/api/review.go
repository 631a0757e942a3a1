package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/assay-dev/assay/enforce"
)

// Limits of reviews of tokens by somebody else.
const (
	reviewTimeout    = 5 * time.Second // for one review
	reviewTTL        = time.Minute     // how long a token that counts is not asked about again
	reviewRefusalTTL = 5 * time.Second // and one that does not
	maxReviewedToken = 16 << 10        // bytes of a token
	maxReviewed      = 10_000          // answers that are kept, of either kind
	maxReviews       = 16              // reviews at once
	maxGroups        = 1000            // groups of a user that are looked at
)

// Reviewer tells whose a bearer token is, such as the API server of Kubernetes.
type Reviewer interface {
	// Review returns the user that a token stands for, and the groups of the user; user is "" if it stands for nobody. An error means that
	// it could not tell. It must not keep the token, nor write it anywhere.
	Review(ctx context.Context, token string) (user string, groups []string, err error)
}

// TokenReview is a way to be known: by a token that somebody else knows. Users and Groups are who may ask, by their exact names; it takes
// one of them at least.
type TokenReview struct {
	Reviewer Reviewer
	Users    []string
	Groups   []string
}

// reviews asks a Reviewer, and remembers its answers for a moment, by the hashes of tokens.
type reviews struct {
	TokenReview
	now   func() time.Time
	slots chan struct{} // has an item for each review under way

	failing atomic.Bool // it was logged that nothing can be told

	mu     sync.Mutex
	known  map[tokenSum]reviewed
	nobody map[tokenSum]reviewed // apart, so that tokens of strangers push none out that counts
	asking map[tokenSum]*asking
}

type tokenSum [sha256.Size]byte

// reviewed is what is known of a token.
type reviewed struct {
	user    string // "": nobody's
	allowed bool
	until   time.Time
}

// asking is a review under way.
type asking struct {
	done chan struct{}
	reviewed
	err error
}

func newReviews(t TokenReview, now func() time.Time) *reviews {
	return &reviews{
		TokenReview: t, now: now, slots: make(chan struct{}, maxReviews),
		known: map[tokenSum]reviewed{}, nobody: map[tokenSum]reviewed{}, asking: map[tokenSum]*asking{},
	}
}

// check refuses a configuration that leaves open who may ask.
func (t *TokenReview) check() error {
	switch {
	case t.Reviewer == nil:
		return errors.New("api: nobody to review tokens")
	case len(t.Users)+len(t.Groups) == 0:
		return errors.New("api: whose tokens count? name users or groups")
	case slices.Contains(t.Users, "") || slices.Contains(t.Groups, ""):
		return errors.New("api: a user or a group without a name")
	}
	return nil
}

// holder returns the name of a token's holder. A failure says that the holder may not ask, or that it could not be told who that is.
func (v *reviews) holder(ctx context.Context, token string) (string, *failure) {
	if token == "" || len(token) > maxReviewedToken {
		return "", nil
	}
	r, err := v.review(ctx, sha256.Sum256([]byte(token)), token)
	if err == nil {
		v.failing.Store(false)
	}
	switch {
	case err != nil:
		return "", &failure{status: http.StatusServiceUnavailable, retry: time.Second, text: "could not tell who asks, try again", reason: Unreviewed, cause: err}
	case r.user == "":
		return "", nil
	case !r.allowed:
		return "", &failure{status: http.StatusForbidden, text: named(r.user) + " may not ask here", reason: Forbidden}
	}
	return named(r.user), nil
}

func named(user string) string {
	if len(user) > maxClientName {
		return fmt.Sprintf("user %x", sha256.Sum256([]byte(user)))
	}
	return "user " + enforce.Plain(strings.ToValidUTF8(user, "\uFFFD"))
}

// review returns what is known of a token, and asks about it if that is nothing. Equal questions at once are one.
func (v *reviews) review(ctx context.Context, sum tokenSum, token string) (reviewed, error) {
	v.mu.Lock()
	now := v.now()
	for _, m := range []map[tokenSum]reviewed{v.known, v.nobody} {
		if r, found := m[sum]; found && now.Before(r.until) {
			v.mu.Unlock()
			return r, nil
		}
	}
	a := v.asking[sum]
	if a == nil {
		a = &asking{done: make(chan struct{})}
		v.asking[sum] = a
		go v.ask(context.WithoutCancel(ctx), a, sum, token)
	}
	v.mu.Unlock()
	select {
	case <-a.done:
		return a.reviewed, a.err
	case <-ctx.Done():
		return reviewed{}, context.Cause(ctx)
	}
}

// ask has a token reviewed and keeps the answer. What could not be told is not kept.
func (v *reviews) ask(ctx context.Context, a *asking, sum tokenSum, token string) {
	ctx, cancel := context.WithTimeoutCause(ctx, reviewTimeout, fmt.Errorf("no answer within %v", reviewTimeout))
	defer cancel()
	if bug := enforce.Guard(func() { a.reviewed, a.err = v.answer(ctx, token) }); bug != nil {
		a.reviewed, a.err = reviewed{}, bug
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.asking, sum)
	if a.err == nil {
		v.keep(sum, a.reviewed)
	}
	close(a.done)
}

func (v *reviews) answer(ctx context.Context, token string) (reviewed, error) {
	select {
	case v.slots <- struct{}{}:
		defer func() { <-v.slots }()
	case <-ctx.Done():
		return reviewed{}, context.Cause(ctx)
	}
	user, groups, err := v.Reviewer.Review(ctx, token)
	switch {
	case err != nil:
		return reviewed{}, err
	case user == "":
		return reviewed{until: v.now().Add(reviewRefusalTTL)}, nil
	}
	r := reviewed{user: user, until: v.now().Add(reviewTTL)}
	r.allowed = slices.Contains(v.Users, user) ||
		slices.ContainsFunc(groups[:min(len(groups), maxGroups)], func(group string) bool { return slices.Contains(v.Groups, group) })
	if !r.allowed {
		r.until = v.now().Add(reviewRefusalTTL)
	}
	return r, nil
}

// keep remembers an answer. When there are too many, those that are over are forgotten, and then all of the kind.
func (v *reviews) keep(sum tokenSum, r reviewed) {
	delete(v.known, sum)
	delete(v.nobody, sum)
	into := v.nobody
	if r.allowed {
		into = v.known
	}
	if len(into) >= maxReviewed {
		now := v.now()
		for key, old := range into {
			if !now.Before(old.until) {
				delete(into, key)
			}
		}
	}
	if len(into) >= maxReviewed {
		clear(into)
	}
	into[sum] = r
}
