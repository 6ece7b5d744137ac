package cache

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

// Class describes one class of values.
type Class[K comparable, V any] struct {
	Name  string         // label value and part of the L2 key; from a closed set
	Level Level          // Data unless said otherwise
	Share float64        // of the level's L1 bytes, 0 to 1; all of them
	TTL   time.Duration  // of an entry of strategy Stamped, give or take a tenth; 10 min
	Loads int            // of Config.MaxLoads, for what is dear to load: this many at once at most; all of them. Not used at level Views
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
	class    Class[K, V]
	caches   *Caches
	policies [strategies]policy                     // at the class's level, in this process
	l1       [strategies]*otter.Cache[K, *entry[V]] // nil for strategies without L1
	flights  flights[V]
	limit    *limit // of this class alone; nil without
	counters counters

	condemned atomic.Uint64 // the epoch that Condemn was told of; 0 without
}

// Of returns the cache of a class.
func Of[K comparable, V any](caches *Caches, class Class[K, V]) *Layered[K, V] {
	orDefault(&class.TTL, 10*time.Minute)
	orDefault(&class.Share, 1.0)
	if class.Encode == nil {
		class.Encode = func(v V) ([]byte, error) { return json.Marshal(v) }
	}
	if class.Decode == nil {
		class.Decode = func(b []byte) (v V, err error) { return v, json.Unmarshal(b, &v) }
	}
	c := &Layered[K, V]{class: class, caches: caches}
	if class.Level == Data && class.Loads > 0 {
		c.limit = newLimit(class.Loads, caches.cfg.LoadWait)
	}
	for _, s := range Strategies() {
		c.policies[s] = caches.policy(s, class.Level)
		if c.policies[s].l1 && caches.Uses(s) {
			c.l1[s] = c.newL1()
		}
	}
	caches.cfg.Observer.Class(class.Name, class.Level)
	caches.mu.Lock()
	defer caches.mu.Unlock()
	caches.classes = append(caches.classes, c.stats)
	return c
}

func (c *Layered[K, V]) newL1() *otter.Cache[K, *entry[V]] {
	return otter.Must(&otter.Options[K, *entry[V]]{
		MaximumWeight: max(1, uint64(float64(c.caches.Capacity(c.class.Level))*c.class.Share)),
		Weigher:       func(_ K, e *entry[V]) uint32 { return e.size },
		// Its upkeep in the goroutine that made it due: some microseconds now and then, where a goroutine for each write would wake
		// another core.
		Executor: func(upkeep func()) { upkeep() },
		// No ExpiryCalculator: whether an entry is expired is judged at the read, and an expired one can still help when the origin fails.
		OnAtomicDeletion: func(e otter.DeletionEvent[K, *entry[V]]) {
			if e.Cause == otter.CauseOverflow {
				c.counters.evictions.Add(1)
			}
		},
	})
}

// name is what an entry is called in L2: strategy, level, class, key. The strategy is part of it because strategies judge
// differently, so they never share entries.
func (c *Layered[K, V]) name(s Strategy, key K) string {
	return s.String() + ":" + c.class.Level.String() + ":" + c.class.Name + ":" + c.class.Key(key)
}
