package postgres

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

func TestMigrationsMayRunTwiceAndAtOnce(t *testing.T) {
	d := newEmptyDatabase(t)
	quiet := slog.New(slog.DiscardHandler)
	var group errgroup.Group
	for range 3 {
		group.Go(func() error { return Migrate(t.Context(), d.ownerURL, quiet) })
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("migrating at once: %v", err)
	}
	if err := Migrate(t.Context(), d.ownerURL, quiet); err != nil {
		t.Fatalf("migrating again: %v", err)
	}
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	got := one[int](t, d, `SELECT count(*) FROM goose_db_version WHERE version_id > 0`)
	if got != len(files)+1 { // one is in Go
		t.Errorf("%d migrations were applied, want each of %d once", got, len(files)+1)
	}
}

func TestMigrationOfAnUnreachableDatabaseSaysSoWithoutThePassword(t *testing.T) {
	err := Migrate(t.Context(), "postgres://owner:hunter2@127.0.0.1:1/strata", slog.New(slog.DiscardHandler))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got error %v, want one without the password", err)
	}
}

func TestApplicationRoleCanNeitherChangeTheSchemaNorForgeTheLog(t *testing.T) {
	d := newSmallDatabase(t)
	app := connect(t, d.appURL)
	for _, sql := range []string{
		`CREATE TABLE mine (x int)`,
		`CREATE TEMPORARY TABLE mine (x int)`,
		`CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`CREATE SCHEMA mine`,
		`DROP TABLE listings`,
		`ALTER TABLE listings DISABLE TRIGGER ALL`,
		`ALTER TABLE listings ADD COLUMN x int`,
		`CREATE INDEX ON listings (title)`,
		`TRUNCATE listings`,
		`SET session_replication_role = replica`,
		`INSERT INTO change_log (tags) VALUES ('{x}')`,
		`UPDATE change_log SET tags = '{x}'`,
		`DELETE FROM change_log`,
		`TRUNCATE change_log`,
		`UPDATE change_floor SET xid = '1'`,
		`SELECT strata_tags('{1}', '{x}')`,
		`UPDATE goose_db_version SET version_id = 0`,
	} {
		_, err := app.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" { // insufficient_privilege
			t.Errorf("%s: got error %v, want a refusal", sql, err)
		}
	}
	for _, sql := range []string{
		`SELECT * FROM change_log, change_floor`,
		`INSERT INTO agents (name, email, phone) VALUES ('Eve', 'eve@example.com', '3')`,
		`UPDATE cities SET name = 'Alfa' WHERE slug = 'alpha'`,
		`SELECT strata_prune('1 hour')`,
	} {
		if _, err := app.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestEveryFunctionOfTheSchemaIsClosedToThePublic(t *testing.T) {
	d := newDatabase(t)
	rows, err := d.owner.Query(context.Background(), `
		SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) acl
		WHERE proname LIKE 'strata%' AND acl.grantee = 0`)
	if err != nil {
		t.Fatal(err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(open) > 0 {
		t.Errorf("anybody may call %s", strings.Join(slices.Sorted(slices.Values(open)), ", "))
	}
}
