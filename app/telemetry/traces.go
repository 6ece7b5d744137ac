package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"
)

// startTraces sets up what the OTEL_* variables ask for, which is nothing if they are silent.
func (t *Telemetry) startTraces(ctx context.Context, cfg Config) error {
	t.root = noop.NewTracerProvider().Tracer("strata")
	t.Tracer = t.root
	spans := newSpanCounter(t.Registry) // also where traces are off, so that the metric is always there
	if !tracesWanted() {
		return nil
	}
	var err error
	if t.sampler, err = newSampler(os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG")); err != nil {
		return err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { t.Log.Warn("telemetry", "error", err) })) // else the SDK writes lines of its own
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithFromEnv(), // last, so that the environment wins
	)
	if err != nil { // as the specification says, what cannot be read is left out: telemetry is no reason not to serve
		t.Log.WarnContext(ctx, "OTEL_RESOURCE_ATTRIBUTES cannot be read as a whole: what cannot is left out of the traces' resource", "error", err)
	}
	if about == nil {
		about = resource.Default()
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return err
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(decided{}),
		sdktrace.WithResource(about),
		sdktrace.WithSpanProcessor(newGate(newCountedExporter(exporter, spans, t.Log), spans)),
	)
	t.root = t.provider.Tracer("strata", trace.WithInstrumentationVersion(cfg.Version))
	t.Tracer = childTracer{root: t.root}
	return nil
}

func tracesWanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch os.Getenv("OTEL_TRACES_EXPORTER") {
	case "none":
		return false
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	}
	return true
}

// Sampled decides whether the request with this traceparent header, empty if it has none, is traced. It is asked once a
// request, costs nanoseconds and allocates nothing; if it says no, no span is made for the request at all. It says no
// wherever traces are off.
func (t *Telemetry) Sampled(traceparent string) bool { return t.sampler.sampled(traceparent) }

// StartServer starts the server span of a request for which Sampled said yes, below the remote span of the request's
// traceparent and tracestate headers if they are valid. The caller ends the span. Both headers may be buffers that are
// reused later: they are not kept.
func (t *Telemetry) StartServer(ctx context.Context, traceparent, tracestate, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if parent, ok := parseTraceparent(traceparent); ok {
		if state, err := trace.ParseTraceState(strings.Clone(tracestate)); err == nil { // a bad state does not spoil the parent
			parent.TraceState = state
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(parent))
	}
	ctx = context.WithValue(ctx, keepKey{}, true)
	return t.root.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attrs...))
}

// Traceparent returns the traceparent header of ctx's span, or nothing if ctx carries no sampled span.
func Traceparent(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() {
		return ""
	}
	return string(appendTraceparent(make([]byte, 0, 55), span))
}

// SpanContext returns the span that a traceparent header names, as a remote one. It is not valid if the header is not.
func SpanContext(traceparent string) trace.SpanContext {
	parent, ok := parseTraceparent(traceparent)
	if !ok {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(parent)
}

// ErrorType returns the value of error.type for an error that has no code of its own: what ended the waiting, or the type of the innermost error.
func ErrorType(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// childTracer starts spans only below a sampled span. The SDK's own tracer would make ids, a span and a context also for a
// request that is not traced, at every layer.
type childTracer struct {
	embedded.Tracer
	root trace.Tracer
}

func (c childTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	span := trace.SpanFromContext(ctx)
	if !span.SpanContext().IsSampled() {
		return ctx, noop.Span{}
	}
	return c.root.Start(ctx, name, opts...)
}
