package changelog

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/strata/app/freshness"
)

// Origin says under which snapshot a statement ran, in which epoch, and on what kind of server. It
// comes with the rows of the very statement, and a statement has one snapshot for everything in it.
type Origin struct {
	Listed []string // what the tags that were given to Wrap said

	snapshot string
	epoch    *int64
	standby  bool
}

const originColumns = 5 // that Wrap puts before the query's own

// Wrap returns sql with the origin before each row, and with one row, of nothing else, if the query
// has none. tags is SQL of an array of text that the result depends on, evaluated in the same
// statement; it may be empty. A left join of one row is a nested loop and keeps the query's order.
func (o *Origin) Wrap(sql, tags string) string {
	if tags == "" {
		tags = `NULL::text[]`
	}
	return `SELECT (SELECT pg_current_snapshot()::text), (SELECT public.strata_epoch()), (SELECT pg_is_in_recovery()), (SELECT ` + tags + `), found.*
		FROM (VALUES (true)) AS always LEFT JOIN (SELECT true AS present, answer.* FROM (` + sql + `) AS answer) AS found ON true`
}

// Rows returns the rows of a wrapped query as the query itself would have them, and fills the
// origin when the first is read.
func (o *Origin) Rows(rows pgx.Rows) pgx.Rows { return &originRows{Rows: rows, origin: o} }

// Stamp returns what a value is worth that was made of the rows and depends on tags. It is not
// known where the server had no valid epoch. It returns an error for a snapshot that cannot be
// read.
func (o *Origin) Stamp(tags ...string) (freshness.Stamp, error) {
	if o.epoch == nil {
		return freshness.Stamp{}, nil
	}
	s, err := freshness.ParseSnapshot(o.snapshot)
	if err != nil {
		return freshness.Stamp{}, err
	}
	if o.standby {
		s = s.Standby()
	}
	return freshness.Stamp{Epoch: freshness.Epoch(*o.epoch), Snapshot: s, Tags: tags}, nil
}

type originRows struct {
	pgx.Rows
	origin *Origin
	into   []any
}

// Next implements pgx.Rows.
func (r *originRows) Next() bool {
	if !r.Rows.Next() {
		return false
	}
	if r.into == nil {
		r.into = make([]any, originColumns, len(r.Rows.FieldDescriptions()))
		all := make([]any, len(r.Rows.FieldDescriptions()))
		all[0], all[1], all[2], all[3] = &r.origin.snapshot, &r.origin.epoch, &r.origin.standby, &r.origin.Listed
		if err := r.Rows.Scan(all...); err != nil {
			return false // the rows keep it
		}
	}
	return r.Rows.RawValues()[originColumns-1] != nil
}

// FieldDescriptions implements pgx.Rows.
func (r *originRows) FieldDescriptions() []pgconn.FieldDescription {
	all := r.Rows.FieldDescriptions()
	return all[min(originColumns, len(all)):] // none where the query failed
}

// Values implements pgx.Rows.
func (r *originRows) Values() ([]any, error) {
	all, err := r.Rows.Values()
	return all[min(originColumns, len(all)):], err
}

// RawValues implements pgx.Rows.
func (r *originRows) RawValues() [][]byte { return r.Rows.RawValues()[originColumns:] }

// Scan implements pgx.Rows.
func (r *originRows) Scan(into ...any) error {
	return r.Rows.Scan(append(r.into[:originColumns], into...)...)
}
