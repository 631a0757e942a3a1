// Package enforce says what an enforcement point is: a place where a verdict is obeyed. It has what all points share and knows no protocol.
//
// A point reads a request, asks Point.Decide about all images in it, and turns the verdicts into the answer of its protocol in one
// switch over Of, the meaning of a verdict. It allows only where Verdict.Allowed is true: whatever else there is, an error, a
// panic, a deadline, a value that it does not know, denies.
//
// An image is asked about with an engine.Request; its fields Point, Namespace, NamespaceLabels and HasNamespace say for whom.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/assay-dev/assay/engine"
)

// Limits of one request.
const (
	MaxImages      = 1000             // images in one request; more are all denied
	DefaultTimeout = 30 * time.Second // for all images of a request together
	maxParallel    = 64               // images of one request that are decided at once
	maxLate        = 100 * time.Millisecond
)

// Decider decides about one image; *engine.Engine is one. It is safe for concurrent use and answers soon after ctx has ended. Points do
// not rely on the latter, nor on its not panicking.
type Decider interface {
	Decide(ctx context.Context, req engine.Request) engine.Verdict
}

var _ Decider = (*engine.Engine)(nil)

// Point is what an enforcement point decides with. It is safe for concurrent use.
type Point struct {
	Decider Decider
	Timeout time.Duration // for all images of one request; 0 is DefaultTimeout
	// Record is told each verdict before Decide returns, by the goroutine that called it. It must keep neither o nor v. nil: nobody is
	// told.
	Record func(o *Occasion, req engine.Request, v *engine.Verdict)
}

// Occasion is what a point knows of a request beside its images, for the record. Nothing is decided by it. The texts are those of whoever
// asked, and as long as they made them.
type Occasion struct {
	RequestID string
	User      string // who asked, where somebody vouches for that: the API server, a certificate, a token
	Operation string // what is to be done to the object, in the protocol's word
	Kind      string // of the object
	Name      string // of the object; its namespace is in the requests
	// Containers names the containers that would run an image, as it was asked about. nil: the point knows of none.
	Containers func(image string) string
}

// Decide decides about the images of one request side by side, under one deadline. The verdicts are in the order of the requests and
// exactly as many. A panic becomes a verdict of the outcome Bug; an image without an answer in time gets CouldNotTell, and a decider
// that does not heed ctx is left behind. More than MaxImages are denied, all of them, and the decider is not asked.
func (p *Point) Decide(ctx context.Context, requestID string, requests ...engine.Request) []engine.Verdict {
	return p.DecideFor(ctx, &Occasion{RequestID: requestID}, requests...)
}

// DecideFor is Decide for a point that knows more of the request than its id.
func (p *Point) DecideFor(ctx context.Context, o *Occasion, requests ...engine.Request) []engine.Verdict {
	verdicts := p.decide(ctx, requests)
	if p.Record != nil {
		for i := range verdicts {
			p.Record(o, requests[i], &verdicts[i])
		}
	}
	return verdicts
}

func (p *Point) decide(ctx context.Context, requests []engine.Request) []engine.Verdict {
	if len(requests) > MaxImages {
		reason := fmt.Sprintf("%d images in one request; at most %d are decided about", len(requests), MaxImages)
		return refused(requests, engine.Denied, reason)
	}
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	answers := p.ask(ctx, requests)
	return collect(ctx, requests, answers)
}

// answer is what was decided about one of several images.
type answer struct {
	index   int
	verdict engine.Verdict
}

// ask has the images decided and sends what comes of it. The channel takes all answers, so that nobody who is late waits for a reader.
func (p *Point) ask(ctx context.Context, requests []engine.Request) <-chan answer {
	answers := make(chan answer, len(requests))
	next := make(chan int, len(requests))
	for i := range requests {
		next <- i
	}
	close(next)
	for range min(maxParallel, len(requests)) {
		go func() {
			for i := range next {
				if ctx.Err() != nil {
					return // collect has the words for it
				}
				answers <- answer{index: i, verdict: p.one(ctx, requests[i])}
			}
		}()
	}
	return answers
}

// one asks the decider about one image. A goroutine that ends itself within the decider leaves the image without an answer, which denies.
func (p *Point) one(ctx context.Context, req engine.Request) (v engine.Verdict) {
	bug := Guard(func() { v = p.Decider.Decide(ctx, req) })
	if bug != nil {
		return engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.Bug, Reason: bug.Error()}}
	}
	if v.Image == "" {
		v.Image = req.Image
	}
	return v
}

// collect waits for all answers, and after the deadline only as long as it takes a decider to say what it waited for.
func collect(ctx context.Context, requests []engine.Request, answers <-chan answer) []engine.Verdict {
	verdicts := make([]engine.Verdict, len(requests))
	told := make([]bool, len(requests))
	done, late := ctx.Done(), (<-chan time.Time)(nil)
	for left := len(requests); left > 0; {
		select {
		case a := <-answers:
			verdicts[a.index], told[a.index] = a.verdict, true
			left--
		case <-done:
			timer := time.NewTimer(maxLate)
			defer timer.Stop()
			done, late = nil, timer.C
		case <-late:
			left = 0
		}
	}
	for i := range verdicts {
		if !told[i] {
			verdicts[i] = unanswered(requests[i], context.Cause(ctx))
		}
	}
	return verdicts
}

func unanswered(req engine.Request, cause error) engine.Verdict {
	if errors.Is(cause, context.Canceled) {
		cause = errors.New("whoever asked has left")
	}
	return engine.Verdict{Image: req.Image, Decision: engine.Decision{Outcome: engine.CouldNotTell, Reason: fmt.Sprintf("%s: %v", req.Image, cause)}}
}

func refused(requests []engine.Request, outcome engine.Outcome, reason string) []engine.Verdict {
	verdicts := make([]engine.Verdict, len(requests))
	for i := range requests {
		verdicts[i] = engine.Verdict{Image: requests[i].Image, Decision: engine.Decision{Outcome: outcome, Reason: reason}}
	}
	return verdicts
}

// Guard calls fn and returns its panic, if there was one. Points call what is theirs with it, so that a bug becomes a refusal in the words
// of their protocol.
func Guard(fn func()) (bug *engine.BugError) {
	defer func() {
		if caught := recover(); caught != nil {
			bug = &engine.BugError{Value: caught, Stack: debug.Stack()}
		}
	}()
	fn()
	return nil
}
