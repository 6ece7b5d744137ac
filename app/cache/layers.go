package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"strata/app/freshness"
	"strata/app/telemetry"
)

// ErrDoNotKeep is returned by a load beside a value that may be handed to those who wait for it and must not be kept.
var ErrDoNotKeep = errors.New("this value is not to be kept")

// Config holds the settings that all caches of a process share. Zero values mean the defaults.
type Config struct {
	Strategy Strategy
	Lab      bool          // let a request choose its strategy, see WithStrategy
	TTL      time.Duration // of an entry of the strategies TTL and Aside; 1 min

	RedisURL     string        // redis://user:password@host:port/db; empty: no L2
	RedisTimeout time.Duration // each of connecting to L2, writing and reading may take; 50 ms: then the origin is asked

	ViewsL1Bytes uint64 // of whole responses in the process; 32 MiB
	DataL1Bytes  uint64 // of decoded values in the process; 32 MiB

	SoftTimeout  time.Duration // a load may take before an expired entry is served in its place; 250 ms
	LoadTimeout  time.Duration // a load may take at all; 10 s
	StaleIfError time.Duration // an entry may be served after it expired, if the origin fails; 5 min

	// FleetWait is the most that a read waits for another replica's load of the same value before it loads the value too, with strategy
	// Stamped; usually it is twice the time of a load. 200 ms; negative: it does not wait, and no replica tells the others.
	FleetWait time.Duration
	MaxLoads  int           // of all classes at once; 64: some times the usual pool's connections, so that a free one is taken at once
	LoadWait  time.Duration // a load may wait for its turn; 1 s: then ErrOverloaded
}

func (c Config) withDefaults() Config {
	orDefault(&c.TTL, time.Minute)
	orDefault(&c.RedisTimeout, 50*time.Millisecond)
	orDefault(&c.ViewsL1Bytes, 32<<20)
	orDefault(&c.DataL1Bytes, 32<<20)
	orDefault(&c.SoftTimeout, 250*time.Millisecond)
	orDefault(&c.LoadTimeout, 10*time.Second)
	orDefault(&c.StaleIfError, 5*time.Minute)
	orDefault(&c.FleetWait, 200*time.Millisecond)
	orDefault(&c.MaxLoads, 64)
	orDefault(&c.LoadWait, time.Second)
	return c
}

func orDefault[T comparable](value *T, byDefault T) {
	var zero T
	if *value == zero {
		*value = byDefault
	}
}

// Layers is what all caches of a process share: the settings, the ledger that judges stamped entries, and Redis.
type Layers struct {
	cfg        Config
	ledger     *freshness.Ledger
	tel        *telemetry.Telemetry
	metrics    *metrics
	l2         *l2 // nil without Redis
	limit      *limit
	background sync.WaitGroup

	mu  sync.Mutex
	l1s []l1Size
}

// NewLayers returns the shared part of a process's caches. It does not wait for Redis, which may come and go. It returns an error for a URL
// that cannot be one.
func NewLayers(cfg Config, ledger *freshness.Ledger, tel *telemetry.Telemetry) (*Layers, error) {
	cfg = cfg.withDefaults()
	l := &Layers{cfg: cfg, ledger: ledger, tel: tel, metrics: newMetrics(tel.Registry, cfg), limit: newLimit(cfg.MaxLoads, cfg.LoadWait)}
	l.metrics.limited("all", l.limit)
	tel.Registry.MustRegister(newL1Collector(l))
	if cfg.RedisURL == "" {
		return l, nil
	}
	store, err := openL2(cfg, tel, l.metrics)
	if err != nil {
		return nil, err
	}
	l.l2 = store
	tel.Registry.MustRegister(telemetry.NewPoolCollector("redis", store.poolStats))
	return l, nil
}

// MaxLoads returns how many loads may run at once.
func (l *Layers) MaxLoads() int { return l.cfg.MaxLoads }

// Lab reports whether requests may choose their strategy.
func (l *Layers) Lab() bool { return l.cfg.Lab }

// Strategy returns the strategy that reads with this context use.
func (l *Layers) Strategy(ctx context.Context) Strategy { return l.request(ctx).strategy }

// Keeps returns the strategy that reads with this context use, and whether it keeps anything of them at a level.
func (l *Layers) Keeps(ctx context.Context, level Level) (Strategy, bool) {
	r := l.request(ctx)
	l1, l2 := r.strategy.keeps(level)
	return r.strategy, (l1 || l2) && !r.bypass
}

// ObserveAge feeds the histogram of entries' ages with that of one that is served.
func (l *Layers) ObserveAge(level Level, age time.Duration) {
	l.metrics.age[level].Observe(age.Seconds())
}

// Uses reports whether any request of this process can have strategy s.
func (l *Layers) Uses(s Strategy) bool { return l.cfg.Lab || l.cfg.Strategy == s }

// Close waits for background work and closes Redis.
func (l *Layers) Close() error {
	l.background.Wait()
	if l.l2 == nil {
		return nil
	}
	return l.l2.client.Close()
}

func (l *Layers) request(ctx context.Context) request {
	r := requestOf(ctx)
	if !r.chosen || !l.cfg.Lab {
		r.strategy = l.cfg.Strategy
	}
	return r
}

func (l *Layers) l1Sizes() []l1Size {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.l1s)
}

func (l *Layers) capacity(level Level) uint64 {
	if level == Views {
		return l.cfg.ViewsL1Bytes
	}
	return l.cfg.DataL1Bytes
}
