package postgres

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// BenchmarkChangeTrigger compares an update of one listing with and without the trigger that logs it, as a client sees it: one
// connection, one statement, committed. Both kinds take short turns, and each counts by its median, so that a noisy neighbour meets both.
// A durable commit waits for the disk, as in production; a volatile one does not, so there the trigger weighs most.
func BenchmarkChangeTrigger(b *testing.B) {
	for commit, fsync := range map[string]string{"durable": "on", "volatile": "off"} {
		b.Run(commit, func(b *testing.B) { benchmarkChangeTrigger(b, fsync) })
	}
}

func benchmarkChangeTrigger(b *testing.B, fsync string) {
	d := newDatabase(b)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	setFsync(b, fsync)
	b.Cleanup(func() { setFsync(b, "off") })

	id := int64(0)
	update := func(n int) []time.Duration {
		took := make([]time.Duration, n)
		for i := range took {
			id = id%5000 + 1
			began := time.Now()
			d.exec(b, `UPDATE listings SET price_minor = price_minor + 100 WHERE id = $1`, id)
			took[i] = time.Since(began)
		}
		return took
	}
	const turn = 25
	var with, without []time.Duration
	update(turn)
	for b.Loop() {
		with = append(with, update(turn)...)
		d.exec(b, `ALTER TABLE listings DISABLE TRIGGER strata_update`)
		update(3) // plans it anew
		without = append(without, update(turn)...)
		d.exec(b, `ALTER TABLE listings ENABLE TRIGGER strata_update`)
		update(3)
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(median(with), "µs/update")
	b.ReportMetric(median(without), "µs/update-without")
	b.ReportMetric(median(with)/median(without), "ratio")
}

// setFsync says whether a commit waits for the disk. It holds for the whole server, so benchmarks that use it run alone.
func setFsync(b *testing.B, value string) {
	b.Helper()
	conn, err := pgx.Connect(context.Background(), stack().SuperuserURL)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{`ALTER SYSTEM SET fsync = ` + value, `SELECT pg_reload_conf()`} {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead shows what a stamp costs: the snapshot travels in the same round trip as the query.
func BenchmarkRead(b *testing.B) {
	d := newDatabase(b)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 20_000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	db := d.open(b, Config{})
	for name, read := range map[string]func(ctx context.Context, i int) error{
		"listing": func(ctx context.Context, i int) error { _, err := db.Listing(ctx, int64(i%20_000)+1); return err },
		"search": func(ctx context.Context, i int) error {
			_, err := db.Search(ctx, listing.Query{City: "lisbon"})
			return err
		},
		"stats": func(ctx context.Context, i int) error { _, err := db.CityStats(ctx, "lisbon"); return err },
	} {
		b.Run(name+"/plain", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := read(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/stamped", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				ctx, _ := freshness.Collect(b.Context()) // a request has its own; one for all would grow
				if err := read(ctx, i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
