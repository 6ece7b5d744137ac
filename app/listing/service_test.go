package listing_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/instruments"
	"example.com/strata/app/listing"
	"example.com/strata/app/postgres"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
	"example.com/strata/deploy/local"
)

// stack is the Postgres and Redis of all tests in this package.
var stack = sync.OnceValues(func() (*local.Stack, error) {
	return local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
})

// databases numbers the tests' databases.
var databases atomic.Int64

func TestMain(m *testing.M) {
	code := m.Run()
	if databases.Load() > 0 {
		if s, err := stack(); err == nil {
			_ = s.Stop()
		}
	}
	os.Exit(code)
}

// newService returns a service over a seeded database of its own, with its store. Tests share Redis, so they must not share ids of a strategy.
func newService(t *testing.T, strategy cache.Strategy) (*listing.Service, *postgres.DB) {
	t.Helper()
	name := fmt.Sprintf("service%d", databases.Add(1))
	s, err := stack()
	if err != nil {
		t.Fatal(err)
	}
	ownerURL, appURL, err := s.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Seed(t.Context(), ownerURL, postgres.SeedConfig{Listings: 200, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	tel, err := telemetry.New(t.Context(), telemetry.Config{}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: appURL}, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	ledger := freshness.NewLedger(freshness.Config{})
	redis, err := instruments.Redis(remote.Config{URL: s.RedisURL}, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	caches := instruments.Caches(cache.Config{Strategy: strategy}, redis, ledger, tel)
	t.Cleanup(caches.Close)
	if strategy == cache.Stamped {
		follow(t, changelog.NewFeed(changelog.Config{}, db.DialFeed, ledger, nil), ledger)
	}
	return listing.NewService(db, caches, ledger), db
}

// follow runs a feed during the test, from a moment when the ledger knows something.
func follow(t *testing.T, feed *changelog.Feed, ledger *freshness.Ledger) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = feed.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !ledger.Await(waiting, freshness.Commit{}) {
		t.Fatal("the feed brought nothing")
	}
}

// state is what the service says about one listing and its city.
type state struct {
	price    int64
	found    bool
	counted  int64 // active listings by the city's statistics
	forSale  int64 // and by the list of cities
	cheapest int64 // price of the first listing of the city's page
}

func look(t *testing.T, s *listing.Service, id int64, city string) (st state) {
	t.Helper()
	l, err := s.Listing(t.Context(), id)
	st.price, st.found = l.PriceMinor, err == nil
	if err != nil && !errors.Is(err, listing.ErrNotFound) {
		t.Fatal(err)
	}
	stats, err := s.CityStats(t.Context(), city)
	cities, err2 := s.Cities(t.Context())
	page, err3 := s.Search(t.Context(), listing.Query{City: city, Sort: listing.Cheapest, Limit: 1})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	st.counted = stats.Listings
	for _, c := range cities {
		if c.Slug == city {
			st.forSale = c.ForSale + c.ForRent
		}
	}
	st.cheapest = page.Items[0].PriceMinor
	return st
}

// cheap makes a listing the cheapest anywhere.
func cheap(d listing.Draft) (listing.Draft, error) {
	d.PriceMinor = 1
	return d, nil
}

func TestAsideForgetsWhatTheWriterKnowsAndLeavesPagesToTheirTime(t *testing.T) {
	s, _ := newService(t, cache.Aside)
	first, err := s.Search(t.Context(), listing.Query{})
	if err != nil {
		t.Fatal(err)
	}
	id, city := first.Items[0].ID, first.Items[0].City
	before := look(t, s, id, city)
	if _, _, err := s.Patch(t.Context(), id, nil, cheap); err != nil {
		t.Fatal(err)
	}
	after := look(t, s, id, city)
	if after.price != 1 {
		t.Errorf("the listing's price is %d after it became 1", after.price)
	}
	if after.cheapest != before.cheapest || after.cheapest == 1 {
		t.Errorf("the page's first price went from %d to %d: somebody knew which pages to delete", before.cheapest, after.cheapest)
	}
	if _, err := s.Delete(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if gone := look(t, s, id, city); gone.found || gone.counted != before.counted-1 || gone.forSale != before.forSale-1 {
		t.Errorf("after the deletion: %+v, before it %+v", gone, before)
	}
}

func TestStampedShowsAWriteInEverythingBeforeItAnswers(t *testing.T) {
	s, _ := newService(t, cache.Stamped)
	first, err := s.Search(t.Context(), listing.Query{})
	if err != nil {
		t.Fatal(err)
	}
	id, city := first.Items[0].ID, first.Items[0].City
	before := look(t, s, id, city)
	if _, commit, err := s.Patch(t.Context(), id, nil, cheap); err != nil || commit.XID == 0 {
		t.Fatalf("transaction %v: %v", commit, err)
	}
	if after := look(t, s, id, city); after.price != 1 || after.cheapest != 1 {
		t.Errorf("after the change: %+v", after)
	}
	if _, err := s.Delete(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if gone := look(t, s, id, city); gone.found || gone.counted != before.counted-1 || gone.forSale != before.forSale-1 || gone.cheapest == 1 {
		t.Errorf("after the deletion: %+v, before it %+v", gone, before)
	}
}

func TestPatchesAtTheSameTimeLoseNothing(t *testing.T) {
	s, db := newService(t, cache.None)
	const id, writers, each = 1, 3, 5
	start, err := db.Listing(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var done, refused atomic.Int64
	for range writers {
		running.Go(func() {
			for range each {
				_, _, err := s.Patch(t.Context(), id, nil, func(d listing.Draft) (listing.Draft, error) {
					d.PriceMinor++
					return d, nil
				})
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, listing.ErrConflict): // five times overtaken
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	end, err := db.Listing(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if end.PriceMinor-start.PriceMinor != done.Load() || end.Version-start.Version != done.Load() {
		t.Errorf("%d patches were done and %d refused; the price rose by %d, the version by %d",
			done.Load(), refused.Load(), end.PriceMinor-start.PriceMinor, end.Version-start.Version)
	}
}

func TestWritesThatCannotBeAreRefused(t *testing.T) {
	s, db := newService(t, cache.None)
	present, err := db.Listing(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	good := present.Draft()
	changed := func(change func(*listing.Draft)) listing.Draft {
		d := good
		change(&d)
		return d
	}
	patch := func(d listing.Draft) func(listing.Draft) (listing.Draft, error) {
		return func(listing.Draft) (listing.Draft, error) { return d, nil }
	}
	another := func(*listing.Listing) bool { return false } // than the one that there is
	errOwn := errors.New("own")
	for name, tt := range map[string]struct {
		write func() error
		want  error
	}{
		"create nowhere": {func() error {
			_, _, err := s.Create(t.Context(), changed(func(d *listing.Draft) { d.City = "atlantis" }))
			return err
		}, listing.ErrUnknownCity},
		"create by nobody": {func() error {
			_, _, err := s.Create(t.Context(), changed(func(d *listing.Draft) { d.AgentID = 1 << 40 }))
			return err
		}, listing.ErrUnknownAgent},
		"replace nothing":  {func() error { _, _, err := s.Replace(t.Context(), 1<<40, nil, good); return err }, listing.ErrNotFound},
		"replace too late": {func() error { _, _, err := s.Replace(t.Context(), 1, another, good); return err }, listing.ErrConflict},
		"patch nothing":    {func() error { _, _, err := s.Patch(t.Context(), 1<<40, nil, patch(good)); return err }, listing.ErrNotFound},
		"patch too late":   {func() error { _, _, err := s.Patch(t.Context(), 1, another, patch(good)); return err }, listing.ErrConflict},
		"patch that fails": {func() error {
			_, _, err := s.Patch(t.Context(), 1, nil, func(listing.Draft) (listing.Draft, error) { return listing.Draft{}, errOwn })
			return err
		}, errOwn},
		"delete nothing":  {func() error { _, err := s.Delete(t.Context(), 1<<40, nil); return err }, listing.ErrNotFound},
		"delete too late": {func() error { _, err := s.Delete(t.Context(), 1, another); return err }, listing.ErrConflict},
	} {
		if err := tt.write(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	var wrong listing.FieldErrors
	if _, _, err := s.Patch(t.Context(), 1, nil, patch(listing.Draft{})); !errors.As(err, &wrong) {
		t.Errorf("a patch to nothing: %v", err)
	}
	if end, err := db.Listing(t.Context(), 1); err != nil || end.Version != present.Version {
		t.Errorf("afterwards version %d, before %d: %v", end.Version, present.Version, err)
	}
}
