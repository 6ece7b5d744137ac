package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"example.com/strata/app/listing"
)

func TestListingIsStoredAsDraftedAndCompletedByTheDatabase(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	d := draft("gamma")
	d.Amenities = []string{"pool", "balcony", "pool"}
	created := create(t, db, d)
	want := d
	want.Amenities = []string{"balcony", "pool"}
	if diff := cmp.Diff(want, created.Draft()); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if created.ID == 0 || created.Version != 1 || created.Region != "South" || created.Country != "BB" ||
		time.Since(created.CreatedAt) > time.Minute || created.CreatedAt.Location() != time.UTC {
		t.Errorf("the database's part is %+v", created)
	}
	if got := d.Amenities; !cmp.Equal(got, []string{"pool", "balcony", "pool"}) {
		t.Errorf("the caller's amenities were changed to %v", got)
	}
	read, err := db.Listing(t.Context(), created.ID)
	if diff := cmp.Diff(created, read); err != nil || diff != "" {
		t.Errorf("read, error %v (-created +read):\n%s", err, diff)
	}
	d.Amenities = nil
	if bare := create(t, db, d); bare.Amenities == nil {
		t.Error("amenities of a listing without any are nil")
	}
}

func TestUpdateReturnsWhatItReplaced(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	created := create(t, db, draft("alpha"))
	d := created.Draft()
	d.City, d.PriceMinor = "gamma", 42_00
	now, before, commit, err := db.Update(t.Context(), created.ID, created.Row, d)
	if err != nil || commit.XID == 0 {
		t.Fatalf("update: commit %v, error %v", commit, err)
	}
	if diff := cmp.Diff(created, before); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	want := created
	want.City, want.Region, want.Country, want.PriceMinor, want.Version = "gamma", "South", "BB", 42_00, 2
	if diff := cmp.Diff(want, now, cmpopts.IgnoreFields(listing.Listing{}, "UpdatedAt", "Row")); diff != "" || !now.UpdatedAt.After(before.UpdatedAt) {
		t.Errorf("now, updated %v after %v (-want +got):\n%s", now.UpdatedAt, before.UpdatedAt, diff)
	}
}

func TestDeleteReturnsWhatItRemoved(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	created := create(t, db, draft("alpha"))
	if _, _, err := db.Delete(t.Context(), created.ID, 7); !errors.Is(err, listing.ErrConflict) {
		t.Errorf("another version: got error %v, want ErrConflict", err)
	}
	gone, commit, err := db.Delete(t.Context(), created.ID, created.Row)
	if diff := cmp.Diff(created, gone); err != nil || commit.XID == 0 || diff != "" {
		t.Errorf("commit %v, error %v (-created +deleted):\n%s", commit, err, diff)
	}
	if _, err := db.Listing(t.Context(), created.ID); !errors.Is(err, listing.ErrNotFound) {
		t.Errorf("reading it: got error %v, want ErrNotFound", err)
	}
}

func TestWritesSayWhatIsWrong(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	created := create(t, db, draft("alpha"))
	nowhere, nobody := draft("nowhere"), draft("alpha")
	nobody.AgentID = 99
	update := func(id, version int64, d listing.Draft) error {
		_, _, _, err := db.Update(t.Context(), id, version, d)
		return err
	}
	insert := func(d listing.Draft) error { _, _, err := db.Create(t.Context(), d); return err }
	remove := func(id int64) error { _, _, err := db.Delete(t.Context(), id, 0); return err }
	for _, test := range []struct {
		name      string
		got, want error
	}{
		{"create in an unknown city", insert(nowhere), listing.ErrUnknownCity},
		{"create with an unknown agent", insert(nobody), listing.ErrUnknownAgent},
		{"move to an unknown city", update(created.ID, 0, nowhere), listing.ErrUnknownCity},
		{"give to an unknown agent", update(created.ID, 0, nobody), listing.ErrUnknownAgent},
		{"update what is not there", update(99, 0, draft("alpha")), listing.ErrNotFound},
		{"update what is not there, by version", update(99, 1, draft("alpha")), listing.ErrNotFound},
		{"update another version", update(created.ID, 2, draft("alpha")), listing.ErrConflict},
		{"delete what is not there", remove(99), listing.ErrNotFound},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, test.got, test.want)
		}
	}
	if after, err := db.Listing(t.Context(), created.ID); err != nil || !cmp.Equal(after, created) {
		t.Errorf("refused writes changed the listing: error %v\n%s", err, cmp.Diff(created, after))
	}
}

func TestOneOfManyConcurrentUpdatesOfAVersionWins(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	created := create(t, db, draft("alpha"))
	const writers = 8
	outcomes := make(chan error, writers)
	for i := range writers {
		go func() {
			d := created.Draft()
			d.PriceMinor = int64(i + 1)
			_, _, _, err := db.Update(t.Context(), created.ID, created.Row, d)
			outcomes <- err
		}()
	}
	won := 0
	for range writers {
		err := <-outcomes
		if err == nil {
			won++
		} else if !errors.Is(err, listing.ErrConflict) {
			t.Errorf("a loser got %v, want ErrConflict", err)
		}
	}
	if won != 1 {
		t.Errorf("%d updates of the same version won, want 1", won)
	}
}

func TestConcurrentUpdatesFormAChain(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	created := create(t, db, draft("alpha"))
	const writers, each = 4, 25
	var group errgroup.Group
	steps := make(chan [2]listing.Listing, writers*each)
	for i := range writers {
		group.Go(func() error {
			for j := range each {
				d := created.Draft()
				d.PriceMinor = int64(1000*i + j + 1)
				now, before, _, err := db.Update(t.Context(), created.ID, 0, d)
				if err != nil {
					return err
				}
				steps <- [2]listing.Listing{before, now}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	close(steps)
	priceOf := map[int64]int64{1: created.PriceMinor}
	var replaced []listing.Listing
	for step := range steps {
		if step[1].Version != step[0].Version+1 {
			t.Errorf("version %d was replaced by %d", step[0].Version, step[1].Version)
		}
		priceOf[step[1].Version] = step[1].PriceMinor
		replaced = append(replaced, step[0])
	}
	for _, l := range replaced {
		if priceOf[l.Version] != l.PriceMinor {
			t.Errorf("an update says that it replaced version %d with price %d, but that version had %d", l.Version, l.PriceMinor, priceOf[l.Version])
		}
	}
	if len(priceOf) != writers*each+1 {
		t.Errorf("%d versions, want %d", len(priceOf), writers*each+1)
	}
}
