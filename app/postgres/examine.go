package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/strata/app/listing"
)

// The faults of a database that nobody but whoever runs it can mend. Each names the command.
const (
	faultEncoding = `the database %s has the encoding %s, in which not every listing can be written: make it with CREATE DATABASE %s ENCODING 'UTF8' TEMPLATE template0`
	faultEmpty    = `the database %s has no schema of Strata's: run strata migrate --database-owner-url URL, with the URL of the role that owns the database`
	faultOld      = `the schema of the database %s is of an earlier release (%d, and this one needs %d): run this release's strata migrate --database-owner-url URL`
	faultRights   = `the role %s may not read the schema of the database %s: connect as strata_app, or GRANT strata_app TO %s`
)

// examine returns once the database has answered and is what the service needs, or an error that says what it lacks.
func examine(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := acquireFrom(ctx, pool)
	if err != nil {
		return fmt.Errorf("reaching the database: %w", classify(ctx, err))
	}
	defer conn.Release()
	_, err = again(ctx, unread, func() (struct{}, error) { return struct{}{}, examineOn(ctx, conn.Conn()) })
	if err != nil && !errors.Is(err, listing.ErrSetup) {
		return fmt.Errorf("looking at the database: %w", classify(ctx, err))
	}
	return err
}

func examineOn(ctx context.Context, conn *pgx.Conn) error {
	const sql = `
		SELECT current_database(), current_user, current_setting('server_encoding'), to_regclass('public.change_log') IS NOT NULL,
			coalesce(has_table_privilege(to_regclass('public.change_log'), 'SELECT'), false),
			coalesce(has_table_privilege(to_regclass('public.goose_db_version'), 'SELECT'), false)`
	var database, role, encoding string
	var migrated, mayRead, mayReadVersion bool
	if err := conn.QueryRow(ctx, sql, pgx.QueryExecModeExec).Scan(&database, &role, &encoding, &migrated, &mayRead, &mayReadVersion); err != nil {
		return err
	}
	needed, err := newestMigration()
	if err != nil {
		return err
	}
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", listing.ErrSetup, fmt.Sprintf(format, args...))
	}
	switch {
	case encoding != "UTF8":
		return fault(faultEncoding, database, encoding, database)
	case !migrated:
		return fault(faultEmpty, database)
	case !mayRead:
		return fault(faultRights, role, database, role)
	}
	present := int64(0)
	if mayReadVersion {
		const sql = `SELECT max(version_id) FROM public.goose_db_version WHERE is_applied`
		if err := conn.QueryRow(ctx, sql, pgx.QueryExecModeExec).Scan(&present); err != nil {
			return err
		}
	}
	if present < needed {
		return fault(faultOld, database, present, needed)
	}
	return nil
}

// newestMigration is the number of the schema that this release needs.
func newestMigration() (newest int64, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, fmt.Errorf("listing the migrations: %w", err)
	}
	for _, file := range files {
		digits, _, _ := strings.Cut(strings.TrimPrefix(file, "migrations/"), "_")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the number of %s: %w", file, err)
		}
		newest = max(newest, n)
	}
	return newest, nil
}
