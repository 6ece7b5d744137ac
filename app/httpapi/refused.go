package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"strata/app/telemetry"
)

// The reasons for which something is refused to protect the service: the values of the label reason.
const (
	refusedClientRate       = "client_rate"       // a client asks too often
	refusedRevalidationRate = "revalidation_rate" // clients want answers past the caches too often; they were given what the caches hold
	refusedLoads            = "loads"             // too much is being loaded at once
	refusedBody             = "body"              // a body is too large
	refusedHeader           = "header"            // header or URL are too large
	refusedTimeout          = "timeout"           // a client takes too long to send its request
)

// refusals count what is refused, by reason.
type refusedCounters map[string]prometheus.Counter

func newRefusedCounters(reg prometheus.Registerer) refusedCounters {
	counters := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricRefused,
		Help: "What was refused to protect the service. revalidation_rate is no lost request: it was answered from a cache although it asked for the origin. " +
			"loads growing means that the database cannot keep up; the others mean that some client misbehaves.",
	}, []string{telemetry.LabelReason})
	r := make(refusedCounters)
	for _, reason := range []string{refusedClientRate, refusedRevalidationRate, refusedLoads, refusedBody, refusedHeader, refusedTimeout} {
		r[reason] = counters.WithLabelValues(reason)
	}
	return r
}

// refused returns the counter of a reason.
func (m *metrics) refused(reason string) prometheus.Counter { return m.refusals[reason] }
