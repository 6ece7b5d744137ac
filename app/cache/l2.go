package cache

import (
	"context"
	"time"
)

// Remote is L2: what replicas share. It keeps entries, and marks: a mark stands in the place of an entry while a replica makes that
// entry. Package remote has one. It answers in time, or with an error: the value can always be had from the origin.
type Remote interface {
	// Get returns what is under a name. Nil without an error means that there is nothing.
	Get(ctx context.Context, name string) ([]byte, error)
	Set(ctx context.Context, name string, entry []byte, life time.Duration) error
	Delete(ctx context.Context, names ...string) error

	// Claim leaves a mark for life where there is nothing, and returns nil; or what is there.
	Claim(ctx context.Context, name string, mark []byte, life time.Duration) ([]byte, error)
	// Replace puts a mark for life in the place of the entry that begins with head, and returns nil; or what is there instead.
	Replace(ctx context.Context, name string, head, mark []byte, life time.Duration) ([]byte, error)
	// Prolong gives a mark another life, and reports whether it is still there.
	Prolong(ctx context.Context, name string, mark []byte, life time.Duration) bool
	// Release removes a mark, if it is still there.
	Release(ctx context.Context, name string, mark []byte)
}

func (r *reading[K, V]) hasL2() bool { return r.policy.l2 && r.c.caches.cfg.Remote != nil }

func (r *reading[K, V]) keepL1(e *entry[V]) {
	if l1 := r.c.l1[r.want.strategy]; l1 != nil {
		l1.Set(r.key, e)
	}
}

// fromLayers returns what L1 has by now, or what L2 has.
func (r *reading[K, V]) fromLayers(ctx context.Context) (a answer[V], ok bool) {
	if l1 := r.c.l1[r.want.strategy]; l1 != nil && !r.renews {
		// Another flight may have landed between this read's look and its take-off.
		if e, ok := l1.GetIfPresent(r.key); ok {
			if m := r.c.moment(r.policy); r.c.judge(e, m) == Hit {
				return answer[V]{entry: e, result: r.c.hit(e, m)}, true
			}
		}
	}
	if !r.hasL2() {
		return a, false
	}
	return r.fromL2(ctx)
}

// fromL2 returns what L2 has, if that is fresh, and keeps it in L1. Else the reading knows what L2 said, an expired entry that may
// have to stand in, and, if it has a turn, whether this replica has left its mark or another one has.
func (r *reading[K, V]) fromL2(ctx context.Context) (a answer[V], ok bool) {
	b, err := r.c.caches.cfg.Remote.Get(ctx, r.name)
	e, asOf := r.judged(ctx, b, err)
	if r.turn.wanted {
		if there, instead := r.takeTurn(ctx, b, err); instead {
			e, asOf = r.judged(ctx, there, nil)
		}
	}
	if r.step.Outcome != Hit || r.renews && time.Now().UnixNano() >= e.early {
		r.spare = e
		return a, false
	}
	r.c.counters.count(r.want.strategy, L2, Hit)
	r.keepL1(e)
	a.entry = e
	a.result = Result{Source: sourceOf(r.c.class.Level, L2), Filled: time.Unix(0, e.filled), AsOf: asOf}
	a.result.Steps[L2] = r.step
	return a, true
}

// judged decodes what L2 said, and notes what that is worth. The entry comes back fresh or expired; one that is neither is of no use.
func (r *reading[K, V]) judged(ctx context.Context, b []byte, err error) (e *entry[V], asOf time.Time) {
	r.step = Step{Outcome: Miss}
	if err == nil && (b == nil || isMark(b)) {
		return nil, asOf
	}
	var payload []byte
	if err == nil {
		e, payload, err = decodeEntry[V](b)
	}
	if err != nil {
		r.step.Outcome = Failed
		return nil, asOf
	}
	m := r.c.moment(r.policy)
	r.step.Outcome, r.step.TTL = r.c.judge(e, m), time.Duration(e.expires-m.unix)
	if m.asOf != nil {
		asOf = m.asOf.Time
	}
	if r.step.Outcome == Invalidated || r.step.Outcome == Miss {
		return nil, asOf
	}
	if err := r.c.decode(e, payload); err != nil {
		r.c.caches.cfg.Log.ErrorContext(ctx, "decoding from the cache", "class", r.c.class.Name, "error", err)
		r.step = Step{Outcome: Failed}
		return nil, asOf
	}
	return e, asOf
}
