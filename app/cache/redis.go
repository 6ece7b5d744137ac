package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"strata/app/telemetry"
)

// errNotInL2 is what get returns for a key that Redis does not have.
var errNotInL2 = errors.New("not in L2")

// l2 is Redis behind a short deadline and a breaker. Nothing here may hurt a request for longer than the deadline: the value can
// always be had from the origin, and its freshness never comes from Redis.
type l2 struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[[]byte]
	tracer  trace.Tracer
	metrics *metrics
}

func openL2(cfg Config, tel *telemetry.Telemetry, m *metrics) (*l2, error) {
	opts, err := redis.ParseURL(cfg.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("reading the Redis URL: %w", maskURL(err))
	}
	// The deadline is the connection's own, not a context's: that would cost a timer for each operation.
	opts.DialTimeout, opts.PoolTimeout = cfg.RedisTimeout, cfg.RedisTimeout
	opts.ReadTimeout, opts.WriteTimeout = cfg.RedisTimeout, cfg.RedisTimeout
	opts.ContextTimeoutEnabled = true // a request that gives up need not wait for it
	opts.MaxRetries = -1              // the origin is the retry
	opts.DialerRetries = 1            // likewise
	opts.ReadBufferSize = 8 << 10     // 32 KiB a connection by default; entries are mostly smaller than this
	opts.WriteBufferSize = 8 << 10
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // only Redis Enterprise sends them
	redis.SetLogger(silent{})
	store := &l2{client: redis.NewClient(opts), tracer: tel.Tracer, metrics: m}
	store.breaker = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:         "redis",
		Timeout:      time.Second, // then one request may try again
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, redis.Nil) },
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) }, // the caller left; says nothing of Redis
		OnStateChange: func(_ string, from, to gobreaker.State) {
			m.breaker(to)
			tel.Log.LogAttrs(context.Background(), slog.LevelWarn, "redis breaker changed", slog.String("from", from.String()), slog.String("to", to.String()))
		},
	})
	return store, nil
}

// silent takes go-redis' own lines, for which it knows no other place than a global one: each failed connection of an outage would be
// one on standard error. The metrics and the breaker's line in our log say the same.
type silent struct{}

// Printf implements go-redis' logger.
func (silent) Printf(context.Context, string, ...any) {}

// maskURL keeps a password out of the message: net/url quotes the whole URL in its errors.
func maskURL(err error) error {
	var withURL interface{ Unwrap() error }
	if errors.As(err, &withURL) && withURL.Unwrap() != nil {
		return withURL.Unwrap()
	}
	return errors.New("not of the form redis://user:password@host:port/db")
}

// get returns the bytes under key, or errNotInL2, or why Redis did not answer.
func (s *l2) get(ctx context.Context, key string) ([]byte, error) {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Get)
	b, err := s.breaker.Execute(func() ([]byte, error) { return s.client.Get(ctx, key).Bytes() })
	if errors.Is(err, redis.Nil) {
		err = errNotInL2
	}
	end(err, s.metrics.l2Get)
	return b, err
}

func (s *l2) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Set)
	_, err := s.breaker.Execute(func() ([]byte, error) { return nil, s.client.Set(ctx, key, value, ttl).Err() })
	end(err, s.metrics.l2Set)
	return err
}

func (s *l2) delete(ctx context.Context, keys ...string) error {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Delete)
	_, err := s.breaker.Execute(func() ([]byte, error) { return nil, s.client.Unlink(ctx, keys...).Err() })
	end(err, s.metrics.l2Delete)
	return err
}

// begin starts the clock, and a span where the request is traced.
func (s *l2) begin(ctx context.Context, name string) (context.Context, func(error, observer)) {
	start := time.Now()
	var span trace.Span
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, span = s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	}
	return ctx, func(err error, took observer) {
		took.Observe(time.Since(start).Seconds())
		if span == nil {
			return
		}
		if err != nil && !errors.Is(err, errNotInL2) {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
