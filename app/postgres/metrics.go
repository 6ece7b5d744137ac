package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"strata/app/telemetry"
)

type metrics struct {
	seconds         map[string]prometheus.Observer // by the query's name
	acquireTimeouts prometheus.Counter
	standbyReads    map[string]prometheus.Counter // by result
	standbyBreaker  prometheus.Gauge
}

// The names of the pools.
const (
	primaryPool = "postgres"
	standbyPool = "postgres_read"
)

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	seconds := auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricDBDuration,
		"Time of our queries, from sending to the last row, by our name for them. Waiting for a connection is not in it: see the pool's metrics."),
		[]string{telemetry.LabelDBSystem, telemetry.LabelDBOperation})
	timeouts := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricPoolTimeouts,
		Help: "Requests for a connection that gave up waiting. Anything above 0 was an error for somebody: the pool is too small or the database too slow.",
	}, []string{telemetry.LabelPool})
	m := &metrics{seconds: make(map[string]prometheus.Observer), acquireTimeouts: timeouts.WithLabelValues(primaryPool)}
	for _, name := range queryNames {
		m.seconds[name] = seconds.WithLabelValues("postgresql", name)
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

// poolCollector reports the pool's own figures when it is scraped.
type poolCollector struct {
	pool                              *pgxpool.Pool
	connections, most, waits, waiting *prometheus.Desc
}

func newPoolCollector(pool *pgxpool.Pool, name string) *poolCollector {
	labels := prometheus.Labels{telemetry.LabelPool: name}
	return &poolCollector{
		pool: pool,
		connections: prometheus.NewDesc(telemetry.MetricPoolConnections,
			"Open connections. As many used as the pool may hold means that requests wait.", []string{telemetry.LabelPoolState}, labels),
		most: prometheus.NewDesc(telemetry.MetricPoolMax,
			"Most connections that the pool may open.", nil, labels),
		waits: prometheus.NewDesc(telemetry.MetricPoolWaits,
			"Requests for a connection that found none free. Growing steadily means that the pool is too small or queries too slow.", nil, labels),
		waiting: prometheus.NewDesc(telemetry.MetricPoolWaitSeconds,
			"Time that those requests waited, in all.", nil, labels),
	}
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.connections
	ch <- c.most
	ch <- c.waits
	ch <- c.waiting
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.pool.Stat()
	ch <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(s.AcquiredConns()), "used")
	ch <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(s.IdleConns()), "idle")
	ch <- prometheus.MustNewConstMetric(c.most, prometheus.GaugeValue, float64(s.MaxConns()))
	ch <- prometheus.MustNewConstMetric(c.waits, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
	ch <- prometheus.MustNewConstMetric(c.waiting, prometheus.CounterValue, s.EmptyAcquireWaitTime().Seconds())
}
