package engine

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/assay-dev/assay/trust"
)

// maxTraced is how much of a text stands in a span, in bytes.
const maxTraced = 512

// span begins a phase of what ctx is traced for. Where nothing is traced it costs a comparison.
func (e *Engine) span(ctx context.Context, phase string) (context.Context, trace.Span) {
	if e.config.Tracer == nil {
		return ctx, noop.Span{}
	}
	return e.config.Tracer.Start(ctx, phase)
}

// traced puts a verdict into the span of its decision, and ends that. It has a copy of its own, so that verdicts nobody traces stay off the
// heap.
func traced(span trace.Span, req Request, v Verdict) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		text("assay.image", v.Image), text("assay.digest", v.Digest.String()), text("assay.point", req.Point), text("assay.namespace", req.Namespace),
		attribute.Bool("assay.allowed", v.Allowed), text("assay.outcome", v.Outcome.String()), text("assay.mode", v.Mode),
		text("assay.policy", v.Policy), text("assay.rule", v.Rule), attribute.Bool("assay.cached", v.Cached),
	)
	if v.Outcome == CouldNotTell || v.Outcome == Bug {
		span.SetStatus(codes.Error, shortened(v.Reason))
	}
}

// heard puts what an authority said into the span in which it was asked, and ends that.
func heard(span trace.Span, a *authority, f *finding) {
	defer span.End()
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(text("assay.authority", a.name), text("assay.format", a.format), text("assay.policy", a.policy.Name), text("assay.outcome", f.standing.String()))
	if f.standing == Unclear && f.err != nil {
		span.SetStatus(codes.Error, shortened(f.err.Error()))
	}
}

// ended ends a span of something that came to an answer, a "no" being one, or did not.
func ended(span trace.Span, err error) {
	defer span.End()
	if err == nil || !span.IsRecording() {
		return
	}
	var bug *BugError
	if trust.IsNo(err) && !errors.As(err, &bug) {
		span.SetAttributes(text("assay.reason", err.Error()))
		return
	}
	span.SetStatus(codes.Error, shortened(err.Error()))
}

func text(key, value string) attribute.KeyValue { return attribute.String(key, shortened(value)) }

func shortened(s string) string {
	if len(s) > maxTraced {
		s = s[:maxTraced]
	}
	return strings.ToValidUTF8(s, "")
}
