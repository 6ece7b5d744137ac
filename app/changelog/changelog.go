// Package changelog is a log of what changes in a PostgreSQL database, whoever changes it: its
// schema, reads that say under which snapshot they ran, and the feed that tells a ledger of each
// committed change.
package changelog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Schema is the SQL that makes the log, its triggers and functions. It may be run again, by the
// role that owns them.
//
//go:embed schema.sql
var Schema string

// Install runs Schema. The connection's role owns what it makes.
func Install(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, Schema); err != nil {
		return fmt.Errorf("installing the change log: %w", err)
	}
	return nil
}

// Commit is SQL of the text of the freshness.Commit that the statement is a part of, for its
// RETURNING clause.
const Commit = `(pg_current_xact_id()::text || coalesce('-' || lpad(to_hex(public.strata_epoch()), 16, '0'), ''))`

// Prune removes rows of the log that are older than keep and returns how many there were. It raises
// the floor below which no cached entry can be judged, so keep must exceed the longest life of one.
// Any number of replicas may call it.
func Prune(ctx context.Context, conn *pgx.Conn, keep time.Duration) (removed int64, err error) {
	if err := conn.QueryRow(ctx, `SELECT public.strata_prune($1)`, keep).Scan(&removed); err != nil {
		return 0, fmt.Errorf("pruning the change log: %w", err)
	}
	return removed, nil
}

// Problem is what keeps changes of a watched table from being logged.
type Problem struct {
	Relation string // with its schema
	What     string // in words
	Mend     string // SQL that puts it right, for the table's owner
}

// Problems returns what keeps changes from being logged at present; none is the usual case.
func Problems(ctx context.Context, conn *pgx.Conn) ([]Problem, error) {
	rows, _ := conn.Query(ctx, `SELECT relation, problem, mend FROM public.strata_watch_problems()`) // its error is the rows'
	problems, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Problem])
	if err != nil {
		return nil, fmt.Errorf("looking at what is watched: %w", err)
	}
	return problems, nil
}
