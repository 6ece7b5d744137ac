package cache

import (
	"context"
	"time"
)

// answer is what one read is given. It is a value: nobody can change what another was given.
type answer[V any] struct {
	entry  *entry[V] // nil beside an error
	result Result
	err    error
	note   string // of the load, for those who join it, see Observer; empty mostly
}

// reading is one read below L1: what each of its steps has to know. It is made only after L1 has said no, and never on the way of
// a hit.
type reading[K comparable, V any] struct {
	c      *Layered[K, V]
	want   request
	policy policy
	key    K
	name   string // in L2 and among the flights
	load   func(context.Context) (V, error)
	until  time.Time // it waits no longer
	renews bool      // a fresh entry is known, and a newer one wanted

	l1    *entry[V] // may have to stand in for a slow or failing origin; nil without
	spare *entry[V] // likewise, out of L2
	step  Step      // what L2 said
	turn  turn      // among the replicas that want the same
}

// read gets what L1 does not have. l1 is the unusable entry that it does have, or nil, and outcome what was said of it.
func (c *Layered[K, V]) read(ctx context.Context, want request, key K, l1 *entry[V], outcome Outcome, load func(context.Context) (V, error)) answer[V] {
	r := c.reading(want, key, load)
	if r.policy.judged {
		if _, ok := c.standIn(l1, L1); ok {
			r.l1 = l1
		}
	}
	a := r.answer(ctx)
	if a.err != nil && ctx.Err() == nil {
		if stale, ok := c.standIn(r.l1, L1); ok {
			a = stale
		}
	}
	if a.result.Steps[L1].Outcome == 0 {
		a.result.Steps[L1].Outcome = outcome
	}
	c.counters.count(want.strategy, L1, a.result.Steps[L1].Outcome) // now it is known whether an expired entry stood in
	return a
}

func (c *Layered[K, V]) reading(want request, key K, load func(context.Context) (V, error)) reading[K, V] {
	r := reading[K, V]{c: c, want: want, policy: c.policies[want.strategy], key: key, load: load}
	if r.policy.keeps() && !want.bypass {
		r.name, r.until = c.name(want.strategy, key), time.Now().Add(c.caches.cfg.LoadTimeout)
	}
	return r
}

// attempts bounds how often a read joins flights that bring it something older than what is known when they land.
const attempts = 3

// answer asks L2, whoever loads the value already, and the origin, in this order.
func (r *reading[K, V]) answer(ctx context.Context) answer[V] {
	switch {
	case r.want.bypass || !r.policy.keeps():
		return r.fromOrigin(ctx, false)
	case !r.policy.coalesced:
		return r.alone(ctx)
	}
	for range attempts {
		f, leads := r.c.flights.join(r.name)
		if leads {
			return r.lead(ctx, f)
		}
		if a, usable := r.follow(ctx, f); usable {
			return a
		}
	}
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	return r.alone(ctx)
}

// alone asks without regard to who else does.
func (r *reading[K, V]) alone(ctx context.Context) answer[V] {
	if a, ok := r.fromLayers(ctx); ok {
		return a
	}
	return r.fromOrigin(ctx, true)
}

// lead answers for all who join. The flight lands whatever happens, also if something panics.
func (r *reading[K, V]) lead(ctx context.Context, f *flight[V]) (a answer[V]) {
	a.err = errLost
	passedOn := false
	defer func() {
		if !passedOn {
			r.c.flights.land(r.name, f, a)
		}
	}()
	if r.policy.detached {
		r.turn = r.c.turn()
	}
	if found, ok := r.fromLayers(ctx); ok {
		return found
	}
	if !r.policy.detached {
		return r.fromOrigin(ctx, true)
	}
	passedOn = true
	r.detach(ctx, f)
	own, _ := r.wait(ctx, f)
	return own
}

// detach goes on behind the request, which may give up or be served an expired entry because the load is slow.
func (r *reading[K, V]) detach(ctx context.Context, f *flight[V]) {
	rest := *r            // a copy: the request goes on with its own
	rest.want.trail = nil // belongs to the request, which the load may outlive
	r.c.caches.background.Go(func() {
		a := answer[V]{err: errLost}
		defer func() { rest.c.flights.land(rest.name, f, a) }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(rest.want.in(ctx)), rest.c.caches.cfg.LoadTimeout)
		defer cancel()
		if found, ok := rest.queue(ctx); ok {
			a = found
			return
		}
		a = rest.fromOrigin(ctx, true)
	})
}
