package changelog_test

import (
	"strings"
	"testing"
	"time"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
)

// Whatever keeps changes from being logged is noticed before an as-of time is claimed that does not
// hold: the caches are blind until it is mended, and what they kept before is refused for good,
// since nobody knows what changed meanwhile.
func TestWhatKeepsChangesFromBeingLoggedBlindsTheCachesUntilItIsMended(t *testing.T) {
	const update = `UPDATE prices SET amount = amount + 1`
	for name, tt := range map[string]struct{ break_, mend string }{
		"a trigger disabled":            {`ALTER TABLE prices DISABLE TRIGGER strata_update; ` + update, ""},
		"all triggers disabled":         {`ALTER TABLE prices DISABLE TRIGGER ALL; ` + update, ""},
		"a trigger demoted":             {`ALTER TABLE prices ENABLE TRIGGER ALL; ` + update, ""},
		"a trigger dropped":             {`DROP TRIGGER strata_update ON prices; ` + update, ""},
		"off where rows are replicated": {`ALTER TABLE prices DISABLE TRIGGER strata_row`, ""},
		"another table in its place": {`CREATE TABLE fresh (LIKE prices INCLUDING ALL); INSERT INTO fresh SELECT id, city, amount + 1 FROM prices;
			ALTER TABLE prices RENAME TO stale; ALTER TABLE fresh RENAME TO prices`, ""},
		"a table that inherits": {`CREATE TABLE child () INHERITS (prices); INSERT INTO child VALUES (3, 'faro', 1)`, ""},
		"a part of another": {`CREATE TABLE whole (LIKE prices) PARTITION BY RANGE (id); ALTER TABLE whole ATTACH PARTITION prices DEFAULT;
			UPDATE whole SET amount = amount + 1`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			ledger := d.follow(t, changelog.Config{}, nil)
			entry := d.entry(t, ledger, 1)
			d.exec(t, tt.break_)
			called := time.Now()
			eventually(t, "a poll after it", func() bool { return ledger.AsOf().Time.After(called) })
			if usable(ledger, entry) {
				t.Error("an entry of before is served, as of a moment after the change")
			}
			_, unlogged := d.read(t, 1)
			for range 20 {
				if usable(ledger, &unlogged) {
					t.Fatal("an entry is served although changes go unlogged")
				}
			}
			problems, err := changelog.Problems(t.Context(), d.owner)
			if err != nil || len(problems) == 0 {
				t.Fatalf("problems: %v, %v", problems, err)
			}
			for range 3 { // what one statement does may show the next
				if problems, err = changelog.Problems(t.Context(), d.owner); err != nil || len(problems) == 0 {
					break
				}
				d.exec(t, problems[0].Mend)
			}
			if len(problems) > 0 || err != nil {
				t.Fatalf("after mending: %v, %v", problems, err)
			}
			d.exec(t, `UPDATE prices SET amount = 7`)
			d.entry(t, ledger, 1)
			if usable(ledger, entry) || usable(ledger, &unlogged) {
				t.Error("an entry of before is served again")
			}
		})
	}
}

// Within one transaction all can be as it was before, but for the change that nobody logged.
func TestChangeBetweenSwitchingTriggersOffAndOnAgainIsNoticed(t *testing.T) {
	d := newDatabase(t)
	ledger := d.follow(t, changelog.Config{}, nil)
	for _, sql := range []string{
		`ALTER TABLE prices DISABLE TRIGGER strata_update; UPDATE prices SET amount = amount + 1; ALTER TABLE prices ENABLE TRIGGER strata_update`,
		`ALTER TABLE prices ALTER amount TYPE bigint USING amount + 1`,
		`CREATE OR REPLACE FUNCTION strata_log_prices() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; UPDATE prices SET amount = 9;
			SELECT strata_watch('prices', 'price:{id}', 'city:{city}')`,
	} {
		entry := d.entry(t, ledger, 1)
		d.exec(t, sql)
		called := time.Now()
		eventually(t, "a poll after it", func() bool { return ledger.AsOf().Time.After(called) })
		if usable(ledger, entry) {
			t.Errorf("an entry of before is served after %s", sql)
		}
		d.entry(t, ledger, 1) // and the caches work again
	}
}

// Where replication applies rows, PostgreSQL calls no triggers of statements; so it is for loaders
// that say so.
func TestRowsThatReplicationAppliesAreLoggedAndManyOfThemCoarsely(t *testing.T) {
	d := newDatabase(t)
	ledger := d.follow(t, changelog.Config{}, nil)
	entry, other := d.entry(t, ledger, 1), d.entry(t, ledger, 2)
	loader := d.loader(t)
	loader.exec(t, `UPDATE prices SET amount = 5 WHERE id = 1`)
	eventually(t, "the change is known", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
	if !usable(ledger, other) {
		t.Error("another row's entry was refused")
	}
	var before, after int
	count := func(n *int) {
		if err := d.owner.QueryRow(t.Context(), `SELECT count(*) FROM change_log`).Scan(n); err != nil {
			t.Fatal(err)
		}
	}
	count(&before)
	loader.exec(t, `INSERT INTO prices SELECT g, 'faro', 1 FROM generate_series(10, 5000) g`)
	count(&after)
	if n := after - before; n < 400 || n > 600 {
		t.Errorf("5,000 rows of one transaction left %d rows in the log", n)
	}
	eventually(t, "everything is refused", func() bool { return ledger.Judge(other, nil) == freshness.Invalidated })
}

func TestWatchRefusesWhatItCannotLog(t *testing.T) {
	d := newDatabase(t)
	for sql, want := range map[string]string{
		`SELECT strata_watch('prices', 'price:{number}')`: "no column number",
		`SELECT strata_watch('prices', '')`:               "an empty tag",
		`SELECT strata_watch('nowhere', 'x:{id}')`:        "does not exist",
	} {
		if _, err := d.owner.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", sql, err, want)
		}
	}
}
