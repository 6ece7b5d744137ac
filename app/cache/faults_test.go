package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/strata/app/freshness"
)

// TestPanicInDecodeCostsTheEntryAndNotTheKey: a flight that never lands would keep every later read of the key waiting.
func TestPanicInDecodeCostsTheEntryAndNotTheKey(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	wantRead(t, newReplica(t, cfg, o), 1, 100, SourcePostgres)
	r := newReplica(t, cfg, o, func(c *Class[int, int]) { c.Decode = func([]byte) (int, error) { panic("boom") } })
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		v, err := r.Get(ctx, 1)
		cancel()
		if v != 100 || err != nil {
			t.Fatalf("Get = %d, %v; want the origin's value", v, err)
		}
	}
	r.flights.mu.Lock()
	defer r.flights.mu.Unlock()
	if n := len(r.flights.air); n != 0 {
		t.Errorf("%d flights are in the air", n)
	}
}

func TestPanicOfALeaderLandsItsFlight(t *testing.T) {
	o := newOrigin()
	r := newReplica(t, Config{Strategy: Stamped}, o, func(c *Class[int, int]) { c.Level = Views })
	for range 2 {
		func() {
			defer func() { _ = recover() }()
			_, _, _ = r.Fill(t.Context(), 1, func(context.Context) (int, error) { panic("boom") })
		}()
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := r.Fill(context.Background(), 1, func(context.Context) (int, error) { return 1, ErrDoNotKeep })
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a read waits for a flight that panicked")
	}
}

// TestRefreshThatDoesNotLeadLeavesItsEntryFree: an entry that stays marked as being refreshed is never refreshed early again.
func TestRefreshThatDoesNotLeadLeavesItsEntryFree(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, Config{Strategy: Stamped}, o)
	r.read(t, 1)
	e, _ := r.l1[Stamped].GetIfPresent(1)
	e.early = 0
	name := r.name(Stamped, 1)
	f, leads := r.flights.join(name)
	if !leads {
		t.Fatal("somebody else is at it")
	}
	wantRead(t, r, 1, 100, SourceDataL1) // its refresh finds the other flight
	r.flights.land(name, f, answer[int]{err: errLost})
	eventually(t, "a later read refreshes it", func() bool { r.read(t, 1); return o.loads.Load() > 1 })
}

// TestFollowerWaitsNoLongerThanAReadMayTake: what it waited for another's load counts as its own time.
func TestFollowerWaitsNoLongerThanAReadMayTake(t *testing.T) {
	o := newOrigin()
	r := newReplica(t, Config{Strategy: Stamped, LoadTimeout: 100 * time.Millisecond}, o)
	name := r.name(Stamped, 1)
	f, _ := r.flights.join(name) // it hangs
	_, err := r.Get(t.Context(), 1)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get = %v, want that it took too long", err)
	}
	if got := o.loads.Load(); got != 0 {
		t.Errorf("it began %d loads after its time", got)
	}
	r.flights.land(name, f, answer[int]{err: errLost})
}

func TestFollowerOfALoadAfterAnOutageIsNotGivenTheLedgersOldClaim(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, Config{Strategy: Stamped}, o)
	stamp := freshness.Stamp{Epoch: 1, Snapshot: freshness.Snapshot{Xmin: o.xid, Xmax: o.xid}}
	r.ledger.Apply(freshness.Poll{Began: time.Now().Add(-time.Minute), Epoch: 1, Snapshot: freshness.Snapshot{Xmin: o.xid, Xmax: o.xid}})
	read := r.reading(r.caches.request(t.Context()), 1, nil)
	began := time.Now()
	a, usable := read.shared(answer[int]{entry: &entry[int]{value: 100, stamp: stamp}, result: Result{Source: SourcePostgres, AsOf: began}})
	if !usable || !a.result.AsOf.Equal(began) {
		t.Errorf("usable %t, as of %v; want the load's own %v", usable, a.result.AsOf, began)
	}
}

func TestAnswerIsAsOldAsItsOldestPart(t *testing.T) {
	var trail Trail
	now := time.Now()
	trail.add(Data, Result{Source: SourceStale, AsOf: now.Add(-time.Minute), Filled: now.Add(-time.Hour), Steps: [layers]Step{L1: {Outcome: Stale}}})
	trail.add(Data, Result{Source: SourcePostgres, AsOf: now, Filled: now, Steps: [layers]Step{L1: {Outcome: Miss}, L2: {Outcome: Miss, Stored: true}}})
	sum, ok := trail.Sum()
	if !ok || sum.Source != SourceStale || !sum.AsOf.Equal(now.Add(-time.Minute)) || !sum.Filled.Equal(now.Add(-time.Hour)) {
		t.Errorf("%+v, want the stale part's source and age", sum)
	}
	if got := trail.Step(Data, L1).Outcome; got != Stale {
		t.Errorf("L1 said %v, want the label of the stale part", got)
	}
}

// TestBroadStampedeIsOneLoadAKey: three replicas, many keys invalidated at once, an origin that is busy with all of them.
func TestBroadStampedeIsOneLoadAKey(t *testing.T) {
	const keys, readers = 100, 5
	o := newOrigin()
	for key := range keys {
		o.write(key, key)
	}
	cfg := withRedis(t, Stamped)
	cfg.FleetWait = time.Minute // so that a slow machine changes nothing
	busy := make(chan struct{}, 4)
	var replicas []*replica
	for range 3 {
		replicas = append(replicas, newReplica(t, cfg, o, func(c *Class[int, int]) {
			c.Name = "stampede"
			c.Load = func(ctx context.Context, key int) (int, error) {
				busy <- struct{}{}
				time.Sleep(5 * time.Millisecond) // what a query takes
				<-busy
				return o.load(ctx, key)
			}
		}))
	}
	for key := range keys {
		replicas[0].read(t, key)
		o.write(key, 1000+key)
	}
	for _, r := range replicas {
		o.tell(r.ledger)
	}
	before := o.loads.Load()
	var reads sync.WaitGroup
	var wrong atomic.Int64
	for _, r := range replicas {
		for range readers {
			reads.Go(func() {
				var each sync.WaitGroup
				for key := range keys {
					each.Go(func() {
						if v, err := r.Get(context.Background(), key); v != 1000+key || err != nil {
							wrong.Add(1)
						}
					})
				}
				each.Wait()
			})
		}
	}
	reads.Wait()
	if n := wrong.Load(); n != 0 {
		t.Errorf("%d reads were wrong", n)
	}
	if got := o.loads.Load() - before; got > keys+keys/10 { // a replica that is held up for longer than a mark lives may cost one
		t.Errorf("%d loads for %d keys", got, keys)
	}
}

func TestEachPlaceCanBeSwitchedOff(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	for text, want := range map[string]Source{"data-l1,data-l2": SourceDataL1, "data-l1": SourceDataL1, "data-l2": SourceDataL2, "none": SourcePostgres, "views-l1": SourcePostgres} {
		in, err := ParsePlaces(text)
		if err != nil {
			t.Fatal(err)
		}
		cfg := withRedis(t, Stamped)
		cfg.Without = AllPlaces &^ in
		r := newReplica(t, cfg, o)
		r.read(t, 1)
		wantRead(t, r, 1, 100, want)
	}
	if got := fmt.Sprint(AllPlaces); got != "views-l1,views-l2,data-l1,data-l2" {
		t.Errorf("all places are %s", got)
	}
	if _, err := ParsePlaces("l3"); err == nil {
		t.Error("l3 is a place")
	}
}

func TestNamespacesOfOneRedisNeverServeEachOther(t *testing.T) {
	for _, s := range []Strategy{TTL, Aside, Stamped} {
		t.Run(s.String(), func(t *testing.T) {
			cfg := withRedis(t, s)
			there := cfg.Remote.(at)
			name := func(c *Class[int, int]) { c.Name = "shared" }
			one, other := newOrigin(), newOrigin()
			one.write(1, 100)
			other.write(1, 200)
			there.namespace = "one"
			cfg.Remote = there
			a := newReplica(t, cfg, one, name)
			a.read(t, 1)
			there.namespace = "other"
			cfg.Remote = there
			b := newReplica(t, cfg, other, name)
			wantRead(t, b, 1, 200, SourcePostgres)
			a.Forget(t.Context(), 1)
			wantRead(t, newReplica(t, cfg, other, name), 1, 200, SourceDataL2) // of the other's nothing was forgotten
			for _, key := range redisClient(t).Keys(t.Context(), "*").Val() {
				if want := "strata:o"; key[:len(want)] != want {
					t.Errorf("key %q has no namespace", strconv.Quote(key))
				}
			}
		})
	}
}
