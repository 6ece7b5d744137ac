package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// BenchmarkNotify compares what concurrent writers of single rows can commit with the wake-up and without it, where commits wait for the disk: NOTIFY holds
// one lock of the whole cluster from before a commit is written until after, so that such commits go one by one.
func BenchmarkNotify(b *testing.B) {
	d := newDatabase(b)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	setFsync(b, "on")
	b.Cleanup(func() { setFsync(b, "off") })
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var rates [2]float64
			for b.Loop() {
				for i, notify := range []string{"on", "off"} {
					rates[i] += commits(b, d, clients, notify)
				}
			}
			b.ReportMetric(rates[0]/float64(b.N), "commits/s")
			b.ReportMetric(rates[1]/float64(b.N), "commits/s-without")
			b.ReportMetric(rates[1]/rates[0], "ratio")
		})
	}
}

// commits lets clients commit for two seconds, and returns how many commits there were a second.
func commits(b *testing.B, d database, clients int, notify string) float64 {
	const long = 2 * time.Second
	var working sync.WaitGroup
	counts := make([]int, clients)
	start := make(chan struct{})
	for i := range clients {
		conn := connect(b, d.ownerURL)
		if _, err := conn.Exec(b.Context(), `SET strata.notify = `+notify); err != nil {
			b.Fatal(err)
		}
		working.Go(func() {
			<-start
			for end := time.Now().Add(long); time.Now().Before(end); counts[i]++ {
				id := 1 + (counts[i]*clients+i)%5000 // no two clients the same
				if _, err := conn.Exec(b.Context(), `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, id); err != nil {
					b.Error(err)
					return
				}
			}
			_ = conn.Close(context.Background())
		})
	}
	close(start)
	working.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / long.Seconds()
}

// BenchmarkChangeLogSize shows what one single-row write leaves in the log, and in the write-ahead log beside what the update itself does.
func BenchmarkChangeLogSize(b *testing.B) {
	d := newDatabase(b)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	const writes = 20_000
	update := func() (wal float64) {
		from := one[string](b, d, `SELECT pg_current_wal_insert_lsn()::text`)
		d.exec(b, `DO $$ BEGIN FOR i IN 1..20000 LOOP UPDATE listings SET price_minor = price_minor + 1 WHERE id = 1 + i % 5000; COMMIT; END LOOP; END $$`)
		return one[float64](b, d, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1::text::pg_lsn)::float8`, from)
	}
	for b.Loop() {
		d.exec(b, `TRUNCATE change_log`)
		with := update()
		size := `SELECT sum(pg_relation_size(c))::float8 FROM unnest(ARRAY['change_log', 'change_log_pkey', 'change_log_logged_at']::regclass[]) c`
		b.ReportMetric(one[float64](b, d, size)/writes, "bytes/write")
		b.ReportMetric(one[float64](b, d, `SELECT pg_relation_size('change_log')::float8`)/writes, "heap-bytes/write")
		d.exec(b, `ALTER TABLE listings DISABLE TRIGGER strata_update`)
		b.ReportMetric((with-update())/writes, "wal-bytes/write")
		d.exec(b, `ALTER TABLE listings ENABLE TRIGGER strata_update`)
	}
}
