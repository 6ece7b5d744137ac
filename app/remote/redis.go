package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// Redis is one node or a Cluster. It may be used by any number of goroutines. It is connected when it is needed, and may come and go.
type Redis struct {
	client   redis.UniversalClient
	observer Observer
	size     int    // of the connection pool, of all nodes together
	where    Place  // of each operation
	prefix   string // of each key
}

// Open returns a Redis that the observer, if it is not nil, watches. It does not wait for it. It returns nil without a URL, and an
// error for one that cannot be one, without its password.
func Open(cfg Config, observer Observer) (*Redis, error) {
	if cfg.URL == "" {
		return nil, nil
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = usualTimeout
	}
	if observer == nil {
		observer = nobody{}
	}
	silence()
	r := &Redis{observer: observer, prefix: "strata:" + cfg.Namespace + ":"}
	breakers := &breakers{observer: observer, states: make(map[string]gobreaker.State)}
	node := func(opts *redis.Options) *redis.Client {
		tune(opts, cfg.Timeout)
		client := redis.NewClient(opts)
		client.AddHook(breakers.guard(opts.Addr))
		return client
	}
	address, cluster := clusterURL(cfg.URL)
	if !cluster {
		opts, err := redis.ParseURL(address)
		if err != nil {
			return nil, fmt.Errorf("reading the Redis URL: %w", maskURL(err))
		}
		client := node(opts)
		r.client, r.size, r.where = client, client.Options().PoolSize, placeOf(opts)
		return r, nil
	}
	opts, err := redis.ParseClusterURL(address)
	if err != nil {
		return nil, fmt.Errorf("reading the Redis URL: %w", maskURL(err))
	}
	opts.NewClient = node
	opts.MaxRedirects = 1              // a slot that has moved is found; the origin is the retry for the rest
	opts.DisableRoutingPolicies = true // each command of ours has one key, and the table of all commands need not be fetched
	client := redis.NewClusterClient(opts)
	r.client, r.size = client, client.Options().PoolSize*len(opts.Addrs)
	return r, nil
}

// silence is done once: go-redis' logger is a global, and two services may live in one process.
var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// Close ends all connections.
func (r *Redis) Close() error { return r.client.Close() }

// Get returns what is under a name, an entry or a mark. Nil without an error means that there is nothing.
func (r *Redis) Get(ctx context.Context, name string) ([]byte, error) {
	ctx, op := r.begin(ctx, Get, "GET")
	b, err := absent(r.client.Get(ctx, r.key(name)).Bytes())
	r.observer.End(ctx, op, err)
	return b, err
}

// Set keeps an entry under a name for life.
func (r *Redis) Set(ctx context.Context, name string, entry []byte, life time.Duration) error {
	ctx, op := r.begin(ctx, Set, "SET")
	err := r.client.Set(ctx, r.key(name), entry, life).Err()
	r.observer.End(ctx, op, err)
	return err
}

// Delete drops what is under the names.
func (r *Redis) Delete(ctx context.Context, names ...string) error {
	ctx, op := r.begin(ctx, Delete, "UNLINK")
	var err error
	if len(names) == 1 {
		err = r.client.Unlink(ctx, r.key(names[0])).Err()
	} else {
		_, err = r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, name := range names { // one by one: in a Cluster they may lie on different nodes
				p.Unlink(ctx, r.key(name))
			}
			return nil
		})
	}
	r.observer.End(ctx, op, err)
	return err
}

// Ping asks whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error { return r.client.Ping(ctx).Err() }

// key is what a name is called in Redis.
func (r *Redis) key(name string) string { return r.prefix + name }

// begin tells the observer.
func (r *Redis) begin(ctx context.Context, kind Kind, command string) (context.Context, Op) {
	op := Op{Kind: kind, Command: command, Where: r.where, Began: time.Now()}
	return r.observer.Start(ctx, op), op
}

// absent turns go-redis' word for a key that is not there into nothing.
func absent(b []byte, err error) ([]byte, error) {
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err == nil && b == nil {
		b = []byte{} // something empty is something
	}
	return b, err
}

// Stats are the connection pool's figures. The counters grow from the start.
type Stats struct {
	Used, Idle, Max int
	Hits, Misses    uint64 // requests for a connection that found one idle, and those that did not
	Waits           uint64 // of the latter, those that had to wait for one to come back
	Waited          time.Duration
	Timeouts        uint64 // of the latter, those that gave up
	Stale           uint64 // connections that were closed because they were old or broken
}

// Stats returns the figures of this moment.
func (r *Redis) Stats() Stats {
	p := r.client.PoolStats()
	return Stats{
		Used: int(p.TotalConns) - int(p.IdleConns), Idle: int(p.IdleConns), Max: r.size,
		Hits: uint64(p.Hits), Misses: uint64(p.Misses), Waits: uint64(p.WaitCount), Waited: time.Duration(p.WaitDurationNs),
		Timeouts: uint64(p.Timeouts), Stale: uint64(p.StaleConns) + uint64(p.Unusable),
	}
}
