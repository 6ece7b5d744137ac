package postgres

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
	"example.com/strata/deploy/local"
)

// stack starts the Postgres of all tests in this package when the first of them needs it: the workers of a fuzz test need none.
// Each test has its own database in it.
var stack = sync.OnceValue(func() *local.Stack {
	stackUsed = true
	s, err := local.Start(context.Background(), local.Config{NoRedis: true, Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
	if err != nil {
		panic(err) // no test can say anything without it
	}
	return s
})

var stackUsed bool

func TestMain(m *testing.M) {
	code := m.Run()
	if stackUsed {
		if err := stack().Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// database is one database, and a connection to it as its owner.
type database struct {
	ownerURL, appURL string
	owner            *pgx.Conn
}

// newEmptyDatabase returns a database without a schema.
func newEmptyDatabase(t testing.TB) database {
	t.Helper()
	ownerURL, appURL, err := stack().CreateDatabase(t.Context(), "t"+strings.ToLower(rand.Text()[:12]))
	if err != nil {
		t.Fatal(err)
	}
	return database{ownerURL, appURL, connect(t, ownerURL)}
}

// newDatabase returns a migrated database that holds nothing.
func newDatabase(t testing.TB) database {
	t.Helper()
	d := newEmptyDatabase(t)
	if err := Migrate(t.Context(), d.ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return d
}

// newSmallDatabase returns a migrated database with three cities, two agents, and no listings.
func newSmallDatabase(t testing.TB) database {
	t.Helper()
	d := newDatabase(t)
	d.exec(t, `INSERT INTO cities VALUES
		('alpha', 'Alpha', 'North', 'AA', 10, 10), ('beta', 'Beta', 'North', 'AA', 20, 20), ('gamma', 'Gamma', 'South', 'BB', -30, 30)`)
	d.exec(t, `INSERT INTO agents (name, email, phone) VALUES ('Ann', 'ann@example.com', '1'), ('Bob', 'bob@example.com', '2')`)
	return d
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (d database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := d.owner.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// one returns the single value that the query gives to the owner.
func one[T any](t testing.TB, d database, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := d.owner.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// open opens the database as the service does.
func (d database) open(t testing.TB, cfg Config) *DB {
	t.Helper()
	cfg.URL = d.appURL
	db, err := Open(t.Context(), cfg, newTelemetry(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func newTelemetry(t testing.TB) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

// draft is a listing to begin from.
func draft(city string) listing.Draft {
	return listing.Draft{
		Title: "A flat", Description: "With a view.", City: city, Type: listing.Apartment, Offer: listing.Sale, PriceMinor: 100_000_00,
		Currency: "EUR", Bedrooms: 2, Bathrooms: 1, AreaM2: 50, Latitude: 10, Longitude: 10,
		Amenities: []string{"balcony", "garden"}, Status: listing.Active, AgentID: 1,
	}
}

// create stores a listing or ends the test.
func create(t testing.TB, db *DB, d listing.Draft) listing.Listing {
	t.Helper()
	l, _, err := db.Create(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
