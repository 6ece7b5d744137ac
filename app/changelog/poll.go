package changelog

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/freshness"
)

// look is what the server answered to one poll.
type look struct {
	freshness.Poll
	changes []Change
	standby bool
}

// pollSQL asks what became visible since a snapshot of which $1 is Xmax and $2 the transactions
// that were running. Each of the two comes off the index, so that an open transaction does not make
// the feed read all that was logged since it began. There is one row at least. Everything in a
// statement has one snapshot, the catalog's rows included.
const pollSQL = `
	WITH now AS MATERIALIZED (
		SELECT pg_current_snapshot()::text AS snapshot, public.strata_watched_epoch() AS epoch, pg_is_in_recovery() AS standby,
			clock_timestamp() AS clock, (SELECT xid::text FROM public.change_floor) AS floor
	)
	SELECT now.snapshot, now.epoch, now.standby, now.clock, now.floor, c.xid::text, c.tags, c.origin, c.traceparent,
		extract(epoch FROM now.clock - c.logged_at)::float8
	FROM now LEFT JOIN LATERAL (
		SELECT xid, tags, origin, traceparent, logged_at FROM public.change_log WHERE xid >= $1::text::xid8
		UNION ALL
		SELECT xid, tags, origin, traceparent, logged_at FROM public.change_log WHERE xid = ANY ($2::text[]::xid8[])
	) c ON true`

// nothing is Xmax of a snapshot that no transaction can lie behind.
const nothing = "18446744073709551615"

// look asks what became visible since a snapshot; since nothing was read, no changes: what there is
// then is read back in pages.
func (f *Feed) look(ctx context.Context, conn *pgx.Conn) (*look, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	after, running := nothing, []string{}
	if f.epoch != 0 {
		after = f.snapshot.Xmax.String()
		for _, x := range f.snapshot.InProgress {
			running = append(running, x.String())
		}
	}
	l := &look{Poll: freshness.Poll{Began: time.Now()}}
	rows, _ := conn.Query(ctx, pollSQL, after, running) // its error is the rows'
	if err := l.read(rows); err != nil {
		return nil, fmt.Errorf("reading the change log: %w", err)
	}
	if l.standby {
		return nil, errStandby
	}
	return l, nil
}

// read collects the rows of pollSQL. The first has come when the database had looked at its clock.
func (l *look) read(rows pgx.Rows) (err error) {
	var snapshot, floor string
	var epoch *int64
	var xid, origin, traceparent *string
	var lag *float64
	var tags []string
	into := []any{&snapshot, &epoch, &l.standby, &l.Database, &floor, &xid, &tags, &origin, &traceparent, &lag}
	if _, err = pgx.ForEachRow(rows, into, func() error {
		if l.Ended.IsZero() {
			l.Ended = time.Now()
		}
		if xid == nil { // no change: one row without any
			return nil
		}
		c := Change{Origin: *origin, Lag: time.Duration(*lag * float64(time.Second))}
		c.Tags = tags
		tags = nil // pgx would reuse the array
		if traceparent != nil {
			c.Traceparent = *traceparent
		}
		if c.XID, err = freshness.ParseXID(*xid); err != nil {
			return err
		}
		l.changes = append(l.changes, c)
		return nil
	}); err != nil {
		return err
	}
	if epoch != nil {
		l.Epoch = freshness.Epoch(*epoch)
	}
	if l.Snapshot, err = freshness.ParseSnapshot(snapshot); err != nil {
		return err
	}
	l.Floor, err = freshness.ParseXID(floor)
	return err
}

// poll asks what became visible since the poll before, and tells the ledger. Where no epoch is
// valid, or transaction ids went back, it begins one: the answer says nothing then. It returns true
// where the next poll should follow at once.
func (f *Feed) poll(ctx context.Context, conn *pgx.Conn) (again bool, err error) {
	now, err := f.look(ctx, conn)
	if err != nil {
		return false, err
	}
	switch {
	case now.Epoch == 0:
		return true, f.beginEpoch(ctx, conn, nil)
	case now.Epoch == f.epoch && now.Snapshot.Xmax < f.snapshot.Xmax:
		refused := int64(now.Epoch)
		return true, f.beginEpoch(ctx, conn, &refused)
	case now.Epoch != f.epoch:
		return true, f.enter(ctx, conn, now.Epoch)
	}
	f.apply(now, false)
	return false, nil
}

// beginEpoch sees to it that there is a valid epoch, other than the refused one.
func (f *Feed) beginEpoch(ctx context.Context, conn *pgx.Conn, refused *int64) error {
	if _, err := conn.Exec(ctx, `SELECT public.strata_begin_epoch($1)`, refused); err != nil {
		return fmt.Errorf("beginning an epoch: %w", err)
	}
	return nil
}

func (f *Feed) apply(l *look, first bool) {
	l.Blind = f.blind
	l.Changes = make([]freshness.Change, len(l.changes))
	for i, c := range l.changes {
		l.Changes[i] = c.Change
	}
	reset := f.ledger.Apply(l.Poll)
	f.epoch, f.snapshot = l.Epoch, l.Snapshot
	f.observer.Polled(Polled{Reset: reset, Epoch: l.Epoch, Floor: l.Floor, Changes: l.changes, First: first})
}
