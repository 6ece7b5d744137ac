package httpapi

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

// methods are the values of the label http_request_method. The first stands for all that HTTP does not know.
var methods = [...]string{"_OTHER", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// statuses are those that this server answers with.
var statuses = [...]int{
	200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415, 422, 428, 429, 431, 500, 501, 502, 503, 504,
}

// sources is how many cache.Sources there are.
const (
	sources    = len(cache.Sources)
	strategies = 4 // of package cache
)

// metrics hold the children of each metric in arrays: to look one up by its labels would cost a hit more than the hit.
type metrics struct {
	duration  *prometheus.HistogramVec
	active    [len(methods)]prometheus.Gauge
	answers   [sources][strategies]prometheus.Counter
	refused   [reasons]prometheus.Counter
	once      [onceResults]prometheus.Counter
	routes    map[string]*route // by the path as Fiber knows it
	unmatched *route
	status    [600]uint8 // its place among statuses, plus 1
}

// route holds the duration's children of one route; each is made when it is first needed.
type route struct {
	name      string // as OpenAPI writes it: /v1/listings/{id}; empty where none matched
	durations [len(methods)][strategies][len(statuses)]atomic.Pointer[prometheus.Observer]
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	active := auto.NewGaugeVec(prometheus.GaugeOpts{
		Name: telemetry.MetricHTTPActive,
		Help: "Requests being served. A number that grows and stays means that something below is slow: look at the pools.",
	}, []string{telemetry.LabelMethod})
	answers := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricAnswers,
		Help: "Answers by where they came from: each answer once, so that the sum is the number of requests. " +
			"error are refusals and failures; http_server_request_duration_seconds tells which.",
	}, []string{telemetry.LabelSource, telemetry.LabelStrategy})
	m := &metrics{
		duration: auto.NewHistogramVec(telemetry.LatencyHistogram(telemetry.MetricHTTPDuration,
			"Time from a request's arrival to its answer being ready. Slow with source postgres: the database; slow with a hit: this process has too little CPU."),
			[]string{telemetry.LabelMethod, telemetry.LabelRoute, telemetry.LabelStatus, telemetry.LabelStrategy}),
		refused:   newRefused(reg),
		once:      newOnce(reg),
		routes:    make(map[string]*route),
		unmatched: new(route),
	}
	for i, method := range methods {
		m.active[i] = active.WithLabelValues(method)
	}
	for _, source := range cache.Sources {
		for _, s := range cache.Strategies() {
			m.answers[source][s] = answers.WithLabelValues(source.String(), s.String())
		}
	}
	for i, status := range statuses {
		m.status[status] = uint8(i + 1)
	}
	return m
}

// addRoute makes a route known. path is Fiber's: /v1/listings/:id.
func (m *metrics) addRoute(path string) {
	if m.routes[path] != nil {
		return
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	m.routes[path] = &route{name: strings.Join(parts, "/")}
}

// expect creates the metrics of the answers that an operation usually gives, and of the failures that an objective counts, so that they
// begin at 0. Others begin with their first.
func (m *metrics) expect(method, path string, strategies []cache.Strategy) {
	usual := []int{200, 500, 503, 504}
	switch method {
	case "GET":
		usual = append(usual, 304, 404)
	case "POST":
		usual[0] = 201
	case "DELETE":
		usual[0] = 204
	}
	for _, s := range strategies {
		for _, status := range usual {
			m.observer(m.routes[path], methodIndex(method), status, s)
		}
	}
}

// route returns the route whose path Fiber matched.
func (m *metrics) route(path string) *route {
	if r := m.routes[path]; r != nil {
		return r
	}
	return m.unmatched
}

// observer returns where the duration of an answer is to be observed.
func (m *metrics) observer(r *route, method uint8, status int, s cache.Strategy) prometheus.Observer {
	place := uint8(0)
	if status >= 0 && status < len(m.status) {
		place = m.status[status]
	}
	if place == 0 {
		return m.duration.WithLabelValues(methods[method], r.name, strconv.Itoa(status), s.String())
	}
	child := &r.durations[method][s][place-1]
	if o := child.Load(); o != nil {
		return *o
	}
	o := m.duration.WithLabelValues(methods[method], r.name, strconv.Itoa(status), s.String())
	child.Store(&o)
	return o
}

// methodIndex returns the place of a method among methods.
func methodIndex(method string) uint8 {
	switch method {
	case "GET":
		return 1
	case "HEAD":
		return 2
	case "POST":
		return 3
	case "PUT":
		return 4
	case "PATCH":
		return 5
	case "DELETE":
		return 6
	case "OPTIONS":
		return 7
	}
	return 0
}
