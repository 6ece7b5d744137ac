package cache

import (
	"context"
	"errors"
	"time"
)

// ErrOverloaded is returned by a read whose load did not get its turn within Config.LoadWait. The origin was not asked.
var ErrOverloaded = errors.New("too many loads are under way")

// limit bounds how many loads run at once. Who does not get a place in time is turned away: a queue without an end only makes
// everybody wait for answers that nobody waits for any more.
type limit struct {
	places chan struct{} // holds one element for each load under way
	wait   time.Duration // for a place, at most
}

func newLimit(most int, wait time.Duration) *limit {
	return &limit{places: make(chan struct{}, most), wait: wait}
}

// enter takes a place, in the order of arrival. It returns ErrOverloaded if none becomes free in time, or the context's error. Who
// entered must leave. A nil limit has room for everybody.
func (l *limit) enter(ctx context.Context) error {
	if l == nil {
		return nil
	}
	select {
	case l.places <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(l.wait)
	defer patience.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-patience.C:
		return ErrOverloaded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// use returns how many places are taken, and how many there are. A nil limit has none.
func (l *limit) use() (taken, room int) {
	if l == nil {
		return 0, 0
	}
	return len(l.places), cap(l.places)
}

func (l *limit) leave() {
	if l != nil {
		<-l.places
	}
}

// enter takes the places that a load of this class needs, and returns what gives them back. The class' own comes first: a load
// that waits for it must not keep one of everybody's. A view's load needs none: it is made of loads of data.
func (c *Layered[K, V]) enter(ctx context.Context) (leave func(), err error) {
	if c.class.Level == Views {
		return func() {}, nil
	}
	if err := c.limit.enter(ctx); err != nil {
		return nil, err
	}
	if err := c.caches.limit.enter(ctx); err != nil {
		c.limit.leave()
		return nil, err
	}
	return func() { c.caches.limit.leave(); c.limit.leave() }, nil
}
