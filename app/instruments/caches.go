package instruments

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
)

// Caches opens the caches of a process over Redis, which may be nil, with metrics and spans.
func Caches(cfg cache.Config, redis *remote.Redis, ledger *freshness.Ledger, tel *telemetry.Telemetry) *cache.Caches {
	if redis != nil {
		cfg.Remote = redis
	}
	cfg.Observer, cfg.Log = newCacheObserver(tel), tel.Log
	caches := cache.Open(cfg, ledger)
	tel.Registry.MustRegister(newCacheCollector(caches))
	return caches
}

// cacheObserver is a cache.Observer.
type cacheObserver struct {
	tracer  trace.Tracer
	seconds *prometheus.HistogramVec
	age     [2]prometheus.Observer // by level
}

func newCacheObserver(tel *telemetry.Telemetry) *cacheObserver {
	auto := promauto.With(tel.Registry)
	o := &cacheObserver{
		tracer: tel.Tracer,
		seconds: auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricCacheLoadDuration,
			"Time to load a value from the origin: what a miss costs. Slow ones: see db_client_operation_duration_seconds."),
			[]string{telemetry.LabelClass}),
	}
	age := auto.NewHistogramVec(telemetry.AgeHistogram(telemetry.MetricCacheEntryAge,
		"Time since a served entry was read from the database. One hit in 16. Older than the entries' lifetime means that the database fails and old ones stand in."),
		[]string{telemetry.LabelLevel})
	for _, level := range cache.Levels() {
		o.age[level] = age.WithLabelValues(level.String())
	}
	return o
}

// Class implements cache.Observer: its series are there before the first load.
func (o *cacheObserver) Class(class string, level cache.Level) {
	if level == cache.Data {
		o.seconds.WithLabelValues(class)
	}
}

// Start implements cache.Observer.
func (o *cacheObserver) Start(ctx context.Context, op cache.Op) context.Context {
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, _ = o.tracer.Start(ctx, spanOf(op), about(op))
	}
	return ctx
}

// End implements cache.Observer.
func (o *cacheObserver) End(ctx context.Context, op cache.Op, err error) {
	if op.Took > 0 {
		telemetry.Observe(ctx, o.seconds.WithLabelValues(op.Class), op.Took.Seconds())
	}
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if op.Joined {
		span.SetAttributes(telemetry.AttrCoalesced.Bool(true))
	}
	fail(span, err)
	span.End()
}

// Note implements cache.Observer: the traceparent of the load's span.
func (o *cacheObserver) Note(ctx context.Context) string { return telemetry.Traceparent(ctx) }

// Joined implements cache.Observer: a link from the read's span to the load's.
func (o *cacheObserver) Joined(ctx context.Context, note string) {
	if load := telemetry.SpanContext(note); load.IsValid() {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: load})
	}
}

// Caused implements cache.Observer. It leads from the first value that was loaded after a traced change to that change: by a link of
// the load's span, or, if the request that loads is not traced, by a span in the writer's trace.
func (o *cacheObserver) Caused(ctx context.Context, op cache.Op, note string) {
	change := telemetry.SpanContext(note)
	span := trace.SpanFromContext(ctx)
	switch {
	case !change.IsValid():
	case span.IsRecording():
		span.AddLink(trace.Link{SpanContext: change})
	default:
		ctx = trace.ContextWithRemoteSpanContext(context.Background(), change)
		_, span = o.tracer.Start(ctx, spanOf(op), trace.WithTimestamp(op.Began), about(op))
		span.End()
	}
}

// Age implements cache.Observer.
func (o *cacheObserver) Age(level cache.Level, age time.Duration) {
	o.age[level].Observe(age.Seconds())
}

func spanOf(op cache.Op) string {
	if op.Kind == cache.Await {
		return telemetry.SpanCacheAwait
	}
	return telemetry.SpanCacheLoad
}

// about is what a span says of an operation from the start.
func about(op cache.Op) trace.SpanStartEventOption {
	class := telemetry.AttrClass.String(op.Class)
	if op.Kind == cache.Await {
		return trace.WithAttributes(class)
	}
	return trace.WithAttributes(class, telemetry.AttrLevel.String(op.Level.String()))
}

// fail says in a span why its operation failed.
func fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	span.SetAttributes(telemetry.AttrErrorType.String(telemetry.ErrorType(err)))
	span.SetStatus(codes.Error, err.Error())
}
