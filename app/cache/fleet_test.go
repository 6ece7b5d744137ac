package cache

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// fleet is three replicas that read the same cold key at once. It returns when each has looked into Redis, with what waits for the reads.
func fleet(t *testing.T, cfg Config, o *origin, key int) (replicas []*replica, wait func() []int) {
	t.Helper()
	for range 3 {
		replicas = append(replicas, newReplica(t, cfg, o))
	}
	return replicas, readAll(t, replicas, key)
}

// readAll reads a key at all replicas at once, and returns when each has looked into Redis.
func readAll(t *testing.T, replicas []*replica, key int) (wait func() []int) {
	t.Helper()
	before := make([]uint64, len(replicas))
	for i, r := range replicas {
		before[i] = lookups(t, r)
	}
	var reads sync.WaitGroup
	values := make([]int, len(replicas))
	for i, r := range replicas {
		reads.Go(func() {
			var err error
			if values[i], err = r.Get(t.Context(), key); err != nil {
				t.Errorf("replica %d: %v", i, err)
			}
		})
	}
	for i, r := range replicas {
		eventually(t, "each replica has looked into Redis", func() bool { return lookups(t, r) > before[i] })
	}
	return func() []int { reads.Wait(); return values }
}

// lookups is how often a replica has looked for a value in Redis.
func lookups(t *testing.T, r *replica) uint64 {
	t.Helper()
	return r.redis.gets.Load()
}

func TestOneReplicaLoadsForTheFleet(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.gate = make(chan struct{})
	cfg := withRedis(t, Stamped)
	cfg.FleetWait = 30 * time.Second // so that a slow machine changes nothing
	replicas, wait := fleet(t, cfg, o, 1)
	eventually(t, "two of them wait", func() bool {
		again := 0
		for _, r := range replicas {
			if lookups(t, r) > 1 {
				again++
			}
		}
		return again == 2
	})
	close(o.gate)
	for i, v := range wait() {
		if v != 100 {
			t.Errorf("replica %d read %d, want 100", i, v)
		}
	}
	if got := o.loads.Load(); got != 1 {
		t.Errorf("%d loads, want 1", got)
	}
	joined := uint64(0)
	for _, r := range replicas {
		joined += r.stats().JoinedFleet
	}
	if joined != 2 {
		t.Errorf("%v reads joined another replica's load, want 2", joined)
	}

	// The same when a change has made useless what Redis has.
	o.set(func(o *origin) { o.gate = make(chan struct{}) })
	o.write(1, 101)
	for _, r := range replicas {
		o.tell(r.ledger)
	}
	wait = readAll(t, replicas, 1)
	eventually(t, "one of them loads", func() bool { return o.loads.Load() == 2 })
	close(o.gate)
	for i, v := range wait() {
		if v != 101 {
			t.Errorf("replica %d read %d after the change, want 101", i, v)
		}
	}
	if got := o.loads.Load(); got != 2 {
		t.Errorf("%d loads with the change, want 2", got)
	}
}

func TestEntryThatOneReplicaCannotJudgeStaysForTheOthers(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	wantRead(t, newReplica(t, cfg, o), 1, 100, SourcePostgres)
	other := newReplica(t, cfg, o)
	o.set(func(o *origin) { o.epoch++; o.gate = make(chan struct{}) })
	puzzled := newReplica(t, cfg, o) // its ledger is of another epoch than the entry
	done := make(chan struct{})
	go func() { defer close(done); _, _ = puzzled.Get(t.Context(), 1) }()
	eventually(t, "it loads", func() bool { return o.loads.Load() == 2 })
	wantRead(t, other, 1, 100, SourceDataL2)
	close(o.gate)
	<-done
}

func TestWithoutMarksEachReplicaLoads(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.gate = make(chan struct{})
	cfg := withRedis(t, Stamped)
	cfg.FleetWait = -1
	_, wait := fleet(t, cfg, o, 1)
	eventually(t, "all three load", func() bool { return o.loads.Load() == 3 })
	close(o.gate)
	wait()
}

func TestReplicaThatLoadsForEverHoldsNobodyUp(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.gate = make(chan struct{})
	cfg := withRedis(t, Stamped)
	stuck := newReplica(t, cfg, o)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = stuck.Get(t.Context(), 1) }()
	eventually(t, "the first replica loads", func() bool { return o.loads.Load() == 1 })
	held := o.gate
	o.set(func(o *origin) { o.gate = nil })
	wantRead(t, newReplica(t, cfg, o), 1, 100, SourcePostgres) // would not return
	close(held)
	<-done
}

func TestLoadThatFailsTakesItsMarkAway(t *testing.T) {
	o := newOrigin()
	o.fail = errLost
	cfg := withRedis(t, Stamped)
	r := newReplica(t, cfg, o)
	if _, err := r.Get(t.Context(), 1); err == nil {
		t.Fatal("no error")
	}
	if err := redisClient(t).Get(t.Context(), "strata::"+r.name(Stamped, 1)).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the mark is still there: %v", err)
	}
}

func TestLoadOfAnotherReplicaIsJudgedLikeEveryEntry(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.gate = make(chan struct{})
	cfg := withRedis(t, Stamped)
	cfg.FleetWait = 30 * time.Second
	slow, other := newReplica(t, cfg, o), newReplica(t, cfg, o)
	slowDone := make(chan struct{})
	go func() { defer close(slowDone); _, _ = slow.Get(t.Context(), 1) }()
	eventually(t, "the slow replica has read", func() bool { return o.loads.Load() == 1 })
	held := o.gate
	o.set(func(o *origin) { o.gate = nil })
	o.write(1, 101) // after the slow one has read, before it keeps
	o.tell(other.ledger)
	before := lookups(t, other)
	got := make(chan int, 1)
	go func() { v, _ := other.Get(context.WithoutCancel(t.Context()), 1); got <- v }()
	eventually(t, "the other one waits for it", func() bool { return lookups(t, other) > before })
	close(held)
	if v := <-got; v != 101 {
		t.Errorf("read %d, want 101: what was loaded before the change must not be served", v)
	}
	<-slowDone
}

func TestRedisThatCannotLeaveMarksIsReadAllTheSame(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	wantRead(t, newReplica(t, cfg, o), 1, 100, SourcePostgres)
	r := newReplica(t, cfg, o)
	client := redisClient(t)
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil { // with the policy noeviction, all writing is refused
		t.Fatal(err)
	}
	defer client.ConfigSet(context.Background(), "maxmemory", "0")
	if err := client.Set(t.Context(), "x", "y", 0).Err(); err == nil {
		t.Fatal("Redis keeps what it has no room for")
	}
	wantRead(t, r, 1, 100, SourceDataL2)
}

func TestUsualTimeFollowsTheMedian(t *testing.T) {
	var u usual
	if pause := u.pause(); pause <= 0 {
		t.Errorf("pause without experience is %v", pause)
	}
	for i := range 1000 {
		d := 20 * time.Millisecond
		if i%10 == 0 {
			d = time.Minute // one in ten hangs
		}
		u.add(d)
	}
	if pause := u.pause(); pause < 4*time.Millisecond || pause > 7*time.Millisecond {
		t.Errorf("pause %v, want about a quarter of 20 ms", pause)
	}
}
