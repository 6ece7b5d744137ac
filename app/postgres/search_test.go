package postgres

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/strata/app/freshness"
	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// allSorts are the orders that every search can have.
var allSorts = []listing.Sort{listing.Newest, listing.Cheapest, listing.Dearest, listing.Smallest, listing.Largest}

var someTexts = []string{"river", "sunny balcony", `"quiet street"`, "river or garden", "flat -garden", "rivers", "the"}

// words makes listings that some of someTexts find.
func words(r *rand.Rand) string {
	all := []string{"A river flows by.", "There is a garden.", "A quiet street.", "The street is quiet.", "Sunny.", "It has a balcony."}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return strings.Join(all[:r.IntN(4)], " ")
}

func amenitySet(t testing.TB, names ...string) (set listing.AmenitySet) {
	t.Helper()
	for _, name := range names {
		var ok bool
		if set, ok = set.With(name); !ok {
			t.Fatalf("no amenity %s", name)
		}
	}
	return set
}

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
		l.Bathrooms, l.Description = r.IntN(3), words(r)
		l.Amenities = [][]string{nil, {"pool"}, {"balcony", "pool"}, {"balcony", "garden", "pool"}, {"sauna"}}[r.IntN(5)]
		l.Latitude, l.Longitude = float64(r.IntN(5)), -float64(r.IntN(5))
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

// regions are the regions of newSmallDatabase's cities.
var regions = map[string]string{"alpha": "north", "beta": "north", "gamma": "south"}

// expect is what a search without a cursor or words should find: the same question, asked of a slice.
func expect(all []listing.Listing, q listing.Query) []listing.Listing {
	q = q.Normal()
	found := []listing.Listing{}
	for _, l := range all {
		if l.Status == q.Status && (q.City == "" || l.City == q.City) && (q.Type == "" || l.Type == q.Type) && (q.Offer == "" || l.Offer == q.Offer) &&
			l.PriceMinor >= q.PriceMin && (q.PriceMax == 0 || l.PriceMinor <= q.PriceMax) && l.Bedrooms >= q.BedroomsMin &&
			(q.BedroomsBelow == 0 || l.Bedrooms < q.BedroomsBelow) && l.Bathrooms >= q.BathroomsMin &&
			l.AreaM2 >= float64(q.AreaMin)/100 && (q.AreaMax == 0 || l.AreaM2 <= float64(q.AreaMax)/100) &&
			(q.Region == "" || regions[l.City] == q.Region) && (q.Country == "" || l.Country == q.Country) &&
			!slices.ContainsFunc(q.Amenities.Names(), func(name string) bool { return !slices.Contains(l.Amenities, name) }) &&
			(q.Box == (listing.Box{}) || between(l.Latitude, q.Box.MinLat, q.Box.MaxLat) && between(l.Longitude, q.Box.MinLon, q.Box.MaxLon)) {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b listing.Listing) int {
		switch q.Sort {
		case listing.Cheapest:
			return cmp.Or(cmp.Compare(a.PriceMinor, b.PriceMinor), cmp.Compare(a.ID, b.ID))
		case listing.Dearest:
			return cmp.Or(cmp.Compare(b.PriceMinor, a.PriceMinor), cmp.Compare(b.ID, a.ID))
		case listing.Smallest:
			return cmp.Or(cmp.Compare(a.AreaM2, b.AreaM2), cmp.Compare(a.ID, b.ID))
		case listing.Largest:
			return cmp.Or(cmp.Compare(b.AreaM2, a.AreaM2), cmp.Compare(b.ID, a.ID))
		}
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	return found
}

func between(x float64, least, most int32) bool {
	return x*1e6 >= float64(least) && x*1e6 <= float64(most)
}

// readPages reads all pages of a search.
func readPages(t testing.TB, ctx context.Context, db *DB, q listing.Query) []listing.Listing {
	t.Helper()
	got := []listing.Listing{}
	for {
		page, err := db.Search(ctx, q)
		if err != nil {
			t.Fatalf("%s: %v", q.Key(), err)
		}
		if len(page.Items) > q.Limit || (page.Next != "" && len(page.Items) < q.Limit) {
			t.Fatalf("%s: page of %d items, next %q", q.Key(), len(page.Items), page.Next)
		}
		got = append(got, page.Items...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return got
		}
	}
}

func sorted(q listing.Query, by listing.Sort) listing.Query {
	q.Sort = by
	return q
}

// filters are searches of every kind but by words.
func filters(t testing.TB) []listing.Query {
	return []listing.Query{
		{},
		{City: "alpha"},
		{City: "beta", Offer: listing.Rent},
		{Type: listing.House, BedroomsMin: 2},
		{City: "gamma", Type: listing.Apartment, Offer: listing.Sale, PriceMin: 200, PriceMax: 500, BedroomsMin: 1},
		{PriceMin: 300},
		{City: "nowhere"},
		{Region: "north"},
		{Region: "nowhere"},
		{Country: "BB"},
		{Region: "north", Country: "BB"},
		{Region: "north", City: "beta"},
		{Region: "south", City: "beta"},
		{Country: "AA", Offer: listing.Sale, BathroomsMin: 1},
		{Status: listing.Sold},
		{Status: listing.Sold, Region: "north"},
		{Status: listing.Withdrawn},
		{BedroomsBelow: 1},
		{BedroomsMin: 1, BedroomsBelow: 3, City: "alpha"},
		{BathroomsMin: 2},
		{AreaMin: 3000, AreaMax: 5000},
		{AreaMin: 5001, Region: "north"},
		{Amenities: amenitySet(t, "pool")},
		{Amenities: amenitySet(t, "balcony", "pool"), City: "alpha"},
		{Amenities: amenitySet(t, "garden"), Country: "AA"},
		{Amenities: amenitySet(t, "sea-view")},
		{Box: listing.Box{MinLon: -3e6, MinLat: 1e6, MaxLon: -1e6, MaxLat: 2e6}},
		{Box: listing.Box{MinLon: -3e6, MinLat: 1e6, MaxLon: -1e6 - 1, MaxLat: 2e6}, Region: "north", Amenities: amenitySet(t, "pool")},
	}
}

func TestSearchFindsWhatMatchesAndPagesNeitherSkipNorRepeat(t *testing.T) {
	db, all := newSearchable(t, 120)
	stamped, _ := freshness.Collect(t.Context())
	for _, filter := range filters(t) {
		for _, sort := range allSorts {
			for _, limit := range []int{1, 7, 100} {
				q := filter
				q.Sort, q.Limit = sort, limit
				want := expect(all, q)
				for name, ctx := range map[string]context.Context{"plain": t.Context(), "stamped": stamped} {
					if diff := gocmp.Diff(want, readPages(t, ctx, db, q)); diff != "" {
						t.Fatalf("%s %s (-want +got):\n%s", name, q.Key(), diff)
					}
				}
			}
		}
	}
}

// What words find is checked against the plainest SQL there is, without any of our indexes.
func TestWordsFindWhatTheTextHoldsInEveryOrder(t *testing.T) {
	db, all := newSearchable(t, 120)
	byID := make(map[int64]listing.Listing)
	for _, l := range all {
		byID[l.ID] = l
	}
	const sql = `SELECT coalesce(array_agg(id), '{}') FROM listings
		WHERE to_tsvector('english', title || ' ' || description) @@ websearch_to_tsquery('english', $1)`
	found := 0
	for _, text := range someTexts {
		var ids []int64
		if err := db.pool.QueryRow(t.Context(), sql, text).Scan(&ids); err != nil {
			t.Fatal(err)
		}
		var matching []listing.Listing
		for _, id := range ids {
			matching = append(matching, byID[id])
		}
		found += len(ids)
		for _, filter := range []listing.Query{{}, {City: "alpha"}, {Region: "north"}, {Status: listing.Sold}, {Amenities: amenitySet(t, "pool"), PriceMin: 200}} {
			for _, sort := range append([]listing.Sort{listing.Best}, allSorts...) {
				q := filter
				q.Sort, q.Limit = sort, 3
				want := expect(matching, q)
				q.Text = text
				got := readPages(t, t.Context(), db, q)
				if sort == listing.Best { // the order of ranks is PostgreSQL's affair, that pages keep it is ours
					q.Limit = listing.MaxLimit
					if diff := gocmp.Diff(readPages(t, t.Context(), db, q), got); diff != "" {
						t.Fatalf("%s, pages of %d before pages of 3:\n%s", q.Key(), q.Limit, diff)
					}
					byAge := func(a, b listing.Listing) int {
						return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
					}
					slices.SortFunc(got, byAge)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", q.Key(), diff)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("the texts found %d listings: they prove little", found)
	}
}

func TestWhatFitsBestComesFirst(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	for _, title := range []string{"A flat", "Flat by the river", "River house"} {
		d := draft("alpha")
		d.Title, d.Description = title, "There is a river. "+strings.Repeat("Much else can be said of it. ", 3)
		create(t, db, d)
	}
	page, err := db.Search(t.Context(), listing.Query{Text: "river", Sort: listing.Best})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 3 || page.Items[2].Title != "A flat" {
		t.Errorf("the last is %q: a word in the title has to weigh more", page.Items[len(page.Items)-1].Title)
	}
}

func TestFacetsCountWhatTheSearchFinds(t *testing.T) {
	db, all := newSearchable(t, 120)
	stamped, _ := freshness.Collect(t.Context())
	valuesOf := func(l listing.Listing, name string) []string {
		switch name {
		case "type":
			return []string{string(l.Type)}
		case "offer":
			return []string{string(l.Offer)}
		case "city":
			return []string{l.City}
		case "region":
			return []string{regions[l.City]}
		case "country":
			return []string{l.Country}
		case "bedrooms":
			return []string{strconv.Itoa(l.Bedrooms)}
		}
		return slices.DeleteFunc(slices.Clone(l.Amenities), func(a string) bool { return a == "sauna" }) // nobody can search for it
	}
	for _, q := range filters(t) {
		q.Sort, q.Limit = listing.Cheapest, 1
		for name, set := range map[string][]string{"all": listing.Facets(), "one": {"type"}, "amenities": {"amenities"}, "two": {"region", "bedrooms"}} {
			q.Facets = 0
			var want []listing.Facet
			for _, facet := range set {
				q.Facets, _ = q.Facets.With(facet)
				counts := make(map[string]int64)
				for _, l := range expect(all, q) {
					for _, value := range valuesOf(l, facet) {
						counts[value]++
					}
				}
				f := listing.Facet{Name: facet, Values: []listing.FacetCount{}}
				for value, count := range counts {
					f.Values = append(f.Values, listing.FacetCount{Value: value, Count: count})
				}
				slices.SortFunc(f.Values, func(a, b listing.FacetCount) int {
					return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
				})
				want = append(want, f)
			}
			for _, ctx := range []context.Context{t.Context(), stamped} {
				got, err := db.Facets(ctx, q)
				if err != nil {
					t.Fatalf("%s: %v", q.Key(), err)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("%s, %s (-want +got):\n%s", q.Key(), name, diff)
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

func TestOnlyCursorsOfTheSearchAreAccepted(t *testing.T) {
	db, _ := newSearchable(t, 60)
	for _, sort := range append([]listing.Sort{listing.Best}, allSorts...) {
		q := listing.Query{Sort: sort, Limit: 2}
		if sort == listing.Best {
			q.Text = "flat"
		}
		page, err := db.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		good := page.Next
		bad := map[string]string{
			"empty base64": "=", "cut": good[:len(good)-1], "longer": good + "A", "words": "next-page-please",
			"zeros":              base64.RawURLEncoding.EncodeToString(make([]byte, cursorSize)),
			"of another key":     cursorKey("another").encode(cursor{1, 1}, q.Scope()),
			"of an empty secret": cursorKey(nil).encode(cursor{1, 1}, q.Scope()),
		}
		for i := range good { // each character changed
			flipped := []byte(good)
			flipped[i] = "AB"[min(1, strings.Count(good[i:i+1], "A"))]
			bad[fmt.Sprintf("changed at %d", i)] = string(flipped)
		}
		for name, cursor := range bad {
			q := q
			q.Cursor = cursor
			if _, err := db.Search(t.Context(), q); !errors.Is(err, listing.ErrCursor) {
				t.Errorf("%s, %s: got error %v, want ErrCursor", sort, name, err)
			}
		}
		q.Cursor = good
		for name, tt := range map[string]struct {
			change func(*listing.Query)
			good   bool
		}{
			"the same":        {func(*listing.Query) {}, true},
			"another limit":   {func(q *listing.Query) { q.Limit = 5 }, true},
			"another order":   {func(q *listing.Query) { q.Sort = allSorts[(slices.Index(allSorts, sort)+1)%len(allSorts)] }, false},
			"another city":    {func(q *listing.Query) { q.City = "alpha" }, false},
			"another country": {func(q *listing.Query) { q.Country = "AA" }, false},
			"another text":    {func(q *listing.Query) { q.Text = "view" }, false},
			"another status":  {func(q *listing.Query) { q.Status = listing.Sold }, false},
		} {
			q := q
			tt.change(&q)
			if _, err := db.Search(t.Context(), q); errors.Is(err, listing.ErrCursor) == tt.good {
				t.Errorf("cursor of %s for %s: got error %v", sort, name, err)
			}
		}
	}
}

func TestReplicasOfADatabaseAcceptEachOthersCursorsAndNoOthers(t *testing.T) {
	one, other := newSmallDatabase(t), newSmallDatabase(t)
	first := one.open(t, Config{})
	for _, db := range []*DB{first, other.open(t, Config{})} {
		create(t, db, draft("alpha"))
		create(t, db, draft("alpha"))
	}
	page, err := first.Search(t.Context(), listing.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	next := listing.Query{Limit: 1, Cursor: page.Next}
	if page, err := one.open(t, Config{}).Search(t.Context(), next); err != nil || len(page.Items) != 1 {
		t.Errorf("a replica: %d listings, error %v", len(page.Items), err)
	}
	if _, err := other.open(t, Config{}).Search(t.Context(), next); !errors.Is(err, listing.ErrCursor) {
		t.Errorf("another database: got error %v, want ErrCursor", err)
	}
}

// PostgreSQL itself is asked what of a search an index can find: nothing of one that only says what must not be there.
func TestAcceptedWordsAreOnesThatTheIndexCanFind(t *testing.T) {
	d := newEmptyDatabase(t)
	pieces := []string{"river", "garden", "-", "-", "\"", "\"", "or", " ", " ", " ", "(", ")", "!", "|", ",", "a-b", "7"}
	texts := []string{`-"river bank"`, "river or -garden", "- garden", "(-garden)", "-garden or -river", "or -garden", "river or, -garden"}
	known := len(texts)
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var b strings.Builder
		for range 1 + random.IntN(9) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		texts = append(texts, b.String())
	}
	rows, err := d.owner.Query(t.Context(), `SELECT querytree(websearch_to_tsquery('pg_catalog.english', text)) FROM unnest($1::text[]) WITH ORDINALITY AS u (text, i) ORDER BY i`, texts)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for i, text := range texts {
		findable := found[i] != "T" // the empty one is of words that are left out: it finds nothing, at once
		_, ok := listing.NormalText(text)
		if ok && !findable {
			t.Errorf("%q is accepted, and no index can find it (%q)", text, found[i])
		}
		if i < known && findable {
			t.Errorf("%q can be found after all: %q", text, found[i])
		}
		if ok {
			accepted++
		}
	}
	if accepted < len(texts)/4 {
		t.Errorf("only %d of %d are accepted", accepted, len(texts))
	}
}

func FuzzCursor(f *testing.F) {
	key := cursorKey("the secret of a database of thirty-two bytes")
	scope := listing.Query{City: "lisbon"}.Scope()
	f.Add(key.encode(cursor{1, 2}, scope), int64(1), int64(2))
	f.Add("", int64(0), int64(-1))
	f.Add(strings.Repeat("A", 43), int64(math.MaxInt64), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, text string, k, id int64) {
		if c, err := key.decode(text, scope); err == nil && key.encode(c, scope) != text {
			t.Errorf("%q is accepted as %+v, which is another cursor", text, c)
		}
		want := cursor{k, id}
		good := key.encode(want, scope)
		if got, err := key.decode(good, scope); err != nil || got != want {
			t.Errorf("%+v came back as %+v, error %v", want, got, err)
		}
		if _, err := key.decode(good, scope+text+"x"); err == nil {
			t.Error("accepted for another search")
		}
		if text != "" { // somewhere, one bit changed
			b := []byte(good)
			b[int(text[0])%len(b)] ^= 1 << (len(text) % 7)
			if _, err := key.decode(string(b), scope); err == nil {
				t.Errorf("%q was accepted in place of %q", b, good)
			}
		}
	})
}
