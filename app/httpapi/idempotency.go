package httpapi

import (
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

// headerIdempotencyKey makes a POST one that is done once, however often it is sent (draft-ietf-httpapi-idempotency-key-header).
const headerIdempotencyKey = "Idempotency-Key"

// maxIdempotencyKey is in characters. A UUID has 36.
const maxIdempotencyKey = 128

// idempotencyKeyOf returns the request's key, or nothing. The draft wants a string in quotes; most clients send none, and the key is the same.
func idempotencyKeyOf(c *fiber.Ctx) (string, error) {
	const must = "must be there once, with 1 to 128 visible ASCII characters but quotes, commas, semicolons and backslashes, in quotes or not"
	fields := c.Request().Header.PeekAll(headerIdempotencyKey)
	if len(fields) == 0 {
		return "", nil
	}
	key := string(fields[0])
	if rest, quoted := strings.CutPrefix(key, `"`); quoted {
		var closed bool
		if key, closed = strings.CutSuffix(rest, `"`); !closed {
			return "", badHeader(headerIdempotencyKey, "", must)
		}
	}
	bad := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"\\,;", r) }
	if len(fields) > 1 || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, bad) {
		return "", badHeader(headerIdempotencyKey, "", must)
	}
	return key, nil
}

// What becomes of requests with a key, as labels' values.
const (
	onceFirst = iota
	onceReplayed
	onceMismatch
	onceInProgress

	onceResults
)

var onceNames = [onceResults]string{"first", "replayed", "mismatch", "in_progress"}

func newOnce(reg prometheus.Registerer) (counters [onceResults]prometheus.Counter) {
	requests := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricIdempotentRequests,
		Help: "Requests with an Idempotency-Key that were done or recognised. replayed: clients did not get the first answer. mismatch: a client uses keys twice, which is its bug.",
	}, []string{telemetry.LabelResult})
	for i, name := range onceNames {
		counters[i] = requests.WithLabelValues(name)
	}
	return counters
}

func (m *metrics) countOnce(replayed bool, err error) {
	switch {
	case replayed:
		m.once[onceReplayed].Inc()
	case err == nil:
		m.once[onceFirst].Inc()
	case errors.Is(err, listing.ErrKeyReused):
		m.once[onceMismatch].Inc()
	case errors.Is(err, listing.ErrInProgress):
		m.once[onceInProgress].Inc()
	}
}
