package cache

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"
)

// A value that no replica has is loaded by one of them. Whoever finds nothing in L2 leaves a mark under the value's own name (SET NX
// GET); whoever finds a mark looks again until it has become a value, which replaces it. A hit pays nothing for that, a load one
// command. A mark is a hint and no lock: it ends by itself unless its replica goes on saying that it loads, nobody waits longer than
// Config.FleetWait, and what comes of it is judged like everything else out of L2.

// turn is one read's place among the replicas that want the same value. The zero value wants none.
type turn struct {
	wanted bool
	mark   []byte // what this replica leaves in L2 while it loads
	holds  bool   // it is there
	other  []byte // another's mark, if that is there
}

const (
	markKind  = 'L' // the first byte of a mark; those of entries are their version
	markSize  = 9   // of one without a note
	markHead  = 32  // bytes by which an entry is known; they hold when it was filled, to the nanosecond
	markLives = 500 * time.Millisecond
)

func isMark(b []byte) bool { return len(b) >= markSize && b[0] == markKind }

// markLife is how long a mark is there after its replica was last heard.
func (c *Caches) markLife() time.Duration { return min(markLives, c.cfg.FleetWait) }

// turn returns a place for a read whose load other replicas should know of. A view is made of data, whose loads are marked.
func (c *Layered[K, V]) turn() turn { return turn{wanted: c.caches.cfg.FleetWait > 0} }

// takeTurn leaves a mark where L2 has nothing, or an entry that is of no use to anybody who knows of a change. If something else is
// there by now, that comes back instead. What this replica cannot judge stays: its ledger may have forgotten more than others', which
// go on using the entry.
func (r *reading[K, V]) takeTurn(ctx context.Context, b []byte, err error) (there []byte, instead bool) {
	t, remote := &r.turn, r.c.caches.cfg.Remote
	t.holds, t.other = false, nil
	switch {
	case err != nil:
		return nil, false
	case isMark(b):
		t.other = b
		return nil, false
	case b == nil:
		t.mark = r.newMark(ctx)
		there, err = remote.Claim(ctx, r.name, t.mark, r.c.caches.markLife())
	case r.step.Outcome == Invalidated:
		t.mark = r.newMark(ctx)
		there, err = remote.Replace(ctx, r.name, b[:min(len(b), markHead)], t.mark, r.c.caches.markLife())
	default:
		return nil, false
	}
	t.holds = err == nil && there == nil
	if isMark(there) {
		t.other = there
	}
	return there, err == nil && there != nil
}

// newMark returns a mark that nobody else has made, with a note for those who wait.
func (r *reading[K, V]) newMark(ctx context.Context) []byte {
	mark := binary.LittleEndian.AppendUint64([]byte{markKind}, rand.Uint64())
	return append(mark, r.c.caches.cfg.Observer.Note(ctx)...)
}

// herald says again and again that this replica still loads, as long as anybody waits for that. What it returns ends it.
func (r *reading[K, V]) herald(ctx context.Context) (stop func()) {
	if !r.turn.holds {
		return func() {}
	}
	var (
		mu    sync.Mutex
		over  bool
		again *time.Timer
	)
	remote, name, mark, life := r.c.caches.cfg.Remote, r.name, r.turn.mark, r.c.caches.markLife()
	ends := time.Now().Add(r.c.caches.cfg.FleetWait)
	mu.Lock()
	defer mu.Unlock()
	again = time.AfterFunc(life/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over && time.Now().Before(ends) && remote.Prolong(ctx, name, mark, life) {
			again.Reset(life / 3)
		}
	})
	return func() {
		again.Stop()
		mu.Lock() // one that is under way must not come after the value
		defer mu.Unlock()
		over = true
	}
}

// queue waits for the value that another replica is loading, while that one is heard. If nothing comes of it the caller loads.
func (r *reading[K, V]) queue(ctx context.Context) (a answer[V], ok bool) {
	if r.turn.other == nil {
		return a, false
	}
	observer := r.c.caches.cfg.Observer
	op := Op{Kind: Await, Class: r.c.class.Name, Level: r.c.class.Level, Began: time.Now()}
	ctx = observer.Start(ctx, op)
	defer func() { op.Joined = ok; observer.End(ctx, op, nil) }()
	if note := r.turn.other[markSize:]; len(note) > 0 {
		observer.Joined(ctx, string(note))
	}
	for pause := r.c.counters.usual.pause(); r.turn.other != nil; pause = min(2*pause, mostPause) {
		rest := r.c.caches.cfg.FleetWait - time.Since(op.Began)
		if rest <= 0 {
			return a, false
		}
		select {
		case <-time.After(min(rest, pause/2+rand.N(pause))): // at random, so that those who wait do not come all at once
		case <-ctx.Done():
			return a, false
		}
		if a, ok = r.fromL2(ctx); ok {
			r.c.counters.joinedFleet.Add(1)
			a.result.Steps[L2].Collapsed = true
			return a, true
		}
	}
	return a, false
}
