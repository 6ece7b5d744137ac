package changelog_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
)

func (d *database) epoch(t testing.TB) (id *int64) {
	t.Helper()
	if err := d.owner.QueryRow(t.Context(), `SELECT strata_watched_epoch()`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// After a crash the server gives out again the ids of transactions whose records were not yet on
// the disk. An entry that has seen such an id would never be refused for its new change.
func TestCrashEndsTheEpoch(t *testing.T) {
	d := newDatabase(t)
	ledger := d.follow(t, changelog.Config{}, nil)
	entry := d.entry(t, ledger, 1)
	stack().KillPostgres()
	if err := stack().StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.connect(t)
	if id := d.epoch(t); id != nil && freshness.Epoch(*id) == entry.Epoch {
		t.Error("the epoch outlived a crash")
	}
	again := d.entry(t, ledger, 1)
	if usable(ledger, entry) || again.Epoch == entry.Epoch {
		t.Errorf("an entry of epoch %v is served in epoch %v", entry.Epoch, again.Epoch)
	}
	if ledger.Covers(freshness.Commit{Epoch: entry.Epoch, XID: 3}) {
		t.Error("a commit of the old epoch is called known in the new one")
	}
}

func TestCopyOfADatabaseHasNoEpochOfItsOwn(t *testing.T) {
	d := newDatabase(t)
	ledger := d.follow(t, changelog.Config{}, nil)
	entry := d.entry(t, ledger, 1)
	cc, err := pgx.ParseConfig(d.url)
	if err != nil {
		t.Fatal(err)
	}
	super, err := pgx.Connect(t.Context(), stack().SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	name := cc.Database + "_copy"
	// Whoever copies a database must be alone in it.
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, _ = super.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, cc.Database)
		if _, err = super.Exec(t.Context(), fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`, name, cc.Database)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	copied := &database{url: strings.Replace(d.url, "/"+cc.Database, "/"+name, 1)}
	copied.connect(t)
	if id := copied.epoch(t); id != nil {
		t.Errorf("the copy has epoch %x", *id)
	}
	if again := copied.entry(t, copied.follow(t, changelog.Config{}, nil), 1); again.Epoch == entry.Epoch {
		t.Error("the copy has the epoch of what it was copied from")
	}
}

// A log that a dump of another server brought along may hold ids of the future, and a floor above
// all that there is.
func TestLogOfAnotherServerDoesNotOutliveTheNextEpoch(t *testing.T) {
	d := newDatabase(t)
	d.exec(t, `INSERT INTO change_log (xid, tags) VALUES ('9000000000', '{price:1}'); UPDATE change_floor SET xid = '8000000000'`)
	d.exec(t, `DELETE FROM change_epoch`)
	ledger := d.follow(t, changelog.Config{}, nil)
	if entry := d.entry(t, ledger, 1); !usable(ledger, entry) {
		t.Error("nothing is fresh")
	}
}

// A machine that is put back to an earlier moment, memory and all, has a valid epoch, and gives ids
// out again.
func TestTransactionIdsThatGoBackBeginAnEpoch(t *testing.T) {
	d := newDatabase(t)
	future := d.follow(t, changelog.Config{}, nil)
	entry := d.entry(t, future, 1)
	ledger := d.follow(t, changelog.Config{}, nil)
	if !usable(ledger, entry) {
		t.Fatal("an entry of another replica is not fresh")
	}
	d.exec(t, `SELECT strata_begin_epoch($1)`, int64(entry.Epoch))
	eventually(t, "the entry is refused", func() bool { return !usable(ledger, entry) })
}

// A replica that starts on a busy database reads back the latest changes only. Older entries cannot
// be judged then.
func TestStartReadsBackNoMoreThanItMay(t *testing.T) {
	d := newDatabase(t)
	whole := d.follow(t, changelog.Config{}, nil)
	old := d.entry(t, whole, 2)
	for range 30 {
		d.exec(t, `UPDATE prices SET amount = amount + 1 WHERE id = 1`)
	}
	recent := d.entry(t, whole, 2)
	d.exec(t, `UPDATE prices SET amount = amount + 1 WHERE id = 1`)
	ledger := d.follow(t, changelog.Config{MaxHistory: 10}, nil)
	if !usable(whole, old) || usable(ledger, old) {
		t.Error("an entry older than what was read back is judged")
	}
	if !usable(ledger, recent) {
		t.Error("an entry younger than what was read back is not fresh")
	}
	_, changed := d.read(t, 1)
	d.exec(t, `UPDATE prices SET amount = amount + 1 WHERE id = 1`)
	if again := d.follow(t, changelog.Config{MaxHistory: 10}, nil); again.Judge(&changed, nil) != freshness.Invalidated {
		t.Error("an entry whose change was read back is not refused")
	}
}
