package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/strata/app/cache"
	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/remote"
)

// Flat is a row of the join.
type Flat struct {
	ID     int64  `json:"id"`
	Title  string `json:"title"`
	Agency string `json:"agency"`
	Amount int64  `json:"amount"`
}

// flats is everything here that knows of caching.
type flats struct {
	*cache.Layered[int64, Flat]
	caches *cache.Caches
	redis  *remote.Redis
	ledger *freshness.Ledger
	feed   *changelog.Feed
}

func openFlats(pool *pgxpool.Pool, redisURL string) (*flats, error) {
	f := &flats{ledger: freshness.NewLedger(freshness.Config{})}
	f.feed = changelog.NewFeed(changelog.Config{}, changelog.Dialer(pool.Config().ConnConfig), f.ledger, nil)
	var err error
	if f.redis, err = remote.Open(remote.Config{URL: redisURL, Namespace: "prices"}, nil); err != nil {
		return nil, err
	}
	f.caches = cache.Open(cache.Config{Strategy: cache.Stamped, Remote: f.redis}, f.ledger)
	f.Layered = cache.Of(f.caches, cache.Class[int64, Flat]{
		Name: "flat", Absent: pgx.ErrNoRows,
		Key: func(id int64) string { return strconv.FormatInt(id, 10) },
		Load: func(ctx context.Context, id int64) (Flat, error) {
			return changelog.Read(ctx, pool, []string{fmt.Sprintf("flat:%d", id), "agencies"}, `
				SELECT f.id, f.title, a.name, p.amount FROM flats f JOIN agencies a ON a.id = f.agency JOIN prices p ON p.flat = f.id
				WHERE f.id = $1`, func(rows pgx.Rows) (Flat, error) {
				return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Flat])
			}, id)
		},
	})
	return f, nil
}

func (f *flats) follow(ctx context.Context) error { return f.feed.Run(ctx) }

func (f *flats) close() {
	f.caches.Close()
	if f.redis != nil {
		_ = f.redis.Close() // nobody is left to tell
	}
}
