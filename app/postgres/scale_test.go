package postgres

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"strata/app/freshness"
)

// BenchmarkPoll shows what a poll of the feed costs the database, in processor time of the feed's own backend, with a log of 100,000 rows behind it: when nothing has
// changed, and by how many rows it brings.
func BenchmarkPoll(b *testing.B) {
	d := newDatabase(b)
	if err := Seed(context.Background(), d.ownerURL, SeedConfig{Listings: 5000, Seed: 1}); err != nil {
		b.Fatal(err)
	}
	d.exec(b, `DO $$ BEGIN FOR i IN 1..20 LOOP
		FOR j IN 1..5000 LOOP UPDATE listings SET price_minor = price_minor + 1 WHERE id = j; END LOOP; COMMIT; END LOOP; END $$`)
	d.exec(b, `VACUUM ANALYZE change_log`)
	db := d.open(b, Config{})
	ledger := startFeed(b, d, FeedConfig{Interval: never}) // only so that there is one to apply to
	for _, rows := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			feed := NewFeed(FeedConfig{}, db, ledger, newTelemetry(b))
			conn, err := db.dial(b.Context(), "strata-feed", func() {})
			if err != nil {
				b.Fatal(err)
			}
			defer closeConn(conn)
			if err := conn.QueryRow(b.Context(), `SELECT pg_current_snapshot()::text`).Scan(&feed.snapshot); err != nil {
				b.Fatal(err)
			}
			feed.epoch = ledgerEpoch(b, conn)
			poll := func() {
				if err := feed.poll(b.Context(), conn, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			for range 10 {
				poll() // plans it
			}
			var used, waited time.Duration
			for b.Loop() {
				for id := range rows {
					d.exec(b, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = $1`, id+1)
				}
				before, began := backendCPU(b, conn), time.Now()
				poll()
				waited += time.Since(began)
				used += backendCPU(b, conn) - before
			}
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "db-cpu-µs/poll")
			b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs/poll")
		})
	}
}

func ledgerEpoch(b *testing.B, conn *pgx.Conn) (epoch freshness.Epoch) {
	h, err := historyOf(b.Context(), conn)
	if err != nil {
		b.Fatal(err)
	}
	return h.epoch
}

// backendCPU returns the processor time of the connection's backend.
func backendCPU(b *testing.B, conn *pgx.Conn) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", conn.PgConn().PID()))
	if err != nil {
		b.Skip("no processor time of single processes here: ", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(n)
}

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
		d.exec(b, `ALTER TABLE listings DISABLE TRIGGER log_update`)
		b.ReportMetric((with-update())/writes, "wal-bytes/write")
		d.exec(b, `ALTER TABLE listings ENABLE ALWAYS TRIGGER log_update`)
	}
}
