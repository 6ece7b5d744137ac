package changelog

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/freshness"
)

// Querier is what a statement runs on: a connection, a pool or a transaction that has not written,
// because what is not yet committed is nobody else's to see.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Read runs a query and returns what collect makes of its rows. The same statement says under which
// snapshot it ran, and the context's collector is told that the value depends on tags. That nothing
// was found is knowledge too: an error of collect's own leaves the stamp as it is; one of the
// database tells the collector nothing.
func Read[T any](ctx context.Context, on Querier, tags []string, sql string, collect func(pgx.Rows) (T, error), args ...any) (T, error) {
	var origin Origin
	rows, _ := on.Query(ctx, origin.Wrap(sql, ""), args...) // its error is the rows'
	value, err := collect(origin.Rows(rows))
	rows.Close()
	if serverErr := rows.Err(); serverErr != nil {
		return value, serverErr
	}
	stamp, stampErr := origin.Stamp(tags...)
	if stampErr != nil {
		return value, stampErr
	}
	freshness.Depend(ctx, stamp)
	return value, err
}
