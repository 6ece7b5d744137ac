package cache

import (
	"context"
	"fmt"
	"time"

	"example.com/strata/app/freshness"
)

// errWaited is what a read returns that waited for another's load as long as it may.
var errWaited = fmt.Errorf("waiting for another read's load: %w", context.DeadlineExceeded)

// follow is given what another read's flight brings, if this read may be: the flight may have begun before a change that this read
// must see.
func (r *reading[K, V]) follow(ctx context.Context, f *flight[V]) (a answer[V], usable bool) {
	a, mine := r.wait(ctx, f)
	switch {
	case mine:
		return a, true
	case a.err != nil:
		return a, r.policy.detached // else its own load may fare better, and its own answer is still to be written
	}
	r.c.counters.joinedReplica.Add(1)
	if a.note != "" {
		r.c.caches.cfg.Observer.Joined(ctx, a.note)
	}
	return r.shared(a)
}

// shared judges what another read's flight brought, for this read.
func (r *reading[K, V]) shared(a answer[V]) (_ answer[V], usable bool) {
	a.result.Steps[L1] = Step{}
	a.result.Steps[L2].Collapsed = true
	if a.result.Source == SourceStale {
		return a, true
	}
	asOf, _, blind := r.c.caches.ledger.Horizon()
	if r.c.isCondemned(a.entry) || r.c.caches.ledger.Judge(&a.entry.stamp, &a.entry.seen) != freshness.Fresh {
		return a, false
	}
	a.result.Source, a.result.Loaded = sourceOf(r.c.class.Level, L1), 0 // this read did not ask the origin
	if !blind && asOf.Time.After(a.result.AsOf) {
		a.result.AsOf, a.result.AsOfText = asOf.Time, asOf.Text
	}
	return a, true
}

// wait returns what the flight brings. If the read cannot wait any longer, or an entry of L1 may stand in for what is slow or
// fails, it returns something that is this read's alone.
func (r *reading[K, V]) wait(ctx context.Context, f *flight[V]) (a answer[V], mine bool) {
	patience := time.NewTimer(time.Until(r.until))
	defer patience.Stop()
	var slow <-chan time.Time
	if r.l1 != nil && r.policy.detached {
		slow = time.After(r.c.caches.cfg.SoftTimeout)
	}
	for {
		select {
		case <-f.done:
			return f.answer, false
		case <-slow:
			if stale, ok := r.c.standIn(r.l1, L1); ok {
				return stale, true
			}
			slow = nil // a change has become known since
		case <-patience.C:
			return answer[V]{err: errWaited}, true
		case <-ctx.Done():
			return answer[V]{err: ctx.Err()}, true
		}
	}
}
