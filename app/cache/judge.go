package cache

import (
	"context"
	"time"

	"example.com/strata/app/freshness"
)

// moment is when an entry is judged. It is read once a look-up, because reading the clock is the dearest part of one.
type moment struct {
	unix  int64           // nanoseconds
	asOf  *freshness.AsOf // what the ledger vouches for; nil where entries are not judged by it
	age   time.Duration   // since that
	blind bool            // the ledger cannot judge
}

// moment must be taken before judging: then the verdict is at least as new as the claim.
func (c *Layered[K, V]) moment(p policy) moment {
	if !p.judged {
		return moment{unix: time.Now().UnixNano()}
	}
	asOf, age, blind := c.caches.ledger.Horizon()
	return moment{asOf.Time.UnixNano() + int64(age), asOf, age, blind}
}

// lookup judges what L1 has. The entry comes back whatever the outcome, because it may have to stand in for a failed load.
func (c *Layered[K, V]) lookup(ctx context.Context, want request, key K) (*entry[V], Outcome, moment) {
	l1 := c.l1[want.strategy]
	if l1 == nil || want.bypass {
		return nil, 0, moment{}
	}
	e, ok := l1.GetIfPresent(key)
	if !ok {
		return nil, Miss, moment{}
	}
	p := &c.policies[want.strategy]
	m := c.moment(*p)
	outcome := c.judge(e, m)
	if outcome == Hit && m.unix >= e.early && p.detached {
		c.refresh(ctx, want, key, e)
	}
	return e, outcome, m
}

// judge decides whether an entry may be served: by its stamp where the strategy has stamps, and by its age.
func (c *Layered[K, V]) judge(e *entry[V], m moment) Outcome {
	if m.asOf != nil {
		if m.blind || c.isCondemned(e) {
			return Bypassed
		}
		switch c.caches.ledger.Judge(&e.stamp, &e.seen) {
		case freshness.Invalidated:
			return Invalidated
		case freshness.Unjudged:
			return Miss
		}
	}
	if m.unix >= e.expires {
		return Expired
	}
	return Hit
}

// hit describes a hit of L1.
func (c *Layered[K, V]) hit(e *entry[V], m moment) Result {
	r := Result{Source: sourceOf(c.class.Level, L1), Filled: time.Unix(0, e.filled)}
	r.Steps[L1] = Step{Outcome: Hit, TTL: time.Duration(e.expires - m.unix)}
	r.Age = time.Duration(m.unix - e.filled)
	if m.asOf != nil {
		r.AsOf, r.AsOfText, r.Age = m.asOf.Time, m.asOf.Text, m.age
	}
	return r
}

// standIn returns an entry of a layer in place of what the origin does not say, if it may be served: no change of it is known, and
// it has not been expired for longer than Config.StaleIfError.
func (c *Layered[K, V]) standIn(e *entry[V], layer Layer) (a answer[V], ok bool) {
	if e == nil || c.isCondemned(e) {
		return a, false
	}
	asOf := c.caches.ledger.AsOf() // before judging
	left := time.Until(time.Unix(0, e.expires))
	if c.caches.ledger.Judge(&e.stamp, nil) != freshness.Fresh || left <= -c.caches.cfg.StaleIfError {
		return a, false
	}
	a.entry = e
	a.result = Result{Source: SourceStale, Filled: time.Unix(0, e.filled), AsOf: asOf.Time}
	a.result.Steps[layer] = Step{Outcome: Stale, TTL: left}
	return a, true
}
