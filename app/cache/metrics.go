package cache

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"strata/app/telemetry"
)

type observer = prometheus.Observer

type metrics struct {
	loadsAtOnce *loadsCollector
	requests    *prometheus.CounterVec // level, layer, class, outcome, strategy
	loads       *prometheus.CounterVec // class, result
	loadSeconds *prometheus.HistogramVec
	coalesced   *prometheus.CounterVec
	evictions   *prometheus.CounterVec
	breakerOpen prometheus.Gauge
	age         [levels]observer

	l2Get, l2Set, l2Delete observer
}

func newMetrics(reg prometheus.Registerer, cfg Config) *metrics {
	auto := promauto.With(reg)
	m := &metrics{
		loadsAtOnce: newLoadsCollector(),
		requests: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricCacheRequests,
			Help: "Reads of a cache layer by what it said. Hit ratio of a layer: hit / (hit+miss+expired+invalidated+stale); never average layers.",
		}, []string{telemetry.LabelLevel, telemetry.LabelLayer, telemetry.LabelClass, telemetry.LabelOutcome, telemetry.LabelStrategy}),
		loads: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricCacheLoads,
			Help: "Loads of a value from the origin by result. Errors mean that the database fails or is slow: see the database's own board.",
		}, []string{telemetry.LabelClass, telemetry.LabelResult}),
		loadSeconds: auto.NewHistogramVec(
			telemetry.LatencyHistogram(telemetry.MetricCacheLoadDuration, "Time to load a value from the origin: what a miss costs. Slow ones: see db_client_operation_duration_seconds."), []string{telemetry.LabelClass}),
		coalesced: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricCacheCoalesced,
			Help: "Reads that waited for another read's load instead of starting their own: of this replica, or of another one of the fleet. " +
				"Many mean that a hot entry changes often or loads slowly: see strata_cache_load_duration_seconds.",
		}, []string{telemetry.LabelClass, telemetry.LabelScope}),
		evictions: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricCacheEvictions,
			Help: "Entries that L1 dropped to stay within its capacity. A steady stream means that the working set does not fit.",
		}, []string{telemetry.LabelLevel, telemetry.LabelReason}),
		breakerOpen: auto.NewGauge(prometheus.GaugeOpts{
			Name: telemetry.MetricRedisBreakerState,
			Help: "1 while Redis, or one node of a Redis Cluster, is not asked because it failed repeatedly, 0.5 while one request tries it, 0 otherwise.",
		}),
	}
	operation := auto.NewHistogramVec(
		telemetry.LatencyHistogram(telemetry.MetricCacheOperationDuration, "Time of one operation on a cache layer, as its caller waits for it. Near the deadline of 50 ms: Redis is overloaded or away, see strata_redis_breaker_open."), []string{telemetry.LabelLayer, telemetry.LabelOperation})
	m.l2Get, m.l2Set, m.l2Delete = operation.WithLabelValues("l2", "get"), operation.WithLabelValues("l2", "set"), operation.WithLabelValues("l2", "delete")

	age := auto.NewHistogramVec(telemetry.AgeHistogram(telemetry.MetricCacheEntryAge,
		"Time since a served entry was read from the database. One hit in 16. Older than the entries' lifetime means that the database fails and old ones stand in."),
		[]string{telemetry.LabelLevel})
	capacity := auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: telemetry.MetricCacheCapacity, Help: "Bytes that L1 may hold at a level. Size near it with a steady stream of evictions means that the working set does not fit.",
	}, []string{telemetry.LabelLevel})
	capacity.WithLabelValues(Views.String()).Set(float64(cfg.ViewsL1Bytes))
	capacity.WithLabelValues(Data.String()).Set(float64(cfg.DataL1Bytes))
	for _, level := range []Level{Views, Data} {
		m.evictions.WithLabelValues(level.String(), "size")
		m.age[level] = age.WithLabelValues(level.String())
	}
	info := auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: telemetry.MetricStrategyInfo, Help: "1 for the strategy that requests use unless a laboratory's request chooses another.",
	}, []string{telemetry.LabelStrategy})
	for _, s := range Strategies() {
		info.WithLabelValues(s.String()).Set(0)
	}
	info.WithLabelValues(cfg.Strategy.String()).Set(1)
	reg.MustRegister(m.loadsAtOnce)
	return m
}

// limited makes a limit of loads known to whoever scrapes. class is all for the process's.
func (m *metrics) limited(class string, l *limit) {
	m.loadsAtOnce.mu.Lock()
	defer m.loadsAtOnce.mu.Unlock()
	m.loadsAtOnce.limits[class] = l
}

// loadsCollector says how far the limits of loads are used when it is scraped: counting them up and down would cost each load twice.
type loadsCollector struct {
	inFlight, limit *prometheus.Desc

	mu     sync.Mutex
	limits map[string]*limit // by class
}

func newLoadsCollector() *loadsCollector {
	class := []string{telemetry.LabelClass}
	return &loadsCollector{
		inFlight: prometheus.NewDesc(telemetry.MetricCacheLoadsInFlight, "Loads from the origin under way. At its limit, further ones wait, and are shed with 503 before long: the database is too slow, or too little is kept.", class, nil),
		limit:    prometheus.NewDesc(telemetry.MetricCacheLoadsLimit, "Loads from the origin that may be under way at once.", class, nil),
		limits:   make(map[string]*limit),
	}
}

// Describe implements prometheus.Collector.
func (c *loadsCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.inFlight; ch <- c.limit }

// Collect implements prometheus.Collector.
func (c *loadsCollector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for class, l := range c.limits {
		ch <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(len(l.places)), class)
		ch <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(cap(l.places)), class)
	}
}

// classMetrics are the children that one class needs, looked up once so that no request has to.
type classMetrics struct {
	requests    [strategies][layers][outcomes]prometheus.Counter
	loads       map[string]prometheus.Counter // by result
	loadSeconds observer
	coalesced   prometheus.Counter // by a load of this replica
	fleet       prometheus.Counter // by a load of another
	evictions   prometheus.Counter
	usual       usual // time of a load
}

func (m *metrics) forClass(level Level, class string, used func(Strategy) bool) *classMetrics {
	c := &classMetrics{evictions: m.evictions.WithLabelValues(level.String(), "size")}
	for _, s := range Strategies() {
		l1, l2 := s.keeps(level)
		for layer, kept := range [layers]bool{L1: l1, L2: l2} {
			if !kept || !used(s) {
				continue
			}
			for o := Hit; o < outcomes; o++ {
				c.requests[s][layer][o] = m.requests.WithLabelValues(level.String(), Layer(layer).String(), class, o.String(), s.String())
			}
		}
	}
	c.coalesced, c.fleet = m.coalesced.WithLabelValues(class, "replica"), m.coalesced.WithLabelValues(class, "fleet")
	if level == Data {
		c.loads = make(map[string]prometheus.Counter)
		for _, result := range []string{"ok", "not_found", "error"} {
			c.loads[result] = m.loads.WithLabelValues(class, result)
		}
		c.loadSeconds = m.loadSeconds.WithLabelValues(class)
	}
	return c
}

func (c *classMetrics) count(s Strategy, layer Layer, o Outcome) {
	if counter := c.requests[s][layer][o]; counter != nil {
		counter.Inc()
	}
}

// l1Size says how much one L1 store holds.
type l1Size struct {
	level   Level
	entries func() int
	bytes   func() uint64
}

// l1Collector sums the sizes of all L1 stores of a level when it is scraped.
type l1Collector struct {
	layers         *Layers
	entries, bytes *prometheus.Desc
}

func newL1Collector(layers *Layers) *l1Collector {
	level := []string{telemetry.LabelLevel}
	return &l1Collector{
		layers:  layers,
		entries: prometheus.NewDesc(telemetry.MetricCacheEntries, "Entries that L1 holds.", level, nil),
		bytes:   prometheus.NewDesc(telemetry.MetricCacheSize, "Bytes that L1 holds: encoded values and an estimate of what an entry costs beside.", level, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *l1Collector) Describe(ch chan<- *prometheus.Desc) { ch <- c.entries; ch <- c.bytes }

// Collect implements prometheus.Collector.
func (c *l1Collector) Collect(ch chan<- prometheus.Metric) {
	var entries, bytes [levels]float64
	for _, size := range c.layers.l1Sizes() {
		entries[size.level] += float64(size.entries())
		bytes[size.level] += float64(size.bytes())
	}
	for level := range Level(levels) {
		ch <- prometheus.MustNewConstMetric(c.entries, prometheus.GaugeValue, entries[level], level.String())
		ch <- prometheus.MustNewConstMetric(c.bytes, prometheus.GaugeValue, bytes[level], level.String())
	}
}
