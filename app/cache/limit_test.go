package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestLoadsBeyondTheLimitAreShedAndNotQueuedForEver(t *testing.T) {
	for _, strategy := range []Strategy{None, Stamped} {
		t.Run(strategy.String(), func(t *testing.T) {
			o := newOrigin()
			gate := make(chan struct{})
			o.gate = gate
			r := newReplica(t, Config{Strategy: strategy, MaxLoads: 2, LoadWait: time.Millisecond}, o)
			var held sync.WaitGroup
			for key := range 2 {
				held.Go(func() { _, _ = r.Get(context.Background(), key) })
			}
			eventually(t, "two loads are under way", func() bool { return o.loads.Load() == 2 })
			for key := 2; key < 10; key++ {
				if _, err := r.Get(t.Context(), key); !errors.Is(err, ErrOverloaded) {
					t.Errorf("load %d: %v, want ErrOverloaded", key, err)
				}
			}
			if got := o.loads.Load(); got != 2 {
				t.Errorf("the origin was asked %d times, want 2", got)
			}
			if got := len(r.caches.limit.places); got != 2 {
				t.Errorf("%d loads are in flight, want 2", got)
			}
			close(gate)
			held.Wait()
			o.set(func(o *origin) { o.gate = nil; o.values[5] = 500 })
			if got, err := r.Get(t.Context(), 5); got != 500 || err != nil {
				t.Errorf("afterwards: %d, %v", got, err)
			}
			if got := len(r.caches.limit.places); got != 0 {
				t.Errorf("%d places are still taken", got)
			}
		})
	}
}

func TestAnExpensiveClassLeavesRoomForOthers(t *testing.T) {
	dear, cheap := newOrigin(), newOrigin()
	dear.gate = make(chan struct{})
	cheap.values[1] = 100
	r := newReplica(t, Config{Strategy: None, MaxLoads: 4, LoadWait: time.Millisecond}, dear, func(c *Class[int, int]) { c.Loads = 1; c.Name = "dear" })
	other := Of(r.caches, Class[int, int]{Name: "cheap", Key: tag, Load: cheap.load, Absent: errAbsent})
	var held sync.WaitGroup
	held.Go(func() { _, _ = r.Get(context.Background(), 1) })
	eventually(t, "the dear load is under way", func() bool { return dear.loads.Load() == 1 })
	if _, err := r.Get(t.Context(), 2); !errors.Is(err, ErrOverloaded) {
		t.Errorf("a second dear load: %v, want ErrOverloaded", err)
	}
	if got, err := other.Get(t.Context(), 1); got != 100 || err != nil {
		t.Errorf("a cheap load beside it: %d, %v", got, err)
	}
	if loading, room := r.stats().Loading, r.stats().Room; loading != 1 || room != 1 {
		t.Errorf("the dear class shows %d loads of %d, want 1 of 1", loading, room)
	}
	if loading, room := r.caches.Loads(); loading != 1 || room != 4 {
		t.Errorf("all classes show %d loads of %d, want 1 of 4", loading, room)
	}
	close(dear.gate)
	held.Wait()
}

func TestAnExpiredEntryStandsInForALoadThatIsShed(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, Config{Strategy: Stamped, MaxLoads: 1, LoadWait: time.Millisecond}, o, func(c *Class[int, int]) { c.TTL = time.Microsecond })
	r.read(t, 1)
	r.caches.limit.places <- struct{}{} // somebody's load
	wantRead(t, r, 1, 100, SourceStale)
	<-r.caches.limit.places
}

func TestAPanickingLoadGivesItsPlaceBack(t *testing.T) {
	o := newOrigin()
	r := newReplica(t, Config{Strategy: None, MaxLoads: 1, LoadWait: time.Millisecond}, o, func(c *Class[int, int]) {
		c.Load = func(context.Context, int) (int, error) { panic("boom") }
	})
	for range 3 {
		if _, err := r.Get(t.Context(), 1); err == nil || errors.Is(err, ErrOverloaded) {
			t.Errorf("%v, want the panic", err)
		}
	}
}
