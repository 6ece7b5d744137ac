package cache

import (
	"context"
	"math/rand/v2"
	"time"

	"example.com/strata/app/freshness"
)

// Get returns the value of key: from L1, from L2, or loaded. It returns Class.Absent for what does not exist, what Load returned
// if nothing can stand in for it, or the context's error.
func (c *Layered[K, V]) Get(ctx context.Context, key K) (V, error) {
	want := c.caches.request(ctx)
	e, outcome, m := c.lookup(ctx, want, key)
	if outcome == Hit {
		c.counters.count(want.strategy, L1, Hit)
		if want.trail == nil && !freshness.Collecting(ctx) {
			return c.unwrap(e)
		}
		return c.deliver(ctx, want, answer[V]{entry: e, result: c.hit(e, m)})
	}
	c.Audited(ctx, key)
	a := c.read(ctx, want, key, e, outcome, func(ctx context.Context) (V, error) { return c.class.Load(ctx, key) })
	return c.deliver(ctx, want, a)
}

// Lookup returns the value of key if L1 holds a fresh entry, and does nothing else. For what it does not find, Fill is the next
// step, and counts the miss.
func (c *Layered[K, V]) Lookup(ctx context.Context, key K) (value V, result Result, ok bool) {
	want := c.caches.request(ctx)
	e, outcome, m := c.lookup(ctx, want, key)
	if outcome != Hit {
		return value, Result{}, false
	}
	c.counters.count(want.strategy, L1, Hit)
	return e.value, c.hit(e, m), true
}

// Fill returns the value of key from L1 or L2, or from load, or from the load of another Fill that is under way. It is Get for values
// that only the request itself can make: at level Views load runs in the caller's goroutine.
func (c *Layered[K, V]) Fill(ctx context.Context, key K, load func(context.Context) (V, error)) (V, Result, error) {
	want := c.caches.request(ctx)
	e, outcome, m := c.lookup(ctx, want, key)
	if outcome == Hit { // it came since Lookup
		c.counters.count(want.strategy, L1, Hit)
		result := c.hit(e, m)
		want.trail.note(c.class.Level, result.Steps)
		return e.value, result, nil
	}
	a := c.read(ctx, want, key, e, outcome, load)
	want.trail.note(c.class.Level, a.result.Steps)
	if a.err != nil {
		var none V
		return none, a.result, a.err
	}
	return a.entry.value, a.result, nil
}

// Forget deletes keys from L2 for the strategies that want it: what the code that writes does after its commit. Others need nobody
// to tell them.
func (c *Layered[K, V]) Forget(ctx context.Context, keys ...K) {
	for s, p := range c.policies {
		if p.l2 && p.forgets && c.caches.Uses(Strategy(s)) {
			c.forget(ctx, Strategy(s), keys)
		}
	}
}

func (c *Layered[K, V]) forget(ctx context.Context, s Strategy, keys []K) {
	if c.caches.cfg.Remote == nil || len(keys) == 0 {
		return
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = c.name(s, key)
	}
	// The commit has happened: a client that hangs up must not keep the deletion from happening.
	if err := c.caches.cfg.Remote.Delete(context.WithoutCancel(ctx), names...); err != nil {
		c.caches.cfg.Log.WarnContext(ctx, "deleting from the cache after a write", "class", c.class.Name, "error", err)
	}
}

func (c *Layered[K, V]) unwrap(e *entry[V]) (V, error) {
	if e.absent {
		return e.value, c.class.Absent
	}
	return e.value, nil
}

// ageSampled: of this many hits one is observed by the histogram of ages, which shows a distribution.
const ageSampled = 16

// deliver hands an answer to the request: it leaves a trail and tells whoever builds something from the value what it depends on.
func (c *Layered[K, V]) deliver(ctx context.Context, want request, a answer[V]) (V, error) {
	want.trail.add(c.class.Level, a.result)
	if a.err != nil {
		var none V
		return none, a.err
	}
	if (a.result.Source == SourceDataL1 || a.result.Source == SourceDataL2) && rand.Uint32N(ageSampled) == 0 {
		c.caches.ObserveAge(c.class.Level, time.Since(a.result.Filled))
	}
	if freshness.Collecting(ctx) {
		freshness.Depend(ctx, c.extended(a.entry, a.result))
	}
	return c.unwrap(a.entry)
}

// extended returns the stamp of what is built from e. An entry just found fresh is as good as one read under the ledger's snapshot;
// without that, an old entry and a new one could not be parts of one answer: the new one's changes would invalidate the old one's
// snapshot.
func (c *Layered[K, V]) extended(e *entry[V], result Result) freshness.Stamp {
	switch result.Source {
	case SourceStale:
		return freshness.Stamp{} // nothing that is built from it may be kept
	case SourcePostgres:
		return e.stamp
	}
	asOf := c.caches.ledger.AsOf()
	if c.caches.ledger.Judge(&e.stamp, &e.seen) != freshness.Fresh { // changed since it was found fresh
		return e.stamp
	}
	stamp := e.stamp
	stamp.Snapshot = freshness.Either(stamp.Snapshot, asOf.Snapshot)
	return stamp
}
