package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// pooler is the PgBouncer of all tests.
var pooler = sync.OnceValues(func() (func(string) string, error) { return stack().StartPgBouncer(context.Background()) })

func newPooler(t *testing.T) func(string) string {
	t.Helper()
	by, err := pooler()
	if err != nil {
		t.Fatal(err)
	}
	return by
}

func TestEverythingWorksBehindAPoolerThatChangesSessions(t *testing.T) {
	by := newPooler(t)
	d := newSmallDatabase(t)
	// Whatever the role's settings are, and whatever another client left behind in a server's session.
	d.setAppRole(t, `search_path = pg_catalog`, `default_transaction_isolation = serializable`, `lock_timeout = 1`, `extra_float_digits = -15`)
	direct := d.appURL
	d.appURL = by(d.appURL)
	ledger := freshness.NewLedger(freshness.Config{})
	db := d.open(t, Config{PoolSize: 8, Ledger: ledger})
	if got, err := db.stopped(t); got != "10s" || err != nil {
		t.Errorf("the statement timeout is %s (%v)", got, err)
	}
	feed := changelog.NewFeed(changelog.Config{}, db.DialFeed, ledger, nil)
	ctx, stop := context.WithCancel(t.Context())
	var feeding sync.WaitGroup
	feeding.Go(func() { _ = feed.Run(ctx) }) // nil, always
	defer func() { stop(); feeding.Wait() }()

	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 10 {
				l, xid, replayed, err := db.CreateOnce(ctx, listing.Once{Owner: "o", Key: fmt.Sprintf("%d-%d", w, i)}, draft("alpha"))
				if err != nil || replayed {
					t.Errorf("creating: %v, replayed %t", err, replayed)
					return
				}
				if got, err := db.Listing(ctx, l.ID); err != nil || got.ID != l.ID {
					t.Errorf("reading %d: %v", l.ID, err)
				}
				if page, err := db.Search(ctx, listing.Query{City: "alpha", Amenities: 1, Limit: 3}); err != nil || len(page.Items) == 0 {
					t.Errorf("searching: %d items, %v", len(page.Items), err)
				}
				if _, err := db.CityStats(ctx, "alpha"); err != nil {
					t.Error(err)
				}
				waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
				if !ledger.Await(waiting, xid) {
					t.Error("the feed does not bring the change")
					stop()
				}
				cancel()
			}
		})
	}
	all.Wait()
	for _, query := range []string{
		`SELECT count(*) FROM pg_listening_channels()`, `SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'stmt%'`,
		`SELECT count(*) FROM pg_settings WHERE source = 'session' AND name = 'search_path'`,
	} {
		if n := behind[int](t, by(direct), query); n != 0 {
			t.Errorf("%s in a server's session: %d, want none left behind", query, n)
		}
	}
}

// behind asks without preparing anything.
func behind[T any](t *testing.T, url, sql string) (value T) {
	t.Helper()
	conn := connect(t, url)
	if err := conn.QueryRow(t.Context(), sql, pgx.QueryExecModeExec).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// setAppRole changes the settings of the service's role in the database.
func (d database) setAppRole(t *testing.T, settings ...string) {
	t.Helper()
	su := connect(t, stack().SuperuserURL)
	name := one[string](t, d, `SELECT current_database()`)
	for _, setting := range settings {
		if _, err := su.Exec(t.Context(), `ALTER ROLE strata_app IN DATABASE `+name+` SET `+setting); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPoolerThatComesBetweenIsNoticed(t *testing.T) {
	by := newPooler(t)
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	if conn, err := acquireFrom(t.Context(), db.pool); err != nil || pooled(conn.Conn()) {
		t.Fatalf("a direct connection is taken for a pooled one (%v)", err)
	} else {
		conn.Release()
	}
	d.appURL = by(d.appURL)
	if db = d.open(t, Config{}); !db.feeding.pooled.Load() {
		t.Error("the pooler was not noticed")
	}
}

func TestSettingsOfTheRoleChangeNothing(t *testing.T) {
	d := newSmallDatabase(t)
	d.setAppRole(t, `search_path = pg_catalog`, `statement_timeout = '300ms'`, `lock_timeout = 1`, `default_transaction_isolation = serializable`, `TimeZone = 'Asia/Kathmandu'`,
		`DateStyle = 'SQL, DMY'`, `IntervalStyle = 'sql_standard'`, `client_encoding = 'LATIN1'`, `bytea_output = 'escape'`, `idle_in_transaction_session_timeout = 1`,
		`idle_session_timeout = 1`, `gin_fuzzy_search_limit = 1`, `extra_float_digits = -15`, `plan_cache_mode = 'force_generic_plan'`, `default_text_search_config = 'simple'`)
	db := d.open(t, Config{})
	made := draft("alpha")
	made.Title, made.AreaM2 = "Größe über alles — 家", 1.0/3
	l := create(t, db, made)
	if got, err := db.stopped(t); got != "10s" || err != nil {
		t.Errorf("the statement timeout is %s (%v)", got, err)
	}
	got, err := db.Listing(t.Context(), l.ID)
	if err != nil || got.Title != made.Title || got.AreaM2 != made.AreaM2 || !got.CreatedAt.Equal(l.CreatedAt) || got.CreatedAt.Location() != time.UTC {
		t.Errorf("got %+v, %v", got, err)
	}
	if page, err := db.Search(t.Context(), listing.Query{Text: "flats über", Amenities: 1}); err != nil || len(page.Items) != 0 {
		t.Errorf("found %d, %v", len(page.Items), err)
	}
}

// stopped returns after which time a statement of ours is stopped.
func (db *DB) stopped(t *testing.T) (text string, err error) {
	t.Helper()
	_, err = read(t.Context(), db, query{name: nameCities, sql: `SELECT current_setting('statement_timeout')`}, "", func(rows pgx.Rows) (struct{}, error) {
		rows.Next()
		return struct{}{}, rows.Scan(&text)
	})
	return text, err
}

func TestDatabaseThatIsNotWhatTheServiceNeedsIsNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(*testing.T, *database)
		want    []string
	}{
		"not migrated": {func(*testing.T, *database) {}, []string{"strata migrate"}},
		"an earlier release": {func(t *testing.T, d *database) {
			d.migrate(t)
			d.exec(t, `DELETE FROM goose_db_version WHERE version_id > 7`)
		}, []string{"strata migrate", "earlier release"}},
		"another role": {func(t *testing.T, d *database) {
			d.migrate(t)
			su := connect(t, stack().SuperuserURL)
			if _, err := su.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE stranger LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`); err != nil {
				t.Fatal(err)
			}
			cc := connect(t, d.appURL).Config()
			d.appURL = fmt.Sprintf("postgres://stranger:x@%s:%d/%s?sslmode=disable", cc.Host, cc.Port, cc.Database)
		}, []string{"GRANT strata_app TO stranger"}},
		"another encoding": {func(t *testing.T, d *database) {
			su := connect(t, stack().SuperuserURL)
			name := one[string](t, *d, `SELECT current_database()`) + "_latin"
			if _, err := su.Exec(t.Context(), `CREATE DATABASE `+name+` ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0 OWNER strata_owner`); err != nil {
				t.Fatal(err)
			}
			d.ownerURL, d.appURL = strings.Replace(d.ownerURL, "?", "_latin?", 1), strings.Replace(d.appURL, "?", "_latin?", 1)
			if err := Migrate(t.Context(), d.ownerURL, slog.New(slog.DiscardHandler)); !errors.Is(err, listing.ErrSetup) || !strings.Contains(err.Error(), "ENCODING 'UTF8'") {
				t.Errorf("migrating: got error %v", err)
			}
		}, []string{"SQL_ASCII", "ENCODING 'UTF8'"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newEmptyDatabase(t)
			tt.prepare(t, &d)
			_, err := Open(t.Context(), Config{URL: d.appURL}, newTelemetry(t))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, listing.ErrSetup) {
					t.Errorf("got error %v, want one that says %q", err, want)
				}
			}
		})
	}
}

func (d database) migrate(t *testing.T) {
	t.Helper()
	if err := Migrate(t.Context(), d.ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func TestOwnersCommandsNameWhatTheyLackOrWorkAllTheSame(t *testing.T) {
	su := connect(t, stack().SuperuserURL)
	exec := func(sql string) {
		if _, err := su.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	d := newEmptyDatabase(t)
	name, cc := one[string](t, d, `SELECT current_database()`), connect(t, d.ownerURL).Config()
	exec(`DO $$ BEGIN CREATE ROLE landlord LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	landlord := fmt.Sprintf("postgres://landlord:x@%s:%d/%s?sslmode=disable", cc.Host, cc.Port, name)
	migrate := func(url string) error { return Migrate(t.Context(), url, slog.New(slog.DiscardHandler)) }

	if err := migrate(landlord); err == nil || !strings.Contains(err.Error(), "GRANT CREATE ON SCHEMA public TO landlord") {
		t.Errorf("without rights: got error %v", err)
	}
	exec(`ALTER DATABASE ` + name + ` OWNER TO landlord`)
	exec(`ALTER ROLE strata_app RENAME TO elsewhere`)
	err := migrate(landlord)
	exec(`ALTER ROLE elsewhere RENAME TO strata_app`)
	if err == nil || !strings.Contains(err.Error(), "CREATE ROLE strata_app LOGIN") {
		t.Errorf("without the application's role, nor the right to make it: got error %v", err)
	}
	if err := migrate(newPooler(t)(d.ownerURL)); err == nil || !strings.Contains(err.Error(), "pooler") {
		t.Errorf("by way of a pooler: got error %v", err)
	}
	own := connect(t, landlord)
	if _, err := own.Exec(t.Context(), `CREATE SCHEMA landlord`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := migrate(landlord); err != nil {
			t.Fatalf("with a schema of the owner's name: %v", err)
		}
	}
	if err := Seed(t.Context(), landlord, SeedConfig{Listings: 20}); err != nil {
		t.Fatalf("seeding: %v", err)
	}
	d.open(t, Config{})
}

// A pooler keeps notifications back, and the feed says so. Past it, commits wake the feed while requests go on through the pooler.
func TestFeedIsWokenPastAPoolerAndSaysWhereItIsNot(t *testing.T) {
	by := newPooler(t)
	d := newSmallDatabase(t)
	direct := d.appURL
	for name, tt := range map[string]struct {
		feedURL string
		heard   bool
	}{"through the pooler": {"", false}, "past it": {direct, true}} {
		t.Run(name, func(t *testing.T) {
			d.appURL = by(direct)
			db := d.open(t, Config{FeedURL: tt.feedURL})
			ledger, heard := freshness.NewLedger(freshness.Config{}), make(listening, 1)
			feed := changelog.NewFeed(changelog.Config{Interval: 2 * time.Second}, db.DialFeed, ledger, heard)
			ctx, stop := context.WithCancel(t.Context())
			var feeding sync.WaitGroup
			feeding.Go(func() { _ = feed.Run(ctx) }) // nil, always
			defer func() { stop(); feeding.Wait() }()
			select {
			case got := <-heard:
				if got != tt.heard {
					t.Errorf("notifications are heard: %t, want %t", got, tt.heard)
				}
			case <-time.After(30 * time.Second):
				t.Fatal("the feed does not say whether it hears")
			}
			l := create(t, db, draft("alpha"))
			var entry *freshness.Stamp
			eventually(t, "an entry is fresh", func() bool {
				entry = readStamp(t, db, l.ID)
				return ledger.Judge(entry, nil) == freshness.Fresh
			})
			d.exec(t, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, l.ID)
			eventually(t, "the change is known", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
		})
	}
}
