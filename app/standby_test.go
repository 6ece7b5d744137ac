package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/postgres"
	"example.com/strata/app/telemetry"
	"example.com/strata/deploy/local"
)

// newStandby starts a standby of a stack that ends with the test.
func newStandby(t testing.TB, s *local.Stack) *local.Standby {
	t.Helper()
	standby, err := s.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Remove(); err != nil {
			t.Error(err)
		}
	})
	return standby
}

func caughtUp(t testing.TB, s *local.Standby) {
	t.Helper()
	eventually(t, "the standby has caught up", func() bool {
		lag, err := s.Lag(t.Context())
		return err == nil && lag <= 0
	})
}

// stutter pauses and resumes replay at random until the function that it returns is called.
func stutter(t testing.TB, s *local.Standby) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			for _, step := range []func(context.Context) error{s.Pause, s.Resume} {
				if err := step(context.WithoutCancel(ctx)); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(rand.N(300 * time.Millisecond)):
				}
			}
		}
	})
	return sync.OnceFunc(func() { cancel(); working.Wait() })
}

// standbyReads adds up what became of the replicas' reads.
func standbyReads(t testing.TB, replicas []*replica) map[string]float64 {
	t.Helper()
	by := make(map[string]float64)
	for _, r := range replicas {
		families, err := r.tel.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != telemetry.MetricStandbyReads {
				continue
			}
			for _, m := range f.Metric {
				by[m.Label[0].GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	return by
}

func TestNoStampedAnswerIsOlderThanItsAsOfTimeAlthoughItsStandbyLags(t *testing.T) {
	standby := newStandby(t, stack)
	defer stutter(t, standby)()
	h := runHarnessAt(t, places{read: standby.URL}, cache.Stamped, realFeed, func(h *harness) bool { return h.reads.Load() > 300_000 && h.commits.Load() > 1000 })
	by := standbyReads(t, h.replicas)
	t.Logf("reads by what the standby did: %v", by)
	if n := h.violations.Load(); n > 0 {
		t.Errorf("%d answers lack a change that was acknowledged before their as-of time, such as: %s", n, *h.example.Load())
	}
	if h.reads.Load() < 300_000 || h.commits.Load() < 300 || len(h.lists) < 500 {
		t.Errorf("%d reads, %d commits, %d lists: too few to prove anything", h.reads.Load(), h.commits.Load(), len(h.lists))
	}
	if by["served"] < 100 || by["refused"]+by["skipped"] < 20 {
		t.Errorf("reads by what the standby did: %v: it was not used, or did not lag, so this proves nothing", by)
	}
}

// The negative control: replicas that believe the standby as if it were the primary.
func TestTheHarnessFindsAStandbyThatIsBelieved(t *testing.T) {
	standby := newStandby(t, stack)
	defer stutter(t, standby)()
	var primary atomic.Pointer[string]
	believe := func(appURL string) string {
		primary.Store(&appURL)
		waitForDatabase(t, standby, appURL)
		return standby.URL(appURL)
	}
	feed := func(ctx context.Context, _ *postgres.DB, ledger *freshness.Ledger, _ *telemetry.Telemetry, _ string) error {
		tel, err := telemetry.New(ctx, telemetry.Config{LogLevel: "error"}, io.Discard)
		if err != nil {
			return err
		}
		db, err := postgres.Open(ctx, postgres.Config{URL: *primary.Load()}, tel)
		if err != nil {
			return err
		}
		defer db.Close()
		return realFeed(ctx, db, ledger, tel, "")
	}
	h := runHarnessAt(t, places{database: believe}, cache.Stamped, feed, func(h *harness) bool { return h.violations.Load() > 0 })
	if h.violations.Load() == 0 {
		t.Error("no violation found: the harness proves nothing")
	}
}

// waitForDatabase waits until a new database is at the standby too.
func waitForDatabase(t testing.TB, s *local.Standby, appURL string) {
	t.Helper()
	eventually(t, "the database is at the standby", func() bool {
		conn, err := pgx.Connect(t.Context(), s.URL(appURL))
		if err != nil {
			return false
		}
		defer conn.Close(context.Background())
		var listings int
		return conn.QueryRow(t.Context(), `SELECT count(*) FROM listings`).Scan(&listings) == nil && listings == harnessListings
	})
}

func readingFrom(s *local.Standby, appURL string) func(*Config) {
	return func(c *Config) { c.Postgres.ReadURL = URL(s.URL(appURL)) }
}

func TestWriterReadsItsWriteAtAnyReplicaAlthoughTheStandbyStandsStill(t *testing.T) {
	_, app := seeded(t, 200)
	standby := newStandby(t, stack)
	caughtUp(t, standby)
	replicas := []*service{serve(t, app, readingFrom(standby, app)), serve(t, app, readingFrom(standby, app))}
	for id := range 20 {
		replicas[0].want(t, fmt.Sprintf("/v1/listings/%d", 50+id))
	}
	eventually(t, "the standby serves", func() bool {
		replicas[0].want(t, fmt.Sprintf("/v1/listings/%d", 100+rand.IntN(100)))
		return sum(replicas[0].metrics(t), "strata_standby_reads_total", "result", "served") > 0
	})
	if err := standby.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		price, path := int64(1000+i), fmt.Sprintf("/v1/listings/%d", 1+i%5)
		wrote := replicas[i%2].ask(t, "PATCH", path, fmt.Sprintf(`{"price_minor": %d}`, price), "Authorization: Bearer "+writeToken)
		if wrote.status != http.StatusOK {
			t.Fatalf("PATCH: %d %s", wrote.status, wrote.body)
		}
		for j, r := range replicas {
			if got := listingIn(t, r.want(t, path, "Strata-Seen: "+wrote.header.Get("Strata-Seen"))).PriceMinor; got != price {
				t.Errorf("replica %d after write %d: price %d, want %d", j, i, got, price)
			}
		}
		a := replicas[i%2].want(t, path)
		if got := listingIn(t, a).PriceMinor; got != price {
			t.Errorf("the writing replica: price %d, want %d", got, price)
		}
	}
	// What is read from the primary because the standby lacks it is kept: no read of it is in vain twice.
	a := replicas[0].want(t, "/v1/listings/1")
	if got := replicas[0].want(t, "/v1/listings/1").header.Get("Cache-Status"); !strings.HasPrefix(got, "view-l1; hit") {
		t.Errorf("Cache-Status of a changed listing's second read: %s; of its first: %s", got, a.header.Get("Cache-Status"))
	}
}

func TestStandbyMayBeKilledAndRestartedDuringARun(t *testing.T) {
	_, app := seeded(t, 2000)
	standby := newStandby(t, stack)
	caughtUp(t, standby)
	s := serve(t, app, readingFrom(standby, app), func(c *Config) { c.Cache.RedisURL = "" })
	served := func() float64 { return sum(s.metrics(t), "strata_standby_reads_total", "result", "served") }
	var next atomic.Int64
	read := func() {
		t.Helper()
		s.want(t, fmt.Sprintf("/v1/listings/%d", 1+next.Add(1)%2000))
	}
	eventually(t, "the standby serves", func() bool { read(); return served() > 0 })
	standby.Kill()
	for range 200 {
		read()
	}
	if m := s.metrics(t); sum(m, "strata_standby_reads_total", "result", "failed") == 0 || sum(m, "strata_standby_reads_total", "result", "open") == 0 {
		t.Error("nobody noticed that the standby is gone")
	}
	if err := standby.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := served()
	eventually(t, "the standby serves again", func() bool {
		s.ask(t, "PATCH", "/v1/listings/1", `{"price_minor": 5}`, "Authorization: Bearer "+writeToken)
		s.want(t, fmt.Sprintf("/v1/listings?city=lisbon&price_min=%d", next.Add(1)))
		read()
		return served() > before
	})
}

// switchboard forwards connections to one server or another, as a load balancer in front of a pair of databases does.
type switchboard struct {
	listener net.Listener
	target   atomic.Pointer[string]
	mu       sync.Mutex
	open     []net.Conn
}

func newSwitchboard(t *testing.T, target string) *switchboard {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &switchboard{listener: l}
	s.target.Store(&target)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.forward(in) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); s.cut(); running.Wait() })
	return s
}

func (s *switchboard) forward(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", *s.target.Load())
	if err != nil {
		return
	}
	defer out.Close()
	s.mu.Lock()
	s.open = append(s.open, in, out)
	s.mu.Unlock()
	back := make(chan struct{})
	go func() { defer close(back); _, _ = io.Copy(in, out); _ = in.Close() }()
	_, _ = io.Copy(out, in)
	_ = out.Close()
	<-back
}

// cut ends all connections.
func (s *switchboard) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_ = c.Close()
	}
	s.open = nil
}

func hostOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestFailoverToTheStandbyIsANewEpochAndTheServiceGoesOn(t *testing.T) {
	own, err := local.Start(t.Context(), local.Config{NoRedis: true, Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	}()
	discard, err := telemetry.New(t.Context(), telemetry.Config{LogLevel: "error"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), own.OwnerURL, discard.Log); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Seed(t.Context(), own.OwnerURL, postgres.SeedConfig{Listings: 200, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	standby, err := own.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	board := newSwitchboard(t, hostOf(t, own.DatabaseURL))
	balanced := strings.Replace(own.DatabaseURL, hostOf(t, own.DatabaseURL), board.listener.Addr().String(), 1)
	s := serve(t, balanced, readingFrom(standby, own.DatabaseURL))
	patch := func(price int) answer {
		return s.ask(t, "PATCH", "/v1/listings/1", fmt.Sprintf(`{"price_minor": %d}`, price), "Authorization: Bearer "+writeToken)
	}
	if a := patch(111); a.status != http.StatusOK {
		t.Fatalf("PATCH: %d %s", a.status, a.body)
	}
	caughtUp(t, standby)
	eventually(t, "an entry is kept", func() bool {
		return strings.HasPrefix(s.want(t, "/v1/listings/1").header.Get("Cache-Status"), "view-l1; hit")
	})

	own.KillPostgres()
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := hostOf(t, standby.URL(own.DatabaseURL))
	board.target.Store(&promoted)
	board.cut()
	eventually(t, "the ledger begins a new epoch", func() bool {
		return sum(s.metrics(t), "strata_epoch_resets_total", "reason", "epoch") > 0
	})
	var first answer
	eventually(t, "reads work again", func() bool { // a connection that was cut is found out by whoever uses it first
		first = s.ask(t, "GET", "/v1/listings/1", "")
		return first.status == http.StatusOK
	})
	if a := first; listingIn(t, a).PriceMinor != 111 || strings.Contains(a.header.Get("Cache-Status"), "view-l1; hit") {
		t.Errorf("after the failover: price %d, %s; want 111, and no entry of the old epoch", listingIn(t, a).PriceMinor, a.header.Get("Cache-Status"))
	}
	eventually(t, "writes work again", func() bool { return patch(222).status == http.StatusOK })
	if got := listingIn(t, s.want(t, "/v1/listings/1")).PriceMinor; got != 222 {
		t.Errorf("after a write to the promoted server: price %d, want 222", got)
	}
	eventually(t, "entries are kept again", func() bool {
		a := s.want(t, "/v1/listings/1")
		return listingIn(t, a).PriceMinor == 222 && strings.HasPrefix(a.header.Get("Cache-Status"), "view-l1; hit")
	})
}
