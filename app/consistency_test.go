package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/cache"
	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/httpapi"
	"example.com/strata/app/instruments"
	"example.com/strata/app/listing"
	"example.com/strata/app/postgres"
	"example.com/strata/app/ratelimit"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// The consistency harness: three replicas of the service over one Postgres and one Redis; eight writers with overlapping
// transactions, plain SQL, that take their transaction id early or late, move listings between cities, and mostly but not
// always wake the feeds; readers that note what they were told and as of when; fills that dawdle between reading and keeping.
// Everything is in one process, so one clock judges: a change whose commit was acknowledged before the as-of time of an answer must be in it.

const (
	harnessListings = 40
	harnessReplicas = 3
	harnessWriters  = 8
)

var harnessCities = []string{"alpha", "beta", "gamma"}

// truth is what the writers know of one listing.
type truth struct {
	mu      sync.RWMutex
	history []commit
}

// commit is a version of a listing and when it became visible: not before started, not after acked.
type commit struct {
	version        int64
	city           string
	updated        time.Time // by the database's clock, as statistics report it
	started, acked time.Time
}

// at returns the newest version that had been acknowledged before t.
func (l *truth) at(t time.Time) commit {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := len(l.history) - 1; i > 0; i-- {
		if l.history[i].acked.Before(t) {
			return l.history[i]
		}
	}
	return l.history[0]
}

// mayHaveLeft reports whether a version later than v, visible before end, lies in another city.
func (l *truth) mayHaveLeft(v int64, city string, end time.Time) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, c := range l.history {
		if c.version > v && c.city != city && c.started.Before(end) {
			return true
		}
	}
	return false
}

// list is what a reader was told of a whole city. It is judged when all writers have said what they did.
type list struct {
	city     string
	asOf     time.Time
	end      time.Time
	versions map[int64]int64 // by id; nil for statistics
	updated  time.Time       // of statistics
}

type harness struct {
	truths [harnessListings + 1]truth // by id
	url    string
	stop   chan struct{}

	replicas []*replica

	reads, commits, violations, stale atomic.Int64
	worst                             atomic.Int64 // staleness of a read, in nanoseconds
	example                           atomic.Pointer[string]

	mu    sync.Mutex
	lists []list
}

func (h *harness) violate(format string, args ...any) {
	h.violations.Add(1)
	text := fmt.Sprintf(format, args...)
	h.example.CompareAndSwap(nil, &text)
}

// checkListing judges what a read of one listing, begun at start, said.
func (h *harness) checkListing(id, version int64, asOf, start time.Time) {
	if must := h.truths[id].at(asOf); !asOf.IsZero() && version < must.version {
		h.violate("listing %d as of %v: version %d, but %d was acknowledged %v before", id, asOf, version, must.version, asOf.Sub(must.acked))
	}
	truth := &h.truths[id]
	truth.mu.RLock()
	defer truth.mu.RUnlock()
	for i := len(truth.history) - 1; i >= 0 && truth.history[i].version > version; i-- {
		if c := truth.history[i]; c.acked.Before(start) {
			if i == 0 || truth.history[i-1].version <= version { // the oldest change that the answer lacks
				h.stale.Add(1)
				if old := int64(start.Sub(c.acked)); old > h.worst.Load() {
					h.worst.Store(old)
				}
			}
		}
	}
}

// checkLists judges what readers were told of whole cities, once the history is complete.
func (h *harness) checkLists() {
	for _, l := range h.lists {
		for id := int64(1); id <= harnessListings; id++ {
			must := h.truths[id].at(l.asOf)
			told, there := l.versions[id]
			switch {
			case l.versions == nil:
				if must.city == l.city && l.updated.Before(must.updated) && !h.truths[id].mayHaveLeft(must.version, l.city, l.end) {
					h.violate("statistics of %s as of %v: changed at %v, but listing %d changed at %v", l.city, l.asOf, l.updated, id, must.updated)
				}
			case there && told < must.version:
				h.violate("page of %s as of %v: listing %d with version %d, but %d was acknowledged", l.city, l.asOf, id, told, must.version)
			case !there && must.city == l.city && !h.truths[id].mayHaveLeft(must.version, l.city, l.end):
				h.violate("page of %s as of %v lacks listing %d, which was there by version %d", l.city, l.asOf, id, must.version)
			}
		}
	}
}

// write commits one transaction that changes one or two listings by plain SQL.
func (h *harness) write(ctx context.Context, conn *pgx.Conn, rng *rand.Rand) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	if rng.IntN(3) == 0 { // take the transaction id long before the change
		if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id(), pg_sleep($1)`, rng.Float64()*0.02); err != nil {
			return err
		}
	}
	if rng.IntN(5) == 0 { // the wake-up gets lost
		if _, err := tx.Exec(ctx, `SET LOCAL strata.notify = off`); err != nil {
			return err
		}
	}
	first := 1 + rng.Int64N(harnessListings)
	ids := []int64{first}
	if second := 1 + rng.Int64N(harnessListings); rng.IntN(2) == 0 && second > first { // ascending, so that no two writers deadlock
		ids = append(ids, second)
	}
	made := make(map[int64]commit)
	for _, id := range ids {
		sql, arg := `UPDATE listings SET price_minor = $2 WHERE id = $1 RETURNING version, city, updated_at`, any(1000+rng.Int64N(1e9))
		if rng.IntN(3) == 0 {
			sql, arg = `UPDATE listings SET city = $2 WHERE id = $1 RETURNING version, city, updated_at`, harnessCities[rng.IntN(len(harnessCities))]
		}
		var c commit
		if err := tx.QueryRow(ctx, sql, id, arg).Scan(&c.version, &c.city, &c.updated); err != nil {
			return err
		}
		made[id] = c
	}
	if rng.IntN(3) == 0 { // commit long after the change
		if _, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, rng.Float64()*0.02); err != nil {
			return err
		}
	}
	started := time.Now()
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	acked := time.Now()
	for id, c := range made {
		c.started, c.acked = started, acked
		truth := &h.truths[id]
		truth.mu.Lock()
		// Two writers of one listing are told in turn, but may get here the other way round.
		at := len(truth.history)
		for at > 0 && truth.history[at-1].version > c.version {
			at--
		}
		truth.history = append(truth.history[:at], append([]commit{c}, truth.history[at:]...)...)
		truth.mu.Unlock()
	}
	h.commits.Add(1)
	return nil
}

// dawdling is the store with fills that sometimes take their time between reading and returning.
type dawdling struct{ *postgres.DB }

func (d dawdling) Listing(ctx context.Context, id int64) (listing.Listing, error) {
	l, err := d.DB.Listing(ctx, id)
	dawdle()
	return l, err
}

func (d dawdling) Search(ctx context.Context, q listing.Query) (listing.Page, error) {
	p, err := d.DB.Search(ctx, q)
	dawdle()
	return p, err
}

func dawdle() {
	if rand.IntN(10) == 0 {
		<-time.After(rand.N(30 * time.Millisecond))
	}
}

// feeder fills a ledger until its context ends.
type feeder func(ctx context.Context, db *postgres.DB, ledger *freshness.Ledger, tel *telemetry.Telemetry, url string) error

func realFeed(ctx context.Context, db *postgres.DB, ledger *freshness.Ledger, tel *telemetry.Telemetry, _ string) error {
	return changelog.NewFeed(changelog.Config{}, db.DialFeed, ledger, nil).Run(ctx)
}

// cursorFeed is the negative control: it follows the log by its identity column, as most do. That column is given out before commit, so the row of
// the slower of two transactions lies behind the cursor when it becomes visible.
func cursorFeed(ctx context.Context, db *postgres.DB, ledger *freshness.Ledger, _ *telemetry.Telemetry, url string) error {
	reader, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer reader.Close(context.WithoutCancel(ctx))
	epoch := func() freshness.Epoch {
		ctx, collector := freshness.Collect(ctx)
		_, _ = db.Listing(ctx, 1)
		stamp := collector.Stamp()
		return stamp.Epoch
	}()
	var last int64
	for ctx.Err() == nil {
		poll := freshness.Poll{Began: time.Now(), Epoch: epoch}
		var text string
		if err := reader.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&text); err != nil {
			return err
		}
		if poll.Snapshot, err = freshness.ParseSnapshot(text); err != nil {
			return err
		}
		rows, err := reader.Query(ctx, `SELECT seq, xid::text, tags FROM change_log WHERE seq > $1 ORDER BY seq`, last)
		if err != nil {
			return err
		}
		for rows.Next() {
			var xid string
			var change freshness.Change
			if err := rows.Scan(&last, &xid, &change.Tags); err != nil {
				return err
			}
			if change.XID, err = freshness.ParseXID(xid); err != nil {
				return err
			}
			poll.Changes = append(poll.Changes, change)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		ledger.Apply(poll)
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// replica is the service whole, but for its command line.
type replica struct {
	listings *listing.Service
	ledger   *freshness.Ledger
	tel      *telemetry.Telemetry
	address  string
}

// newReplica starts a replica that ends with the test. readURL is its standby's, or empty.
func newReplica(t *testing.T, appURL, readURL string, strategy cache.Strategy, feed feeder) *replica {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{LogLevel: "error"}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	ledger := freshness.NewLedger(freshness.Config{})
	db, err := postgres.Open(t.Context(), postgres.Config{URL: appURL, ReadURL: readURL, Ledger: ledger, PoolSize: 6}, tel)
	if err != nil {
		t.Fatal(err)
	}
	redis, err := instruments.Redis(remote.Config{URL: stack.RedisURL}, tel)
	if err != nil {
		t.Fatal(err)
	}
	layers := instruments.Caches(cache.Config{Strategy: strategy, TTL: time.Second}, redis, ledger, tel)
	r := &replica{listings: listing.NewService(dawdling{db}, layers, ledger), ledger: ledger, tel: tel}
	server := httpapi.New(httpapi.Config{}, r.listings, viewcache.New(viewcache.Config{}, layers, tel), layers, ledger, ratelimit.New(redis, tel), tel)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(l); err != nil {
			t.Error(err)
		}
	})
	if feed != nil {
		running.Go(func() {
			if err := feed(ctx, db, ledger, tel, appURL); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
		for ledger.AsOf().Time.IsZero() {
			<-time.After(time.Millisecond)
		}
	}
	t.Cleanup(func() {
		_ = server.Shutdown(context.Background())
		cancel()
		running.Wait()
		layers.Close()
		_ = redis.Close()
		db.Close()
	})
	return r
}

// read asks one replica once, in process or by HTTP, and notes what it was told.
func (h *harness) read(ctx context.Context, r *replica, client *http.Client, rng *rand.Rand) error {
	id, city := 1+rng.Int64N(harnessListings), harnessCities[rng.IntN(len(harnessCities))]
	kind, start := rng.IntN(100), time.Now()
	var one listing.Listing
	var page listing.Page
	var stats listing.CityStats
	var asOf time.Time
	var err error
	if client != nil {
		switch {
		case kind < 80:
			asOf, err = fetch(ctx, client, fmt.Sprintf("%s/v1/listings/%d", r.address, id), &one)
		case kind < 95:
			asOf, err = fetch(ctx, client, fmt.Sprintf("%s/v1/listings?city=%s&limit=100", r.address, city), &page)
		default:
			asOf, err = fetch(ctx, client, fmt.Sprintf("%s/v1/cities/%s/stats", r.address, city), &stats)
		}
	} else {
		following, trail := cache.Follow(ctx)
		switch {
		case kind < 98:
			one, err = r.listings.Listing(following, id)
			kind = 0
		case kind < 99:
			page, err = r.listings.Search(following, listing.Query{City: city, Limit: listing.MaxLimit})
			kind = 90
		default:
			stats, err = r.listings.CityStats(following, city)
		}
		asOf = trail.AsOf()
	}
	if err != nil {
		return err
	}
	h.reads.Add(1)
	if kind < 80 {
		h.checkListing(id, one.Version, asOf, start)
		return nil
	}
	if asOf.IsZero() {
		return nil
	}
	told := list{city: city, asOf: asOf, end: time.Now(), updated: stats.UpdatedAt}
	if kind < 95 {
		told.versions = make(map[int64]int64, len(page.Items))
		for _, l := range page.Items {
			told.versions[l.ID] = l.Version
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists = append(h.lists, told)
	return nil
}

// fetch reads JSON and the as-of time that the answer claims.
func fetch(ctx context.Context, client *http.Client, url string, into any) (asOf time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return asOf, err
	}
	res, err := client.Do(req)
	if err != nil {
		return asOf, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return asOf, err
	}
	if res.StatusCode != http.StatusOK {
		return asOf, fmt.Errorf("GET %s: %s: %s", url, res.Status, body)
	}
	if text := res.Header.Get("Strata-As-Of"); text != "" {
		if asOf, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return asOf, err
		}
		asOf = asOf.Truncate(time.Microsecond) // the header's resolution is rounded down already
	}
	return asOf, json.Unmarshal(body, into)
}

// runHarness lets the harness work until enough says so, or five minutes have passed.
func runHarness(t *testing.T, strategy cache.Strategy, feed feeder, enough func(*harness) bool) *harness {
	t.Helper()
	return runHarnessAt(t, places{}, strategy, feed, enough)
}

// places are the servers that the replicas of a harness are told of, by the URL of the primary. Nil functions mean the primary, and no standby.
type places struct{ database, read func(string) string }

// runHarnessAt is runHarness with replicas that read elsewhere.
func runHarnessAt(t *testing.T, at places, strategy cache.Strategy, feed feeder, enough func(*harness) bool) *harness {
	t.Helper()
	ownerURL, appURL := newDatabase(t)
	h := &harness{url: ownerURL, stop: make(chan struct{})}
	owner, err := pgx.Connect(t.Context(), ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	for _, sql := range []string{
		`INSERT INTO cities SELECT c, c, 'North', 'AA', 10, 10 FROM unnest(ARRAY['alpha', 'beta', 'gamma']) c`,
		`INSERT INTO agents (name, email, phone) VALUES ('Ann', 'ann@example.com', '1')`,
		`INSERT INTO listings (title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, amenities, status, agent_id)
			SELECT 'A flat', 'With a view.', (ARRAY['alpha', 'beta', 'gamma'])[1 + n % 3], 'apartment', 'sale', 100000, 'EUR', 2, 1, 50, 10, 10, '{}', 'active', (SELECT min(id) FROM agents)
			FROM generate_series(1, 40) n`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := owner.Query(t.Context(), `SELECT id, version, city, updated_at FROM listings`)
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	var c commit
	if _, err := pgx.ForEachRow(rows, []any{&id, &c.version, &c.city, &c.updated}, func() error {
		h.truths[id].history = []commit{c}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var workers sync.WaitGroup
	work := func(seed int, step func(*rand.Rand) error) {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			for {
				select {
				case <-h.stop:
					return
				default:
				}
				if err := step(rng); err != nil {
					t.Errorf("worker %d: %v", seed, err)
					return
				}
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	databaseURL, readURL := appURL, ""
	if at.database != nil {
		databaseURL = at.database(appURL)
	}
	if at.read != nil {
		readURL = at.read(appURL)
	}
	for i := range harnessReplicas {
		r := newReplica(t, databaseURL, readURL, strategy, feed)
		h.replicas = append(h.replicas, r)
		for j := range 3 {
			work(100*i+j, func(rng *rand.Rand) error { return h.read(ctx, r, nil, rng) })
		}
		work(100*i+50, func(rng *rand.Rand) error { return h.read(ctx, r, client, rng) })
	}
	for i := range harnessWriters {
		conn, err := pgx.Connect(ctx, ownerURL)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		work(1000+i, func(rng *rand.Rand) error {
			<-time.After(rand.N(40 * time.Millisecond))
			return h.write(ctx, conn, rng)
		})
	}
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end) && !enough(h) && !t.Failed(); {
		<-time.After(50 * time.Millisecond)
	}
	close(h.stop)
	workers.Wait()
	h.checkLists()
	t.Logf("%v: %d reads, %d of them judged with whole cities, %d commits, %d violations of the as-of time, %d reads older than an acknowledged commit, by %v at worst",
		strategy, h.reads.Load(), len(h.lists), h.commits.Load(), h.violations.Load(), h.stale.Load(), time.Duration(h.worst.Load()).Round(time.Millisecond))
	return h
}

func TestNoStampedAnswerIsOlderThanItsAsOfTime(t *testing.T) {
	h := runHarness(t, cache.Stamped, realFeed, func(h *harness) bool { return h.reads.Load() > 1_100_000 && h.commits.Load() > 1000 })
	if n := h.violations.Load(); n > 0 {
		t.Errorf("%d answers lack a change that was acknowledged before their as-of time, such as: %s", n, *h.example.Load())
	}
	if h.reads.Load() < 1_000_000 || h.commits.Load() < 300 || len(h.lists) < 1000 {
		t.Errorf("%d reads, %d commits, %d lists: too few to prove anything", h.reads.Load(), h.commits.Load(), len(h.lists))
	}
}

// The negative control: the same harness finds the feed that follows the log by its identity column.
func TestTheHarnessFindsAFeedThatFollowsACursor(t *testing.T) {
	h := runHarness(t, cache.Stamped, cursorFeed, func(h *harness) bool { return h.violations.Load() > 0 })
	if h.violations.Load() == 0 {
		t.Error("no violation found: the harness proves nothing")
	}
}

func TestTTLAndAsideServeWhatIsNoLongerTrue(t *testing.T) {
	for _, s := range []cache.Strategy{cache.TTL, cache.Aside} {
		h := runHarness(t, s, nil, func(h *harness) bool { return h.stale.Load() > 100 })
		if h.stale.Load() == 0 {
			t.Errorf("%v was never stale, although nobody told it of a change", s)
		}
	}
}

// newDatabase returns the URLs of a migrated database that holds nothing.
func newDatabase(t testing.TB) (ownerURL, appURL string) {
	t.Helper()
	ownerURL, appURL, err := stack.CreateDatabase(t.Context(), fmt.Sprintf("t%d", databases.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return ownerURL, appURL
}

var databases atomic.Int64
