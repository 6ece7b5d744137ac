package listing

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
)

// learnWithin is how long a write waits for its own change to come back by the feed. Usually that takes a few milliseconds; when the feed
// is late, an answer now is worth more than one that this replica's caches have caught up with.
const learnWithin = 50 * time.Millisecond

// patchAttempts bounds how often a write starts over because somebody else was faster.
const patchAttempts = 5

// Service answers questions about listings, from the caches where the strategy has them and they are right, and changes listings.
// What its reads return is shared and must not be changed.
type Service struct {
	store  Store
	caches *cache.Caches
	ledger *freshness.Ledger

	listings *cache.Layered[int64, Listing]
	pages    *cache.Layered[Query, Page]
	facets   *cache.Layered[Query, []Facet]
	cities   *cache.Layered[struct{}, []City]
	stats    *cache.Layered[string, CityStats]
}

// NewService returns a Service over a store and the process's caches.
func NewService(store Store, caches *cache.Caches, ledger *freshness.Ledger) *Service {
	return &Service{
		store: store, caches: caches, ledger: ledger,
		// Shares of L1: single listings are many and small, pages fewer and twenty times as big, the rest is one or one a city.
		listings: cache.Of(caches, cache.Class[int64, Listing]{
			Name: "listing", Share: 0.5, Load: store.Listing, Absent: ErrNotFound,
			Key: func(id int64) string { return strconv.FormatInt(id, 10) },
		}),
		pages: cache.Of(caches, cache.Class[Query, Page]{
			Name: "page", Share: 0.43, Load: store.Search, Key: Query.Key,
		}),
		facets: cache.Of(caches, cache.Class[Query, []Facet]{
			Name: "facets", Share: 0.02, Load: store.Facets, Key: Query.Key,
		}),
		cities: cache.Of(caches, cache.Class[struct{}, []City]{
			Name: "cities", Share: 0.01, Key: func(struct{}) string { return "all" },
			Load: func(ctx context.Context, _ struct{}) ([]City, error) { return store.Cities(ctx) },
		}),
		stats: cache.Of(caches, cache.Class[string, CityStats]{
			Name: "stats", Share: 0.04, Load: store.CityStats, Absent: ErrNotFound,
			Key: func(city string) string { return city },
			// They sort a whole city's prices: however many are wanted at once, most of the connections are left for what is quick.
			Loads: max(1, caches.MaxLoads()/8),
		}),
	}
}

// Listing returns one listing of any status, or ErrNotFound.
func (s *Service) Listing(ctx context.Context, id int64) (Listing, error) {
	return s.listings.Get(ctx, id)
}

// Search returns one page of a search, without its facets. It returns ErrCursor for a cursor of another search, or of nobody's. The query's
// strings must outlive the request.
func (s *Service) Search(ctx context.Context, q Query) (Page, error) {
	return s.pages.Get(ctx, q.Listings())
}

// Facets returns the facets that a search asks for, in the order of Facets; nil without any. They are kept apart from the pages: all pages and orders
// of a search have the same. The query's strings must outlive the request.
func (s *Service) Facets(ctx context.Context, q Query) ([]Facet, error) {
	if q.Facets == 0 {
		return nil, nil
	}
	return s.facets.Get(ctx, q.Counts())
}

// Cities returns all cities, the largest first.
func (s *Service) Cities(ctx context.Context) ([]City, error) {
	return s.cities.Get(ctx, struct{}{})
}

// CityStats returns a city's statistics, or ErrNotFound. The city's string must outlive the request.
func (s *Service) CityStats(ctx context.Context, city string) (CityStats, error) {
	return s.stats.Get(ctx, city)
}

// Create stores a new listing and returns it with the id of the transaction. It returns FieldErrors, ErrUnknownCity or ErrUnknownAgent
// for a draft that cannot be one.
func (s *Service) Create(ctx context.Context, d Draft) (Listing, freshness.Commit, error) {
	if err := d.Validate(); err != nil {
		return Listing{}, freshness.Commit{}, err
	}
	created, commit, err := s.store.Create(ctx, d)
	if err != nil {
		return Listing{}, freshness.Commit{}, err
	}
	s.changed(ctx, commit, created.ID, created.City)
	return created, commit, nil
}

// CreateOnce is Create, unless once was done before: then it returns what that returned, and replayed. It returns ErrKeyReused if what
// was done is something else, ErrInProgress if it is being done at this moment, or as Create does.
func (s *Service) CreateOnce(ctx context.Context, once Once, d Draft) (l Listing, commit freshness.Commit, replayed bool, err error) {
	if err := d.Validate(); err != nil {
		return Listing{}, freshness.Commit{}, false, err
	}
	l, commit, replayed, err = s.store.CreateOnce(ctx, once, d)
	if err != nil {
		return Listing{}, freshness.Commit{}, false, err
	}
	s.changed(ctx, commit, l.ID, l.City) // also after a replay: whoever did it first may have died between its commit and this
	return l, commit, replayed, nil
}

// Replace replaces a listing if it matches. It returns ErrConflict if it does not, ErrNotFound, or as Create does. A listing that is so already is left as it is: then
// there is no transaction, and its id is 0.
func (s *Service) Replace(ctx context.Context, id int64, match Match, d Draft) (Listing, freshness.Commit, error) {
	return s.Patch(ctx, id, match, func(Draft) (Draft, error) { return d, nil })
}

// Patch replaces a listing by what patch makes of it, if it matches. match and patch are given the listing as it is in the store, never as it is in a cache, and are
// asked again if somebody else changes it meanwhile. An error of patch is returned as it is; else as Replace. What is wrong with a field that is left as it was is no
// reason to refuse the change of another.
func (s *Service) Patch(ctx context.Context, id int64, match Match, patch func(Draft) (Draft, error)) (now Listing, commit freshness.Commit, err error) {
	err = s.meet(ctx, id, match, func(present *Listing) error {
		before := present.Draft()
		d, err := patch(before)
		if err != nil {
			return err
		}
		if err := d.ValidateChange(&before); err != nil {
			return err
		}
		if d.Equal(&before) {
			now, commit = *present, freshness.Commit{}
			return nil
		}
		var replaced Listing
		now, replaced, commit, err = s.store.Update(ctx, id, present.Row, d)
		if err == nil {
			s.changed(ctx, commit, id, replaced.City, now.City)
		}
		return err
	})
	return now, commit, err
}

// Delete removes a listing if it matches. Else it returns ErrConflict or ErrNotFound.
func (s *Service) Delete(ctx context.Context, id int64, match Match) (commit freshness.Commit, err error) {
	remove := func(row int64) error {
		var gone Listing
		if gone, commit, err = s.store.Delete(ctx, id, row); err == nil {
			s.changed(ctx, commit, id, gone.City)
		}
		return err
	}
	if match == nil {
		err = remove(0)
		return commit, err
	}
	err = s.meet(ctx, id, match, func(present *Listing) error { return remove(present.Row) })
	return commit, err
}

// meet reads a listing from the store and, if it matches, has it changed as it was read. It starts over if somebody else was faster.
func (s *Service) meet(ctx context.Context, id int64, match Match, change func(present *Listing) error) error {
	for attempt := 1; ; attempt++ {
		present, err := s.store.Listing(ctx, id)
		if err != nil {
			return err
		}
		if !match.accepts(&present) {
			return ErrConflict
		}
		if err := change(&present); !errors.Is(err, ErrConflict) || attempt == patchAttempts {
			return err
		}
	}
}

// changed is what the writing code does about caches after its commit.
//
// With strategy aside it deletes the keys that it knows: the listing, the statistics of the cities it was and is in, and the cities with their counts.
// Pages and facets are left to their TTL: which searches a listing is part of, or has become part of, nobody can list. That is the strategy's weakness, not an omission.
//
// With strategy stamped nothing has to be deleted. It waits for the ledger to cover the change, so that the reader who asks this replica
// next is not told what was true before.
func (s *Service) changed(ctx context.Context, commit freshness.Commit, id int64, cities ...string) {
	s.listings.Forget(ctx, id)
	s.stats.Forget(ctx, slices.Compact(cities)...)
	s.cities.Forget(ctx, struct{}{})
	if s.caches.Strategy(ctx).Judges() {
		wait, cancel := context.WithTimeout(ctx, learnWithin)
		defer cancel()
		s.ledger.Await(wait, commit)
	}
}
