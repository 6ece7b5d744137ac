package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

func TestReadsAreStampedOnlyForWhoCollects(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l, xid, err := db.Create(t.Context(), draft("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	ignore := func(_ any, err error) error { return err }
	for _, test := range []struct {
		name string
		read func(context.Context) error
		want error
		tag  string
	}{
		{"listing", func(ctx context.Context) error { return ignore(db.Listing(ctx, l.ID)) }, nil, listing.Tag(l.ID)},
		{"no listing", func(ctx context.Context) error { return ignore(db.Listing(ctx, 99)) }, listing.ErrNotFound, "listing:99"},
		{"search", func(ctx context.Context) error { return ignore(db.Search(ctx, listing.Query{})) }, nil, listing.TagListings},
		{"search of a city", func(ctx context.Context) error { return ignore(db.Search(ctx, listing.Query{City: "beta"})) }, nil, "city:beta"},
		{"cities", func(ctx context.Context) error { return ignore(db.Cities(ctx)) }, nil, listing.TagListings},
		{"statistics", func(ctx context.Context) error { return ignore(db.CityStats(ctx, "alpha")) }, nil, "city:alpha"},
		{"no statistics", func(ctx context.Context) error { return ignore(db.CityStats(ctx, "nowhere")) }, listing.ErrNotFound, "city:nowhere"},
	} {
		ctx, collector := freshness.Collect(t.Context())
		if err := test.read(ctx); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
		stamp := collector.Stamp()
		if !stamp.Known() || !cmp.Equal(stamp.Tags, []string{test.tag}) || !stamp.Snapshot.Sees(xid.XID) {
			t.Errorf("%s: stamp is %+v, want one with the tag %s that sees transaction %v", test.name, stamp, test.tag, xid)
		}
		if err := test.read(t.Context()); !errors.Is(err, test.want) {
			t.Errorf("%s without a collector: got error %v, want %v", test.name, err, test.want)
		}
	}
	ctx, collector := freshness.Collect(t.Context())
	if _, err := db.Search(ctx, listing.Query{Cursor: "?"}); !errors.Is(err, listing.ErrCursor) {
		t.Errorf("got error %v, want ErrCursor", err)
	}
	if stamp := collector.Stamp(); stamp.Known() {
		t.Errorf("an error was stamped %+v", stamp)
	}
}

func TestStampDoesNotSeeATransactionThatRunsDuringTheRead(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	running, err := connect(t, d.ownerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid string
	if err := running.QueryRow(t.Context(), `UPDATE listings SET price_minor = 1 RETURNING pg_current_xact_id()::text`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	ctx, collector := freshness.Collect(t.Context())
	if got, err := db.Listing(ctx, l.ID); err != nil || got.PriceMinor != l.PriceMinor {
		t.Fatalf("got price %d, error %v", got.PriceMinor, err)
	}
	x, err := freshness.ParseXID(xid)
	if err != nil {
		t.Fatal(err)
	}
	if stamp := collector.Stamp(); !stamp.Known() || stamp.Snapshot.Sees(x) {
		t.Errorf("the stamp %+v sees transaction %d, whose effect the read did not", stamp, x)
	}
	if err := running.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEachDatabaseOfAServerHasAnEpochOfItsOwn(t *testing.T) {
	first, second := newSmallDatabase(t), newSmallDatabase(t)
	epoch := func(d database) freshness.Epoch {
		db := d.open(t, Config{})
		return readStamp(t, db, create(t, db, draft("alpha")).ID).Epoch
	}
	known := epoch(first)
	if known == 0 || epoch(first) != known {
		t.Errorf("epoch %v, then %v; want the same twice", known, epoch(first))
	}
	if other := epoch(second); other == 0 || other == known {
		t.Errorf("another database has epoch %v, want one other than %v: its change log is another", other, known)
	}
}
