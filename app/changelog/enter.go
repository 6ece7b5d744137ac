package changelog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/freshness"
)

// enter begins to follow an epoch: it looks whether changes are logged, reads back what was logged,
// and tells the ledger.
//
// The look at what is watched stands between two polls of the same epoch. What is watched has its
// part in the epoch, so it was the same all the time.
func (f *Feed) enter(ctx context.Context, conn *pgx.Conn, epoch freshness.Epoch) error {
	problems, err := Problems(ctx, conn)
	if err != nil {
		return err
	}
	f.epoch = 0 // of the new one nothing is known
	now, err := f.look(ctx, conn)
	if err != nil {
		return err
	}
	if now.Epoch != epoch {
		return nil // the next poll says which it is
	}
	if err := f.readBack(ctx, conn, now); err != nil {
		return err
	}
	f.blind = len(problems) > 0
	f.observer.Watched(problems)
	f.apply(now, true)
	return nil
}

// pageOfHistory is how many rows are read back by one statement, so that none is long.
const pageOfHistory = 5000

// readBack adds what was logged before and is visible in the look's snapshot, the latest first, up
// to MaxHistory rows. Where there is more, the floor rises to what was read: an entry that is older
// cannot be judged.
func (f *Feed) readBack(ctx context.Context, conn *pgx.Conn, now *look) error {
	const sql = `
		SELECT xid::text, seq, tags, origin FROM public.change_log
		WHERE (xid, seq) < ($1::text::xid8, $2::bigint) AND xid >= $3::text::xid8
			AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot)
		ORDER BY xid DESC, seq DESC LIMIT $5`
	before, seq, snapshot := now.Snapshot.Xmax, int64(0), now.Snapshot.String()
	for {
		page := min(pageOfHistory, f.cfg.MaxHistory-len(now.changes))
		if page <= 0 {
			now.Floor = max(now.Floor, before+1) // of that transaction there may be more
			return nil
		}
		rows, _ := conn.Query(ctx, sql, before.String(), seq, now.Floor.String(), snapshot, page) // its error is the rows'
		found := 0
		var xid, origin string
		var tags []string
		_, err := pgx.ForEachRow(rows, []any{&xid, &seq, &tags, &origin}, func() (err error) {
			found++
			before, err = freshness.ParseXID(xid)
			// No trace: what is read now is not the first to show an old change.
			now.changes = append(now.changes, Change{Change: freshness.Change{XID: before, Tags: tags}, Origin: origin})
			tags = nil // pgx would reuse the array
			return err
		})
		if err != nil {
			return fmt.Errorf("reading the change log back: %w", err)
		}
		if found < page {
			return nil
		}
	}
}
