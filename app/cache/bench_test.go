package cache

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
)

// The ratios are what counts: both sides run in turn, in one process, on one machine.

// BenchmarkL1Hit compares a hit of Get with a hit of the bare cache library.
func BenchmarkL1Hit(b *testing.B) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(b, Config{Strategy: Stamped}, o)
	bare := otter.Must(&otter.Options[int, *entry[int]]{MaximumWeight: 1 << 20, Weigher: func(int, *entry[int]) uint32 { return 500 }})
	bare.Set(1, new(entry[int]))
	ctx := context.Background()
	r.read(b, 1)
	o.tell(r.ledger)
	ratio(b, func(n int) {
		for range n {
			bare.GetIfPresent(1)
		}
	}, func(n int) {
		o.tell(r.ledger) // or the ledger goes blind
		for range n {
			_, _ = r.Get(ctx, 1)
		}
	})
}

// BenchmarkL2Hit compares a hit out of Redis, which is then kept in L1, with a bare GET of the same bytes.
func BenchmarkL2Hit(b *testing.B) {
	const keys = 5000
	o := newOrigin()
	cfg := withRedis(b, Stamped)
	writer, r := newReplica(b, cfg, o), newReplica(b, cfg, o)
	for key := range keys {
		o.write(key, key)
	}
	o.tell(writer.ledger)
	o.tell(r.ledger)
	o.set(func(o *origin) { o.log = nil }) // told: from here on a poll is as small as it usually is
	names := make([]string, keys)
	for key := range keys {
		writer.read(b, key)
		names[key] = "strata::" + r.name(Stamped, key)
	}
	client, ctx := redisClient(b), context.Background()
	next := [2]int{}
	ratio(b, func(n int) {
		for range n {
			next[0] = (next[0] + 1) % keys
			if _, err := client.Get(ctx, names[next[0]]).Bytes(); err != nil {
				b.Fatal(err)
			}
		}
	}, func(n int) {
		o.tell(r.ledger)
		for range n {
			if next[1] = (next[1] + 1) % keys; next[1] == 0 {
				r.l1[Stamped].InvalidateAll()
				o.tell(r.ledger)
			}
			if v, err := r.Get(ctx, next[1]); v != next[1] || err != nil {
				b.Fatal(v, err)
			}
		}
	})
	if got := o.loads.Load(); got != keys {
		b.Fatalf("%d loads: not every read was a hit", got)
	}
}

// BenchmarkL1HitParallel shows what readers of one hot key cost each other.
func BenchmarkL1HitParallel(b *testing.B) {
	o := newOrigin()
	for key := range 64 {
		o.write(key, key)
	}
	r := newReplica(b, Config{Strategy: Stamped}, o)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for key := 0; pb.Next(); key++ {
			_, _ = r.Get(ctx, key&63)
		}
	})
}

// ratio runs bare and ours in short turns, so that a noisy neighbour meets both, and compares their medians.
func ratio(b *testing.B, bare, ours func(n int)) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	const turns = 200
	var took [2][]time.Duration
	n := max(1, b.N/turns)
	for range turns {
		for i, run := range []func(int){bare, ours} {
			start := time.Now()
			run(n)
			took[i] = append(took[i], time.Since(start))
		}
	}
	median := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][turns/2].Nanoseconds()) / float64(n)
	}
	b.ReportMetric(median(0), "bare-ns/op")
	b.ReportMetric(median(1), "ours-ns/op")
	b.ReportMetric(median(1)/median(0), "ratio")
}

func FuzzDecodeEntryRefusesWhatItDidNotWrite(f *testing.F) {
	e := &entry[string]{filled: 1, expires: 2}
	e.stamp.Epoch = 1
	f.Add(appendEntry(nil, e, time.Second, []byte(strconv.Itoa(42))))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, payload, err := decodeEntry[string](b)
		if err != nil {
			return
		}
		if len(payload) > len(b) || e.size == 0 {
			t.Fatal("payload longer than the entry")
		}
	})
}
