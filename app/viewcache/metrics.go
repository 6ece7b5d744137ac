package viewcache

import (
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

// sampled: one answer in so many is observed by the histograms. They show a distribution, and an observation of each hit would cost more than
// the hit's look-up.
const sampled = 16

type metrics struct {
	layers    *cache.Caches
	staleness [4]prometheus.Observer // by strategy
}

func newMetrics(reg prometheus.Registerer, layers *cache.Caches) *metrics {
	auto := promauto.With(reg)
	staleness := auto.NewHistogramVec(telemetry.AgeHistogram(telemetry.MetricServedStaleness,
		"How old an answer may have been when it left: the time since its as-of time, or since it was filled where a strategy knows no better. One answer in 16. "+
			"More than 0.25 s with strategy stamped means that the feed is late."), []string{telemetry.LabelStrategy})
	m := &metrics{layers: layers}
	for _, s := range cache.Strategies() {
		m.staleness[s] = staleness.WithLabelValues(s.String())
	}
	return m
}

// observe feeds the histograms with the age of an answer, now and then.
func (m *metrics) observe(s cache.Strategy, result cache.Result, old time.Duration) {
	if rand.Uint32N(sampled) != 0 {
		return
	}
	m.staleness[s].Observe(old.Seconds())
	if result.Source == cache.SourceViewL1 || result.Source == cache.SourceViewL2 {
		m.layers.ObserveAge(cache.Views, time.Since(result.Filled))
	}
}
