package postgres

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/listing"
)

func TestARequestThatIsSentOftenIsDoneOnce(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	once := listing.Once{Owner: "ann", Key: "k", Request: [32]byte{1}}
	var first listing.Listing
	var firsts, replays, busy atomic.Int64
	var together sync.WaitGroup
	for range 20 {
		together.Go(func() {
			l, xid, replayed, err := db.CreateOnce(t.Context(), once, draft("alpha"))
			switch {
			case errors.Is(err, listing.ErrInProgress):
				busy.Add(1)
			case err != nil || xid.XID == 0 || l.ID == 0:
				t.Errorf("%v, transaction %v", err, xid)
			case replayed:
				replays.Add(1)
			default:
				first = l
				firsts.Add(1)
			}
		})
	}
	together.Wait()
	if firsts.Load() != 1 || firsts.Load()+replays.Load()+busy.Load() != 20 {
		t.Errorf("done %d times, replayed %d, refused as under way %d", firsts.Load(), replays.Load(), busy.Load())
	}
	if n := one[int](t, d, `SELECT count(*) FROM listings`); n != 1 {
		t.Errorf("%d listings, want 1", n)
	}
	d.exec(t, `UPDATE listings SET price_minor = 1`)
	again, _, replayed, err := db.CreateOnce(t.Context(), once, draft("beta"))
	first.Row = 0 // what is replayed may be there no longer
	if diff := cmp.Diff(again, first); err != nil || !replayed || diff != "" {
		t.Errorf("%v, replayed %v, got before want:\n%s", err, replayed, diff)
	}
	other := once
	other.Request[0] = 2
	if _, _, _, err := db.CreateOnce(t.Context(), other, draft("alpha")); !errors.Is(err, listing.ErrKeyReused) {
		t.Errorf("another request with the key: %v", err)
	}
	other.Owner = "bob"
	if _, _, replayed, err := db.CreateOnce(t.Context(), other, draft("alpha")); err != nil || replayed {
		t.Errorf("somebody else's key of the same name: %v, replayed %v", err, replayed)
	}
}

// The negative control: without a key the same request is done as often as it is sent.
func TestARequestWithoutAKeyIsDoneAgain(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	create(t, db, draft("alpha"))
	create(t, db, draft("alpha"))
	if n := one[int](t, d, `SELECT count(*) FROM listings`); n != 2 {
		t.Errorf("%d listings, want 2", n)
	}
}

func TestWhatFailedWasNotDoneAndMayBeTriedAgain(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	once := listing.Once{Owner: "ann", Key: "k"}
	if _, _, _, err := db.CreateOnce(t.Context(), once, draft("nowhere")); !errors.Is(err, listing.ErrUnknownCity) {
		t.Fatal(err)
	}
	if n := one[int](t, d, `SELECT count(*) FROM idempotency_keys`); n != 0 {
		t.Errorf("%d answers are kept of what failed", n)
	}
	if _, _, replayed, err := db.CreateOnce(t.Context(), once, draft("alpha")); err != nil || replayed {
		t.Errorf("tried again: %v, replayed %v", err, replayed)
	}
}

func TestARequestThatIsUnderWayIsNotWaitedFor(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	once := listing.Once{Owner: "ann", Key: "k"}
	holder := connect(t, d.ownerURL)
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), `SELECT pg_advisory_xact_lock($1)`, lockOf(once)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := db.CreateOnce(t.Context(), once, draft("alpha")); !errors.Is(err, listing.ErrInProgress) {
		t.Errorf("%v, want ErrInProgress", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := db.CreateOnce(t.Context(), once, draft("alpha")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestKeptAnswersArePruned(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	d.exec(t, `INSERT INTO idempotency_keys (owner, key, request, answer, created_at)
		SELECT 'ann', i::text, '', '{}', now() - i * interval '1 minute' FROM generate_series(1, 2500) i`)
	n, err := db.PruneKeys(t.Context(), KeyRetention)
	if kept := one[int](t, d, `SELECT count(*) FROM idempotency_keys`); err != nil || n < 1059 || n > 1061 || int64(kept)+n != 2500 {
		t.Errorf("%v, %d pruned and %d kept, want those of a day kept", err, n, kept)
	}
	if n, err := db.PruneKeys(t.Context(), time.Nanosecond); err != nil || n == 0 {
		t.Errorf("%v, %d pruned", err, n)
	}
}
