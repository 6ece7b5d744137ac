package cache

import (
	"context"
	"sync"
	"time"

	"example.com/strata/app/freshness"
)

// Caches is what all caches of a process share: the settings, the ledger that judges stamped entries, and L2.
type Caches struct {
	cfg        Config
	ledger     *freshness.Ledger
	limit      *limit
	background sync.WaitGroup

	mu      sync.Mutex
	classes []func() Stats
}

// Open returns the shared part of a process's caches. Whoever opened it closes it.
func Open(cfg Config, ledger *freshness.Ledger) *Caches {
	cfg = cfg.withDefaults()
	return &Caches{cfg: cfg, ledger: ledger, limit: newLimit(cfg.MaxLoads, cfg.LoadWait)}
}

// Close waits for what goes on behind requests: loads that outlive them.
func (c *Caches) Close() { c.background.Wait() }

// Clock returns the ledger's idea of the database's clock, by which as-of times are told to others.
func (c *Caches) Clock() *freshness.Clock { return c.ledger.Clock() }

// MaxLoads returns how many loads may run at once.
func (c *Caches) MaxLoads() int { return c.cfg.MaxLoads }

// Lab reports whether requests may choose their strategy.
func (c *Caches) Lab() bool { return c.cfg.Lab }

// Uses reports whether any request of this process can have strategy s.
func (c *Caches) Uses(s Strategy) bool { return c.cfg.Lab || c.cfg.Strategy == s }

// Strategy returns the strategy that reads with this context use.
func (c *Caches) Strategy(ctx context.Context) Strategy { return c.request(ctx).strategy }

// Keeps returns the strategy that reads with this context use, and whether it keeps anything of them at a level.
func (c *Caches) Keeps(ctx context.Context, level Level) (Strategy, bool) {
	r := c.request(ctx)
	p := c.policy(r.strategy, level)
	return r.strategy, p.keeps() && !r.bypass
}

// ObserveAge tells the observer the age of an entry that is served. It is for one hit in some.
func (c *Caches) ObserveAge(level Level, age time.Duration) { c.cfg.Observer.Age(level, age) }

func (c *Caches) request(ctx context.Context) request {
	r := requestOf(ctx)
	if !r.chosen || !c.cfg.Lab {
		r.strategy = c.cfg.Strategy
	}
	return r
}

// policy is what a strategy does at a level in this process.
func (c *Caches) policy(s Strategy, level Level) policy {
	p := policies[s][level]
	p.l1 = p.l1 && !c.cfg.Without.Has(level, L1)
	p.l2 = p.l2 && !c.cfg.Without.Has(level, L2)
	return p
}
