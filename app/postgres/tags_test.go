package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// The property that caching rests on: if a write changes the result of a read, then a tag of the write is one that the read
// depends on. It is tried on small worlds, where rows, queries and writes meet often.

// world is a state of the database, a write, and the searches to watch; all other reads are always watched.
type world struct {
	rows     []listing.Draft
	write    mutation
	searches []listing.Query
	forget   bool // all but one of the tags that a read depends on
}

func (w world) keep(tags []string) []string {
	if w.forget && len(tags) > 1 {
		return tags[:1]
	}
	return tags
}

// mutation is a write through the store, or SQL by somebody else.
type mutation struct {
	name  string
	apply func(ctx context.Context, db *DB, d database) error
}

var (
	someCities = rapid.SampledFrom([]string{"alpha", "beta", "gamma"})
	someIDs    = rapid.Int64Range(1, 6)
)

var someDrafts = rapid.Custom(func(t *rapid.T) listing.Draft {
	d := draft(someCities.Draw(t, "city"))
	d.Type = rapid.SampledFrom([]listing.PropertyType{listing.Apartment, listing.House}).Draw(t, "type")
	d.Offer = rapid.SampledFrom([]listing.Offer{listing.Sale, listing.Rent}).Draw(t, "offer")
	d.Status = rapid.SampledFrom([]listing.Status{listing.Active, listing.Active, listing.Reserved, listing.Sold}).Draw(t, "status")
	d.PriceMinor = rapid.Int64Range(1, 5).Draw(t, "price") * 100
	d.Bedrooms, d.Bathrooms = rapid.IntRange(0, 3).Draw(t, "bedrooms"), rapid.IntRange(0, 2).Draw(t, "bathrooms")
	d.AreaM2 = 10 * float64(rapid.IntRange(1, 3).Draw(t, "area"))
	d.Latitude, d.Longitude = float64(rapid.IntRange(0, 2).Draw(t, "latitude")), float64(rapid.IntRange(0, 2).Draw(t, "longitude"))
	d.Description = rapid.SampledFrom([]string{"", "A garden by the river.", "Rivers.", "The quiet street."}).Draw(t, "description")
	d.Amenities = rapid.SampledFrom([][]string{nil, {"pool"}, {"balcony", "pool"}}).Draw(t, "amenities")
	return d
})

var someSearches = rapid.Custom(func(t *rapid.T) listing.Query {
	q := listing.Query{
		City:          rapid.SampledFrom([]string{"", "", "alpha", "beta", "gamma"}).Draw(t, "city"),
		Region:        rapid.SampledFrom([]string{"", "", "north", "south", "elsewhere"}).Draw(t, "region"),
		Country:       rapid.SampledFrom([]string{"", "", "AA", "BB", "CC"}).Draw(t, "country"),
		Type:          rapid.SampledFrom([]listing.PropertyType{"", "", listing.Apartment}).Draw(t, "type"),
		Offer:         rapid.SampledFrom([]listing.Offer{"", "", listing.Sale}).Draw(t, "offer"),
		Status:        rapid.SampledFrom([]listing.Status{"", "", "", listing.Sold}).Draw(t, "status"),
		PriceMin:      rapid.Int64Range(0, 3).Draw(t, "price min") * 100,
		PriceMax:      rapid.Int64Range(0, 5).Draw(t, "price max") * 100,
		BedroomsMin:   rapid.IntRange(0, 2).Draw(t, "bedrooms min"),
		BedroomsBelow: rapid.SampledFrom([]int{0, 0, 2, 3}).Draw(t, "bedrooms below"),
		BathroomsMin:  rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "bathrooms min"),
		AreaMin:       rapid.SampledFrom([]int64{0, 0, 1500}).Draw(t, "area min"),
		AreaMax:       rapid.SampledFrom([]int64{0, 0, 2500}).Draw(t, "area max"),
		Amenities:     rapid.SampledFrom([]listing.AmenitySet{0, 0, 1, 1 << 12}).Draw(t, "amenities"),
		Box:           rapid.SampledFrom([]listing.Box{{}, {}, {MinLon: 0, MinLat: 0, MaxLon: 1e6, MaxLat: 1e6}}).Draw(t, "box"),
		Text:          rapid.SampledFrom([]string{"", "", "river", "flat -street"}).Draw(t, "text"),
		Sort:          rapid.SampledFrom(allSorts).Draw(t, "sort"),
		Limit:         rapid.IntRange(1, 4).Draw(t, "limit"),
		Facets:        listing.FacetSet(rapid.IntRange(1, 1<<len(listing.Facets())-1).Draw(t, "facets")),
	}
	if q.Text != "" && rapid.Bool().Draw(t, "best first") {
		q.Sort = listing.Best
	}
	return q
})

var someStoreWrites = rapid.Custom(func(t *rapid.T) mutation {
	id, d := someIDs.Draw(t, "id"), someDrafts.Draw(t, "draft")
	return rapid.SampledFrom([]mutation{
		{"create", func(ctx context.Context, db *DB, _ database) error { _, _, err := db.Create(ctx, d); return err }},
		{"replace", func(ctx context.Context, db *DB, _ database) error {
			_, _, _, err := db.Update(ctx, id, 0, d)
			return err
		}},
		{"change one field", func(ctx context.Context, db *DB, _ database) error {
			l, err := db.Listing(ctx, id)
			if err != nil {
				return err
			}
			changed := l.Draft()
			switch d.PriceMinor / 100 {
			case 1:
				changed.City = d.City
			case 2:
				changed.Status = d.Status
			case 3:
				changed.Description, changed.Amenities = d.Description, d.Amenities
			case 4:
				changed.AreaM2, changed.Latitude = d.AreaM2, d.Latitude
			default:
				changed.PriceMinor = d.PriceMinor
			}
			_, _, _, err = db.Update(ctx, id, 0, changed)
			return err
		}},
		{"delete", func(ctx context.Context, db *DB, _ database) error { _, _, err := db.Delete(ctx, id, 0); return err }},
	}).Draw(t, "kind")
})

var someStatements = rapid.Custom(func(t *rapid.T) mutation {
	from, to, id := someCities.Draw(t, "from"), someCities.Draw(t, "to"), someIDs.Draw(t, "id")
	sql := rapid.SampledFrom([]string{
		`UPDATE listings SET price_minor = price_minor + 100 WHERE city = '` + from + `'`,
		`UPDATE listings SET city = '` + to + `' WHERE city = '` + from + `'`,
		`UPDATE listings SET city = CASE city WHEN '` + from + `' THEN '` + to + `' ELSE '` + from + `' END WHERE city IN ('` + from + `', '` + to + `')`,
		fmt.Sprintf(`UPDATE listings SET city = '%s', id = id + 100 WHERE id = %d`, to, id),
		fmt.Sprintf(`UPDATE listings SET status = 'active' WHERE id >= %d`, id),
		`UPDATE listings SET status = 'sold', offer = 'rent' WHERE city = '` + from + `'`,
		fmt.Sprintf(`UPDATE listings SET created_at = created_at - interval '1 day' WHERE id = %d`, id),
		`DELETE FROM listings WHERE city = '` + from + `'`,
		fmt.Sprintf(`DELETE FROM listings WHERE id <> %d`, id),
		`INSERT INTO listings (title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, agent_id)
			SELECT title, description, '` + to + `', type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, agent_id FROM listings WHERE city = '` + from + `'`,
		`WITH gone AS (DELETE FROM listings WHERE city = '` + from + `' RETURNING agent_id) UPDATE listings SET title = 'Changed' WHERE city = '` + to + `'`,
		`UPDATE cities SET name = name || '!' WHERE slug = '` + from + `'`,
		`UPDATE cities SET region = 'Elsewhere' WHERE slug = '` + from + `'`,
		`UPDATE cities SET country = 'CC' WHERE slug = '` + from + `'`,
		`UPDATE listings SET description = 'Rivers.', amenities = '{pool}' WHERE city = '` + from + `'`,
		`UPDATE listings SET id = id + 200, area_m2 = 15 WHERE id IN (1, 2)`,
		`INSERT INTO cities VALUES ('delta', 'Delta', 'South', 'BB', 0, 0)`,
		`WITH moved AS (INSERT INTO cities VALUES ('delta', 'Delta', 'North', 'AA', 0, 0)) DELETE FROM listings WHERE city = '` + from + `'`,
		`TRUNCATE listings`,
	}).Draw(t, "statement")
	return mutation{sql, func(ctx context.Context, _ *DB, d database) error { _, err := d.owner.Exec(ctx, sql); return err }}
})

var someWorlds = rapid.Custom(func(t *rapid.T) world {
	return world{
		rows:     rapid.SliceOfN(someDrafts, 0, 6).Draw(t, "rows"),
		write:    rapid.OneOf(someStoreWrites, someStatements).Draw(t, "write"),
		searches: rapid.SliceOfN(someSearches, 4, 4).Draw(t, "searches"),
	}
})

// answer is what a read gave, as text, and the tags that it depends on.
type answer struct {
	text string
	tags []string
}

// tryWorld builds the world, writes, and says which read changed without sharing a tag with the write; nothing if none did.
func tryWorld(ctx context.Context, db *DB, d database, w world) (violation string, err error) {
	const reset = `
		TRUNCATE listings RESTART IDENTITY; DELETE FROM cities WHERE slug = 'delta';
		UPDATE cities SET name = initcap(slug), region = CASE slug WHEN 'gamma' THEN 'South' ELSE 'North' END,
			country = CASE slug WHEN 'gamma' THEN 'BB' ELSE 'AA' END`
	if _, err := d.owner.Exec(ctx, reset); err != nil {
		return "", err
	}
	for _, row := range w.rows {
		if _, _, err := db.Create(ctx, row); err != nil {
			return "", err
		}
	}
	before, err := readAll(ctx, db, w)
	if err != nil {
		return "", err
	}
	var mark int64
	if err := d.owner.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM change_log`).Scan(&mark); err != nil {
		return "", err
	}
	if err := w.write.apply(ctx, db, d); err != nil && !errors.Is(err, listing.ErrNotFound) {
		return "", fmt.Errorf("%s: %w", w.write.name, err)
	}
	var logged []string
	const since = `SELECT coalesce(array_agg(DISTINCT tag), '{}') FROM change_log, unnest(tags) tag WHERE seq > $1`
	if err := d.owner.QueryRow(ctx, since, mark).Scan(&logged); err != nil {
		return "", err
	}
	after, err := readAll(ctx, db, w)
	if err != nil {
		return "", err
	}
	for name, then := range before {
		now := after[name]
		if now.text == then.text || slices.Contains(logged, freshness.Everything) ||
			slices.ContainsFunc(then.tags, func(tag string) bool { return slices.Contains(logged, tag) }) {
			continue
		}
		return fmt.Sprintf("%s changed by %q\nfrom %s\nto   %s\nbut depends on %q and the write left %q", name, w.write.name, then.text, now.text, then.tags, logged), nil
	}
	return "", nil
}

// readAll asks every kind of question, of listings and cities that exist and of some that don't.
func readAll(ctx context.Context, db *DB, w world) (map[string]answer, error) {
	answers := make(map[string]answer)
	ask := func(name string, read func(context.Context) (any, error)) error {
		ctx, collector := freshness.Collect(ctx)
		value, err := read(ctx)
		if err != nil && !errors.Is(err, listing.ErrNotFound) {
			return fmt.Errorf("%s: %w", name, err)
		}
		text, _ := json.Marshal(value)
		stamp := collector.Stamp()
		answers[name] = answer{text: fmt.Sprintf("%s %t", text, err == nil), tags: w.keep(stamp.Tags)}
		return nil
	}
	var failed []error
	for id := int64(1); id <= 13; id++ {
		failed = append(failed, ask(fmt.Sprint("listing ", id), func(ctx context.Context) (any, error) { return db.Listing(ctx, id) }))
	}
	for _, city := range []string{"alpha", "beta", "gamma", "delta"} {
		failed = append(failed, ask("statistics of "+city, func(ctx context.Context) (any, error) { return db.CityStats(ctx, city) }))
		failed = append(failed, ask("search of "+city, func(ctx context.Context) (any, error) { return db.Search(ctx, listing.Query{City: city}) }))
	}
	failed = append(failed, ask("cities", func(ctx context.Context) (any, error) { return db.Cities(ctx) }))
	failed = append(failed, ask("search", func(ctx context.Context) (any, error) { return db.Search(ctx, listing.Query{}) }))
	for _, q := range []listing.Query{{Region: "north"}, {Region: "south"}, {Country: "AA"}, {Country: "CC"}} {
		failed = append(failed, ask("search of "+q.Key(), func(ctx context.Context) (any, error) { return db.Search(ctx, q) }))
	}
	for _, q := range w.searches {
		failed = append(failed, ask("search "+q.Listings().Key(), func(ctx context.Context) (any, error) { return db.Search(ctx, q) }))
		failed = append(failed, ask("facets "+q.Counts().Key(), func(ctx context.Context) (any, error) { return db.Facets(ctx, q) }))
	}
	return answers, errors.Join(failed...)
}

func TestWriteThatChangesAResultLeavesATagThatTheReadDependsOn(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	rapid.Check(t, func(r *rapid.T) {
		violation, err := tryWorld(t.Context(), db, d, someWorlds.Draw(r, "world"))
		if err != nil {
			r.Fatal(err)
		}
		if violation != "" {
			r.Fatal(violation)
		}
	})
}

// A check that cannot fail proves nothing: with triggers that forget where a listing was, the same check must find it out.
func TestTriggersThatForgetOldRowsAreFoundOut(t *testing.T) {
	d := newSmallDatabase(t)
	d.exec(t, `
		CREATE OR REPLACE FUNCTION strata_log_listings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
		DECLARE
			ids    bigint[];
			cities text[];
		BEGIN
			SELECT array_agg(DISTINCT id), array_agg(DISTINCT city) INTO ids, cities FROM touched_rows;
			IF ids IS NOT NULL THEN
				INSERT INTO change_log (tags) VALUES (strata_tags(ids, cities));
			END IF;
			RETURN NULL;
		END
		$$`)
	db := d.open(t, Config{})
	const worlds = 500
	for i := range worlds {
		violation, err := tryWorld(t.Context(), db, d, someWorlds.Example(i))
		if err != nil {
			t.Fatal(err)
		}
		if violation != "" {
			if !strings.Contains(violation, "city") && !strings.Contains(violation, "listing") {
				t.Errorf("found something else: %s", violation)
			}
			t.Logf("found after %d worlds: %s", i+1, violation)
			return
		}
	}
	t.Errorf("%d worlds, and nobody noticed that moves are logged without the city that was left", worlds)
}

// And with searches of a region that depend on the first of its cities only.
func TestSearchesThatForgetACityAreFoundOut(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	const worlds = 300
	for i := range worlds {
		w := someWorlds.Example(i)
		w.forget = true
		violation, err := tryWorld(t.Context(), db, d, w)
		if err != nil {
			t.Fatal(err)
		}
		if violation != "" {
			t.Logf("found after %d worlds: %s", i+1, violation)
			return
		}
	}
	t.Errorf("%d worlds, and nobody noticed that a search of a region depends on one of its cities", worlds)
}

func TestTermsFollowTheirListings(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	check := func(after string) {
		t.Helper()
		const differ = `SELECT count(*) FROM listings FULL JOIN listing_terms ON id = listing_id
			WHERE terms IS DISTINCT FROM strata_terms(title, description, amenities)`
		if n := one[int](t, d, differ); n != 0 {
			t.Errorf("after %s, the terms of %d listings are not theirs", after, n)
		}
	}
	for i := range 6 {
		l := draft("alpha")
		l.Title = fmt.Sprint("Flat number ", i)
		create(t, db, l)
	}
	check("creating")
	for _, sql := range []string{
		`UPDATE listings SET price_minor = 5`,
		`UPDATE listings SET title = 'Loft ' || id WHERE id > 3`,
		`UPDATE listings SET amenities = '{pool,pool}', description = '' WHERE id = 2`,
		`UPDATE listings SET id = id + 100`,
		`UPDATE listings SET id = CASE id WHEN 101 THEN 102 WHEN 102 THEN 103 ELSE 101 END WHERE id IN (101, 102, 103)`,
		`UPDATE listings SET description = repeat('word ', 500000), title = repeat('x', 100000), amenities = ARRAY[repeat('long', 1000)] WHERE id = 104`,
		`DELETE FROM listings WHERE id IN (101, 105)`,
		`TRUNCATE listings`,
	} {
		if strings.Contains(sql, "CASE id") { // ids are exchanged only where uniqueness can wait
			d.exec(t, `ALTER TABLE listings DROP CONSTRAINT listings_pkey, ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED`)
		}
		d.exec(t, sql)
		check(sql)
	}
}
