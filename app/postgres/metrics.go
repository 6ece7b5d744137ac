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
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	seconds := auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricDBDuration,
		"Time of our queries, from sending to the last row, by our name for them. Waiting for a connection is not in it: see the pool's metrics."),
		[]string{telemetry.LabelDBSystem, telemetry.LabelDBOperation})
	timeouts := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricPoolTimeouts,
		Help: "Requests for a connection that gave up waiting. Anything above 0 was an error for somebody: the pool is too small or the database too slow.",
	}, []string{telemetry.LabelPool})
	m := &metrics{seconds: make(map[string]prometheus.Observer), acquireTimeouts: timeouts.WithLabelValues("postgres")}
	for _, name := range queryNames {
		m.seconds[name] = seconds.WithLabelValues("postgresql", name)
	}
	return m
}

// poolCollector reports the pool's own figures when it is scraped.
type poolCollector struct {
	pool                              *pgxpool.Pool
	connections, most, waits, waiting *prometheus.Desc
}

func newPoolCollector(pool *pgxpool.Pool) *poolCollector {
	labels := prometheus.Labels{telemetry.LabelPool: "postgres"}
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
