package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
)

// mark returns the place in the change log behind everything that is in it.
func (d database) mark(t testing.TB) int64 {
	t.Helper()
	return one[int64](t, d, `SELECT coalesce(max(seq), 0) FROM change_log`)
}

// tagsSince returns the tags of each row of the change log behind the mark, sorted.
func (d database) tagsSince(t testing.TB, mark int64) [][]string {
	t.Helper()
	rows, err := d.owner.Query(context.Background(), `SELECT tags FROM change_log WHERE seq > $1 ORDER BY seq`, mark)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		t.Fatal(err)
	}
	for _, tags := range all {
		slices.Sort(tags)
	}
	return all
}

const insertRow = `INSERT INTO listings (id, title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, agent_id)
	SELECT n, 'T', 'D', $1, 'apartment', 'sale', 1000 + n, 'EUR', 1, 1, 40, 1, 1, 1 FROM generate_series($2::bigint, $3::bigint) n`

func TestEveryWriteLeavesTheTagsOfWhatItTouched(t *testing.T) {
	d := newSmallDatabase(t)
	d.exec(t, insertRow, "alpha", 1, 3)
	d.exec(t, insertRow, "beta", 4, 5)

	tags := func(names ...string) [][]string { return [][]string{names} }
	for _, test := range []struct {
		name, sql string
		want      [][]string
	}{
		{"insert", strings.NewReplacer("$1", "'gamma'", "$2", "6", "$3", "6").Replace(insertRow), tags("city:gamma", "listing:6", "listings")},
		{"price", `UPDATE listings SET price_minor = 5 WHERE id = 1`, tags("city:alpha", "listing:1", "listings")},
		{"nothing new", `UPDATE listings SET price_minor = price_minor WHERE id = 1`, tags("city:alpha", "listing:1", "listings")},
		{"move", `UPDATE listings SET city = 'gamma' WHERE id = 4`, tags("city:beta", "city:gamma", "listing:4", "listings")},
		{"exchange", `UPDATE listings SET city = CASE city WHEN 'alpha' THEN 'beta' ELSE 'alpha' END WHERE id IN (1, 5)`,
			tags("city:alpha", "city:beta", "listing:1", "listing:5", "listings")},
		{"new id", `UPDATE listings SET id = 100 WHERE id = 3`, tags("city:alpha", "listing:100", "listing:3", "listings")},
		{"several", `UPDATE listings SET status = 'sold'`,
			tags("city:alpha", "city:beta", "city:gamma", "listing:1", "listing:100", "listing:2", "listing:4", "listing:5", "listing:6", "listings")},
		{"no row", `UPDATE listings SET status = 'sold' WHERE id = 999`, [][]string{}},
		{"delete", `DELETE FROM listings WHERE id = 2`, tags("city:alpha", "listing:2", "listings")},
		{"delete none", `DELETE FROM listings WHERE id = 999`, [][]string{}},
		{"city", `UPDATE cities SET name = 'Gama' WHERE slug = 'gamma'`, tags("*")},
		{"new city", `INSERT INTO cities VALUES ('delta', 'Delta', 'South', 'BB', 0, 0)`, tags("*")},
		{"no city", `DELETE FROM cities WHERE slug = 'delta'`, tags("*")},
		{"region", `UPDATE cities SET region = 'West' WHERE slug = 'beta'`, [][]string{{"*"}, {"city:beta", "listing:1", "listings"}}},
		{"truncate", `TRUNCATE listings`, tags("*")},
	} {
		mark := d.mark(t)
		d.exec(t, test.sql)
		if diff := cmp.Diff(test.want, d.tagsSince(t, mark)); diff != "" {
			t.Errorf("%s: logged tags (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestStatementThatTouchesManyListingsIsLoggedCoarsely(t *testing.T) {
	d := newSmallDatabase(t)
	for _, test := range []struct {
		rows   int
		coarse bool
	}{{498, false}, {499, true}, {5000, true}} {
		for _, write := range []struct {
			sql  string
			args []any
		}{
			{insertRow, []any{"alpha", 1, test.rows}},
			{`UPDATE listings SET price_minor = price_minor + 1`, nil},
			{`DELETE FROM listings`, nil},
		} {
			mark := d.mark(t)
			d.exec(t, write.sql, write.args...)
			got := d.tagsSince(t, mark)
			if len(got) != 1 {
				t.Fatalf("%d rows, %.6s: %d rows logged, want 1", test.rows, write.sql, len(got))
			}
			if len(got[0]) > 500 || slices.Contains(got[0], "*") != test.coarse || slices.Contains(got[0], "listing:1") == test.coarse || !slices.Contains(got[0], "city:alpha") {
				t.Errorf("%d rows, %.6s: logged %d tags, %.50q..., want coarse = %t", test.rows, write.sql, len(got[0]), got[0], test.coarse)
			}
		}
	}
}

func TestPlainSQLRaisesTheVersionAndLocatesTheListing(t *testing.T) {
	d := newSmallDatabase(t)
	d.exec(t, insertRow, "alpha", 1, 1)
	if got := one[string](t, d, `SELECT region || country || version FROM listings`); got != "NorthAA1" {
		t.Errorf("inserted: got %s, want NorthAA1", got)
	}
	d.exec(t, `UPDATE listings SET city = 'gamma', version = 77, updated_at = '2000-01-01'`)
	if got := one[string](t, d, `SELECT region || country || version FROM listings WHERE updated_at > created_at`); got != "SouthBB2" {
		t.Errorf("moved: got %s, want SouthBB2", got)
	}
	d.exec(t, `UPDATE cities SET slug = 'omega', region = 'East' WHERE slug = 'gamma'`)
	if got := one[string](t, d, `SELECT city || region || country || version FROM listings`); got != "omegaEastBB3" {
		t.Errorf("city renamed: got %s, want omegaEastBB3", got)
	}
	for _, sql := range []string{
		`UPDATE listings SET city = 'nowhere'`,
		`UPDATE listings SET region = 'Elsewhere'`,
		`DELETE FROM cities`,
	} {
		_, err := d.owner.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.ConstraintName != "listings_city_fkey" {
			t.Errorf("%s: got error %v, want a violation of listings_city_fkey", sql, err)
		}
	}
}

func TestChangesWakeListenersUnlessTheSessionSwitchesThatOff(t *testing.T) {
	d := newSmallDatabase(t)
	feed := connect(t, d.appURL)
	if _, err := feed.Exec(t.Context(), `LISTEN strata_changes`); err != nil {
		t.Fatal(err)
	}
	woken := func(within time.Duration) bool {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		n, err := feed.WaitForNotification(ctx)
		if err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		return err == nil && n.Payload == ""
	}
	d.exec(t, insertRow, "alpha", 1, 1)
	if !woken(10 * time.Second) {
		t.Error("nobody was woken by an insert")
	}
	mark := d.mark(t)
	d.exec(t, `SET strata.notify = off`)
	d.exec(t, `UPDATE listings SET price_minor = 5`)
	d.exec(t, `TRUNCATE listings`)
	d.exec(t, `RESET strata.notify`)
	if got := len(d.tagsSince(t, mark)); got != 2 {
		t.Errorf("%d rows logged while notifications were off, want 2", got)
	}
	d.exec(t, `NOTIFY strata_changes, 'mine'`) // notifications arrive in order: this one is the first only if there was none before
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n, err := feed.WaitForNotification(ctx); err != nil || n.Payload != "mine" {
		t.Errorf("got notification %+v, error %v; want none but the test's own", n, err)
	}
}

func TestLogKnowsWhoWroteAndInWhichTransaction(t *testing.T) {
	d := newSmallDatabase(t)
	d.exec(t, `SET application_name = 'by hand'`)
	d.exec(t, insertRow, "alpha", 1000, 1000)
	got := one[string](t, d, `SELECT origin || coalesce(traceparent, ' without trace') FROM change_log ORDER BY seq DESC LIMIT 1`)
	if want := "by hand without trace"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, commit, err := d.open(t, Config{}).Create(t.Context(), draft("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if got := one[string](t, d, `SELECT origin || xid FROM change_log ORDER BY seq DESC LIMIT 1`); got != "strata"+commit.XID.String() {
		t.Errorf("got %s, want strata%s", got, commit.XID)
	}
}

func TestPruningRaisesTheFloorAboveWhatItRemoves(t *testing.T) {
	d := newSmallDatabase(t)
	for i := range 5 {
		d.exec(t, insertRow, "alpha", i+1, i+1)
	}
	floor := one[string](t, d, `SELECT xid::text FROM change_floor`)
	if n, err := changelog.Prune(t.Context(), d.owner, time.Hour); err != nil || n != 0 {
		t.Fatalf("pruning the young log: got %d rows, error %v; want none", n, err)
	}
	if got := one[string](t, d, `SELECT xid::text FROM change_floor`); got != floor {
		t.Errorf("floor rose from %s to %s although nothing was removed", floor, got)
	}
	rows := one[int64](t, d, `SELECT count(*) FROM change_log`)
	largest := one[int64](t, d, `SELECT max(xid)::text::bigint FROM change_log`)
	if n, err := changelog.Prune(t.Context(), d.owner, 0); err != nil || n != rows {
		t.Fatalf("pruning: got %d rows, error %v; want %d", n, err, rows)
	}
	if got := one[int64](t, d, `SELECT xid::text::bigint FROM change_floor`); got != largest+1 {
		t.Errorf("floor is %d, want %d, just above the largest removed", got, largest+1)
	}
	d.exec(t, `UPDATE change_floor SET xid = '1000000000'`)
	d.exec(t, insertRow, "alpha", 9, 9)
	if _, err := changelog.Prune(t.Context(), d.owner, 0); err != nil {
		t.Fatal(err)
	}
	if got := one[string](t, d, `SELECT xid::text FROM change_floor`); got != "1000000000" {
		t.Errorf("pruning lowered the floor to %s", got)
	}
	if _, err := changelog.Prune(t.Context(), d.owner, -time.Hour); err == nil {
		t.Error("pruning the future succeeded")
	}
}

func TestPruningLeavesWhatARunningTransactionMayStillNeed(t *testing.T) {
	d := newSmallDatabase(t)
	running, err := connect(t, d.ownerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid int64
	if err := running.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	d.exec(t, insertRow, "alpha", 1, 1) // a later transaction that is over
	if _, err := running.Exec(t.Context(), insertRow, "beta", 2, 2); err != nil {
		t.Fatal(err)
	}
	if _, err := changelog.Prune(t.Context(), d.owner, 0); err != nil {
		t.Fatal(err)
	}
	if floor := one[int64](t, d, `SELECT xid::text::bigint FROM change_floor`); floor > xid {
		t.Errorf("floor is %d, above the running transaction %d", floor, xid)
	}
	if err := running.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := one[int64](t, d, `SELECT count(*) FROM change_log WHERE xid::text::bigint >= $1`, xid); got != 2 {
		t.Errorf("%d rows of the running transaction and later are left, want 2", got)
	}
}

func TestOnlyOneSessionPrunesAtATime(t *testing.T) {
	d := newSmallDatabase(t)
	other, err := connect(t, d.ownerURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), `SELECT strata_prune('1 hour')`); err != nil {
		t.Fatal(err)
	}
	d.exec(t, insertRow, "alpha", 1, 1)
	if n, err := changelog.Prune(t.Context(), d.owner, 0); err != nil || n != 0 {
		t.Errorf("while another session prunes: got %d rows, error %v; want none and no wait", n, err)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := changelog.Prune(t.Context(), d.owner, 0); err != nil || n == 0 {
		t.Errorf("afterwards: got %d rows, error %v; want some", n, err)
	}
}

func TestWakeUpCanBeSwitchedOffByTheURLOrForTheWholeDatabase(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	l := create(t, db, draft("alpha"))
	ledger := startFeed(t, d, changelog.Config{Interval: never})
	fresh := func() bool { return ledger.Judge(readStamp(t, db, l.ID), nil) == freshness.Fresh }
	update := func(url string) *freshness.Stamp {
		t.Helper()
		entry := readStamp(t, db, l.ID)
		if !fresh() {
			t.Fatal("an entry just read is not fresh")
		}
		if _, err := connect(t, url).Exec(t.Context(), `UPDATE listings SET price_minor = price_minor + 1`); err != nil {
			t.Fatal(err)
		}
		return entry
	}
	// A notification that was sent arrives before one that is sent later: the last one here shows whether those before were.
	polls := func() time.Time { return ledger.AsOf().Time }
	before := polls()
	update(d.ownerURL + "&options=-c%20strata.notify%3Doff")
	super := connect(t, stack().SuperuserURL)
	name := pgx.Identifier{one[string](t, d, `SELECT current_database()`)}.Sanitize()
	if _, err := super.Exec(t.Context(), `ALTER DATABASE `+name+` SET strata.notify = off`); err != nil {
		t.Fatal(err)
	}
	update(d.ownerURL)
	if got := polls(); got != before {
		t.Errorf("the feed polled at %v, although nobody was to wake it", got)
	}
	entry := update(d.ownerURL + "&options=-c%20strata.notify%3Don")
	eventually(t, "the feed is woken by who switched it on", func() bool { return ledger.Judge(entry, nil) == freshness.Invalidated })
}
