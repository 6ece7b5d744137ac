package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStats is what a pool of connections says of itself. The counters grow from the pool's start.
type PoolStats struct {
	Used, Idle, Max int
	Hits, Misses    uint64 // requests for a connection that found one idle, and those that did not
	Waits           uint64 // of the latter, those that had to wait for one to come back
	Waited          time.Duration
	Timeouts        uint64 // of the latter, those that gave up
	Stale           uint64 // connections that were closed because they were old or broken
}

// NewPoolCollector returns a collector that asks a pool for its figures when it is scraped. All pools have the same metrics and differ by name.
func NewPoolCollector(name string, stats func() PoolStats) prometheus.Collector {
	pool := prometheus.Labels{LabelPool: name}
	return &poolCollector{
		stats: stats,
		connections: prometheus.NewDesc(MetricPoolConnections,
			"Open connections. As many used as the pool may hold means that requests wait: see strata_pool_waits_total.", []string{LabelPoolState}, pool),
		most: prometheus.NewDesc(MetricPoolMax,
			"Most connections that the pool may open.", nil, pool),
		timeouts: prometheus.NewDesc(MetricPoolTimeouts,
			"Requests for a connection that gave up waiting. Anything above 0 was an error for somebody, or with pool redis a read that went to the database: "+
				"the pool is too small or what is behind it too slow.", nil, pool),
		requests: prometheus.NewDesc(MetricPoolRequests,
			"Requests for a connection, by whether one was idle. Many misses without waits mean that connections are opened and closed all the time.", []string{LabelResult}, pool),
		waits: prometheus.NewDesc(MetricPoolWaits,
			"Requests for a connection that found none free. Growing steadily means that the pool is too small or queries too slow.", nil, pool),
		waited: prometheus.NewDesc(MetricPoolWaitSeconds,
			"Time that those requests waited, in all.", nil, pool),
		stale: prometheus.NewDesc(MetricPoolStale,
			"Connections that were closed because they were old, idle for long or broken. A jump means that the server or the network between dropped them.", nil, pool),
	}
}

type poolCollector struct {
	stats                                                       func() PoolStats
	connections, most, timeouts, requests, waits, waited, stale *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.connections, c.most, c.timeouts, c.requests, c.waits, c.waited, c.stale} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	gauge := func(d *prometheus.Desc, value int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	counter := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
	}
	gauge(c.connections, s.Used, "used")
	gauge(c.connections, s.Idle, "idle")
	gauge(c.most, s.Max)
	counter(c.timeouts, float64(s.Timeouts))
	counter(c.requests, float64(s.Hits), "hit")
	counter(c.requests, float64(s.Misses), "miss")
	counter(c.waits, float64(s.Waits))
	counter(c.waited, s.Waited.Seconds())
	counter(c.stale, float64(s.Stale))
}
