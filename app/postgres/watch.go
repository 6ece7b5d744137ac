package postgres

import (
	"context"
	"database/sql"
	_ "embed"

	"github.com/pressly/goose/v3"

	"example.com/strata/app/changelog"
)

//go:embed watch.sql
var watchSQL string

// watchMigration brings the change log's schema to that of package changelog, and puts its triggers
// on our tables. Databases of before have the log of migration 2, which the schema adds to.
var watchMigration = goose.NewGoMigration(7, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
	for _, text := range []string{changelog.Schema, watchSQL} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}}, nil)
