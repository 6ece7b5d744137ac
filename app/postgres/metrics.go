package postgres

import (
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/telemetry"
)

type metrics struct {
	seconds         map[operation]prometheus.Observer
	acquireTimeouts atomic.Uint64
	standbyReads    map[string]prometheus.Counter // by result
	standbyBreaker  prometheus.Gauge
}

// operation is what a query's time is filed under.
type operation struct{ query, strategy string }

// The names of the pools.
const (
	primaryPool = "postgres"
	standbyPool = "postgres_read"
)

func newMetrics(reg prometheus.Registerer, strategies []string) *metrics {
	auto := promauto.With(reg)
	seconds := auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricDBDuration,
		"Time of our queries, from sending to the last row, by our name for them and by the strategy of the request that asked; audit are those of the service auditing itself. "+
			"Slow ones: look at the database. Waiting for a connection is not in it: see the pool's metrics."),
		[]string{telemetry.LabelDBSystem, telemetry.LabelDBOperation, telemetry.LabelStrategy})
	m := &metrics{seconds: make(map[operation]prometheus.Observer)}
	for _, name := range queryNames {
		for _, strategy := range strategies {
			m.seconds[operation{name, strategy}] = seconds.WithLabelValues("postgresql", name, strategy)
		}
	}
	reads := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricStandbyReads,
		Help: "Reads that a standby could answer, by what became of them. Only served spared the primary. Many refused or skipped mean that the standby lags behind what changes; failed and open that it does not answer.",
	}, []string{telemetry.LabelResult})
	m.standbyReads = make(map[string]prometheus.Counter)
	for _, result := range []string{standbyServed, standbyRefused, standbySkipped, standbyFailed, standbyOpen} {
		m.standbyReads[result] = reads.WithLabelValues(result)
	}
	m.standbyBreaker = auto.NewGauge(prometheus.GaugeOpts{
		Name: telemetry.MetricStandbyBreakerState,
		Help: "1 while the standby is not asked because it failed repeatedly, 0.5 while one read tries it, 0 otherwise.",
	})
	return m
}

// poolStats returns how to ask a pool for its figures. pgx does not count those that gave up waiting.
func poolStats(pool *pgxpool.Pool, timeouts *atomic.Uint64) func() telemetry.PoolStats {
	return func() telemetry.PoolStats {
		s := pool.Stat()
		return telemetry.PoolStats{
			Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
			Hits: uint64(s.AcquireCount() - s.EmptyAcquireCount()), Misses: uint64(s.EmptyAcquireCount()),
			Waits: uint64(s.EmptyAcquireCount()), Waited: s.EmptyAcquireWaitTime(), Timeouts: timeouts.Load(),
			Stale: uint64(s.MaxLifetimeDestroyCount() + s.MaxIdleDestroyCount()),
		}
	}
}
