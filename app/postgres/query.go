package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

// query is a statement and what we call it in metrics and traces. Names are never read out of the SQL.
type query struct {
	name   string
	sql    string
	places string // of a read: SQL of an array of the cities that the result depends on; empty: it depends on the tag that the reader names
	custom bool   // of a read: planned for its arguments each time. Otherwise PostgreSQL keeps the statement and, if it sees fit, one plan
}

// The names of our queries.
const (
	nameListing   = "listing_by_id"
	nameSearch    = "search_listings"
	nameFacets    = "count_facets"
	nameCursorKey = "cursor_key"
	nameCities    = "cities"
	nameCityStats = "city_stats"
	nameCreate    = "create_listing"
	nameAdvance   = "advance_ids"
	nameBegin     = "begin_once"
	nameKeep      = "keep_answer"
	namePruneKeys = "prune_keys"
	nameUpdate    = "update_listing"
	nameDelete    = "delete_listing"
)

// queryNames are all of them, so that each has its metric from the start.
var queryNames = []string{
	nameListing, nameSearch, nameFacets, nameCursorKey, nameCities, nameCityStats,
	nameCreate, nameAdvance, nameBegin, nameKeep, nameUpdate, nameDelete, namePruneKeys,
}

// read runs a query and returns what collect makes of its rows. If somebody collects stamps, the same statement says under which snapshot it ran,
// and a stamp with the tag is added. That nothing was found is knowledge too, and has its stamp.
func read[T any](ctx context.Context, db *DB, q query, tag string, collect func(pgx.Rows) (T, error), args ...any) (T, error) {
	value, err := again(ctx, unread, func() (T, error) { return readOnce(ctx, db, q, tag, collect, args) })
	return value, ofReading(err)
}

func readOnce[T any](ctx context.Context, db *DB, q query, tag string, collect func(pgx.Rows) (T, error), args []any) (T, error) {
	stamping := freshness.Collecting(ctx)
	if stamping && db.standby != nil {
		if value, answered, err := readStandby(ctx, db, q, tag, collect, args); answered {
			return value, err
		}
	}
	conn, err := db.acquire(ctx)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", q.name, err)
	}
	defer conn.Release()
	if !stamping {
		return ask(ctx, db, conn, nil, q, collect, args)
	}
	value, read, err := readStamped(ctx, db, conn, q, tag, collect, args)
	if err == nil || errors.Is(err, listing.ErrNotFound) {
		freshness.Depend(ctx, read)
	}
	return value, err
}

// readStamped reads on a connection and returns what the value is worth. Where no epoch is valid that is nothing: the answer is
// good, but nobody may keep it.
func readStamped[T any](ctx context.Context, db *DB, conn *pgxpool.Conn, q query, tag string, collect func(pgx.Rows) (T, error), args []any) (T, freshness.Stamp, error) {
	var origin changelog.Origin
	q.sql = origin.Wrap(q.sql, q.places)
	value, err := ask(ctx, db, conn, nil, q, func(rows pgx.Rows) (T, error) {
		return collect(origin.Rows(rows))
	}, args)
	if err != nil && !errors.Is(err, listing.ErrNotFound) {
		return value, freshness.Stamp{}, err
	}
	read, stampErr := origin.Stamp(tagsOf(origin.Listed, tag)...)
	if stampErr != nil {
		return value, freshness.Stamp{}, fmt.Errorf("%s: %w", q.name, stampErr)
	}
	return value, read, err
}

// mostCityTags bounds the tags of one stamp. A search of more cities depends on every change instead.
const mostCityTags = 64

// tagsOf returns what a result depends on: the cities that its query listed, or else the tag.
func tagsOf(cities []string, tag string) []string {
	if len(cities) == 0 || len(cities) > mostCityTags {
		return []string{tag}
	}
	tags := make([]string, len(cities))
	for i, city := range cities {
		tags[i] = listing.CityTag(city)
	}
	return tags
}

// write runs a statement in a transaction of its own and returns what collect makes of its rows. If the context carries a
// sampled span, the change log is told which.
func write[T any](ctx context.Context, db *DB, q query, collect func(pgx.Rows) (T, error), args ...any) (T, error) {
	var traced *preamble
	if traceparent := telemetry.Traceparent(ctx); traceparent != "" {
		traced = &preamble{
			sql:  `SELECT set_config('strata.traceparent', $1, true)`,
			args: []any{traceparent},
			scan: func(row pgx.Row) error { return row.Scan(nil) },
		}
	}
	return again(ctx, undone, func() (T, error) {
		conn, err := db.acquire(ctx)
		if err != nil {
			var none T
			return none, fmt.Errorf("%s: %w", q.name, err)
		}
		defer conn.Release()
		return ask(ctx, db, conn, traced, q, collect, args)
	})
}

// preamble is a statement that goes before a query in the same round trip and the same transaction.
type preamble struct {
	sql  string
	args []any
	scan func(pgx.Row) error
}

// ask runs a query, after a preamble if there is one, and measures it. What it returns without an error is committed.
func ask[T any](ctx context.Context, db *DB, conn *pgxpool.Conn, first *preamble, q query, collect func(pgx.Rows) (T, error), args []any) (T, error) {
	ctx, done := db.observe(ctx, conn, q.name)
	var value T
	var err error
	before := make([]*preamble, 0, 2)
	if pooled(conn.Conn()) {
		before = append(before, transactionSettings(db.cfg))
	}
	if first != nil {
		before = append(before, first)
	}
	if len(before) > 0 {
		value, err = askBehind(ctx, conn, before, q, collect, args)
	} else {
		if q.custom {
			args = append([]any{pgx.QueryExecModeCacheDescribe}, args...)
		}
		rows, _ := conn.Query(ctx, q.sql, args...) // its error is the rows'
		value, err = drain(rows, collect)
	}
	done(err)
	if err != nil {
		return value, fmt.Errorf("%s: %w", q.name, classify(ctx, err))
	}
	return value, nil
}

// askBehind runs a query after some preambles.
func askBehind[T any](ctx context.Context, conn *pgxpool.Conn, before []*preamble, q query, collect func(pgx.Rows) (T, error), args []any) (value T, err error) {
	var batch pgx.Batch
	for _, p := range before {
		batch.Queue(p.sql, p.args...)
	}
	batch.Queue(q.sql, args...)
	results := conn.SendBatch(ctx, &batch)
	for _, p := range before {
		if err == nil {
			err = p.scan(results.QueryRow())
		}
	}
	if err == nil {
		rows, _ := results.Query()
		value, err = drain(rows, collect)
	}
	if closeErr := results.Close(); closeErr != nil { // it commits
		err = closeErr
	}
	return value, err
}

// drain reads rows to their end. An error of the server is worth more than what collect says about the rows that are missing for it.
func drain[T any](rows pgx.Rows, collect func(pgx.Rows) (T, error)) (T, error) {
	value, err := collect(rows)
	rows.Close()
	if serverErr := rows.Err(); serverErr != nil {
		err = serverErr
	}
	return value, err
}

// observe starts measuring a query that has its connection: always its time, and a span where the request is traced.
// The function it returns ends both.
func (db *DB) observe(ctx context.Context, conn *pgxpool.Conn, name string) (context.Context, func(error)) {
	began, took := time.Now(), db.metrics.seconds[operation{name, db.cfg.Strategy(ctx)}]
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) { took.Observe(time.Since(began).Seconds()) }
	}
	cc := conn.Conn().Config()
	ctx, span := db.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		telemetry.AttrDBSystem.String("postgresql"), telemetry.AttrDBSummary.String(name), telemetry.AttrDBOperation.String(name),
		telemetry.AttrDBNamespace.String(cc.Database), telemetry.AttrServerAddress.String(cc.Host), telemetry.AttrServerPort.Int(int(cc.Port)),
	))
	return ctx, func(err error) {
		telemetry.Observe(ctx, took, time.Since(began).Seconds())
		markFailure(span, err)
		span.End()
	}
}

// markFailure says on the span what went wrong. That there is no such row is an answer.
func markFailure(span trace.Span, err error) {
	if err == nil || errors.Is(err, listing.ErrNotFound) || errors.Is(err, listing.ErrConflict) {
		return
	}
	kind := fmt.Sprintf("%T", err)
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		kind = pg.Code
		span.SetAttributes(telemetry.AttrDBStatus.String(pg.Code))
	}
	span.SetAttributes(telemetry.AttrErrorType.String(kind))
	span.SetStatus(codes.Error, err.Error())
}
