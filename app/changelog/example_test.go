package changelog_test

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

type price struct{ ID, Amount int64 }

// A table of one's own, cached in process and in Redis, and never told of a change but by the
// database.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	url, redisURL := emptyDatabase(ctx)
	pool := must(pgxpool.New(ctx, url))
	defer pool.Close()

	// Once, as the tables' owner.
	must(pool.Exec(ctx, changelog.Schema))
	must(pool.Exec(ctx, `CREATE TABLE prices (id bigint PRIMARY KEY, amount bigint); INSERT INTO prices VALUES (42, 100)`))
	must(pool.Exec(ctx, `SELECT strata_watch('prices', 'price:{id}')`))

	// In each process.
	ledger := freshness.NewLedger(freshness.Config{})
	feed := changelog.NewFeed(changelog.Config{}, changelog.Dialer(pool.Config().ConnConfig), ledger, nil)
	go func() { check(feed.Run(ctx)) }()
	redis := must(remote.Open(remote.Config{URL: redisURL, Namespace: "prices"}, nil))
	caches := cache.Open(cache.Config{Strategy: cache.Stamped, Remote: redis}, ledger)
	defer caches.Close()
	prices := cache.Of(caches, cache.Class[int64, price]{
		Name: "price",
		Key:  func(id int64) string { return strconv.FormatInt(id, 10) },
		Load: func(ctx context.Context, id int64) (price, error) {
			return changelog.Read(ctx, pool, []string{fmt.Sprintf("price:%d", id)},
				`SELECT id, amount FROM prices WHERE id = $1`, func(rows pgx.Rows) (price, error) {
					return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[price])
				}, id)
		},
	})
	fmt.Println(must(prices.Get(ctx, 42)).Amount)

	// Somebody writes who knows nothing of caches. Whoever has seen the write waits for the ledger
	// to know it.
	var text string
	check(pool.QueryRow(ctx, `UPDATE prices SET amount = 101 RETURNING `+changelog.Commit).Scan(&text))
	ledger.Await(ctx, must(freshness.ParseCommit(text)))
	fmt.Println(must(prices.Get(ctx, 42)).Amount)
	// Output:
	// 100
	// 101
}

// emptyDatabase returns where the example's Postgres and Redis are.
func emptyDatabase(ctx context.Context) (postgresURL, redisURL string) {
	url, _, err := stack().CreateDatabase(ctx, "example")
	check(err)
	return url, stack().RedisURL
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
