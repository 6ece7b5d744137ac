package cache

import (
	"context"
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
		for i := range n {
			if i&0xffff == 0 {
				o.tell(r.ledger) // or the ledger goes blind
			}
			_, _ = r.Get(ctx, 1)
		}
	})
}

// BenchmarkL2Hit compares a hit out of Redis with a bare GET of the same bytes.
func BenchmarkL2Hit(b *testing.B) {
	o := newOrigin()
	o.write(1, 100)
	r := newReplica(b, withRedis(b, Stamped), o)
	r.read(b, 1)
	client, key, ctx := redisClient(b), r.l2Key(Stamped, 1), context.Background()
	ratio(b, func(n int) {
		for range n {
			if _, err := client.Get(ctx, key).Bytes(); err != nil {
				b.Fatal(err)
			}
		}
	}, func(n int) {
		for i := range n {
			if i&0xff == 0 {
				o.tell(r.ledger)
			}
			r.l1[Stamped].Invalidate(1)
			if v, err := r.Get(ctx, 1); v != 100 || err != nil {
				b.Fatal(v, err)
			}
		}
	})
	if got := o.loads.Load(); got != 1 {
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

// ratio runs bare and ours in turn, so that a noisy neighbour meets both, and reports how many times as long ours takes.
func ratio(b *testing.B, bare, ours func(n int)) {
	b.Helper()
	b.ReportAllocs()
	const rounds = 10
	var took [2]time.Duration
	n := max(1, b.N/rounds)
	for range rounds {
		for i, run := range []func(int){bare, ours} {
			start := time.Now()
			run(n)
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(took[0].Nanoseconds())/float64(n*rounds), "bare-ns/op")
	b.ReportMetric(float64(took[1].Nanoseconds())/float64(n*rounds), "ours-ns/op")
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
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
