package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema to the present version, as the role that owns it. Several may run at once: one works, and the
// others wait and then find nothing to do.
func Migrate(ctx context.Context, ownerURL string, log *slog.Logger) error {
	cc, err := ownerConfig(ownerURL)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cc, stdlib.OptionAfterConnect(prepareOwner))
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("reaching the database: %w", classify(ctx, err))
	}

	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("opening the migrations: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // look every second, for five minutes
	if err != nil {
		return fmt.Errorf("preparing the lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker), goose.WithGoMigrations(watchMigration))
	if err != nil {
		return fmt.Errorf("preparing the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	for _, r := range results {
		log.InfoContext(ctx, "migrated", "migration", r.Source.Path, "took", r.Duration)
	}
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	if len(results) == 0 {
		return nil
	}
	// What a migration does to rows or to the meaning of a query, no trigger may have seen.
	if _, err := db.ExecContext(ctx, `INSERT INTO change_log (tags) VALUES (ARRAY['*'])`); err != nil {
		return fmt.Errorf("logging the migration: %w", err)
	}
	return nil
}
