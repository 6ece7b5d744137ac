package httpapi

import (
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/telemetry"
)

// reason is why something was refused to protect the service from whoever wanted it.
type reason uint8

const (
	refusedClientRate       reason = iota // the client asks more often than it may
	refusedRevalidationRate               // Cache-Control: no-cache is sent more often than it is honoured
	refusedLoads                          // too many loads are under way
	refusedBody                           // too large
	refusedHeader                         // too large, or the URL is
	refusedTimeout                        // the request took too long to arrive
	refusedConns                          // too many connections are open

	reasons = iota
)

var reasonNames = [reasons]string{"client_rate", "revalidation_rate", "loads", "body", "header", "timeout", "connections"}

func newRefused(reg prometheus.Registerer) (counters [reasons]prometheus.Counter) {
	refused := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricRefused,
		Help: "Requests, or what they asked for, that were refused to protect the service. loads: the database is the bottleneck. revalidation_rate is no lost request: it was answered from a cache although it asked for the origin. client_rate: see who it is before raising the rate. connections: MAX_CONNS are open.",
	}, []string{telemetry.LabelReason})
	for i, name := range reasonNames {
		counters[i] = refused.WithLabelValues(name)
	}
	return counters
}

// localOverloaded is the name of the Fiber local that holds the reason of a 503 that is one of shedding.
const localOverloaded = "strata.overloaded"

// countRefusal counts an answer if it refuses something. An answer that an older view stood in for refuses nothing, so it is asked last.
func (s *Server) countRefusal(c *fiber.Ctx, status int) {
	switch status {
	case fiber.StatusTooManyRequests:
		s.metrics.refused[refusedClientRate].Inc()
	case fiber.StatusServiceUnavailable:
		if why, ok := c.Locals(localOverloaded).(reason); ok {
			s.metrics.refused[why].Inc()
		}
	case fiber.StatusRequestEntityTooLarge:
		s.metrics.refused[refusedBody].Inc()
	case fiber.StatusRequestURITooLong, fiber.StatusRequestHeaderFieldsTooLarge:
		s.metrics.refused[refusedHeader].Inc()
	case fiber.StatusRequestTimeout:
		s.metrics.refused[refusedTimeout].Inc()
	}
}
