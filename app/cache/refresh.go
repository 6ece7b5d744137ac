package cache

import (
	"context"
)

// refresh loads an entry anew before it expires, behind the request's back.
func (c *Layered[K, V]) refresh(ctx context.Context, want request, key K, e *entry[V]) {
	if !e.refreshing.CompareAndSwap(false, true) {
		return
	}
	want.trail = nil // belongs to the request
	r := c.reading(want, key, func(ctx context.Context) (V, error) { return c.class.Load(ctx, key) })
	r.renews = true
	c.caches.background.Go(func() {
		defer e.refreshing.Store(false) // where nothing newer has taken its place, another read may try again
		f, leads := c.flights.join(r.name)
		if !leads {
			<-f.done // somebody is at it already
			return
		}
		a := answer[V]{err: errLost}
		defer func() { c.flights.land(r.name, f, a) }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(want.in(ctx)), c.caches.cfg.LoadTimeout)
		defer cancel()
		a = r.alone(ctx)
	})
}
