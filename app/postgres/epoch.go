package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/jackc/pgx/v5"

	"strata/app/freshness"
)

// history says which line of the database's history a connection reads. It is asked for once a connection: a server
// that is promoted keeps its connections, so whoever stamps compares standby with what the server says of itself at that moment.
type history struct {
	epoch   freshness.Epoch
	standby bool
}

// historyKey is where a connection's history stands among its custom data.
const historyKey = "strata.history"

var errPromoted = errors.New("the server was promoted after this connection was opened")

// historyOf asks the server which history the connection reads. On a primary the timeline is that of the log being written, because the control file
// learns of a new one only at the next checkpoint. A standby has no such log.
func historyOf(ctx context.Context, conn *pgx.Conn) (history, error) {
	const sql = `
		SELECT s.system_identifier, (SELECT oid::bigint FROM pg_database WHERE datname = current_database()), pg_is_in_recovery(),
			CASE WHEN pg_is_in_recovery()
			THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()), (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
			ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer
			END
		FROM pg_control_system() s`
	var system, database int64
	var timeline int32
	var h history
	if err := conn.QueryRow(ctx, sql).Scan(&system, &database, &h.standby, &timeline); err != nil {
		return history{}, fmt.Errorf("asking for the epoch: %w", classify(ctx, err))
	}
	sum := fnv.New64a()
	for _, part := range []int64{system, database, int64(timeline)} {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(part)))
	}
	h.epoch = max(freshness.Epoch(sum.Sum64()), 1) // zero means unknown
	return h, nil
}

// stamp says what a value is worth that is read on the connection at or after the moment when the server printed snapshot.
func stamp(conn *pgx.Conn, snapshot string, standby bool, tags ...string) (freshness.Stamp, error) {
	h, ok := conn.PgConn().CustomData()[historyKey].(history)
	if !ok || h.standby != standby {
		return freshness.Stamp{}, errPromoted
	}
	s, err := freshness.ParseSnapshot(snapshot)
	if err != nil {
		return freshness.Stamp{}, err
	}
	if standby {
		s = s.Standby()
	}
	return freshness.Stamp{Epoch: h.epoch, Snapshot: s, Tags: tags}, nil
}
