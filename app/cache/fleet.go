package cache

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"strata/app/telemetry"
)

// A value that no replica has is loaded by one of them. Whoever finds nothing in L2 leaves a mark under the value's own key (SET NX GET); whoever
// finds a mark looks again until it has become a value, which replaces it. A hit pays nothing for that, a load one command. A mark is a hint and
// no lock: it ends by itself, nobody waits for it longer than a load usually takes, and what comes of it is judged like everything else out of L2.

// turn is one read's place among the replicas that want the same value.
type turn struct {
	mark  []byte // what this replica leaves in L2 while it loads
	holds bool   // it is there
	other []byte // another's mark, if that is there
}

// markKind is the first byte of a mark. Those of entries are their version.
const markKind = 'L'

// newMark returns a mark that nobody else has made, with the trace of ctx, for those who wait to link to.
func newMark(ctx context.Context) []byte {
	mark := binary.LittleEndian.AppendUint64([]byte{markKind}, rand.Uint64())
	return append(mark, telemetry.Traceparent(ctx)...)
}

const markSize = 9 // of one without a trace

func isMark(b []byte) bool { return len(b) >= markSize && b[0] == markKind }

// turn returns a place for a read whose load other replicas should know of, or nil.
func (c *Layered[K, V]) turn() *turn {
	if c.layers.l2 == nil || c.layers.cfg.FleetWait < 0 || c.class.Level != Data {
		return nil // a view is made of data, whose loads are marked
	}
	return new(turn)
}

// queue waits for the value that another replica is loading and puts it into the flight. If there is none within the time that a load usually
// takes, the flight has no entry, and the caller loads.
func (c *Layered[K, V]) queue(ctx context.Context, r request, key K, f *flight[V], t *turn) (spare *entry[V]) {
	began := time.Now()
	ctx, span := c.layers.tel.Tracer.Start(ctx, telemetry.SpanCacheAwait, trace.WithAttributes(telemetry.AttrClass.String(c.class.Name)))
	defer span.End()
	if leader := telemetry.SpanContext(string(t.other[markSize:])); leader.IsValid() {
		span.AddLink(trace.Link{SpanContext: leader})
	}
	patience, pause := c.metrics.usual.patience(c.layers.cfg.FleetWait)
	for t.other != nil {
		rest := patience - time.Since(began)
		if rest <= 0 || ctx.Err() != nil {
			return spare
		}
		select {
		case <-time.After(min(rest, pause/2+rand.N(pause))): // at random, so that those who wait do not come all at once
		case <-ctx.Done():
			return spare
		}
		e, step, asOf := c.fromL2(ctx, r, key, t)
		f.result.Steps[L2] = step
		if step.Outcome != Hit {
			spare = e
			continue
		}
		c.metrics.fleet.Inc()
		span.SetAttributes(telemetry.AttrCoalesced.Bool(true))
		c.found(r, key, f, e, asOf)
		f.result.Steps[L2].Collapsed = true
		return nil
	}
	return spare
}

// usual estimates the median of durations, and is not moved far by a single one. It follows Ma, Muthukrishnan and Sandler, "Frugal Streaming
// for Estimating Quantiles", 2013: a step up or down for each. An update that is lost to another at the same time does no harm.
type usual struct{ nanos atomic.Int64 }

func (u *usual) add(d time.Duration) {
	m := u.nanos.Load()
	switch {
	case m == 0:
		m = int64(d)
	case int64(d) > m:
		m += m/16 + 1
	default:
		m -= m / 16
	}
	u.nanos.Store(m)
}

// patience returns how long to wait for another's load, at most, and how long between two looks.
func (u *usual) patience(most time.Duration) (patience, pause time.Duration) {
	median := time.Duration(u.nanos.Load())
	if median == 0 { // nothing was loaded yet
		return most, 5 * time.Millisecond
	}
	return min(most, max(2*median, 5*time.Millisecond)), min(max(median/4, time.Millisecond), 10*time.Millisecond)
}
