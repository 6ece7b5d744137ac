package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/deploy/local"
	"example.com/strata/loadtest/report"
)

// database is Postgres as the laboratory sees it: as superuser, from outside the service.
type database struct{ conn *pgx.Conn }

// dbCounters are what Postgres has counted since its statistics were reset. Statements are those of the service's role alone; the
// laboratory's and the witness's have other roles.
type dbCounters struct {
	queries     int64
	feedQueries int64 // of queries
	seconds     float64
	blocksHit   int64 // of the whole database
	blocksRead  int64 // of the whole database
}

func openDatabase(ctx context.Context, superuserURL string) (*database, error) {
	conn, err := pgx.Connect(ctx, superuserURL)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	if _, err := conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements`); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("preparing pg_stat_statements: %w", err)
	}
	return &database{conn}, nil
}

func (d *database) close() { d.conn.Close(context.Background()) }

// cities returns the slugs of cities with active listings, the largest first.
func (d *database) cities(ctx context.Context) ([]string, error) {
	const sql = `SELECT city FROM listings WHERE status = 'active' GROUP BY city ORDER BY count(*) DESC, city`
	rows, err := d.conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("listing cities: %w", err)
	}
	cities, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing cities: %w", err)
	}
	return cities, nil
}

// prices returns the prices of all listings by id. The traffic counts on ids of 1 to the number of listings, and prices says so if
// they are others.
func (d *database) prices(ctx context.Context) ([]int64, error) {
	rows, err := d.conn.Query(ctx, `SELECT id, price_minor FROM listings ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	prices := []int64{0}
	var id, price int64
	_, err = pgx.ForEachRow(rows, []any{&id, &price}, func() error {
		if id != int64(len(prices)) {
			return fmt.Errorf("listing %d comes after %d", id, len(prices)-1)
		}
		prices = append(prices, price)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading prices: %w", err)
	}
	return prices, nil
}

// settle leaves the database with nothing left to do from before.
func (d *database) settle(ctx context.Context) error {
	for _, sql := range []string{`VACUUM (ANALYZE)`, `CHECKPOINT`} {
		if _, err := d.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("settling the database: %w", err)
		}
	}
	return nil
}

// reset has Postgres forget what it has counted.
func (d *database) reset(ctx context.Context) error {
	if _, err := d.conn.Exec(ctx, `SELECT pg_stat_statements_reset(), pg_stat_reset()`); err != nil {
		return fmt.Errorf("resetting the database's statistics: %w", err)
	}
	return nil
}

// counters returns what Postgres has counted. Idle connections report their blocks with a delay of up to a second.
func (d *database) counters(ctx context.Context) (c dbCounters, err error) {
	const sql = `
		SELECT coalesce(sum(s.calls), 0)::bigint,
			coalesce(sum(s.calls) FILTER (WHERE s.query ~* 'change_log|change_floor|strata_prune|strata_changes'), 0)::bigint,
			coalesce(sum(s.total_exec_time + s.total_plan_time), 0) / 1000,
			(SELECT blks_hit FROM pg_stat_database WHERE datname = current_database()),
			(SELECT blks_read FROM pg_stat_database WHERE datname = current_database())
		FROM pg_stat_statements s
		WHERE s.userid = $1::regrole AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`
	err = d.conn.QueryRow(ctx, sql, local.AppRole).Scan(&c.queries, &c.feedQueries, &c.seconds, &c.blocksHit, &c.blocksRead)
	if err != nil {
		return c, fmt.Errorf("reading the database's statistics: %w", err)
	}
	return c, nil
}

// statements describes what Postgres has counted of each of the service's statements, the most frequent first.
func (d *database) statements(ctx context.Context) (string, error) {
	const sql = `
		SELECT calls, total_exec_time, regexp_replace(query, '\s+', ' ', 'g') FROM pg_stat_statements
		WHERE userid = $1::regrole AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		ORDER BY calls DESC, query`
	rows, err := d.conn.Query(ctx, sql, local.AppRole)
	if err != nil {
		return "", fmt.Errorf("reading the database's statements: %w", err)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%9s %12s  %s\n", "calls", "total ms", "statement")
	var calls int64
	var milliseconds float64
	var query string
	_, err = pgx.ForEachRow(rows, []any{&calls, &milliseconds, &query}, func() error {
		fmt.Fprintf(&text, "%9d %12.1f  %s\n", calls, milliseconds, query)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading the database's statements: %w", err)
	}
	return text.String(), nil
}

// watch samples the rate of the service's queries until ctx ends.
func (d *database) watch(ctx context.Context, every time.Duration) ([]report.Sample, error) {
	const sql = `SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements(false) WHERE userid = $1::regrole`
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var samples []report.Sample
	var before int64
	began := time.Now()
	last := began
	for {
		select {
		case <-ctx.Done():
			return samples, nil
		case <-ticker.C:
		}
		var calls int64
		if err := d.conn.QueryRow(context.WithoutCancel(ctx), sql, local.AppRole).Scan(&calls); err != nil {
			return nil, fmt.Errorf("watching the database: %w", err)
		}
		now := time.Now()
		samples = append(samples, report.Sample{Seconds: now.Sub(began).Seconds(), Value: float64(calls-before) / now.Sub(last).Seconds()})
		before, last = calls, now
	}
}
