package cache

import (
	"errors"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// errLost is what waiting for a flight that panicked returns.
var errLost = errors.New("the load that this read waited for panicked")

// flights lets one request do what many want. It is singleflight with one difference: the leader may hand the rest of the work to another
// goroutine after a start of its own, so that an L2 hit costs no goroutine and a load outlives the request that began it.
type flights[V any] struct {
	mu  sync.Mutex
	air map[string]*flight[V]
}

// flight is what all who want a key wait for. Its fields may be read once done is closed.
type flight[V any] struct {
	done   chan struct{}
	entry  *entry[V]
	result Result
	span   trace.SpanContext // of the load; what those who joined link to
	err    error
}

// own returns what the flight brought, for one request to go on with: the flight itself is everybody's.
func (f *flight[V]) own() *flight[V] {
	return &flight[V]{entry: f.entry, result: f.result, err: f.err}
}

// join returns the flight for key, and whether the caller leads it: then it must see to it that it lands.
func (g *flights[V]) join(key string) (f *flight[V], leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f, ok := g.air[key]; ok {
		return f, false
	}
	if g.air == nil {
		g.air = make(map[string]*flight[V])
	}
	f = &flight[V]{done: make(chan struct{}), err: errLost}
	g.air[key] = f
	return f, true
}

// land hands what the leader put into the flight to all who wait. The next to want the key begins another.
func (g *flights[V]) land(key string, f *flight[V]) {
	g.mu.Lock()
	delete(g.air, key)
	g.mu.Unlock()
	close(f.done)
}
