package postgres

import "testing"

func TestIdentityTellsACopyFromItsOriginal(t *testing.T) {
	original, copied := newDatabase(t), newDatabase(t)
	identity := func(d database) string {
		t.Helper()
		id, err := d.open(t, Config{}).Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if a, b := identity(original), identity(original); a != b || len(a) != 16 {
		t.Errorf("one database is %q and %q", a, b)
	}
	before := identity(copied)
	copied.exec(t, `UPDATE cursor_key SET key = $1`, one[[]byte](t, original, `SELECT key FROM cursor_key`)) // as a template's copy or a restored dump has it
	if after := identity(copied); after == identity(original) || after == before {
		t.Errorf("the copy is %q, the original %q, and it was %q when it had a key of its own", after, identity(original), before)
	}
}

func TestIdentityNeedsNoFunctionsOfTheServer(t *testing.T) {
	d := newDatabase(t)
	db := d.open(t, Config{})
	with, err := db.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.exec(t, `CREATE SCHEMA IF NOT EXISTS shadow`)
	d.exec(t, `CREATE FUNCTION shadow.pg_control_system() RETURNS TABLE (system_identifier bigint) LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$`)
	d.exec(t, `GRANT USAGE ON SCHEMA shadow TO strata_app`)
	for range 3 { // whichever connection of the pool is used below
		if _, err := db.pool.Exec(t.Context(), `SET search_path = shadow, pg_catalog, public`); err != nil {
			t.Fatal(err)
		}
	}
	without, err := db.Identity(t.Context())
	if err != nil {
		t.Fatalf("where the server withholds its number: %v", err)
	}
	if without == "" || without == with {
		t.Errorf("identity %q without the number, %q with it", without, with)
	}
}
