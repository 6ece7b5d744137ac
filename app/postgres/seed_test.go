package postgres

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/listing"
)

// fingerprint hashes every row that a seed makes.
func (d database) fingerprint(t *testing.T) string {
	t.Helper()
	return one[string](t, d, `
		SELECT md5(
			(SELECT string_agg(c::text, '|' ORDER BY slug) FROM cities c) ||
			(SELECT string_agg(a::text, '|' ORDER BY id) FROM agents a) ||
			(SELECT string_agg(l::text, '|' ORDER BY id) FROM listings l))`)
}

func seeded(t *testing.T, cfg SeedConfig) database {
	t.Helper()
	d := newDatabase(t)
	if err := Seed(t.Context(), d.ownerURL, cfg); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSameSeedGivesTheSameRows(t *testing.T) {
	first := seeded(t, SeedConfig{Listings: 1500, Seed: 7}).fingerprint(t)
	if second := seeded(t, SeedConfig{Listings: 1500, Seed: 7}).fingerprint(t); first != second {
		t.Error("the same seed gave different rows")
	}
	if other := seeded(t, SeedConfig{Listings: 1500, Seed: 8}).fingerprint(t); first == other {
		t.Error("another seed gave the same rows")
	}
}

func TestSeedIsBelievable(t *testing.T) {
	const n = 6000
	var reported []int
	d := seeded(t, SeedConfig{Listings: n, Seed: 1, Progress: func(done, total int) {
		if total != n {
			t.Errorf("progress of %d, want %d", total, n)
		}
		reported = append(reported, done)
	}})
	if len(reported) < 3 || reported[len(reported)-1] != n {
		t.Errorf("progress was %v, want some steps up to %d", reported, n)
	}
	for claim, sql := range map[string]string{
		"ids are 1 to n":                       `SELECT min(id) = 1 AND max(id) = 6000 AND count(*) = 6000 FROM listings`,
		"the next id follows":                  `SELECT nextval(pg_get_serial_sequence('listings', 'id')) = 6001 AND nextval(pg_get_serial_sequence('agents', 'id')) > (SELECT max(id) FROM agents)`,
		"every city is known by its place":     `SELECT count(*) >= 60 AND bool_and(latitude <> 0 AND longitude <> 0) FROM cities`,
		"every city has listings":              `SELECT count(DISTINCT city) = (SELECT count(*) FROM cities) FROM listings`,
		"the largest city has many":            `SELECT max(n) BETWEEN 600 AND 1600 FROM (SELECT count(*) AS n FROM listings GROUP BY city) c`,
		"most listings are active":             `SELECT avg((status = 'active')::int) BETWEEN 0.90 AND 0.94 FROM listings`,
		"all statuses occur":                   `SELECT count(DISTINCT status) = 4 FROM listings`,
		"all types occur":                      `SELECT count(DISTINCT type) = 6 FROM listings`,
		"descriptions are of a good length":    `SELECT min(length(description)) >= 200 AND max(length(description)) <= 500 FROM listings`,
		"descriptions differ":                  `SELECT count(DISTINCT description) > 5950 FROM listings`,
		"text can be searched":                 `SELECT count(*) > 100 FROM listings WHERE to_tsvector('english', description) @@ to_tsquery('english', 'balcony & sun')`,
		"listings lie near their city":         `SELECT bool_and(abs(l.latitude - c.latitude) < 1 AND abs(l.longitude - c.longitude) < 2) FROM listings l JOIN cities c ON c.slug = l.city`,
		"region and country are the city's":    `SELECT bool_and(l.region = c.region AND l.country = c.country) FROM listings l JOIN cities c ON c.slug = l.city`,
		"paris costs more than porto":          `SELECT avg(price_minor / area_m2) FILTER (WHERE city = 'paris') > 1.5 * avg(price_minor / area_m2) FILTER (WHERE city = 'porto') FROM listings WHERE offer = 'sale'`,
		"prices lean to the right":             `SELECT avg(price_minor) > percentile_cont(0.5) WITHIN GROUP (ORDER BY price_minor) FROM listings WHERE offer = 'sale' AND city = 'london'`,
		"listings came over two years":         `SELECT min(created_at) BETWEEN '2024-01-01' AND '2024-02-01' AND max(created_at) BETWEEN '2025-12-01' AND '2026-01-01' FROM listings`,
		"nothing changed before it was made":   `SELECT bool_and(updated_at >= created_at AND updated_at <= '2026-01-01') FROM listings`,
		"amenities are sorted":                 `SELECT bool_and(amenities = ARRAY(SELECT DISTINCT a COLLATE "C" FROM unnest(amenities) a ORDER BY 1)) FROM listings`,
		"each listing has its terms":           `SELECT count(*) = 6000 AND bool_and(terms @@ plainto_tsquery('english', title)) FROM listing_terms JOIN listings ON id = listing_id`,
		"regions have slugs":                   `SELECT bool_and(region_slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$') AND bool_or(region_slug = 'ile-de-france') FROM cities`,
		"the log says that everything changed": `SELECT bool_or(tags @> '{*}') FROM change_log`,
		"the indexes are all there":            `SELECT count(*) = 13 FROM pg_index WHERE indrelid IN ('listings'::regclass, 'listing_terms'::regclass) AND indisvalid`,
		"the planner knows the table":          `SELECT reltuples = 6000 AND relallvisible > 0 FROM pg_class WHERE oid = 'listings'::regclass`,
	} {
		if !one[bool](t, d, sql) {
			t.Errorf("not so: %s", claim)
		}
	}
	db := d.open(t, Config{})
	if l := create(t, db, draft("lisbon")); l.ID <= n {
		t.Errorf("a new listing got id %d", l.ID)
	}
	if page, err := db.Search(t.Context(), listing.Query{}); err != nil || page.Items[0].Title != "A flat" {
		t.Errorf("the newest listing is %q, error %v; want the one just made", page.Items[0].Title, err)
	}
}

func TestEverySeededAmenityCanBeSearchedFor(t *testing.T) {
	var names []string
	for _, a := range amenities {
		names = append(names, a.name)
	}
	if diff := cmp.Diff(listing.Amenities(), names); diff != "" {
		t.Errorf("what can be searched for (-) and what is seeded (+):\n%s", diff)
	}
}

func TestSeedRefusesADatabaseThatIsNotEmpty(t *testing.T) {
	d := seeded(t, SeedConfig{Listings: 10, Seed: 1})
	before := d.fingerprint(t)
	if err := Seed(t.Context(), d.ownerURL, SeedConfig{Listings: 10, Seed: 2}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got error %v, want ErrNotEmpty", err)
	}
	if d.fingerprint(t) != before {
		t.Error("the refused seed changed something")
	}
}

func TestSeedOfNoListingsLeavesCitiesAndAgents(t *testing.T) {
	d := seeded(t, SeedConfig{})
	if !one[bool](t, d, `SELECT (SELECT count(*) FROM cities) >= 60 AND (SELECT count(*) FROM agents) >= 20`) {
		t.Error("cities or agents are missing")
	}
	if l := create(t, d.open(t, Config{}), draft("lisbon")); l.ID != 1 {
		t.Errorf("the first listing got id %d, want 1", l.ID)
	}
}

func TestSeededListingDependsOnItsIDNotOnHowManyThereAre(t *testing.T) {
	d, more := seeded(t, SeedConfig{Listings: 50, Seed: 3}), seeded(t, SeedConfig{Listings: 100, Seed: 3})
	const sql = `SELECT md5(string_agg(l::text, '|' ORDER BY id)) FROM listings l WHERE id <= 50`
	if one[string](t, d, sql) != one[string](t, more, sql) {
		t.Error("the first 50 listings of 50 and of 100 differ")
	}
}
