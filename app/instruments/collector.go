package instruments

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

// cacheCollector reads the caches' own counters when it is scraped, so that a hit pays for one addition and no metric.
type cacheCollector struct {
	caches *cache.Caches

	requests, loads, coalesced, evictions, inFlight, limit, entries, bytes, capacity, strategy *prometheus.Desc
}

func newCacheCollector(caches *cache.Caches) *cacheCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &cacheCollector{
		caches: caches,
		requests: desc(telemetry.MetricCacheRequests,
			"Reads of a cache layer by what it said. Hit ratio of a layer: hit / (hit+miss+expired+invalidated+stale); never average layers.",
			telemetry.LabelLevel, telemetry.LabelLayer, telemetry.LabelClass, telemetry.LabelOutcome, telemetry.LabelStrategy),
		loads: desc(telemetry.MetricCacheLoads,
			"Loads of a value from the origin by result. Errors mean that the database fails or is slow: see the database's own board.",
			telemetry.LabelClass, telemetry.LabelResult),
		coalesced: desc(telemetry.MetricCacheCoalesced,
			"Reads that waited for another read's load instead of starting their own: of this replica, or of another one of the fleet. "+
				"Many mean that a hot entry changes often or loads slowly: see strata_cache_load_duration_seconds.",
			telemetry.LabelClass, telemetry.LabelScope),
		evictions: desc(telemetry.MetricCacheEvictions,
			"Entries that L1 dropped to stay within its capacity. A steady stream means that the working set does not fit.",
			telemetry.LabelLevel, telemetry.LabelReason),
		inFlight: desc(telemetry.MetricCacheLoadsInFlight,
			"Loads from the origin under way. At its limit, further ones wait, and are shed with 503 before long: the database is too slow, or too little is kept.",
			telemetry.LabelClass),
		limit:   desc(telemetry.MetricCacheLoadsLimit, "Loads from the origin that may be under way at once.", telemetry.LabelClass),
		entries: desc(telemetry.MetricCacheEntries, "Entries that L1 holds.", telemetry.LabelLevel),
		bytes: desc(telemetry.MetricCacheSize,
			"Bytes that L1 holds: encoded values and an estimate of what an entry costs beside.", telemetry.LabelLevel),
		capacity: desc(telemetry.MetricCacheCapacity,
			"Bytes that L1 may hold at a level. Size near it with a steady stream of evictions means that the working set does not fit.",
			telemetry.LabelLevel),
		strategy: desc(telemetry.MetricStrategyInfo,
			"1 for the strategy that requests use unless a laboratory's request chooses another.", telemetry.LabelStrategy),
	}
}

// Describe implements prometheus.Collector.
func (c *cacheCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.requests, c.loads, c.coalesced, c.evictions, c.inFlight, c.limit, c.entries, c.bytes, c.capacity, c.strategy} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *cacheCollector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		send(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		send(d, prometheus.CounterValue, float64(value), labels...)
	}
	loading, room := c.caches.Loads()
	gauge(c.inFlight, float64(loading), "all")
	gauge(c.limit, float64(room), "all")
	var entries, bytes, evictions [2]uint64 // by level
	stats := c.caches.Stats()
	for _, s := range stats {
		entries[s.Level] += uint64(s.Entries)
		bytes[s.Level] += s.Bytes
		evictions[s.Level] += s.Evictions
		c.reads(s, counter)
		if s.Room > 0 {
			gauge(c.inFlight, float64(s.Loading), s.Class)
			gauge(c.limit, float64(s.Room), s.Class)
		}
	}
	for _, level := range cache.Levels() {
		gauge(c.entries, float64(entries[level]), level.String())
		gauge(c.bytes, float64(bytes[level]), level.String())
		gauge(c.capacity, float64(c.caches.Capacity(level)), level.String())
		counter(c.evictions, evictions[level], level.String(), "size")
	}
	usual := c.caches.Strategy(context.Background())
	for _, s := range cache.Strategies() {
		one := 0.0
		if s == usual {
			one = 1
		}
		gauge(c.strategy, one, s.String())
	}
	c.perClass(stats, counter)
}

// reads sends what the layers said to the reads of a class, where they keep anything.
func (c *cacheCollector) reads(s cache.Stats, counter func(*prometheus.Desc, uint64, ...string)) {
	for _, strategy := range cache.Strategies() {
		for _, layer := range []cache.Layer{cache.L1, cache.L2} {
			if !s.Keeps[strategy].Has(s.Level, layer) {
				continue
			}
			for o := cache.Hit; o <= cache.Failed; o++ {
				counter(c.requests, s.Reads[strategy][layer][o], s.Level.String(), layer.String(), s.Class, o.String(), strategy.String())
			}
		}
	}
}

// perClass sends what has the class alone as its label: a class of views and one of data may have the same name.
func (c *cacheCollector) perClass(stats []cache.Stats, counter func(*prometheus.Desc, uint64, ...string)) {
	replica, fleet := make(map[string]uint64), make(map[string]uint64)
	for _, s := range stats {
		replica[s.Class] += s.JoinedReplica
		fleet[s.Class] += s.JoinedFleet
		if s.Level != cache.Data {
			continue
		}
		for _, r := range cache.LoadResults() {
			counter(c.loads, s.Loads[r], s.Class, r.String())
		}
	}
	for class := range replica {
		counter(c.coalesced, replica[class], class, "replica")
		counter(c.coalesced, fleet[class], class, "fleet")
	}
}
