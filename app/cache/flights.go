package cache

import (
	"errors"
	"sync"
)

// errLost is what waiting for a flight that panicked returns.
var errLost = errors.New("the load that this read waited for panicked")

// flights lets one read do what many want. It is singleflight with one difference: the leader may hand the rest of the work to
// another goroutine after a start of its own, so that an L2 hit costs no goroutine and a load outlives the request that began it.
type flights[V any] struct {
	mu  sync.Mutex
	air map[string]*flight[V]
}

// flight is where reads that want the same key meet. Its answer may be read once done is closed.
type flight[V any] struct {
	done   chan struct{}
	answer answer[V]
}

// join returns the flight for a name, and whether the caller leads it: then it must see to it that it lands.
func (g *flights[V]) join(name string) (f *flight[V], leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f, ok := g.air[name]; ok {
		return f, false
	}
	if g.air == nil {
		g.air = make(map[string]*flight[V])
	}
	f = &flight[V]{done: make(chan struct{})}
	g.air[name] = f
	return f, true
}

// land gives the answer to all who wait. The next to want the name begins another flight.
func (g *flights[V]) land(name string, f *flight[V], a answer[V]) {
	g.mu.Lock()
	delete(g.air, name)
	g.mu.Unlock()
	f.answer = a
	close(f.done)
}
