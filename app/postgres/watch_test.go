package postgres

import (
	"testing"

	"example.com/strata/app/changelog"
)

// What pg_restore --disable-triggers, a careless loader or a table swapped in does to our tables is found, and the SQL that is named
// for it puts all of it right: the log, the words of listings, and what the database decides of a listing.
func TestWatchedTablesAreMendedByTheSQLThatIsNamed(t *testing.T) {
	for name, harm := range map[string]string{
		"listings off":        `ALTER TABLE listings DISABLE TRIGGER USER`,
		"listings off and on": `ALTER TABLE listings DISABLE TRIGGER USER; ALTER TABLE listings ENABLE TRIGGER USER`,
		"cities off":          `ALTER TABLE cities DISABLE TRIGGER USER`,
		"words off":           `ALTER TABLE listing_terms DISABLE TRIGGER USER`,
		"swapped":             `CREATE TABLE next (LIKE listings INCLUDING ALL); INSERT INTO next SELECT * FROM listings; ALTER TABLE listings RENAME TO last; ALTER TABLE next RENAME TO listings`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newSmallDatabase(t)
			db := d.open(t, Config{})
			before := create(t, db, draft("alpha"))
			if problems, err := changelog.Problems(t.Context(), d.owner); err != nil || len(problems) > 0 {
				t.Fatalf("before: %v, %v", problems, err)
			}
			d.exec(t, harm)
			d.exec(t, `UPDATE listings SET title = 'Written meanwhile' WHERE id = $1`, before.ID)
			problems, err := changelog.Problems(t.Context(), d.owner)
			if err != nil || len(problems) == 0 {
				t.Fatalf("nothing is found, %v", err)
			}
			d.exec(t, problems[0].Mend)
			if problems, err = changelog.Problems(t.Context(), d.owner); err != nil || len(problems) > 0 {
				t.Fatalf("after mending: %v, %v", problems, err)
			}
			d.exec(t, `INSERT INTO listings (id, title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, agent_id)
				VALUES (900, 'New words', '', 'beta', 'loft', 'sale', 1, 'EUR', 1, 1, 40, 1, 1, 1)`)
			d.exec(t, `UPDATE listings SET price_minor = 2 WHERE id = 900`)
			if got := one[int64](t, d, `SELECT version FROM listings WHERE id = 900`); got != 2 {
				t.Errorf("version %d after an update, want 2", got)
			}
			const wrong = `SELECT count(*) FROM listings l FULL JOIN listing_terms t ON t.listing_id = l.id
				WHERE t.terms IS DISTINCT FROM strata_terms(l.title, l.description, l.amenities)`
			if n := one[int](t, d, wrong); n != 0 {
				t.Errorf("%d listings have other words than their own", n)
			}
			if got := one[string](t, d, `SELECT string_agg(tags[1], ' ' ORDER BY seq) FROM change_log WHERE 'city:beta' = ANY (tags)`); got != "listing:900 listing:900" {
				t.Errorf("the log has %q", got)
			}
		})
	}
}
