package instruments

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
)

// Redis opens the Redis of a process with metrics and spans. It returns nil without a URL, and an error for one that cannot be one.
func Redis(cfg remote.Config, tel *telemetry.Telemetry) (*remote.Redis, error) {
	observer := newRedisObserver(tel)
	redis, err := remote.Open(cfg, observer)
	if err != nil || redis == nil {
		return nil, err
	}
	observer.note(redis.Ping(context.Background())) // as long as an operation may take: what is wrong should be known before a request finds out
	tel.Registry.MustRegister(telemetry.NewPoolCollector("redis", func() telemetry.PoolStats { return telemetry.PoolStats(redis.Stats()) }))
	return redis, nil
}

// redisObserver is a remote.Observer.
type redisObserver struct {
	tracer  trace.Tracer
	log     *slog.Logger
	seconds [remote.Kinds]prometheus.Observer
	breaker prometheus.Gauge
	said    atomic.Value // remote.Reason: the last that the log knows of
}

func newRedisObserver(tel *telemetry.Telemetry) *redisObserver {
	auto := promauto.With(tel.Registry)
	o := &redisObserver{
		tracer: tel.Tracer, log: tel.Log,
		breaker: auto.NewGauge(prometheus.GaugeOpts{
			Name: telemetry.MetricRedisBreakerState,
			Help: "1 while Redis, or one node of a Redis Cluster, is not asked because it failed repeatedly, 0.5 while one request tries it, 0 otherwise.",
		}),
	}
	seconds := auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricCacheOperationDuration,
		"Time of one operation on a cache layer, as its caller waits for it. Near the deadline of 50 ms: Redis is overloaded or away, see strata_redis_breaker_open."),
		[]string{telemetry.LabelLayer, telemetry.LabelOperation})
	for kind := range remote.Kind(remote.Kinds) {
		o.seconds[kind] = seconds.WithLabelValues("l2", kind.String())
	}
	return o
}

// Start implements remote.Observer.
func (o *redisObserver) Start(ctx context.Context, op remote.Op) context.Context {
	if trace.SpanFromContext(ctx).IsRecording() {
		name := [remote.Kinds]string{telemetry.SpanCacheL2Get, telemetry.SpanCacheL2Set, telemetry.SpanCacheL2Delete}[op.Kind]
		ctx, _ = o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(whereabouts(op)...))
	}
	return ctx
}

// End implements remote.Observer.
func (o *redisObserver) End(ctx context.Context, op remote.Op, err error) {
	o.note(err)
	telemetry.Observe(ctx, o.seconds[op.Kind], time.Since(op.Began).Seconds())
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		fail(span, err)
		span.End()
	}
}

// note says in the log why Redis does not do what it is asked, once for each time that the reason changes: an outage is one line, not one for each request.
func (o *redisObserver) note(err error) {
	reason := remote.ReasonOf(err)
	if reason == "" || o.said.Swap(reason) == reason {
		return
	}
	o.log.Warn("redis does not do what it is asked; its layer is left out until it does", "reason", string(reason), "todo", reason.Advice(), "error", err)
}

// Breaker implements remote.Observer.
func (o *redisObserver) Breaker(node, from, to string, worst float64) {
	o.breaker.Set(worst)
	o.log.Warn("redis breaker changed", "node", node, "from", from, "to", to)
}

func whereabouts(op remote.Op) []attribute.KeyValue {
	attrs := []attribute.KeyValue{telemetry.AttrDBSystem.String("redis"), telemetry.AttrDBOperation.String(op.Command)}
	if op.Where.Host == "" {
		return attrs
	}
	attrs = append(attrs, telemetry.AttrDBNamespace.String(strconv.Itoa(op.Where.DB)), telemetry.AttrServerAddress.String(op.Where.Host))
	if op.Where.Port == 0 {
		return attrs
	}
	return append(attrs, telemetry.AttrServerPort.Int(op.Where.Port))
}
