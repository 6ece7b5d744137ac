package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/deploy/local"
)

// sharedStandby streams from the Postgres of all tests. Who pauses or kills it sees to it that it runs again.
var sharedStandby = sync.OnceValues(func() (*local.Standby, error) { return stack().StartStandby(context.Background()) })

func standbyOf(t testing.TB) *local.Standby {
	t.Helper()
	s, err := sharedStandby()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// caughtUp waits until the standby has replayed everything.
func caughtUp(t testing.TB, s *local.Standby) {
	t.Helper()
	eventually(t, "the standby has caught up", func() bool {
		lag, err := s.Lag(t.Context())
		return err == nil && lag <= 0
	})
}

// pause stops replay until the test ends or the function that it returns is called.
func pause(t testing.TB, s *local.Standby) (resume func()) {
	t.Helper()
	if err := s.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	resume = sync.OnceFunc(func() {
		if err := s.Resume(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(resume)
	return resume
}

// withStandby opens the database with a feed and a server to read from.
func withStandby(t testing.TB, d database, readURL string) (*DB, *freshness.Ledger) {
	t.Helper()
	ledger := startFeed(t, d, changelog.Config{Interval: 5 * time.Millisecond})
	return d.open(t, Config{ReadURL: readURL, Ledger: ledger}), ledger
}

// cached reads a listing as a cache does and judges it as a cache would.
func cached(t testing.TB, db *DB, ledger *freshness.Ledger, id int64) (l listing.Listing, stamp freshness.Stamp, asOf time.Time) {
	t.Helper()
	ctx, collector := freshness.Collect(t.Context())
	l, err := db.Listing(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	stamp = collector.Stamp()
	if verdict := ledger.Judge(&stamp, nil); verdict != freshness.Fresh {
		t.Fatalf("a read brought a stamp that is not fresh: %v %+v", verdict, stamp)
	}
	return l, stamp, collector.AsOf()
}

func (db *DB) standbyCount(result string) float64 {
	return testutil.ToFloat64(db.metrics.standbyReads[result])
}

// changeKnown changes a listing at the primary and waits until the ledger knows.
func changeKnown(t testing.TB, d database, ledger *freshness.Ledger, id, price int64) {
	t.Helper()
	text := one[string](t, d, `UPDATE listings SET price_minor = $2 WHERE id = $1 RETURNING `+changelog.Commit, id, price)
	commit, err := freshness.ParseCommit(text)
	if err != nil {
		t.Fatal(err)
	}
	if !ledger.Await(t.Context(), commit) {
		t.Fatal("the ledger was not told")
	}
}

func TestStandbyAnswersWhatItIsNotBehindOn(t *testing.T) {
	d := newSmallDatabase(t)
	changed, untouched := create(t, d.open(t, Config{}), draft("alpha")), create(t, d.open(t, Config{}), draft("beta"))
	s := standbyOf(t)
	caughtUp(t, s)
	db, ledger := withStandby(t, d, s.URL(d.appURL))
	eventually(t, "the standby serves", func() bool { cached(t, db, ledger, changed.ID); return db.standbyCount(standbyServed) > 0 })

	resume := pause(t, s)
	changeKnown(t, d, ledger, changed.ID, 77)
	served, began := db.standbyCount(standbyServed), time.Now()
	for range 100 {
		if l, _, asOf := cached(t, db, ledger, changed.ID); l.PriceMinor != 77 || !asOf.IsZero() {
			t.Fatalf("with replay paused: price %d as of %v, want 77 from the primary", l.PriceMinor, asOf)
		}
	}
	if db.standbyCount(standbyServed) != served {
		t.Error("the standby served what it cannot have")
	}
	// What the standby is known to lack is read from it in vain no more than once while a horizon holds; not at all is better still.
	mostRefused := 1 + float64(time.Since(began)/horizonHolds)
	if refused, skipped := db.standbyCount(standbyRefused), db.standbyCount(standbySkipped); refused > mostRefused {
		t.Errorf("%v reads refused and %v skipped, want at most %v in vain", refused, skipped, mostRefused)
	}
	before := ledger.AsOf()
	eventually(t, "what did not change is served by the paused standby", func() bool {
		_, stamp, asOf := cached(t, db, ledger, untouched.ID)
		if asOf.IsZero() {
			return false
		}
		if asOf.Before(before.Time) || !stamp.Snapshot.Sees(before.Snapshot.Xmax-1) {
			t.Errorf("as of %v with the stamp %+v, want at least what the ledger vouched for: %v %+v", asOf, stamp, before.Time, before.Snapshot)
		}
		return true
	})

	resume()
	caughtUp(t, s)
	eventually(t, "the changed listing is served by the standby", func() bool {
		l, _, asOf := cached(t, db, ledger, changed.ID)
		if l.PriceMinor != 77 {
			t.Fatalf("price %d, want 77", l.PriceMinor)
		}
		return !asOf.IsZero()
	})
}

func TestReadsThatNobodyJudgesGoToThePrimary(t *testing.T) {
	d := newSmallDatabase(t)
	l := create(t, d.open(t, Config{}), draft("alpha"))
	s := standbyOf(t)
	caughtUp(t, s)
	db, _ := withStandby(t, d, s.URL(d.appURL))
	pause(t, s)
	d.exec(t, `UPDATE listings SET price_minor = 78 WHERE id = $1`, l.ID)
	if got, err := db.Listing(t.Context(), l.ID); err != nil || got.PriceMinor != 78 {
		t.Errorf("price %d, %v; want 78", got.PriceMinor, err)
	}
	for result := range db.metrics.standbyReads {
		if n := db.standbyCount(result); n != 0 {
			t.Errorf("%v reads were %s by the standby", n, result)
		}
	}
}

// The negative control of trusting Xmin only: a standby's own snapshot calls a transaction visible that it has not replayed.
func TestSnapshotOfAStandbyLiesAboveItsXmin(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	slow, fast := create(t, db, draft("alpha")), create(t, db, draft("beta"))
	s := standbyOf(t)
	running, err := connect(t, d.ownerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text string
	if err := running.QueryRow(t.Context(), `UPDATE listings SET price_minor = 79 WHERE id = $1 RETURNING pg_current_xact_id()::text`, slow.ID).Scan(&text); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `UPDATE listings SET price_minor = 80 WHERE id = $1`, fast.ID)
	caughtUp(t, s)
	pause(t, s)
	if err := running.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, s.URL(d.appURL))
	var snapshotText string
	var price int64
	if err := reader.QueryRow(t.Context(), `SELECT pg_current_snapshot()::text, price_minor FROM listings WHERE id = $1`, slow.ID).Scan(&snapshotText, &price); err != nil {
		t.Fatal(err)
	}
	snapshot, err := freshness.ParseSnapshot(snapshotText)
	if err != nil {
		t.Fatal(err)
	}
	xid, err := freshness.ParseXID(text)
	if err != nil {
		t.Fatal(err)
	}
	if price == 79 {
		t.Fatal("the paused standby has the change")
	}
	if !snapshot.Sees(xid) {
		t.Errorf("the raw snapshot %s does not claim to see %s: this test proves nothing", snapshotText, text)
	}
	if snapshot.Standby().Sees(xid) {
		t.Errorf("the trusted part %v sees %s", snapshot.Standby(), text)
	}
}

func TestStandbyMayBeKilledAndComesBack(t *testing.T) {
	d := newSmallDatabase(t)
	l := create(t, d.open(t, Config{}), draft("alpha"))
	s := standbyOf(t)
	caughtUp(t, s)
	db, ledger := withStandby(t, d, s.URL(d.appURL))
	served := func() bool {
		n := db.standbyCount(standbyServed)
		cached(t, db, ledger, l.ID)
		return db.standbyCount(standbyServed) > n
	}
	eventually(t, "the standby serves", served)
	s.Kill()
	for range 20 {
		cached(t, db, ledger, l.ID)
	}
	if db.standbyCount(standbyFailed) < 5 || db.standbyCount(standbyOpen) == 0 {
		t.Errorf("%v reads failed and %v met an open breaker; want some, then none", db.standbyCount(standbyFailed), db.standbyCount(standbyOpen))
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the standby serves again", served)
}

func TestStandbyThatDoesNotAnswerCostsFewReadsABoundedTime(t *testing.T) {
	d := newSmallDatabase(t)
	l := create(t, d.open(t, Config{}), draft("alpha"))
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	go func() {
		for {
			conn, err := hole.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	ledger := startFeed(t, d, changelog.Config{})
	at := strings.Index(d.appURL, "@")
	readURL := d.appURL[:at+1] + hole.Addr().String() + d.appURL[strings.LastIndex(d.appURL, "/"):]
	const bound = 30 * time.Millisecond
	db := d.open(t, Config{ReadURL: readURL, Ledger: ledger, StandbyTimeout: bound, ConnectTimeout: 5 * time.Second}) // a slow primary is not what is tested
	for range 50 {
		cached(t, db, ledger, l.ID)
	}
	if failed := db.standbyCount(standbyFailed); failed < 5 || db.standbyCount(standbyOpen) < failed {
		t.Errorf("%v reads failed, %v met an open breaker", failed, db.standbyCount(standbyOpen))
	}
}

func TestReaderThatLeavesSaysNothingOfTheStandby(t *testing.T) {
	d := newSmallDatabase(t)
	l := create(t, d.open(t, Config{}), draft("alpha"))
	s := standbyOf(t)
	caughtUp(t, s)
	db, _ := withStandby(t, d, s.URL(d.appURL))
	for range 10 {
		ctx, collector := freshness.Collect(t.Context())
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := db.Listing(ctx, l.ID); !errors.Is(err, context.Canceled) {
			t.Fatalf("got error %v, want the context's", err)
		}
		if stamp := collector.Stamp(); stamp.Known() {
			t.Errorf("an answer that never came was stamped %+v", stamp)
		}
	}
	if got := testutil.ToFloat64(db.metrics.standbyBreaker); got != 0 {
		t.Errorf("breaker is %v, want closed", got)
	}
}

func TestPromotedStandbyIsOfAnotherEpochAndServesNothing(t *testing.T) {
	d := newSmallDatabase(t)
	l := create(t, d.open(t, Config{}), draft("alpha"))
	s, err := stack().StartStandby(t.Context()) // of its own: it does not come back
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Error(err)
		}
	})
	caughtUp(t, s)
	db, ledger := withStandby(t, d, s.URL(d.appURL))
	eventually(t, "the standby serves", func() bool { cached(t, db, ledger, l.ID); return db.standbyCount(standbyServed) > 0 })
	primary := readStamp(t, d.open(t, Config{}), l.ID)

	if err := s.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := connect(t, s.URL(d.ownerURL))
	if _, err := promoted.Exec(t.Context(), `UPDATE listings SET price_minor = 13 WHERE id = $1`, l.ID); err != nil {
		t.Fatal(err)
	}
	changeKnown(t, d, ledger, l.ID, 81)
	served := db.standbyCount(standbyServed)
	for range 50 {
		if got, _, _ := cached(t, db, ledger, l.ID); got.PriceMinor != 81 {
			t.Fatalf("price %d, want 81: that of the primary that the feed follows", got.PriceMinor)
		}
	}
	if db.standbyCount(standbyServed) != served {
		t.Error("a server of another history served")
	}
	if epoch := one[*int64](t, database{owner: promoted}, `SELECT strata_epoch()`); epoch != nil {
		t.Errorf("the promoted server has epoch %x, want none before somebody begins one; that of the primary is %v", *epoch, primary.Epoch)
	}
}
