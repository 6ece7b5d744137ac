package changelog_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/deploy/local"
)

// stack is the Postgres and Redis of all tests here; each has its own database in it.
var stack = sync.OnceValue(func() *local.Stack {
	s, err := local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
	if err != nil {
		panic(err) // no test can say anything without it
	}
	return s
})

func TestMain(m *testing.M) {
	code := m.Run()
	if err := stack().Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// database is one with a watched table of prices, which each have an id, a city and an amount.
type database struct {
	url   string
	owner *pgx.Conn
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	url, _, err := stack().CreateDatabase(t.Context(), "t"+strings.ToLower(rand.Text()[:12]))
	if err != nil {
		t.Fatal(err)
	}
	d := &database{url: url}
	d.connect(t)
	if err := changelog.Install(t.Context(), d.owner); err != nil {
		t.Fatal(err)
	}
	d.exec(t, `CREATE TABLE prices (id bigint PRIMARY KEY, city text NOT NULL, amount bigint NOT NULL)`)
	d.exec(t, `SELECT strata_watch('prices', 'price:{id}', 'city:{city}')`)
	d.exec(t, `INSERT INTO prices VALUES (1, 'porto', 100), (2, 'lisbon', 200)`)
	return d
}

func (d *database) connect(t testing.TB) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	d.owner = conn
	t.Cleanup(func() { conn.Close(context.Background()) })
}

// loader is the database as somebody writes to it whose session calls no triggers but those for
// replication.
func (d *database) loader(t testing.TB) *database {
	t.Helper()
	cc, err := pgx.ParseConfig(stack().SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	cc.Database = d.owner.Config().Database
	cc.RuntimeParams["session_replication_role"] = "replica"
	conn, err := pgx.ConnectConfig(t.Context(), cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return &database{url: d.url, owner: conn}
}

func (d *database) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := d.owner.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// follow runs a feed until the test ends, and returns its ledger after the first poll.
func (d *database) follow(t testing.TB, cfg changelog.Config, observer changelog.Observer) *freshness.Ledger {
	t.Helper()
	ledger := freshness.NewLedger(freshness.Config{})
	feed := changelog.NewFeed(cfg, changelog.Dialer(d.owner.Config()), ledger, observer)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = feed.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the first poll", func() bool { return !ledger.AsOf().Time.IsZero() })
	return ledger
}

// read reads a price as a cache would, and returns it with the stamp that its entry would carry.
func (d *database) read(t testing.TB, id int64) (amount int64, stamp freshness.Stamp) {
	t.Helper()
	ctx, collector := freshness.Collect(t.Context())
	amount, err := changelog.Read(ctx, d.owner, []string{fmt.Sprint("price:", id)}, `SELECT amount FROM prices WHERE id = $1`,
		func(rows pgx.Rows) (int64, error) { return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64]) }, id)
	if err != nil {
		t.Fatal(err)
	}
	return amount, collector.Stamp()
}

// entry reads a price until the ledger calls it fresh.
func (d *database) entry(t testing.TB, ledger *freshness.Ledger, id int64) *freshness.Stamp {
	t.Helper()
	var stamp freshness.Stamp
	eventually(t, "a read is fresh", func() bool {
		_, stamp = d.read(t, id)
		return usable(ledger, &stamp)
	})
	return &stamp
}

// usable reports whether a cache would serve the entry.
func usable(ledger *freshness.Ledger, stamp *freshness.Stamp) bool {
	_, _, blind := ledger.Horizon()
	return !blind && ledger.Judge(stamp, nil) == freshness.Fresh
}

// eventually waits for a condition that another goroutine or process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}
