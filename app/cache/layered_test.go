package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/strata/app/freshness"
	"example.com/strata/app/remote"
	"example.com/strata/deploy/local"
)

var stack *local.Stack

func TestMain(m *testing.M) {
	var err error
	if stack, err = local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := stack.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var errAbsent = errors.New("absent")

// origin is a database with one number a key: each write is a transaction that touches the tag of its key.
type origin struct {
	mu     sync.Mutex
	epoch  freshness.Epoch
	xid    freshness.XID
	values map[int]int
	log    []freshness.Change
	fail   error

	loads atomic.Int64
	gate  chan struct{} // if not nil, a load that has read waits here before it returns
}

func newOrigin() *origin { return &origin{epoch: 1, xid: 10, values: make(map[int]int)} }

func (o *origin) load(ctx context.Context, key int) (int, error) {
	o.loads.Add(1)
	o.mu.Lock()
	value, ok := o.values[key]
	stamp := freshness.Stamp{Epoch: o.epoch, Snapshot: freshness.Snapshot{Xmin: o.xid, Xmax: o.xid}, Tags: []string{tag(key)}}
	fail, gate := o.fail, o.gate
	o.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if fail != nil {
		return 0, fail
	}
	freshness.Depend(ctx, stamp)
	if !ok {
		return 0, errAbsent
	}
	return value, nil
}

func (o *origin) write(key, value int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.values[key] = value
	o.log = append(o.log, freshness.Change{XID: o.xid, Tags: []string{tag(key)}})
	o.xid++
}

func (o *origin) set(change func(*origin)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(o)
}

// tell gives a ledger everything that has been committed.
func (o *origin) tell(l *freshness.Ledger) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.Apply(freshness.Poll{Began: time.Now(), Epoch: o.epoch, Snapshot: freshness.Snapshot{Xmin: o.xid, Xmax: o.xid}, Changes: o.log})
}

func tag(key int) string { return "key:" + strconv.Itoa(key) }

// replica is one process of the service: its own L1 and ledger over the shared Redis and origin.
type replica struct {
	*Layered[int, int]
	caches *Caches
	ledger *freshness.Ledger
	redis  *watched // nil without
}

// at stands in a Config for the Redis at a URL, which each replica connects to on its own.
type at struct {
	Remote
	url, namespace string
}

// watched is a replica's Redis.
type watched struct {
	*remote.Redis
	gets  atomic.Uint64
	worst atomic.Uint64 // breaker, in halves of open
}

func (w *watched) Start(ctx context.Context, _ remote.Op) context.Context { return ctx }

func (w *watched) End(_ context.Context, op remote.Op, _ error) {
	if op.Kind == remote.Get {
		w.gets.Add(1)
	}
}

func (w *watched) Breaker(_, _, _ string, worst float64) { w.worst.Store(uint64(2 * worst)) }

func (w *watched) open(t testing.TB, there at) *watched {
	t.Helper()
	var err error
	if w.Redis, err = remote.Open(remote.Config{URL: there.url, Namespace: there.namespace, Timeout: 5 * time.Second}, w); err != nil { // so that a slow machine changes nothing
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func newReplica(t testing.TB, cfg Config, o *origin, change ...func(*Class[int, int])) *replica {
	t.Helper()
	ledger := freshness.NewLedger(freshness.Config{})
	var redis *watched
	if there, ok := cfg.Remote.(at); ok {
		redis = new(watched).open(t, there)
		cfg.Remote = redis
	}
	caches := Open(cfg, ledger)
	t.Cleanup(caches.Close)
	class := Class[int, int]{Name: t.Name(), Key: strconv.Itoa, Load: o.load, Absent: errAbsent}
	for _, c := range change {
		c(&class)
	}
	o.tell(ledger)
	return &replica{Layered: Of(caches, class), caches: caches, ledger: ledger, redis: redis}
}

// read gets a key with a trail.
func (r *replica) read(t testing.TB, key int) (int, *Trail) {
	t.Helper()
	ctx, trail := Follow(t.Context())
	value, err := r.Get(ctx, key)
	if err != nil {
		t.Fatalf("Get(%d): %v", key, err)
	}
	return value, trail
}

func wantRead(t *testing.T, r *replica, key, value int, source Source) *Trail {
	t.Helper()
	got, trail := r.read(t, key)
	if from, _ := trail.Source(); got != value || from != source {
		t.Errorf("Get(%d) = %d from %v, want %d from %v", key, got, from, value, source)
	}
	return trail
}

func withRedis(t testing.TB, s Strategy) Config {
	t.Helper()
	if stack.RedisURL == "" {
		t.Fatal("no Redis")
	}
	client := redisClient(t)
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return Config{Strategy: s, Remote: at{url: stack.RedisURL}}
}

func redisClient(t testing.TB) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(stack.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestStampedReadsThroughL1AndL2(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	a, b := newReplica(t, cfg, o), newReplica(t, cfg, o)
	trail := wantRead(t, a, 1, 100, SourcePostgres)
	if s := trail.Step(Data, L2); s.Outcome != Miss || !s.Stored {
		t.Errorf("L2's step %+v, want a miss that was stored", s)
	}
	if trail.AsOf().IsZero() || trail.Loaded() <= 0 {
		t.Errorf("as of %v, loaded in %v", trail.AsOf(), trail.Loaded())
	}
	trail = wantRead(t, a, 1, 100, SourceDataL1)
	if s := trail.Step(Data, L1); s.Outcome != Hit || s.TTL <= 0 {
		t.Errorf("L1's step %+v", s)
	}
	if !trail.AsOf().Equal(a.ledger.AsOf().Time) {
		t.Errorf("as of %v, want the ledger's %v", trail.AsOf(), a.ledger.AsOf().Time)
	}
	wantRead(t, b, 1, 100, SourceDataL2)
	wantRead(t, b, 1, 100, SourceDataL1)
	if got := o.loads.Load(); got != 1 {
		t.Errorf("%d loads, want 1", got)
	}
}

func TestStampedEntryIsRefusedAfterItsTagChanges(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.write(2, 200)
	cfg := withRedis(t, Stamped)
	a, b := newReplica(t, cfg, o), newReplica(t, cfg, o)
	a.read(t, 1)
	a.read(t, 2)
	b.read(t, 1)
	o.write(1, 101)
	wantRead(t, a, 1, 100, SourceDataL1) // nobody has told it: as true as its as-of time says
	o.tell(a.ledger)
	trail := wantRead(t, a, 1, 101, SourcePostgres)
	if l1, l2 := trail.Step(Data, L1).Outcome, trail.Step(Data, L2).Outcome; l1 != Invalidated || l2 != Invalidated {
		t.Errorf("L1 said %v, L2 %v; want both invalidated", l1, l2)
	}
	wantRead(t, a, 2, 200, SourceDataL1)
	wantRead(t, b, 1, 100, SourceDataL1)
	o.tell(b.ledger)
	wantRead(t, b, 1, 101, SourceDataL2) // judged by b's ledger: what a has read since is true
}

func TestSlowFillIsKeptButRefused(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	o.set(func(o *origin) { o.gate = make(chan struct{}) })
	done := make(chan int)
	go func() { v, _ := r.Get(context.Background(), 1); done <- v }()
	eventually(t, "the load has read", func() bool { return o.loads.Load() == 1 })
	o.write(1, 101)
	o.tell(r.ledger) // the change arrives before the fill: deleting on change would have found nothing to delete
	o.set(func(o *origin) { close(o.gate); o.gate = nil })
	if got := <-done; got != 100 {
		t.Errorf("the slow read itself got %d, want what it read", got)
	}
	wantRead(t, r, 1, 101, SourcePostgres)
}

func TestReadThatJoinsAnOlderFlightIsNotGivenWhatHasChangedSince(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	gate := make(chan struct{})
	o.set(func(o *origin) { o.gate = gate })
	first := make(chan int)
	go func() { v, _ := r.Get(context.Background(), 1); first <- v }()
	eventually(t, "the load has read", func() bool { return o.loads.Load() == 1 })
	o.write(1, 101)
	o.tell(r.ledger)
	second := make(chan int)
	go func() { v, _ := r.Get(context.Background(), 1); second <- v }()
	o.set(func(o *origin) { o.gate = nil })
	close(gate)
	if got := <-first; got != 100 {
		t.Errorf("first read = %d, want 100", got)
	}
	if got := <-second; got != 101 {
		t.Errorf("read that began after the change was known = %d, want 101", got)
	}
}

func TestThousandReadsOfAColdKeyLoadOnce(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	var reads sync.WaitGroup
	start := make(chan struct{})
	for range 1000 {
		reads.Go(func() {
			<-start
			if v, err := r.Get(context.Background(), 1); v != 100 || err != nil {
				t.Errorf("Get = %d, %v", v, err)
			}
		})
	}
	close(start)
	reads.Wait()
	if got := o.loads.Load(); got != 1 {
		t.Errorf("%d loads, want 1", got)
	}
}

func TestAbsenceIsKeptUntilTheValueAppears(t *testing.T) {
	o := newOrigin()
	r := newReplica(t, withRedis(t, Stamped), o)
	for range 3 {
		if _, err := r.Get(t.Context(), 1); !errors.Is(err, errAbsent) {
			t.Fatalf("Get = %v, want absent", err)
		}
	}
	if got := o.loads.Load(); got != 1 {
		t.Errorf("%d loads for three reads of what does not exist, want 1", got)
	}
	o.write(1, 100)
	o.tell(r.ledger)
	wantRead(t, r, 1, 100, SourcePostgres)
}

func TestValueWithoutAStampIsNotKept(t *testing.T) {
	o := newOrigin()
	r := newReplica(t, withRedis(t, Stamped), o, func(c *Class[int, int]) {
		c.Load = func(context.Context, int) (int, error) { o.loads.Add(1); return 1, nil }
	})
	wantRead(t, r, 1, 1, SourcePostgres)
	wantRead(t, r, 1, 1, SourcePostgres)
	if got := r.l1[Stamped].EstimatedSize(); got != 0 {
		t.Errorf("L1 holds %d entries that nobody can judge", got)
	}
}

func TestEntryBuiltFromCachedPartsDependsOnTheirTags(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.write(2, 200)
	cfg := withRedis(t, Stamped)
	parts := newReplica(t, cfg, o)
	sum := Of(parts.caches, Class[int, int]{Name: "sum", Key: strconv.Itoa, Load: func(ctx context.Context, _ int) (int, error) {
		a, err := parts.Get(ctx, 1)
		if err != nil {
			return 0, err
		}
		b, err := parts.Get(ctx, 2)
		return a + b, err
	}})
	get := func() int {
		t.Helper()
		v, err := sum.Get(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	parts.read(t, 1) // an old part
	for i := range 5 {
		o.write(2, 201+i) // and one that keeps changing
		o.tell(parts.ledger)
		if got, want := get(), 301+i; got != want {
			t.Fatalf("sum = %d, want %d", got, want)
		}
		loads := o.loads.Load()
		if get(); o.loads.Load() != loads {
			t.Fatal("a sum just built is refused: its old part's snapshot was not extended")
		}
	}
	o.write(1, 0)
	o.tell(parts.ledger)
	if got := get(); got != 205 {
		t.Errorf("sum after its old part changed = %d, want 205", got)
	}
}

func TestExpiredEntryStandsInForASlowOriginAndAFailingOne(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	cfg.SoftTimeout = 10 * time.Millisecond
	r := newReplica(t, cfg, o)
	r.read(t, 1)
	expire := func() *entry[int] {
		e, _ := r.l1[Stamped].GetIfPresent(1)
		old := &entry[int]{value: e.value, stamp: e.stamp, filled: e.filled, expires: time.Now().Add(-time.Second).UnixNano()}
		r.l1[Stamped].Set(1, old)
		redisClient(t).FlushAll(t.Context())
		return old
	}

	old, gate := expire(), make(chan struct{})
	o.set(func(o *origin) { o.gate = gate })
	trail := wantRead(t, r, 1, 100, SourceStale)
	if s := trail.Step(Data, L1); s.Outcome != Stale || s.TTL >= 0 {
		t.Errorf("L1's step %+v, want stale with a negative TTL", s)
	}
	if !trail.AsOf().Equal(r.ledger.AsOf().Time) {
		t.Errorf("a stale answer is as of %v, want the ledger's %v: no change is known until then", trail.AsOf(), r.ledger.AsOf().Time)
	}
	close(gate)
	eventually(t, "the load ends behind the answer", func() bool { e, _ := r.l1[Stamped].GetIfPresent(1); return e != old })

	expire()
	o.set(func(o *origin) { o.gate, o.fail = nil, errors.New("down") })
	wantRead(t, r, 1, 100, SourceStale)

	o.write(1, 101)
	o.tell(r.ledger)
	if v, err := r.Get(t.Context(), 1); err == nil {
		t.Errorf("an invalidated entry stood in: %d", v)
	}
}

func TestStaleEntriesEnd(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := Config{Strategy: Stamped, StaleIfError: time.Millisecond}
	r := newReplica(t, cfg, o, func(c *Class[int, int]) { c.TTL = time.Millisecond })
	r.read(t, 1)
	o.set(func(o *origin) { o.fail = errors.New("down") })
	eventually(t, "the end of stale-if-error", func() bool { _, err := r.Get(t.Context(), 1); return err != nil })
}

func TestBlindReplicaAsksTheOrigin(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	r.read(t, 1)
	r.ledger.Apply(freshness.Poll{Began: time.Now().Add(-time.Minute), Epoch: 1, Snapshot: freshness.Snapshot{Xmin: o.xid, Xmax: o.xid}})
	trail := wantRead(t, r, 1, 100, SourcePostgres)
	if got := trail.Step(Data, L1).Outcome; got != Bypassed {
		t.Errorf("L1 said %v, want bypass", got)
	}
	o.set(func(o *origin) { o.fail = errors.New("down") })
	wantRead(t, r, 1, 100, SourceStale)
}

func TestEntryIsRefreshedBeforeItExpires(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	r.read(t, 1)
	e, _ := r.l1[Stamped].GetIfPresent(1)
	e.early = 0 // its time has come
	if client := redisClient(t); client.FlushAll(t.Context()).Err() != nil {
		t.Fatal("flushing")
	}
	wantRead(t, r, 1, 100, SourceDataL1)
	eventually(t, "a refresh", func() bool { now, _ := r.l1[Stamped].GetIfPresent(1); return now != e })
	if got := o.loads.Load(); got != 2 {
		t.Errorf("%d loads, want the first and one refresh", got)
	}
}

func TestBypassReadsTheOriginAndKeepsNothing(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, withRedis(t, Stamped), o)
	r.read(t, 1)
	o.write(1, 101)
	if v, err := r.Get(Bypass(t.Context()), 1); v != 101 || err != nil {
		t.Errorf("Get = %d, %v; want 101", v, err)
	}
	wantRead(t, r, 1, 100, SourceDataL1)
}

func TestStrategiesAreWhatPeopleDeploy(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, None)
	cfg.Lab, cfg.TTL = true, 50*time.Millisecond
	a, b := newReplica(t, cfg, o), newReplica(t, cfg, o)
	get := func(r *replica, s Strategy) int {
		t.Helper()
		v, err := r.Get(WithStrategy(t.Context(), s), 1)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, s := range Strategies() {
		if got := get(a, s); got != 100 {
			t.Errorf("%v: %d", s, got)
		}
	}
	if got := o.loads.Load(); got != 4 {
		t.Errorf("%d loads, want one a strategy: they must not share entries", got)
	}
	o.write(1, 101) // by somebody who tells nobody; only the change log knows
	o.tell(a.ledger)
	o.tell(b.ledger)
	for s, want := range map[Strategy]int{None: 101, TTL: 100, Aside: 100, Stamped: 101} {
		if got := get(b, s); got != want {
			t.Errorf("%v after a write: %d, want %d", s, got, want)
		}
	}
	a.Forget(t.Context(), 1) // what a writer does that knows of the cache
	if got := get(b, Aside); got != 101 {
		t.Errorf("aside after Forget: %d, want 101", got)
	}
	if got := get(b, TTL); got != 100 {
		t.Errorf("ttl after Forget: %d, want 100: nothing invalidates it", got)
	}
	eventually(t, "the fixed time ends", func() bool { return get(b, TTL) == 101 && get(a, TTL) == 101 })
}

func TestOnlyALaboratoryLetsARequestChooseItsStrategy(t *testing.T) {
	r := newReplica(t, Config{Strategy: Stamped}, newOrigin())
	if got := r.caches.Strategy(WithStrategy(t.Context(), None)); got != Stamped {
		t.Errorf("strategy %v, want the configured one", got)
	}
}

func TestRedisMayComeAndGo(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	o.write(2, 200)
	r := newReplica(t, withRedis(t, Stamped), o)
	r.read(t, 1)
	stack.StopRedis()
	wantRead(t, r, 1, 100, SourceDataL1)
	for i := range 20 {
		o.write(2, 201+i)
		o.tell(r.ledger)
		trail := wantRead(t, r, 2, 201+i, SourcePostgres)
		if got := trail.Step(Data, L2).Outcome; got != Failed {
			t.Errorf("L2 said %v, want error", got)
		}
	}
	if got := r.redis.worst.Load(); got != 2 {
		t.Errorf("the worst breaker is at %v halves of open, want 2", got)
	}
	if err := stack.StartRedis(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the breaker closes and L2 is used again", func() bool {
		o.write(2, 300)
		o.tell(r.ledger)
		_, trail := r.read(t, 2)
		return trail.Step(Data, L2).Stored
	})
}

func TestDamagedL2EntryIsLoadedAnew(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	cfg := withRedis(t, Stamped)
	a, b := newReplica(t, cfg, o), newReplica(t, cfg, o)
	a.read(t, 1)
	client, key := redisClient(t), "strata::"+a.name(Stamped, 1)
	for _, damage := range []string{"", "x", "\x01", "\x02\x00\x00\x00", "\x01\x00\xff\xff\xff"} {
		if err := client.Set(t.Context(), key, damage, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		b.l1[Stamped].InvalidateAll()
		trail := wantRead(t, b, 1, 100, SourcePostgres)
		if got := trail.Step(Data, L2).Outcome; got != Failed {
			t.Errorf("%q: L2 said %v, want error", damage, got)
		}
	}
}

func TestPanicOfALoadIsAnError(t *testing.T) {
	r := newReplica(t, Config{Strategy: Stamped}, newOrigin(), func(c *Class[int, int]) {
		c.Load = func(context.Context, int) (int, error) { panic("boom") }
	})
	if _, err := r.Get(t.Context(), 1); err == nil {
		t.Error("no error")
	}
}

func TestReaderThatGivesUpLeavesTheLoadToOthers(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, Config{Strategy: Stamped}, o)
	gate := make(chan struct{})
	o.set(func(o *origin) { o.gate = gate })
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := r.Get(ctx, 1); gaveUp <- err }()
	eventually(t, "the load has read", func() bool { return o.loads.Load() == 1 })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("the reader got %v, want its context's error", err)
	}
	close(gate)
	eventually(t, "the value is in L1", func() bool { return r.l1[Stamped].EstimatedSize() == 1 })
	wantRead(t, r, 1, 100, SourceDataL1)
}

func TestHitOutOfL1DoesNotAllocate(t *testing.T) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(t, Config{Strategy: Stamped}, o)
	ctx := t.Context()
	r.read(t, 1)
	if got := testing.AllocsPerRun(1000, func() { _, _ = r.Get(ctx, 1) }); got != 0 {
		t.Errorf("%v allocations a hit, want none", got)
	}
}
