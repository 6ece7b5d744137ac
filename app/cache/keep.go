package cache

import (
	"context"
	"math/rand/v2"
	"time"
)

// keep stores what was loaded, and reports whether it did. start is when the load began: everything after it may be missing in the
// value.
func (r *reading[K, V]) keep(ctx context.Context, e *entry[V], start time.Time) bool {
	if r.policy.judged && !e.stamp.Known() {
		return false
	}
	payload, err := r.c.encoded(e)
	if err != nil {
		r.c.caches.cfg.Log.ErrorContext(ctx, "encoding for the cache", "class", r.c.class.Name, "error", err)
		return false
	}
	cost, ttl := time.Since(start), r.c.caches.cfg.TTL
	physical := ttl
	if r.policy.judged {
		ttl = r.c.class.TTL - r.c.class.TTL/10 + rand.N(r.c.class.TTL/5) // so that entries filled together do not expire together
		physical = ttl + r.c.caches.cfg.StaleIfError
	}
	e.expires = start.Add(ttl).UnixNano()
	e.early = e.expires - earliness(cost)
	e.size = uint32(len(payload)) + overhead
	r.keepL1(e)
	if !r.hasL2() {
		return true
	}
	return r.c.caches.cfg.Remote.Set(ctx, r.name, appendEntry(make([]byte, 0, len(payload)+128), e, cost, payload), physical) == nil
}

// decode reads the value. What panics on bytes of another release, say, is as useless as what refuses them.
func (c *Layered[K, V]) decode(e *entry[V], payload []byte) (err error) {
	if e.absent {
		return nil
	}
	defer recovered("decoding", &err)
	e.value, err = c.class.Decode(payload)
	return err
}

func (c *Layered[K, V]) encoded(e *entry[V]) (payload []byte, err error) {
	if e.absent {
		return nil, nil
	}
	defer recovered("encoding", &err)
	return c.class.Encode(e.value)
}
