package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"example.com/strata/app/freshness"
)

// ErrDoNotKeep is returned by a load beside a value that may be handed to those who wait for it and must not be kept.
var ErrDoNotKeep = errors.New("this value is not to be kept")

// fromOrigin returns what the origin says, and keeps it if keep says so; or the spare entry, if the origin fails.
func (r *reading[K, V]) fromOrigin(ctx context.Context, keep bool) (a answer[V]) {
	start := time.Now()
	stop := r.herald(ctx)
	e, claim, note, err := r.c.load(ctx, r.want, r.load)
	stop()
	a = answer[V]{entry: e, err: err, note: note}
	a.result = Result{Source: SourcePostgres, Filled: start, Loaded: time.Since(start)}
	a.result.Steps[L2] = r.step
	switch {
	case err == nil:
		r.describe(&a, claim)
		a.result.Steps[L2].Stored = keep && r.keep(ctx, e, start)
	case errors.Is(err, ErrDoNotKeep):
		a.err = nil
		r.describe(&a, claim)
	case r.policy.judged:
		if stale, ok := r.c.standIn(r.spare, L2); ok {
			a = stale
		}
	}
	if !keep {
		return a
	}
	r.c.counters.count(r.want.strategy, L2, a.result.Steps[L2].Outcome)
	if r.turn.holds && !a.result.Steps[L2].Stored { // else the value has replaced the mark
		r.c.caches.cfg.Remote.Release(ctx, r.name, r.turn.mark)
	}
	return a
}

// describe says how old an answer is that was loaded: as old as what a lagging origin claims, or as the oldest part that it was
// built of, of which the request's trail knows.
func (r *reading[K, V]) describe(a *answer[V], claim time.Time) {
	switch {
	case r.c.class.Level == Views:
		r.want.trail.sum(&a.result)
		a.entry.filled = a.result.Filled.UnixNano()
	case claim.IsZero():
		a.result.AsOf = a.result.Filled // what was read was read after it
	default:
		a.result.AsOf = claim
	}
}

// load asks the origin once and stamps what it says. Of an error only Class.Absent becomes an entry; ErrDoNotKeep comes back beside
// one. claim is zero unless the origin lags: then it is what the value is sure to be as new as.
//
// A request that bypasses the caches collects no stamp, unless it audits: then its own is wanted. For the store that means that it
// must not lag.
func (c *Layered[K, V]) load(ctx context.Context, want request, load func(context.Context) (V, error)) (e *entry[V], claim time.Time, note string, err error) {
	observer := c.caches.cfg.Observer
	op := Op{Kind: Load, Class: c.class.Name, Level: c.class.Level, Began: time.Now()}
	ctx = observer.Start(ctx, op)
	defer func() {
		failure := err
		if errors.Is(err, ErrDoNotKeep) {
			failure = nil
		}
		observer.End(ctx, op, failure)
	}()
	note = observer.Note(ctx)
	inner := ctx
	var collector *freshness.Collector
	if c.policies[want.strategy].judged && (!want.bypass || want.audit) {
		inner, collector = freshness.Collect(ctx)
	}
	leave, err := c.enter(inner)
	if err != nil {
		return nil, claim, note, err
	}
	start := time.Now()
	e = new(entry[V])
	e.value, err = guarded(inner, c.class.Level, load)
	leave()
	if c.class.Absent != nil && errors.Is(err, c.class.Absent) {
		e.absent, err = true, nil
	}
	counted := c.class.Level == Data && !want.audit
	if counted {
		op.Took = max(1, time.Since(start))
		c.counters.loads[resultOf(e.absent, err)].Add(1)
		c.counters.usual.add(op.Took)
	}
	if err != nil && !errors.Is(err, ErrDoNotKeep) {
		return nil, claim, note, err
	}
	if collector != nil {
		e.stamp, claim = collector.Stamp(), collector.AsOf()
		if counted {
			if cause := c.caches.ledger.Cause(&e.stamp); cause != "" {
				observer.Caused(ctx, op, cause)
			}
		}
	}
	e.filled = start.UnixNano()
	return e, claim, note, err
}

// guarded turns the panic of a load into an error: it runs in a goroutine of the flight, where a panic would end the process. A
// view's load runs in the request's own goroutine, where the server recovers it.
func guarded[V any](ctx context.Context, level Level, load func(context.Context) (V, error)) (v V, err error) {
	if level == Data {
		defer recovered("loading", &err)
	}
	return load(ctx)
}

// recovered turns a panic into an error.
func recovered(doing string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s panicked: %v\n%s", doing, p, debug.Stack())
	}
}

func resultOf(absent bool, err error) LoadResult {
	switch {
	case err != nil && !errors.Is(err, ErrDoNotKeep):
		return Erred
	case absent:
		return Absent
	}
	return Loaded
}
