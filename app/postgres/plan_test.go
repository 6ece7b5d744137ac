package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/changelog"
	"example.com/strata/app/listing"
)

// planListings is how many listings the plans are tried with. A hundred thousand are enough for a planner to make every mistake; BenchmarkSearchOfAMillion
// tries a million.
const planListings = 100_000

// shape is a kind of search.
type shape struct {
	name  string
	query listing.Query
	scan  bool // reading all listings, or all terms, is meant
}

// shapes are all kinds of search, with what is usual, rare and extreme among their values.
func shapes(t testing.TB) []shape {
	all := listing.Query{}
	in := func(change func(*listing.Query)) listing.Query { q := all; change(&q); return q }
	box := func(minLon, minLat, maxLon, maxLat float64) listing.Box {
		return listing.Box{MinLon: int32(minLon * 1e6), MinLat: int32(minLat * 1e6), MaxLon: int32(maxLon * 1e6), MaxLat: int32(maxLat * 1e6)}
	}
	return []shape{
		{name: "everything", query: all},
		{name: "city", query: listing.Query{City: "berlin"}},
		{name: "small city", query: listing.Query{City: "bergen"}},
		{name: "city, offer", query: listing.Query{City: "berlin", Offer: listing.Rent}},
		{name: "city, offer, type, bedrooms", query: listing.Query{City: "berlin", Offer: listing.Sale, Type: listing.Apartment, BedroomsMin: 2}},
		{name: "city, prices", query: listing.Query{City: "berlin", Offer: listing.Sale, PriceMin: 200_000_00, PriceMax: 600_000_00}},
		{name: "offer, type", query: listing.Query{Offer: listing.Sale, Type: listing.House}},
		{name: "prices", query: listing.Query{PriceMin: 300_000_00, PriceMax: 310_000_00}},
		{name: "region", query: listing.Query{Region: "bavaria"}},
		{name: "region, offer, prices", query: listing.Query{Region: "catalonia", Offer: listing.Sale, PriceMax: 300_000_00}},
		{name: "country", query: listing.Query{Country: "DE"}},
		{name: "country, type, bedrooms", query: listing.Query{Country: "PT", Type: listing.House, BedroomsMin: 3}},
		{name: "country, region, city", query: listing.Query{Country: "DE", Region: "bavaria", City: "munich"}},
		{name: "bedrooms", query: listing.Query{BedroomsMin: 2, BedroomsBelow: 4}},
		{name: "city, bathrooms", query: listing.Query{City: "london", BathroomsMin: 4}},
		{name: "bathrooms", query: listing.Query{BathroomsMin: 4}},
		{name: "area", query: listing.Query{AreaMin: 500_00}},
		{name: "city, area", query: listing.Query{City: "london", AreaMin: 60_00, AreaMax: 61_00}},
		{name: "amenity", query: listing.Query{Amenities: amenitySet(t, "pool")}},
		{name: "amenities", query: listing.Query{Amenities: amenitySet(t, "pool", "garden", "sea-view")}},
		{name: "many amenities", query: listing.Query{Amenities: amenitySet(t, "balcony", "concierge", "fireplace", "garden", "pool", "sea-view", "terrace")}},
		{name: "city, amenities", query: listing.Query{City: "london", Amenities: amenitySet(t, "pool", "garden")}},
		{name: "country, amenities", query: listing.Query{Country: "DE", Amenities: amenitySet(t, "pool", "garden", "sea-view", "heat-pump")}},
		{name: "box of a street", query: listing.Query{Box: box(-0.13, 51.50, -0.12, 51.51)}},
		{name: "box of a city", query: listing.Query{Box: box(-9.23, 38.69, -9.09, 38.80)}},
		{name: "box of a country", query: listing.Query{Box: box(-9.6, 36.9, -6.2, 42.2), Offer: listing.Sale}},
		{name: "box, country", query: listing.Query{Box: box(-1, 51, 1, 52), Country: "GB"}},
		{name: "box of the world", query: listing.Query{Box: box(-180, -90, 180, 90)}},
		{name: "box of the sea", query: listing.Query{Box: box(-40, 30, -35, 35)}},
		{name: "words", query: listing.Query{Text: "handsome loft harbour fireplace"}},
		// A fifth of all listings have it, and each has to be ranked: beyond some size Postgres rightly reads the terms in order rather than by the index.
		{name: "frequent word", query: listing.Query{Text: "garden"}, scan: true},
		{name: "no such word", query: listing.Query{Text: "xylophone"}},
		{name: "phrase", query: listing.Query{Text: `"converted workshop" or "former schoolhouse"`}},
		{name: "city, words", query: listing.Query{City: "berlin", Text: "river balcony"}},
		{name: "country, words, amenities", query: listing.Query{Country: "FR", Text: "river", Amenities: amenitySet(t, "pool")}},
		{name: "status", query: listing.Query{Status: listing.Sold}},
		{name: "city, status", query: listing.Query{City: "berlin", Status: listing.Reserved}},
		{name: "country, status", query: listing.Query{Country: "DE", Status: listing.Withdrawn}},
		{name: "everything at once", query: in(func(q *listing.Query) {
			*q = listing.Query{Country: "GB", Offer: listing.Sale, PriceMin: 100_000_00, BedroomsMin: 1, BathroomsMin: 1, AreaMin: 20_00,
				Amenities: amenitySet(t, "garden"), Box: box(-1, 51, 1, 52), Text: "quiet"}
		})},
	}
}

// sortsOf returns the orders that a search can have.
func sortsOf(q listing.Query) []listing.Sort {
	if q.Text != "" {
		return append([]listing.Sort{listing.Best}, allSorts...)
	}
	return allSorts
}

// places are cursors in the middle of each order.
func middle(s listing.Sort) *cursor {
	c := cursor{id: 5000}
	switch s {
	case listing.Newest:
		c.key = seedUntil.Add(-24 * 300 * time.Hour).UnixMicro()
	case listing.Cheapest, listing.Dearest:
		c.key = 250_000_00
	default:
		o := orderOf(s)
		c.key = 0
		if o.key != nil {
			c.key = o.key(&listing.Listing{AreaM2: 71.5})
		}
	}
	return &c
}

func TestEverySearchIsAnsweredFromIndexes(t *testing.T) {
	d := newDatabase(t)
	if err := Seed(t.Context(), d.ownerURL, SeedConfig{Listings: planListings, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	for _, s := range shapes(t) {
		checkPlans(t, d, s)
	}
}

// checkPlans checks the plans of all orders of a search, of its first page and a later one, and of its facets.
func checkPlans(t testing.TB, d database, s shape) {
	t.Helper()
	for _, sort := range sortsOf(s.query) {
		q := sorted(s.query, sort).Normal()
		for name, after := range map[string]*cursor{"first page": nil, "later page": middle(sort)} {
			statement, args := searchSQL(q, after)
			modes := []string{"force_custom_plan"}
			if !statement.custom {
				modes = append(modes, "force_generic_plan")
			}
			for _, mode := range modes {
				if plan := explain(t, d, statement, args, mode); scans(plan) && !s.scan {
					t.Errorf("%s, %s, %s, %s:\n%s", s.name, sort, name, mode, plan)
				}
			}
		}
	}
	if narrow(s.query) {
		q := s.query
		q.Facets, _ = q.Facets.With("type")
		q.Facets, _ = q.Facets.With("region")
		statement, args := facetsSQL(q.Normal())
		if plan := explain(t, d, statement, args, "force_custom_plan"); scans(plan) {
			t.Errorf("%s, facets:\n%s", s.name, plan)
		}
	}
}

// narrow reports whether a search is of a small part of the listings. The facets of the others count so many that reading the table is the
// best that can be done, and meant.
func narrow(q listing.Query) bool { return q.City != "" || q.Region != "" || q.Status != "" }

// scans reports whether a plan reads all listings or all terms.
func scans(plan string) bool {
	return strings.Contains(plan, "Seq Scan on listings") || strings.Contains(plan, "Seq Scan on listing_terms")
}

// A check that cannot fail proves nothing: without its index, a search must be found out.
func TestASearchWithoutItsIndexIsFoundOut(t *testing.T) {
	d := newDatabase(t)
	if err := Seed(t.Context(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `DROP INDEX listings_newest, listings_city_newest, listings_price, listings_area, listing_terms_terms`)
	for _, q := range []listing.Query{{}, {Text: "garden"}} {
		statement, args := searchSQL(q.Normal(), nil)
		if plan := explain(t, d, statement, args, "force_custom_plan"); !scans(plan) {
			t.Errorf("%q does without:\n%s", q.Key(), plan)
		}
	}
}

// explain returns the plan of a statement as it is sent when its answer is kept.
func explain(t testing.TB, d database, q query, args []any, mode string) string {
	t.Helper()
	return strings.Join(explained(t, d, `EXPLAIN`, q, args, mode), "\n")
}

func explained(t testing.TB, d database, how string, q query, args []any, mode string) []string {
	t.Helper()
	literals := make([]string, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case time.Time:
			literals[i] = `'` + v.UTC().Format(time.RFC3339Nano) + `'`
		case string:
			literals[i] = `'` + strings.ReplaceAll(v, `'`, `''`) + `'`
		case float32, float64:
			literals[i] = fmt.Sprintf(`'%v'`, v)
		default:
			literals[i] = fmt.Sprint(v)
		}
	}
	d.exec(t, `SET plan_cache_mode = `+mode)
	d.exec(t, `PREPARE search AS `+new(changelog.Origin).Wrap(q.sql, q.places))
	defer d.exec(t, `DEALLOCATE search`)
	sql := how + ` EXECUTE search`
	if len(literals) > 0 {
		sql += `(` + strings.Join(literals, ", ") + `)`
	}
	rows, err := d.owner.Query(context.Background(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, q.sql)
	}
	return lines
}

// BenchmarkSearchOfAMillion checks the plans of every kind of search among a million listings (STRATA_BENCH_LISTINGS changes it), and reports how
// long the database takes for the first page of each in its slowest order, and for its facets.
func BenchmarkSearchOfAMillion(b *testing.B) {
	n := 1_000_000
	if text := os.Getenv("STRATA_BENCH_LISTINGS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	d := newDatabase(b)
	began := time.Now()
	const seeded = 50_000
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: min(n, seeded), Seed: 1}); err != nil {
		b.Fatal(err)
	}
	multiply(b, d, n)
	b.Logf("%d listings made in %v", n, time.Since(began).Round(time.Second))
	for _, s := range shapes(b) {
		b.Run(strings.NewReplacer(", ", "+", " ", "-").Replace(s.name), func(b *testing.B) {
			checkPlans(b, d, s)
			var slowest, facets float64
			for b.Loop() {
				slowest = 0
				for _, sort := range sortsOf(s.query) {
					statement, args := searchSQL(sorted(s.query, sort).Normal(), nil)
					slowest = max(slowest, median(b, d, statement, args))
				}
				q := s.query
				q.Facets, _ = q.Facets.With("type")
				q.Facets, _ = q.Facets.With("city")
				statement, args := facetsSQL(q.Normal())
				facets = median(b, d, statement, args)
			}
			b.ReportMetric(slowest, "ms/page")
			b.ReportMetric(facets, "ms/facets")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// multiply makes the seeded listings n, by copies with other times, prices, areas and places: the words of a copy are those of its original, so that
// they need not be found again. Nothing is logged and no index kept meanwhile.
func multiply(b *testing.B, d database, n int) {
	b.Helper()
	ctx := context.Background()
	err := pgx.BeginFunc(ctx, d.owner, func(tx pgx.Tx) error {
		have := 0
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM listings`).Scan(&have); err != nil {
			return err
		}
		if have >= n {
			return nil
		}
		indexes, err := dropIndexes(ctx, tx)
		if err != nil {
			return err
		}
		for _, sql := range append([]string{
			`ALTER TABLE listings DISABLE TRIGGER USER`,
			fmt.Sprintf(`
				INSERT INTO listings (id, title, description, city, region, country, type, offer, price_minor, currency, bedrooms, bathrooms,
					area_m2, latitude, longitude, amenities, status, agent_id, created_at, updated_at, version)
				SELECT id + %[1]d * i, title, description, city, region, country, type, offer, (price_minor * (0.8 + 0.4 * random()))::bigint, currency, bedrooms, bathrooms,
					round((area_m2 * (0.9 + 0.2 * random()))::numeric, 1), latitude + 0.02 * random() - 0.01, longitude + 0.02 * random() - 0.01, amenities, status, agent_id,
					created_at - i * interval '1 hour' * random(), updated_at, version
				FROM listings, generate_series(1, %[2]d) i WHERE id + %[1]d * i <= %[3]d`, have, n/have, n),
			fmt.Sprintf(`INSERT INTO listing_terms SELECT listing_id + %[1]d * i, terms FROM listing_terms, generate_series(1, %[2]d) i WHERE listing_id + %[1]d * i <= %[3]d`, have, n/have, n),
			`ALTER TABLE listings ENABLE TRIGGER USER`,
		}, indexes...) {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	d.exec(b, `VACUUM (ANALYZE) listings, listing_terms`)
}

// median returns how many milliseconds a statement takes to plan and execute, the median of three times.
func median(b *testing.B, d database, q query, args []any) float64 {
	b.Helper()
	took := make([]float64, 3)
	for i := range took {
		var reports []struct {
			Planning  float64 `json:"Planning Time"`
			Execution float64 `json:"Execution Time"`
		}
		lines := explained(b, d, `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)`, q, args, "force_custom_plan")
		if err := json.Unmarshal([]byte(strings.Join(lines, "\n")), &reports); err != nil {
			b.Fatal(err)
		}
		took[i] = reports[0].Planning + reports[0].Execution
	}
	slices.Sort(took)
	return took[1]
}
