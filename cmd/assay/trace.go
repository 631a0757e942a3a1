package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/assay-dev/assay/enforce"
)

// Limits of traces.
const (
	maxTraceText       = 512              // bytes of one text in a span
	maxSpanAttributes  = 32               // of a span
	traceQueue         = 2048             // spans that wait to be sent; more are dropped
	traceTimeout       = 10 * time.Second // for one sending
	traceDrain         = 5 * time.Second  // for what waits at the end
	traceComplainEvery = time.Minute      // how often it is logged that spans cannot be sent
)

// traceOptions are the flags about traces.
type traceOptions struct {
	endpoint string
	sample   float64
}

func (o *traceOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.endpoint, "trace-endpoint", "", "`URL` of an OpenTelemetry collector (OTLP over HTTP) that gets a trace of each request, such as http://localhost:4318; names of images are in it")
	f.Float64Var(&o.sample, "trace-sample", 1, "which part of the requests is traced, from 0 to 1, where the request does not say whether it is")
}

func (o *traceOptions) check() error {
	if o.endpoint == "" {
		return nil
	}
	u, err := url.Parse(o.endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return withHint(usageError("--trace-endpoint: want a URL of http or https"), "the usual port is 4318: http://localhost:4318")
	case u.User != nil:
		return withHint(usageError("--trace-endpoint: no secrets in the command line, which others can read"), "OTEL_EXPORTER_OTLP_HEADERS=authorization=... in the environment")
	case !(o.sample >= 0 && o.sample <= 1):
		return usageError("--trace-sample %v: want 0 to 1", o.sample)
	}
	return nil
}

// tracing is where spans go. nil: there are none.
type tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// open prepares what --trace-endpoint asks for; nothing is sent yet.
func (o *traceOptions) open(ctx context.Context, point string, log *slog.Logger) (*tracing, error) {
	if o.endpoint == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.endpoint), otlptracehttp.WithTimeout(traceTimeout))
	if err != nil {
		return nil, usageError("--trace-endpoint: %w", err)
	}
	otel.SetErrorHandler(&traceErrors{log: log})
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit, limits.AttributeCountLimit = maxTraceText, maxSpanAttributes
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter, sdk.WithMaxQueueSize(traceQueue), sdk.WithExportTimeout(traceTimeout)),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(o.sample))),
		sdk.WithRawSpanLimits(limits),
		sdk.WithResource(sdkresource.NewSchemaless(
			attribute.String("service.name", "assay"), attribute.String("service.version", versionText()), attribute.String("assay.point", point),
		)),
	)
	return &tracing{provider: provider, tracer: provider.Tracer("github.com/assay-dev/assay")}, nil
}

// traceErrors logs that spans cannot be sent, once in a while.
type traceErrors struct {
	log  *slog.Logger
	last atomic.Int64 // when it did
}

// Handle implements otel.ErrorHandler.
func (e *traceErrors) Handle(err error) {
	now, last := time.Now().UnixNano(), e.last.Load()
	if last != 0 && now-last < int64(traceComplainEvery) || !e.last.CompareAndSwap(last, now) {
		return
	}
	e.log.Warn("traces could not be sent", "error", logged(err.Error()))
}

// close sends what waits, for a moment.
func (t *tracing) close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceDrain)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// engineTracer is what the engine makes spans with; nil if there are none.
func (t *tracing) engineTracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// handler makes a span of each request to a route. A request can say by W3C's traceparent which trace it belongs to, and whether that is
// sampled.
func (t *tracing) handler(pattern string, h http.Handler) http.Handler {
	if t == nil {
		return h
	}
	name := pattern
	if !strings.Contains(pattern, " ") {
		name = http.MethodPost + " " + pattern
	}
	route := attribute.String("http.route", name[strings.IndexByte(name, ' ')+1:])
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(route))
		defer span.End()
		if !span.IsRecording() {
			h.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		s := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(s, r.WithContext(ctx))
		span.SetAttributes(attribute.Int("http.response.status_code", s.status))
		if id := w.Header().Get("X-Request-ID"); id != "" {
			span.SetAttributes(attribute.String("assay.request_id", id))
		}
		if s.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusRecorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// registryTrace makes a span of each exchange with a registry, a token service or a Notary server; nil if there are none.
func (t *tracing) registryTrace() func(ctx context.Context, method, url string) (context.Context, func(int, error)) {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, method, address string) (context.Context, func(int, error)) {
		if !trace.SpanFromContext(ctx).IsRecording() { // what is refreshed in the background belongs to no request
			return ctx, func(int, error) {}
		}
		ctx, span := t.tracer.Start(ctx, "registry "+method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("http.request.method", method), attribute.String("url.full", enforce.Plain(address))))
		return ctx, func(status int, err error) {
			defer span.End()
			if status != 0 {
				span.SetAttributes(attribute.Int("http.response.status_code", status))
			}
			if err != nil {
				span.SetStatus(codes.Error, logged(fmt.Sprint(err)))
			}
		}
	}
}
