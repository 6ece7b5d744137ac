package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"strata/app/freshness"
	"strata/app/telemetry"
)

// Class describes one class of values.
type Class[K comparable, V any] struct {
	Name  string         // label value and part of the L2 key; from a closed set
	Level Level          // Data unless said otherwise
	Share float64        // of the level's L1 bytes, 0 to 1; all of them
	TTL   time.Duration  // of an entry of strategy Stamped, give or take a tenth; 10 min
	Loads int            // at most so many of Config.MaxLoads at once, for what is dear to load; all of them. Not used at level Views
	Key   func(K) string // different keys, different strings

	// Load asks the origin. With strategy Stamped it must tell freshness.Depend what it read; a value without a stamp is not kept.
	// It may return ErrDoNotKeep beside the value. Not used by Fill.
	Load   func(context.Context, K) (V, error)
	Absent error // returned by Load for what does not exist: kept like a value. Nil: no error is kept

	Encode func(V) ([]byte, error) // json.Marshal unless said otherwise
	Decode func([]byte) (V, error) // the bytes are V's to keep; json.Unmarshal unless said otherwise
}

// Layered keeps the values of one class in L1 and L2. What it returns is shared between requests and must not be changed.
type Layered[K comparable, V any] struct {
	class   Class[K, V]
	layers  *Layers
	metrics *classMetrics
	l1      [strategies]*otter.Cache[K, *entry[V]] // nil for strategies without L1 at this level
	flights flights[V]
	limit   *limit // of this class alone; nil without

	condemned atomic.Uint64 // the epoch that Condemn was told of; 0 without
}

// New returns the cache of a class.
func New[K comparable, V any](layers *Layers, class Class[K, V]) *Layered[K, V] {
	orDefault(&class.TTL, 10*time.Minute)
	orDefault(&class.Share, 1.0)
	if class.Encode == nil {
		class.Encode = func(v V) ([]byte, error) { return json.Marshal(v) }
	}
	if class.Decode == nil {
		class.Decode = func(b []byte) (v V, err error) { return v, json.Unmarshal(b, &v) }
	}
	c := &Layered[K, V]{class: class, layers: layers, metrics: layers.metrics.forClass(class.Level, class.Name, layers.Uses)}
	if class.Level == Data && class.Loads > 0 {
		c.limit = newLimit(class.Loads, layers.cfg.LoadWait)
		layers.metrics.limited(class.Name, c.limit)
	}
	for _, s := range Strategies() {
		if l1, _ := s.keeps(class.Level); l1 && layers.Uses(s) {
			c.l1[s] = c.newL1()
		}
	}
	return c
}

func (c *Layered[K, V]) newL1() *otter.Cache[K, *entry[V]] {
	l1 := otter.Must(&otter.Options[K, *entry[V]]{
		MaximumWeight: max(1, uint64(float64(c.layers.capacity(c.class.Level))*c.class.Share)),
		Weigher:       func(_ K, e *entry[V]) uint32 { return e.size },
		// Its upkeep in the goroutine that made it due: some microseconds now and then, where a goroutine for each write would wake another core.
		Executor: func(upkeep func()) { upkeep() },
		// No ExpiryCalculator: whether an entry is expired is judged at the read, and an expired one can still help when the origin fails.
		OnAtomicDeletion: func(e otter.DeletionEvent[K, *entry[V]]) {
			if e.Cause == otter.CauseOverflow {
				c.metrics.evictions.Inc()
			}
		},
	})
	c.layers.mu.Lock()
	defer c.layers.mu.Unlock()
	c.layers.l1s = append(c.layers.l1s, l1Size{c.class.Level, l1.EstimatedSize, l1.WeightedSize})
	return l1
}

// Get returns the value of key: from L1, from L2, or loaded. It returns Class.Absent for what does not exist, what Load returned
// if nothing can stand in for it, or the context's error.
func (c *Layered[K, V]) Get(ctx context.Context, key K) (V, error) {
	r := c.layers.request(ctx)
	e, outcome, m := c.lookup(ctx, r, key)
	if outcome == Hit {
		c.metrics.count(r.strategy, L1, Hit)
		if r.trail == nil && !freshness.Collecting(ctx) {
			return c.unwrap(e)
		}
		return c.deliver(ctx, r, e, c.hit(e, m))
	}
	e, result, err := c.fetch(ctx, r, key, e, outcome)
	c.metrics.count(r.strategy, L1, result.Steps[L1].Outcome) // now it is known whether an expired entry stood in
	if err != nil {
		r.trail.add(c.class.Level, result)
		var none V
		return none, err
	}
	return c.deliver(ctx, r, e, result)
}

// Lookup returns the value of key if L1 holds a fresh entry, and does nothing else. For what it does not find, Fill is the next step, and
// counts the miss.
func (c *Layered[K, V]) Lookup(ctx context.Context, key K) (value V, result Result, ok bool) {
	r := c.layers.request(ctx)
	e, outcome, m := c.lookup(ctx, r, key)
	if outcome != Hit {
		return value, Result{}, false
	}
	c.metrics.count(r.strategy, L1, Hit)
	return e.value, c.hit(e, m), true
}

// Fill returns the value of key from L1 or L2, or from load, which runs in the caller's goroutine, or from the load of another Fill that is
// under way. It is Get for values that only the request itself can make.
func (c *Layered[K, V]) Fill(ctx context.Context, key K, load func(context.Context) (V, error)) (V, Result, error) {
	r := c.layers.request(ctx)
	present, outcome, m := c.lookup(ctx, r, key)
	if outcome == Hit { // it came since Lookup
		c.metrics.count(r.strategy, L1, Hit)
		result := c.hit(present, m)
		r.trail.note(c.class.Level, result.Steps)
		return present.value, result, nil
	}
	f := c.join(ctx, r, key, load)
	if f.err != nil && present != nil && c.mayStandIn(present) {
		f = standIn(present)
	}
	if f.result.Steps[L1].Outcome == 0 {
		f.result.Steps[L1].Outcome = outcome
	}
	c.metrics.count(r.strategy, L1, f.result.Steps[L1].Outcome)
	r.trail.note(c.class.Level, f.result.Steps)
	if f.err != nil {
		var none V
		return none, f.result, f.err
	}
	return f.entry.value, f.result, nil
}

// Forget deletes keys from L2 for the strategy Aside: what the code that writes does after its commit. Other strategies need nobody to tell them.
func (c *Layered[K, V]) Forget(ctx context.Context, keys ...K) {
	if c.layers.l2 == nil || !c.layers.Uses(Aside) || len(keys) == 0 {
		return
	}
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = c.l2Key(Aside, key)
	}
	// The commit has happened: a client that hangs up must not keep the deletion from happening.
	if err := c.layers.l2.delete(context.WithoutCancel(ctx), names...); err != nil {
		c.layers.tel.Log.WarnContext(ctx, "deleting from the cache after a write", "class", c.class.Name, "error", err)
	}
}

// moment is when an entry is judged. It is read once a look-up, because reading the clock is the dearest part of one.
type moment struct {
	unix  int64           // nanoseconds
	asOf  *freshness.AsOf // what the ledger vouches for; nil unless the strategy is Stamped
	age   time.Duration   // since that
	blind bool            // the ledger cannot judge
}

// moment must be taken before judging: then the verdict is at least as new as the claim.
func (c *Layered[K, V]) moment(s Strategy) moment {
	if s != Stamped {
		return moment{unix: time.Now().UnixNano()}
	}
	asOf, age, blind := c.layers.ledger.Horizon()
	return moment{asOf.Time.UnixNano() + int64(age), asOf, age, blind}
}

// lookup judges what L1 has. The entry comes back whatever the outcome, because it may have to stand in for a failed load.
func (c *Layered[K, V]) lookup(ctx context.Context, r request, key K) (*entry[V], Outcome, moment) {
	l1 := c.l1[r.strategy]
	if l1 == nil || r.bypass {
		return nil, 0, moment{}
	}
	e, ok := l1.GetIfPresent(key)
	if !ok {
		return nil, Miss, moment{}
	}
	m := c.moment(r.strategy)
	outcome := c.judge(e, m)
	if outcome == Hit && m.unix >= e.early && r.strategy == Stamped {
		c.refresh(ctx, r, key, e)
	}
	return e, outcome, m
}

// judge decides whether an entry may be served: by its stamp where the strategy has stamps, and by its age.
func (c *Layered[K, V]) judge(e *entry[V], m moment) Outcome {
	if m.asOf != nil {
		if m.blind || c.isCondemned(e) {
			return Bypassed
		}
		switch c.layers.ledger.Judge(&e.stamp, &e.seen) {
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
	r := Result{Source: source(c.class.Level, L1), Filled: time.Unix(0, e.filled)}
	r.Steps[L1] = Step{Outcome: Hit, TTL: time.Duration(e.expires - m.unix)}
	r.Age = time.Duration(m.unix - e.filled)
	if m.asOf != nil {
		r.AsOf, r.AsOfText, r.Age = m.asOf.Time, m.asOf.Text, m.age
	}
	return r
}

func (c *Layered[K, V]) unwrap(e *entry[V]) (V, error) {
	if e.absent {
		return e.value, c.class.Absent
	}
	return e.value, nil
}

// ageSampled: one hit in so many is observed by the histogram of ages, which shows a distribution.
const ageSampled = 16

// deliver hands an entry to the request: it leaves a trail and tells whoever builds something from the value what it depends on.
func (c *Layered[K, V]) deliver(ctx context.Context, r request, e *entry[V], result Result) (V, error) {
	r.trail.add(c.class.Level, result)
	if (result.Source == telemetry.SourceDataL1 || result.Source == telemetry.SourceDataL2) && rand.Uint32N(ageSampled) == 0 {
		c.layers.ObserveAge(c.class.Level, time.Since(result.Filled))
	}
	if freshness.Collecting(ctx) {
		freshness.Depend(ctx, c.extended(e, result))
	}
	return c.unwrap(e)
}

// extended returns the stamp of what is built from e. An entry just found fresh is as good as one read under the
// ledger's snapshot; without that, an old entry and a new one could not be parts of one answer: the new one's changes would invalidate the old one's snapshot.
func (c *Layered[K, V]) extended(e *entry[V], result Result) freshness.Stamp {
	switch result.Source {
	case telemetry.SourceStale:
		return freshness.Stamp{} // nothing that is built from it may be kept
	case telemetry.SourcePostgres:
		return e.stamp
	}
	asOf := c.layers.ledger.AsOf()
	if c.layers.ledger.Judge(&e.stamp, &e.seen) != freshness.Fresh { // changed since it was found fresh
		return e.stamp
	}
	stamp := e.stamp
	stamp.Snapshot = freshness.Either(stamp.Snapshot, asOf.Snapshot)
	return stamp
}

// fetch gets what L1 does not have. l1 is the unusable entry that it does have, or nil.
func (c *Layered[K, V]) fetch(ctx context.Context, r request, key K, l1 *entry[V], l1Outcome Outcome) (*entry[V], Result, error) {
	load := func(ctx context.Context) (V, error) { return c.class.Load(ctx, key) }
	c.Audited(ctx, key)
	if _, keepsL2 := r.strategy.keeps(c.class.Level); r.bypass || !keepsL2 {
		return c.direct(ctx, load)
	}
	var f *flight[V]
	if r.strategy == Stamped {
		f = c.await(ctx, r, key, load, l1)
	} else {
		f = c.alone(ctx, r, key, load)
	}
	if f.result.Steps[L1].Outcome != Stale {
		f.result.Steps[L1].Outcome = l1Outcome
	}
	return f.entry, f.result, f.err
}

// direct asks the origin and keeps nothing.
func (c *Layered[K, V]) direct(ctx context.Context, load func(context.Context) (V, error)) (*entry[V], Result, error) {
	start := time.Now()
	e, _, _, err := c.load(ctx, load)
	if errors.Is(err, ErrDoNotKeep) {
		err = nil
	}
	return e, c.resultOf(start), err
}

// resultOf describes what the origin said, when asked at start. Data were read after start. A view may be built of older parts: there the
// request's trail knows.
func (c *Layered[K, V]) resultOf(start time.Time) Result {
	r := Result{Source: telemetry.SourcePostgres, Filled: start, Loaded: time.Since(start)}
	if c.class.Level == Data {
		r.AsOf = start
	}
	return r
}

// alone looks into L2 and asks the origin without regard to who else does: coalescing is not what people deploy with TTL and Aside.
func (c *Layered[K, V]) alone(ctx context.Context, r request, key K, load func(context.Context) (V, error)) *flight[V] {
	f := new(flight[V])
	if spare := c.cached(ctx, r, key, f, nil, false); f.entry == nil {
		c.loaded(ctx, r, key, load, f, nil, spare)
	}
	return f
}

// attempts bounds how often a request joins flights that bring it something older than what is known when they land.
const attempts = 3

// await gets the value by a flight whose load has its own goroutine, so that it outlives a request that gives up, or that is served an
// expired entry because the load is slow.
func (c *Layered[K, V]) await(ctx context.Context, r request, key K, load func(context.Context) (V, error), l1 *entry[V]) *flight[V] {
	if l1 != nil && !c.mayStandIn(l1) {
		l1 = nil
	}
	r.trail = nil // belongs to this request, which the flight may outlive
	name := c.l2Key(r.strategy, key)
	for range attempts {
		f, leads := c.flights.join(name)
		if leads {
			t := c.turn()
			spare := c.cached(ctx, r, key, f, t, false)
			if f.entry != nil {
				c.flights.land(name, f)
				return f.own()
			}
			c.layers.background.Go(func() {
				defer c.flights.land(name, f)
				ctx, cancel := context.WithTimeout(context.WithoutCancel(r.in(ctx)), c.layers.cfg.LoadTimeout)
				defer cancel()
				if t != nil && t.other != nil {
					spare = c.queue(ctx, r, key, f, t)
				}
				if f.entry == nil {
					c.loaded(ctx, r, key, load, f, t, spare)
				}
			})
		}
		var slow <-chan time.Time
		if l1 != nil {
			slow = time.After(c.layers.cfg.SoftTimeout)
		}
		select {
		case <-ctx.Done():
			return &flight[V]{err: ctx.Err()}
		case <-slow:
			return standIn(l1)
		case <-f.done:
		}
		if f.err != nil && l1 != nil {
			return standIn(l1)
		}
		if leads || f.err != nil {
			return f.own()
		}
		if own := c.shared(ctx, f); own != nil {
			return own
		}
	}
	return c.alone(ctx, r, key, load)
}

// join gets the value by a flight in the caller's goroutine.
func (c *Layered[K, V]) join(ctx context.Context, r request, key K, load func(context.Context) (V, error)) *flight[V] {
	if _, keepsL2 := r.strategy.keeps(c.class.Level); r.bypass || !keepsL2 {
		e, result, err := c.direct(ctx, load)
		return &flight[V]{entry: e, result: result, err: err}
	}
	if r.strategy != Stamped {
		return c.alone(ctx, r, key, load)
	}
	name := c.l2Key(r.strategy, key)
	for range attempts {
		f, leads := c.flights.join(name)
		if leads {
			defer c.flights.land(name, f) // also if load panics
			if spare := c.cached(ctx, r, key, f, nil, false); f.entry == nil {
				c.loaded(ctx, r, key, load, f, nil, spare)
			}
			return f.own()
		}
		select {
		case <-ctx.Done():
			return &flight[V]{err: ctx.Err()}
		case <-f.done:
		}
		if f.err != nil {
			continue // its own load may fare better, and its own answer is still to be written
		}
		if own := c.shared(ctx, f); own != nil {
			return own
		}
	}
	return c.alone(ctx, r, key, load)
}

// shared judges what another request's flight brought, and returns nil if this request cannot use it. The flight may have begun before
// this request, and a change may have become known since; then this request must not be given what the other one may.
func (c *Layered[K, V]) shared(ctx context.Context, f *flight[V]) *flight[V] {
	c.metrics.coalesced.Inc()
	if f.span.IsValid() {
		trace.SpanFromContext(ctx).AddLink(trace.Link{SpanContext: f.span})
	}
	own := f.own()
	own.result.Steps[L2].Collapsed = true
	if f.result.Source == telemetry.SourceStale {
		return own
	}
	asOf := c.layers.ledger.AsOf()
	if c.isCondemned(f.entry) || c.layers.ledger.Judge(&f.entry.stamp, &f.entry.seen) != freshness.Fresh {
		return nil
	}
	own.result.Source, own.result.Loaded = source(c.class.Level, L1), 0 // this request did not ask the origin
	if asOf.Time.After(own.result.AsOf) {
		own.result.AsOf, own.result.AsOfText = asOf.Time, asOf.Text
	}
	return own
}

// cached puts into the flight what L1 or L2 has. What it cannot use but may stand in for a failed load is spare. refresh means
// that a fresh entry is known and a newer one wanted. With a turn, L2 is told that this replica loads what it does not have, or tells that
// another does.
func (c *Layered[K, V]) cached(ctx context.Context, r request, key K, f *flight[V], t *turn, refresh bool) (spare *entry[V]) {
	if l1 := c.l1[r.strategy]; l1 != nil && !refresh {
		// Another flight may have landed between this request's look and its take-off.
		if e, ok := l1.GetIfPresent(key); ok {
			if m := c.moment(r.strategy); c.judge(e, m) == Hit {
				f.entry, f.result, f.err = e, c.hit(e, m), nil
				return nil
			}
		}
	}
	e, step, asOf := c.fromL2(ctx, r, key, t)
	f.result.Steps[L2] = step
	if step.Outcome != Hit || refresh && time.Now().UnixNano() >= e.early {
		return e
	}
	c.found(r, key, f, e, asOf)
	return nil
}

// found puts a fresh entry of L2 into the flight and into L1.
func (c *Layered[K, V]) found(r request, key K, f *flight[V], e *entry[V], asOf time.Time) {
	c.metrics.count(r.strategy, L2, Hit)
	c.keepL1(r, key, e)
	f.entry, f.err = e, nil
	f.result.Source, f.result.Filled, f.result.AsOf = source(c.class.Level, L2), time.Unix(0, e.filled), asOf
}

// loaded puts into the flight what the origin says, and keeps it; or spare, if the origin fails and spare may stand in for it.
func (c *Layered[K, V]) loaded(ctx context.Context, r request, key K, load func(context.Context) (V, error), f *flight[V], t *turn, spare *entry[V]) {
	start, l2Step := time.Now(), f.result.Steps[L2]
	var asOf time.Time
	f.entry, asOf, f.span, f.err = c.load(ctx, load)
	f.result = c.resultOf(start)
	if !asOf.IsZero() {
		f.result.AsOf = asOf
	}
	f.result.Steps[L2] = l2Step
	switch {
	case f.err == nil:
		f.result.Steps[L2].Stored = c.keep(ctx, r, key, f.entry, start)
	case errors.Is(f.err, ErrDoNotKeep):
		f.err = nil
	case spare != nil && r.strategy == Stamped && c.mayStandIn(spare):
		f.entry, f.result, f.err = spare, standIn(spare).result, nil
		f.result.Steps[L1], f.result.Steps[L2] = Step{}, f.result.Steps[L1] // it is L2's
	}
	c.metrics.count(r.strategy, L2, f.result.Steps[L2].Outcome)
	if t != nil && t.holds && !f.result.Steps[L2].Stored { // else the value has replaced the mark
		c.layers.l2.release(ctx, c.l2Key(r.strategy, key), t.mark)
	}
}

// load asks the origin once and stamps what it says. Of an error only Class.Absent becomes an entry; ErrDoNotKeep comes back beside one.
// asOf is zero unless the origin lags: then it is what the value is sure to be as new as.
//
// A request that bypasses the caches collects no stamp, unless it audits: then its own is wanted. For the store that means that it must not lag.
func (c *Layered[K, V]) load(ctx context.Context, load func(context.Context) (V, error)) (e *entry[V], asOf time.Time, sc trace.SpanContext, err error) {
	var span trace.Span = noop.Span{}
	if trace.SpanFromContext(ctx).IsRecording() {
		ctx, span = c.layers.tel.Tracer.Start(ctx, telemetry.SpanCacheLoad, c.about())
		sc = span.SpanContext()
		defer func() {
			if err != nil && !errors.Is(err, ErrDoNotKeep) {
				span.SetAttributes(telemetry.AttrErrorType.String(telemetry.ErrorType(err)))
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}()
	}
	var collector *freshness.Collector
	r := c.layers.request(ctx)
	if r.strategy == Stamped && (!r.bypass || r.audit) {
		ctx, collector = freshness.Collect(ctx)
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return nil, asOf, sc, err
	}
	start := time.Now()
	e = new(entry[V])
	e.value, err = guarded(ctx, c.class.Level, load)
	leave()
	if c.class.Absent != nil && errors.Is(err, c.class.Absent) {
		e.absent, err = true, nil
	}
	if c.class.Level == Data && !r.audit {
		took := time.Since(start)
		c.metrics.loads[loadResult(e.absent, err)].Inc()
		c.metrics.usual.add(took)
		telemetry.Observe(ctx, c.metrics.loadSeconds, took.Seconds())
	}
	if err != nil && !errors.Is(err, ErrDoNotKeep) {
		return nil, asOf, sc, err
	}
	if collector != nil {
		e.stamp, asOf = collector.Stamp(), collector.AsOf()
		if c.class.Level == Data && !r.audit {
			c.causedBy(span, &e.stamp, start)
		}
	}
	e.filled = start.UnixNano()
	return e, asOf, sc, err
}

// about is what the span of a load says of it from the start.
func (c *Layered[K, V]) about() trace.SpanStartEventOption {
	return trace.WithAttributes(telemetry.AttrClass.String(c.class.Name), telemetry.AttrLevel.String(c.class.Level.String()))
}

// causedBy leads from the first value that was loaded after a traced change to that change: by a link of the load's span, or, if the request
// that loads is not traced, by a span in the writer's trace.
func (c *Layered[K, V]) causedBy(span trace.Span, stamp *freshness.Stamp, start time.Time) {
	change := telemetry.SpanContext(c.layers.ledger.Cause(stamp))
	switch {
	case !change.IsValid():
	case span.IsRecording():
		span.AddLink(trace.Link{SpanContext: change})
	default:
		_, span = c.layers.tel.Tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), change), telemetry.SpanCacheLoad, trace.WithTimestamp(start), c.about())
		span.End()
	}
}

// guarded turns the panic of a load into an error: it runs in a goroutine of the flight, where a panic would end the process. A
// view's load runs in the request's own goroutine, where the server recovers it.
func guarded[V any](ctx context.Context, level Level, load func(context.Context) (V, error)) (v V, err error) {
	if level == Data {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("loading panicked: %v\n%s", p, debug.Stack())
			}
		}()
	}
	return load(ctx)
}

func loadResult(absent bool, err error) string {
	switch {
	case err != nil && !errors.Is(err, ErrDoNotKeep):
		return "error"
	case absent:
		return "not_found"
	}
	return "ok"
}

// fromL2 reads and judges what Redis has. The entry comes back expired or fresh; one that is neither is of no use.
func (c *Layered[K, V]) fromL2(ctx context.Context, r request, key K, t *turn) (*entry[V], Step, time.Time) {
	if c.layers.l2 == nil {
		return nil, Step{}, time.Time{}
	}
	name := c.l2Key(r.strategy, key)
	b, err := c.layers.l2.get(ctx, name)
	e, step, asOf := c.decode(r, b, err)
	if t == nil {
		return e, step, asOf
	}
	t.note(b, false)
	switch {
	case errors.Is(err, errNotInL2):
		t.mark = newMark(ctx)
		b, err = c.layers.l2.claim(ctx, name, t, c.layers.cfg.FleetWait)
	case step.Outcome == Invalidated:
		// It is of no use to anybody who knows of the change: the mark may replace it. If something else has by now, that counts. What this
		// replica cannot judge stays: its ledger may have forgotten more than others', which go on using the entry.
		t.mark = newMark(ctx)
		b, err = c.layers.l2.replace(ctx, name, b, t, c.layers.cfg.FleetWait)
	default:
		return e, step, asOf
	}
	if err != nil { // the mark is there, or Redis failed
		return nil, step, asOf
	}
	return c.decode(r, b, nil)
}

// decode judges what Redis said.
func (c *Layered[K, V]) decode(r request, b []byte, err error) (*entry[V], Step, time.Time) {
	step := Step{Outcome: Miss}
	if errors.Is(err, errNotInL2) || err == nil && isMark(b) {
		return nil, step, time.Time{}
	}
	if err != nil {
		step.Outcome = Failed
		return nil, step, time.Time{}
	}
	e, payload, err := decodeEntry[V](b)
	if err != nil {
		step.Outcome = Failed
		return nil, step, time.Time{}
	}
	m := c.moment(r.strategy)
	step.Outcome, step.TTL = c.judge(e, m), time.Duration(e.expires-m.unix)
	var asOf time.Time
	if m.asOf != nil {
		asOf = m.asOf.Time
	}
	if step.Outcome == Invalidated || step.Outcome == Miss {
		return nil, step, asOf
	}
	if !e.absent {
		if e.value, err = c.class.Decode(payload); err != nil {
			step.Outcome = Failed
			return nil, step, asOf
		}
	}
	return e, step, asOf
}

// keep stores what was loaded, and reports whether it did. start is when the load began: everything after it may be missing in the value.
func (c *Layered[K, V]) keep(ctx context.Context, r request, key K, e *entry[V], start time.Time) bool {
	if r.strategy == Stamped && !e.stamp.Known() {
		return false
	}
	var payload []byte
	if !e.absent {
		var err error
		if payload, err = c.class.Encode(e.value); err != nil {
			c.layers.tel.Log.ErrorContext(ctx, "encoding for the cache", "class", c.class.Name, "error", err)
			return false
		}
	}
	cost, ttl, physical := time.Since(start), c.layers.cfg.TTL, c.layers.cfg.TTL
	if r.strategy == Stamped {
		ttl = c.class.TTL - c.class.TTL/10 + rand.N(c.class.TTL/5) // so that entries filled together do not expire together
		physical = ttl + c.layers.cfg.StaleIfError
	}
	e.expires = start.Add(ttl).UnixNano()
	e.early = e.expires - earliness(cost)
	e.size = uint32(len(payload)) + overhead
	c.keepL1(r, key, e)
	if c.layers.l2 == nil {
		return true
	}
	return c.layers.l2.set(ctx, c.l2Key(r.strategy, key), appendEntry(make([]byte, 0, len(payload)+128), e, cost, payload), physical) == nil
}

func (c *Layered[K, V]) keepL1(r request, key K, e *entry[V]) {
	if l1 := c.l1[r.strategy]; l1 != nil {
		l1.Set(key, e)
	}
}

// refresh loads an entry anew before it expires, behind the request's back. Views are left to expire: only a request can make one.
func (c *Layered[K, V]) refresh(ctx context.Context, r request, key K, e *entry[V]) {
	if c.class.Level == Views || !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	r.trail = nil
	c.layers.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.in(ctx)), c.layers.cfg.LoadTimeout)
		defer cancel()
		name := c.l2Key(r.strategy, key)
		f, leads := c.flights.join(name)
		if !leads {
			return // somebody is at it already
		}
		defer c.flights.land(name, f)
		if spare := c.cached(ctx, r, key, f, nil, true); f.entry == nil {
			c.loaded(ctx, r, key, func(ctx context.Context) (V, error) { return c.class.Load(ctx, key) }, f, nil, spare)
		}
		if f.err != nil {
			e.refreshing.Store(false) // let another read try again
		}
	})
}

// mayStandIn reports whether an entry may be served when the origin is slow or fails: no change of it is known, and it has not been
// expired for longer than Config.StaleIfError.
func (c *Layered[K, V]) mayStandIn(e *entry[V]) bool {
	return c.layers.ledger.Judge(&e.stamp, nil) == freshness.Fresh &&
		time.Now().UnixNano() < e.expires+int64(c.layers.cfg.StaleIfError)
}

// standIn serves an entry in place of what the origin does not say.
func standIn[V any](e *entry[V]) *flight[V] {
	r := Result{Source: telemetry.SourceStale, Filled: time.Unix(0, e.filled)}
	r.Steps[L1] = Step{Outcome: Stale, TTL: time.Until(time.Unix(0, e.expires))}
	return &flight[V]{entry: e, result: r}
}

func source(level Level, layer Layer) telemetry.Source {
	switch {
	case level == Views && layer == L1:
		return telemetry.SourceViewL1
	case level == Views:
		return telemetry.SourceViewL2
	case layer == L1:
		return telemetry.SourceDataL1
	}
	return telemetry.SourceDataL2
}

// l2Key names an entry in Redis: strata:<strategy>:<level>:<class>:<key>. The strategy is part of it because strategies judge differently, so they never share entries.
func (c *Layered[K, V]) l2Key(s Strategy, key K) string {
	return "strata:" + s.String() + ":" + c.class.Level.String() + ":" + c.class.Name + ":" + c.class.Key(key)
}
