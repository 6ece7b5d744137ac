package postgres

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
)

// startFeed runs a feed until the test ends, and returns its ledger after the first poll.
func startFeed(t testing.TB, d database, cfg changelog.Config) *freshness.Ledger {
	t.Helper()
	ledger := freshness.NewLedger(freshness.Config{})
	heard := make(listening, 1)
	feed := changelog.NewFeed(cfg, d.open(t, Config{}).DialFeed, ledger, heard)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = feed.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-heard: // behind the first polls
	case <-time.After(20 * time.Second):
		t.Fatal("the feed does not listen")
	}
	return ledger
}

// listening is told when a feed hears notifications.
type listening chan bool

func (l listening) Listening(heard bool) {
	select {
	case l <- heard:
	default: // once is enough
	}
}

func (listening) Polled(changelog.Polled)     {}
func (listening) Interrupted(error)           {}
func (listening) Watched([]changelog.Problem) {}
func (listening) PruningFailed(error)         {}

// eventually waits for a condition that another goroutine or process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// readStamp reads a listing as a cache would, and returns the stamp that its entry would carry.
func readStamp(t testing.TB, db *DB, id int64) *freshness.Stamp {
	t.Helper()
	ctx, collector := freshness.Collect(t.Context())
	if _, err := db.Listing(ctx, id); err != nil {
		t.Fatal(err)
	}
	stamp := collector.Stamp()
	return &stamp
}

const never = time.Hour // a poll interval that only a wake-up can shorten

func TestFeedIsWokenByACommitOfAnybody(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	ledger := startFeed(t, d, changelog.Config{Interval: never})
	entry := readStamp(t, db, l.ID)
	if got := ledger.Judge(entry, nil); got != freshness.Fresh {
		t.Fatalf("an entry just read: %v, want Fresh", got)
	}
	d.exec(t, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, l.ID)
	eventually(t, "the entry is refused", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
	if got := ledger.Judge(readStamp(t, db, l.ID), nil); got != freshness.Fresh {
		t.Errorf("an entry read after the change: %v, want Fresh", got)
	}
}

func TestLostWakeUpCostsOnlyTime(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	ledger := startFeed(t, d, changelog.Config{Interval: 20 * time.Millisecond})
	entry := readStamp(t, db, l.ID)
	d.exec(t, `SET strata.notify = off`)
	d.exec(t, `DELETE FROM listings WHERE id = $1`, l.ID)
	eventually(t, "the entry is refused", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
}

func TestFeedLosesNeitherOfTwoTransactionsThatCommitOutOfOrder(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	first, second := create(t, db, draft("alpha")), create(t, db, draft("beta"))
	ledger := startFeed(t, d, changelog.Config{Interval: 5 * time.Millisecond})
	firstEntry, secondEntry := readStamp(t, db, first.ID), readStamp(t, db, second.ID)

	// The slow one takes its transaction id and its place in the log first, and commits last.
	slow, err := connect(t, d.ownerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Exec(t.Context(), `UPDATE listings SET price_minor = 1 WHERE id = $1`, first.ID); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `UPDATE listings SET price_minor = 2 WHERE id = $1`, second.ID)
	eventually(t, "the fast change is known", func() bool { return ledger.Judge(secondEntry, nil) == freshness.Invalidated })
	if got := ledger.Judge(firstEntry, nil); got != freshness.Fresh {
		t.Errorf("before the slow transaction commits: %v, want Fresh", got)
	}
	meanwhile := readStamp(t, db, first.ID) // read while it runs: sees the fast one only
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow change is known", func() bool { return ledger.Judge(firstEntry, nil) == freshness.Invalidated })
	if got := ledger.Judge(meanwhile, nil); got != freshness.Invalidated {
		t.Errorf("an entry read while it ran: %v, want Invalidated", got)
	}
}

func TestFeedContinuesWhereItsConnectionBroke(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	ledger := startFeed(t, d, changelog.Config{Interval: 10 * time.Millisecond})
	entry := readStamp(t, db, l.ID)
	super, err := pgx.Connect(t.Context(), stack().SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	for range 3 {
		before := ledger.AsOf().Time
		if _, err := super.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'strata-feed'`); err != nil {
			t.Fatal(err)
		}
		d.exec(t, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, l.ID)
		eventually(t, "the change made meanwhile is known", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
		eventually(t, "polls go on", func() bool { return ledger.AsOf().Time.After(before) })
		entry = readStamp(t, db, l.ID)
		eventually(t, "the new entry is fresh", func() bool { return ledger.Judge(entry, nil) == freshness.Fresh })
	}
}

func TestReaderWhoWaitsForATransactionMakesTheFeedPoll(t *testing.T) {
	d := newSmallDatabase(t)
	ledger := startFeed(t, d, changelog.Config{Interval: never})
	d.exec(t, `SET strata.notify = off`)
	var xid string
	if err := d.owner.QueryRow(t.Context(), `UPDATE agents SET name = name RETURNING `+changelog.Commit).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	x, err := freshness.ParseCommit(xid)
	if err != nil {
		t.Fatal(err)
	}
	if ledger.Covers(x) {
		t.Fatal("the ledger covers a transaction that came after its poll")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if !ledger.Await(ctx, x) || !ledger.Covers(x) {
		t.Error("the transaction was not covered in time")
	}
}

func TestPruningRaisesTheFloorOfTheLedger(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	old := readStamp(t, db, l.ID)
	d.exec(t, `UPDATE listings SET price_minor = 1 WHERE id = $1`, l.ID)
	d.exec(t, `UPDATE listings SET price_minor = 2 WHERE id = $1`, l.ID)
	ledger := startFeed(t, d, changelog.Config{Interval: 5 * time.Millisecond})
	if got := ledger.Judge(old, nil); got != freshness.Invalidated {
		t.Fatalf("an entry from before the feed began: %v, want Invalidated", got)
	}
	if n, err := changelog.Prune(t.Context(), d.owner, 0); err != nil || n == 0 {
		t.Fatalf("Prune = %d, %v", n, err)
	}
	eventually(t, "an entry older than the log is no longer judged", func() bool { return ledger.Judge(old, nil) == freshness.Unjudged })
	eventually(t, "what was changed before is forgotten", func() bool { return ledger.Tags() == 0 })
	if got := ledger.Judge(readStamp(t, db, l.ID), nil); got != freshness.Fresh {
		t.Errorf("an entry read now: %v, want Fresh", got)
	}
	// A replica that starts now has never seen the changes, and must not call the old entry fresh.
	if got := startFeed(t, d, changelog.Config{}).Judge(old, nil); got != freshness.Unjudged {
		t.Errorf("the old entry in a new replica: %v, want Unjudged", got)
	}
}

func TestFeedReadsABurstInFewPolls(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	ledger := startFeed(t, d, changelog.Config{Interval: never, MinInterval: 50 * time.Millisecond})
	entry := readStamp(t, db, l.ID)
	before := ledger.AsOf()
	polls := make(map[time.Time]bool)
	for range 200 {
		d.exec(t, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, l.ID)
		polls[ledger.AsOf().Time] = true
	}
	eventually(t, "the change is known", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
	if ledger.AsOf() == before || len(polls) > 100 {
		t.Errorf("%d polls for 200 commits, want one for many", len(polls))
	}
}

// BenchmarkCommitToRefusal measures from the acknowledgement of a commit to the refusal of what it changed, woken by the commit.
func BenchmarkCommitToRefusal(b *testing.B) {
	d := newSmallDatabase(b)
	db := d.open(b, Config{})
	l := create(b, db, draft("alpha"))
	ledger := startFeed(b, d, changelog.Config{})
	var took []time.Duration
	for b.Loop() {
		entry := readStamp(b, db, l.ID)
		d.exec(b, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, l.ID)
		committed := time.Now()
		for ledger.Judge(entry, nil) == freshness.Fresh {
			if time.Since(committed) > 10*time.Second {
				b.Fatal("never refused")
			}
			time.Sleep(20 * time.Microsecond)
		}
		took = append(took, time.Since(committed))
	}
	b.ReportMetric(percentile(took, 0.5).Seconds()*1000, "p50-ms")
	b.ReportMetric(percentile(took, 0.99).Seconds()*1000, "p99-ms")
}

func percentile(all []time.Duration, p float64) time.Duration {
	slices.Sort(all)
	return all[int(p*float64(len(all)-1))]
}
