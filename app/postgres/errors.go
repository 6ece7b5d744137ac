package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"strata/app/listing"
)

// classify turns an error of the driver into one that the domain knows, where there is one. An error of the caller's own
// context stays that.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return classifyServer(pg)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", listing.ErrUnavailable, err)
	}
	return err
}

func classifyServer(pg *pgconn.PgError) error {
	switch pg.Code {
	case "23503": // foreign_key_violation
		switch pg.ConstraintName {
		case "listings_city_fkey":
			return fmt.Errorf("%w: %w", listing.ErrUnknownCity, pg)
		case "listings_agent_fkey":
			return fmt.Errorf("%w: %w", listing.ErrUnknownAgent, pg)
		}
	case "53300", // too_many_connections
		"57014", // query_canceled: the statement timeout, since the caller's context has not ended
		"57P01", // admin_shutdown
		"57P02", // crash_shutdown
		"57P03", // cannot_connect_now
		"25006": // read_only_sql_transaction: a standby, before a failover has come through
		return fmt.Errorf("%w: %w", listing.ErrUnavailable, pg)
	}
	if pg.Code[:min(2, len(pg.Code))] == "08" { // connection_exception
		return fmt.Errorf("%w: %w", listing.ErrUnavailable, pg)
	}
	return pg
}
