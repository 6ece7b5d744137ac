package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"strata/app/telemetry"
)

// errNotInL2 is what get returns for a key that Redis does not have.
var errNotInL2 = errors.New("not in L2")

// l2 is Redis, one node or a Cluster, behind a short deadline and a breaker for each node. Nothing here may hurt a request for longer than the deadline: the
// value can always be had from the origin, and its freshness never comes from Redis.
type l2 struct {
	client  redis.UniversalClient
	tracer  trace.Tracer
	metrics *metrics
	size    int                  // of the connection pool, of all nodes together
	where   []attribute.KeyValue // of each span
}

func openL2(cfg Config, tel *telemetry.Telemetry, m *metrics) (*l2, error) {
	redis.SetLogger(silent{})
	store := &l2{tracer: tel.Tracer, metrics: m}
	breakers := &breakers{gauge: m.breakerOpen, log: tel.Log, states: make(map[string]gobreaker.State)}
	address, cluster := clusterURL(cfg.RedisURL)
	if !cluster {
		opts, err := redis.ParseURL(address)
		if err != nil {
			return nil, fmt.Errorf("reading the Redis URL: %w", maskURL(err))
		}
		tune(opts, cfg.RedisTimeout)
		client := redis.NewClient(opts)
		client.AddHook(breakers.guard(opts.Addr))
		store.client, store.size, store.where = client, client.Options().PoolSize, whereabouts(opts)
		return store, nil
	}
	opts, err := redis.ParseClusterURL(address)
	if err != nil {
		return nil, fmt.Errorf("reading the Redis URL: %w", maskURL(err))
	}
	opts.NewClient = func(node *redis.Options) *redis.Client {
		tune(node, cfg.RedisTimeout)
		client := redis.NewClient(node)
		client.AddHook(breakers.guard(node.Addr))
		return client
	}
	opts.MaxRedirects = 1              // a slot that has moved is found; the origin is the retry for the rest
	opts.DisableRoutingPolicies = true // each command of ours has one key, and the table of all commands need not be fetched
	client := redis.NewClusterClient(opts)
	store.client, store.size = client, client.Options().PoolSize*len(opts.Addrs)
	store.where = []attribute.KeyValue{telemetry.AttrDBSystem.String("redis")} // which node it was is the cluster's affair
	return store, nil
}

// tune sets what a connection to one node may cost.
func tune(opts *redis.Options, timeout time.Duration) {
	// The deadline is the connection's own, not a context's: that would cost a timer for each operation.
	opts.DialTimeout, opts.PoolTimeout = timeout, timeout
	opts.ReadTimeout, opts.WriteTimeout = timeout, timeout
	opts.ContextTimeoutEnabled = true // a request that gives up need not wait for it
	opts.MaxRetries = -1              // the origin is the retry
	opts.DialerRetries = 1            // likewise
	opts.ReadBufferSize = 8 << 10     // 32 KiB a connection by default; entries are mostly smaller than this
	opts.WriteBufferSize = 8 << 10
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // only Redis Enterprise sends them
}

// clusterURL says whether a URL means a Redis Cluster, and returns it without saying so, as go-redis reads it. It does if it names further nodes,
// redis://a:6379?addr=b:6379&addr=c:6379, or says so, redis://a:6379?cluster=true: one node that answers is enough to find the others.
func clusterURL(text string) (address string, cluster bool) {
	u, err := url.Parse(text)
	if err != nil {
		return text, false
	}
	q := u.Query()
	cluster = q.Get("cluster") == "true" || q.Has("addr") && q.Get("cluster") != "false"
	q.Del("cluster")
	u.RawQuery = q.Encode()
	return u.String(), cluster
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

// whereabouts are the attributes of all spans of a client of one node.
func whereabouts(opts *redis.Options) []attribute.KeyValue {
	attrs := []attribute.KeyValue{telemetry.AttrDBSystem.String("redis"), telemetry.AttrDBNamespace.String(strconv.Itoa(opts.DB))}
	host, port, err := net.SplitHostPort(opts.Addr)
	if err != nil { // a socket
		return append(attrs, telemetry.AttrServerAddress.String(opts.Addr))
	}
	number, _ := strconv.Atoi(port)
	return append(attrs, telemetry.AttrServerAddress.String(host), telemetry.AttrServerPort.Int(number))
}

// poolStats are the connection pool's own figures.
func (s *l2) poolStats() telemetry.PoolStats {
	p := s.client.PoolStats()
	return telemetry.PoolStats{
		Used: int(p.TotalConns) - int(p.IdleConns), Idle: int(p.IdleConns), Max: s.size,
		Hits: uint64(p.Hits), Misses: uint64(p.Misses), Waits: uint64(p.WaitCount), Waited: time.Duration(p.WaitDurationNs),
		Timeouts: uint64(p.Timeouts), Stale: uint64(p.StaleConns) + uint64(p.Unusable),
	}
}

// get returns the bytes under key, or errNotInL2, or why Redis did not answer.
func (s *l2) get(ctx context.Context, key string) ([]byte, error) {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Get, "GET")
	b, err := s.client.Get(ctx, key).Bytes()
	err = absent(err)
	end(err, s.metrics.l2Get)
	return b, err
}

// claim leaves the turn's mark for life where there is nothing, says so in the turn, and returns errNotInL2. If something is there by now, it
// returns that. A Redis that refuses, because it is older than 7 or out of memory, has no mark, and the caller loads all the same.
func (s *l2) claim(ctx context.Context, key string, t *turn, life time.Duration) ([]byte, error) {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Set, "SET")
	command := redis.NewStringCmd(ctx, "set", key, t.mark, "nx", "get", "px", life.Milliseconds())
	_ = s.client.Process(ctx, command) // its error is the command's
	b, err := command.Bytes()
	err = absent(err)
	end(err, s.metrics.l2Set)
	t.note(b, errors.Is(err, errNotInL2))
	return b, err
}

// swap puts a mark in the place of an entry, which is known by its head, or else returns what is there now.
var swap = redis.NewScript(`
	if redis.call('GETRANGE', KEYS[1], 0, string.len(ARGV[1]) - 1) == ARGV[1] then
		redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
		return false
	end
	return redis.call('GET', KEYS[1])`)

// replace puts the turn's mark in the place of old and returns errNotInL2, unless something else is there by now: then it returns that.
func (s *l2) replace(ctx context.Context, key string, old []byte, t *turn, life time.Duration) ([]byte, error) {
	const head = 32 // bytes; they hold when the entry was filled, to the nanosecond
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Get, "EVALSHA")
	text, err := swap.Run(ctx, s.client, []string{key}, old[:min(len(old), head)], t.mark, life.Milliseconds()).Text()
	err = absent(err)
	end(err, s.metrics.l2Get)
	t.note([]byte(text), errors.Is(err, errNotInL2))
	return []byte(text), err
}

// note keeps what L2 said of marks.
func (t *turn) note(b []byte, holds bool) {
	t.holds, t.other = holds, nil
	if isMark(b) {
		t.other = b
	}
}

// unmark removes a mark if it is still there.
var unmark = redis.NewScript(`
	if redis.call('GET', KEYS[1]) == ARGV[1] then
		return redis.call('DEL', KEYS[1])
	end
	return 0`)

// release removes a mark whose load brought nothing to keep. If it fails, the mark ends by itself.
func (s *l2) release(ctx context.Context, key string, mark []byte) {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Delete, "EVALSHA")
	err := unmark.Run(ctx, s.client, []string{key}, mark).Err()
	end(err, s.metrics.l2Delete)
}

// absent turns go-redis' word for a key that is not there into ours.
func absent(err error) error {
	if errors.Is(err, redis.Nil) {
		return errNotInL2
	}
	return err
}

func (s *l2) set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Set, "SET")
	err := s.client.Set(ctx, key, value, ttl).Err()
	end(err, s.metrics.l2Set)
	return err
}

func (s *l2) delete(ctx context.Context, keys ...string) error {
	ctx, end := s.begin(ctx, telemetry.SpanCacheL2Delete, "UNLINK")
	var err error
	if len(keys) == 1 {
		err = s.client.Unlink(ctx, keys[0]).Err()
	} else {
		_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, key := range keys { // one by one: in a Cluster they may lie on different nodes
				p.Unlink(ctx, key)
			}
			return nil
		})
	}
	end(err, s.metrics.l2Delete)
	return err
}

// begin starts the clock, and a span where the request is traced. command is Redis'.
func (s *l2) begin(ctx context.Context, name, command string) (context.Context, func(error, observer)) {
	start := time.Now()
	var span trace.Span
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, span = s.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(s.where...), trace.WithAttributes(telemetry.AttrDBOperation.String(command)))
	}
	return ctx, func(err error, took observer) {
		telemetry.Observe(ctx, took, time.Since(start).Seconds())
		if span == nil {
			return
		}
		if err != nil && !errors.Is(err, errNotInL2) {
			span.SetAttributes(telemetry.AttrErrorType.String(telemetry.ErrorType(err)))
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
