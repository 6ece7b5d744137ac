package cache

import (
	"context"
	"sync"

	"example.com/strata/app/freshness"
)

// Condemn removes the entry of a key whose value was found to miss a change that the ledger does not know of, from L1 and L2, and
// serves no entry of the class any more that was filled in this epoch: whatever hid that change may have hidden others. It returns
// the stamp of the entry in L1, or one that is not Known if there is none.
func (c *Layered[K, V]) Condemn(ctx context.Context, key K, epoch freshness.Epoch) (stamp freshness.Stamp) {
	c.condemned.Store(uint64(epoch))
	if l1 := c.l1[Stamped]; l1 != nil {
		if e, ok := l1.Invalidate(key); ok {
			stamp = e.stamp
		}
	}
	if c.caches.cfg.Remote != nil {
		if err := c.caches.cfg.Remote.Delete(context.WithoutCancel(ctx), c.name(Stamped, key)); err != nil {
			c.caches.cfg.Log.WarnContext(ctx, "deleting a condemned entry", "class", c.class.Name, "error", err)
		}
	}
	return stamp
}

// isCondemned reports whether an entry is of an epoch in which one of its class missed a change.
func (c *Layered[K, V]) isCondemned(e *entry[V]) bool {
	epoch := c.condemned.Load()
	return epoch != 0 && epoch == uint64(e.stamp.Epoch)
}

// Condemned is what became of one value that an audit found out.
type Condemned struct {
	Level Level
	Class string
	Key   string
	Stamp freshness.Stamp // of its entry in L1; not Known if there was none
}

// audited is what was read under the context of an audit.
type audited struct {
	mu    sync.Mutex
	reads []func(context.Context, freshness.Epoch) Condemned
}

// Audited notes that an audit is about the value of key, for CondemnReads. Get does so by itself.
func (c *Layered[K, V]) Audited(ctx context.Context, key K) {
	a := requestOf(ctx).audited
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads = append(a.reads, func(ctx context.Context, epoch freshness.Epoch) Condemned {
		return Condemned{c.class.Level, c.class.Name, c.class.Key(key), c.Condemn(ctx, key, epoch)}
	})
}

// CondemnReads condemns everything that was read with a context of Audit, and returns what that was.
func CondemnReads(ctx context.Context, epoch freshness.Epoch) []Condemned {
	a := requestOf(ctx).audited
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Condemned
	for _, condemn := range a.reads {
		all = append(all, condemn(ctx, epoch))
	}
	return all
}
