package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// Identity names the database among all that may share a Redis, so that none is ever served what is another's. Each part tells apart
// what the others do not: the random key, databases that were made independently; oid and name, one that was copied as a template; the
// cluster's own number, where it may be asked for, one that was restored from a dump elsewhere. The host is no part of it: it changes
// while the database stays the same.
func (db *DB) Identity(ctx context.Context) (string, error) {
	const sql = `
		SELECT encode(sha256(key), 'hex'), oid::text, datname
		FROM cursor_key, pg_database WHERE datname = current_database()`
	var key, oid, name, system string
	if err := db.pool.QueryRow(ctx, sql).Scan(&key, &oid, &name); err != nil {
		return "", fmt.Errorf("asking which database this is: %w", classify(ctx, err))
	}
	const numberSQL = `SELECT system_identifier::text FROM pg_control_system()`
	var refused *pgconn.PgError
	if err := db.pool.QueryRow(ctx, numberSQL).Scan(&system); err != nil && !errors.As(err, &refused) { // some managed servers withhold it
		return "", fmt.Errorf("asking for the cluster's number: %w", classify(ctx, err))
	}
	sum := sha256.New()
	for _, part := range []string{key, oid, name, system} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}
