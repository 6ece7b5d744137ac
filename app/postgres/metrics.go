package postgres

import (
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"strata/app/telemetry"
)

type metrics struct {
	seconds         map[operation]prometheus.Observer
	acquireTimeouts atomic.Uint64
}

// operation is what a query's time is filed under.
type operation struct{ query, strategy string }

func newMetrics(reg prometheus.Registerer, strategies []string) *metrics {
	seconds := promauto.With(reg).NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricDBDuration,
		"Time of our queries, from sending to the last row, by our name for them and by the strategy of the request that asked; audit are those of the service auditing itself. "+
			"Slow ones: look at the database. Waiting for a connection is not in it: see the pool's metrics."),
		[]string{telemetry.LabelDBSystem, telemetry.LabelDBOperation, telemetry.LabelStrategy})
	m := &metrics{seconds: make(map[operation]prometheus.Observer)}
	for _, name := range queryNames {
		for _, strategy := range strategies {
			m.seconds[operation{name, strategy}] = seconds.WithLabelValues("postgresql", name, strategy)
		}
	}
	return m
}

// poolStats are the pool's own figures.
func (db *DB) poolStats(pool *pgxpool.Pool) telemetry.PoolStats {
	s := pool.Stat()
	return telemetry.PoolStats{
		Used: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
		Hits: uint64(s.AcquireCount() - s.EmptyAcquireCount()), Misses: uint64(s.EmptyAcquireCount()),
		Waits: uint64(s.EmptyAcquireCount()), Waited: s.EmptyAcquireWaitTime(), Timeouts: db.metrics.acquireTimeouts.Load(),
		Stale: uint64(s.MaxLifetimeDestroyCount() + s.MaxIdleDestroyCount()),
	}
}
