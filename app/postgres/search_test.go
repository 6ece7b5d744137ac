package postgres

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"strata/app/listing"
)

var allSorts = []listing.Sort{listing.Newest, listing.Cheapest, listing.Dearest}

// newSearchable returns a database with n listings that often share a price and a time, and the listings in no order.
func newSearchable(t testing.TB, n int) (*DB, []listing.Listing) {
	t.Helper()
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	r := rand.New(rand.NewPCG(1, 2))
	var all []listing.Listing
	for range n {
		l := draft(pick(r, []string{"alpha", "beta", "gamma"}))
		l.Type = pick(r, []listing.PropertyType{listing.Apartment, listing.House})
		l.Offer = pick(r, []listing.Offer{listing.Sale, listing.Rent})
		l.Status = pick(r, []listing.Status{listing.Active, listing.Active, listing.Active, listing.Sold})
		l.PriceMinor, l.Bedrooms, l.AreaM2 = 100*(1+r.Int64N(6)), r.IntN(4), 20+10*float64(r.IntN(5))
		l.Currency = pick(r, []string{"EUR", "EUR", "EUR", "GBP"})
		all = append(all, create(t, db, l))
	}
	d.exec(t, `UPDATE listings SET created_at = date_trunc('day', now()) - (id % 7) * interval '1 day'`)
	for i := range all {
		var err error
		if all[i], err = db.Listing(t.Context(), all[i].ID); err != nil {
			t.Fatal(err)
		}
	}
	return db, all
}

// expect is what a search without a cursor should find: the same question, asked of a slice.
func expect(all []listing.Listing, q listing.Query) []listing.Listing {
	found := []listing.Listing{}
	for _, l := range all {
		if l.Status == listing.Active && (q.City == "" || l.City == q.City) && (q.Type == "" || l.Type == q.Type) && (q.Offer == "" || l.Offer == q.Offer) &&
			l.PriceMinor >= q.PriceMin && (q.PriceMax == 0 || l.PriceMinor <= q.PriceMax) && l.Bedrooms >= q.BedroomsMin {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b listing.Listing) int {
		switch q.Sort {
		case listing.Cheapest:
			return cmp.Or(cmp.Compare(a.PriceMinor, b.PriceMinor), cmp.Compare(a.ID, b.ID))
		case listing.Dearest:
			return cmp.Or(cmp.Compare(b.PriceMinor, a.PriceMinor), cmp.Compare(b.ID, a.ID))
		}
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return found
}

func sorted(q listing.Query, by listing.Sort) listing.Query {
	q.Sort = by
	return q
}

func TestSearchFindsWhatMatchesAndPagesNeitherSkipNorRepeat(t *testing.T) {
	db, all := newSearchable(t, 120)
	for _, filter := range []listing.Query{
		{},
		{City: "alpha"},
		{City: "beta", Offer: listing.Rent},
		{Type: listing.House, BedroomsMin: 2},
		{City: "gamma", Type: listing.Apartment, Offer: listing.Sale, PriceMin: 200, PriceMax: 500, BedroomsMin: 1},
		{PriceMin: 300},
		{City: "nowhere"},
	} {
		for _, sort := range allSorts {
			for _, limit := range []int{1, 7, 100} {
				q := filter
				q.Sort, q.Limit = sort, limit
				got := []listing.Listing{}
				for {
					page, err := db.Search(t.Context(), q)
					if err != nil {
						t.Fatalf("%+v: %v", q, err)
					}
					if len(page.Items) > limit || (page.Next != "" && len(page.Items) < limit) {
						t.Fatalf("%+v: page of %d items, next %q", q, len(page.Items), page.Next)
					}
					got = append(got, page.Items...)
					if q.Cursor = page.Next; q.Cursor == "" {
						break
					}
				}
				if diff := gocmp.Diff(expect(all, sorted(filter, sort)), got); diff != "" {
					t.Fatalf("%+v (-want +got):\n%s", q, diff)
				}
			}
		}
	}
}

func TestPagesResumeWhileListingsComeAndGo(t *testing.T) {
	db, all := newSearchable(t, 60)
	for _, sort := range allSorts {
		q := listing.Query{Sort: sort, Limit: 5}
		seen := make(map[int64]int)
		for {
			page, err := db.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Items {
				seen[l.ID]++
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			last := page.Items[len(page.Items)-1]
			if _, _, err := db.Delete(t.Context(), last.ID, 0); err != nil { // the row that the cursor names
				t.Fatal(err)
			}
			create(t, db, last.Draft())
		}
		for _, l := range expect(all, listing.Query{}) {
			if seen[l.ID] > 1 {
				t.Errorf("%s: listing %d came %d times", sort, l.ID, seen[l.ID])
			}
			if _, err := db.Listing(t.Context(), l.ID); err == nil && seen[l.ID] == 0 {
				t.Errorf("%s: listing %d was there all the time and never came", sort, l.ID)
			}
		}
		page, err := db.Search(t.Context(), listing.Query{Limit: listing.MaxLimit}) // the next order begins with what is there now
		if err != nil {
			t.Fatal(err)
		}
		all = page.Items
	}
}

func TestOnlyCursorsOfTheOrderAreAccepted(t *testing.T) {
	db, _ := newSearchable(t, 10)
	for _, sort := range allSorts {
		page, err := db.Search(t.Context(), listing.Query{Sort: sort, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		good := page.Next
		bad := map[string]string{
			"empty base64": "=", "cut": good[:len(good)-1], "longer": good + "A", "words": "next-page-please",
			"zeros": base64.RawURLEncoding.EncodeToString(make([]byte, cursorSize)),
		}
		for i := range good { // each character changed
			flipped := []byte(good)
			flipped[i] = "AB"[min(1, strings.Count(good[i:i+1], "A"))]
			bad[fmt.Sprintf("changed at %d", i)] = string(flipped)
		}
		for name, cursor := range bad {
			if _, err := db.Search(t.Context(), listing.Query{Sort: sort, Limit: 2, Cursor: cursor}); !errors.Is(err, listing.ErrCursor) {
				t.Errorf("%s, %s: got error %v, want ErrCursor", sort, name, err)
			}
		}
		for _, other := range allSorts {
			_, err := db.Search(t.Context(), listing.Query{Sort: other, Limit: 2, Cursor: good})
			if want := other != sort; errors.Is(err, listing.ErrCursor) != want {
				t.Errorf("cursor of %s for %s: got error %v", sort, other, err)
			}
		}
	}
}

func TestSearchesAreAnsweredFromIndexes(t *testing.T) {
	d := newDatabase(t)
	if err := Seed(t.Context(), d.ownerURL, SeedConfig{Listings: 20_000, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	city, anywhere := listing.Query{City: "berlin"}, listing.Query{}
	with := func(q listing.Query, change func(*listing.Query)) listing.Query { change(&q); return q }
	for _, base := range []listing.Query{
		city,
		anywhere,
		with(city, func(q *listing.Query) { q.Offer = listing.Rent }),
		with(city, func(q *listing.Query) { q.Offer, q.Type, q.BedroomsMin = listing.Sale, listing.Apartment, 2 }),
		with(city, func(q *listing.Query) { q.Offer, q.PriceMin, q.PriceMax = listing.Sale, 200_000_00, 600_000_00 }),
		with(anywhere, func(q *listing.Query) { q.Offer, q.Type = listing.Sale, listing.House }),
		with(city, func(q *listing.Query) { q.City = "bergen" }),
	} {
		for _, sort := range allSorts {
			for _, second := range []bool{false, true} {
				q := sorted(base, sort).Normal()
				if second {
					q.Cursor = cursor{key: seedUntil.Add(-24 * 300 * time.Hour).UnixMicro(), id: 5000}.encode(orderOf(sort).code)
				}
				for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
					if plan := explain(t, d, q, mode); strings.Contains(plan, "Seq Scan") {
						t.Errorf("%s, second page %t, %s:\n%s", q.Key(), second, mode, plan)
					}
				}
			}
		}
	}
}

// explain returns the plan of a search.
func explain(t *testing.T, d database, q listing.Query, mode string) string {
	t.Helper()
	sql, args, err := searchSQL(q)
	if err != nil {
		t.Fatal(err)
	}
	literals := make([]string, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			literals[i] = `'` + v.UTC().Format(time.RFC3339Nano) + `'`
		case string:
			literals[i] = `'` + v + `'`
		default:
			literals[i] = fmt.Sprint(v)
		}
	}
	d.exec(t, `SET plan_cache_mode = `+mode)
	d.exec(t, `PREPARE search AS `+sql)
	defer d.exec(t, `DEALLOCATE search`)
	rows, err := d.owner.Query(t.Context(), `EXPLAIN EXECUTE search(`+strings.Join(literals, ", ")+`)`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
