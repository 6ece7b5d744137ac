package freshness

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// BenchmarkApply shows what the ledger does for one change of a listing: three tags, of which one is new. What is told again and again below the floor is forgotten.
func BenchmarkApply(b *testing.B) {
	for _, changes := range []int{1, 100} {
		b.Run(fmt.Sprintf("changes=%d", changes), func(b *testing.B) {
			l := NewLedger(Config{})
			next := XID(100)
			began := cpu(b)
			for b.Loop() {
				p := Poll{Began: time.Now(), Epoch: 1, Floor: max(next, 100_100) - 100_000, Changes: make([]Change, changes)}
				for i := range p.Changes {
					p.Changes[i] = Change{XID: next, Tags: []string{fmt.Sprint("listing:", next), "city:lisbon", "listings"}}
					next++
				}
				p.Snapshot = Snapshot{Xmin: next, Xmax: next}
				l.Apply(p)
			}
			b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/float64(b.N*changes), "cpu-ns/change")
		})
	}
}

// BenchmarkLedgerMemory shows what a million known tags weigh.
func BenchmarkLedgerMemory(b *testing.B) {
	const tags = 1_000_000
	for b.Loop() {
		before := heap()
		l := NewLedger(Config{MaxTags: 2 * tags})
		for id := range tags {
			x := XID(100 + id)
			l.Apply(Poll{Began: time.Now(), Epoch: 1, Snapshot: Snapshot{Xmin: x + 1, Xmax: x + 1},
				Changes: []Change{{XID: x, Tags: []string{fmt.Sprint("listing:", id), fmt.Sprint("city:", id%300), "listings"}}}})
		}
		b.ReportMetric(float64(heap()-before)/float64(l.Tags()), "bytes/tag")
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(l)
	}
}

// cpu returns what this process has used: on a busy machine it says more than the clock.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
