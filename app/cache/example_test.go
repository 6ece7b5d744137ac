package cache_test

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
)

// A price is kept until the ledger learns of a change that its snapshot does not show.
func Example() {
	ctx := context.Background()
	ledger := freshness.NewLedger(freshness.Config{}) // one a process; a feed fills it
	caches := cache.Open(cache.Config{Strategy: cache.Stamped}, ledger)
	defer caches.Close()

	amount, now := 100, freshness.Snapshot{Xmin: 10, Xmax: 10} // what a database would say
	prices := cache.Of(caches, cache.Class[int64, int]{
		Name: "price",
		Key:  func(id int64) string { return strconv.FormatInt(id, 10) },
		Load: func(ctx context.Context, id int64) (int, error) {
			// Ask for pg_current_snapshot() in the statement that reads, and say what the value depends on.
			freshness.Depend(ctx, freshness.Stamp{Epoch: 1, Snapshot: now, Tags: []string{fmt.Sprintf("price:%d", id)}})
			return amount, nil
		},
	})
	read := func() {
		price, err := prices.Get(ctx, 42)
		fmt.Println(price, err)
	}

	ledger.Apply(freshness.Poll{Began: time.Now(), Epoch: 1, Snapshot: now})
	read()
	amount, now = 101, freshness.Snapshot{Xmin: 11, Xmax: 11} // transaction 10 changed it
	read()                                                    // nobody has told the ledger yet
	ledger.Apply(freshness.Poll{Began: time.Now(), Epoch: 1, Snapshot: now, Changes: []freshness.Change{{XID: 10, Tags: []string{"price:42"}}}})
	read()
	// Output:
	// 100 <nil>
	// 100 <nil>
	// 101 <nil>
}
