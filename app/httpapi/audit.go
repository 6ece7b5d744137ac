package httpapi

import (
	"bytes"
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// The results of an audit.
const (
	auditSame    = iota // the answer is what would be made now
	auditChanged        // it is not, because of a change that came after what the answer claimed
	auditStale          // it is not, and should have been
	auditError          // the truth could not be had
	auditResults
)

var auditNames = [auditResults]string{"same", "changed", "stale", "error"}

// auditor takes a sample of the answers that come out of a cache, and compares each with the truth, behind everybody's back.
type auditor struct {
	every  time.Duration
	next   atomic.Int64 // Unix nanoseconds: from then on the next such answer is taken
	work   chan sample
	counts [auditResults][strategies]prometheus.Counter
	ages   [strategies]prometheus.Observer // of the changes that stale answers missed
}

// sample is an answer that went out.
type sample struct {
	request  *fasthttp.Request
	strategy cache.Strategy
	asOf     *freshness.AsOf // what the ledger vouched for just before the answer was looked for, so that the answer claims no less
	seen     *viewcache.Seen
	taken    time.Time
}

func newAuditor(every time.Duration, reg prometheus.Registerer) *auditor {
	counts := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricAudit,
		Help: "Answers out of a cache, about one a second, that were made again past all caches and compared. changed: something was changed after the answer's as-of time, as may be. " +
			"stale: the answer differs from the truth without that excuse. Under stamped that must never happen: somebody changed data without the change log's triggers; the log names the URL. " +
			"Under ttl and aside it is their price.",
	}, []string{telemetry.LabelResult, telemetry.LabelStrategy})
	a := &auditor{every: every, work: make(chan sample, 1)}
	a.next.Store(math.MaxInt64)
	for result, name := range auditNames {
		for _, s := range cache.Strategies() {
			a.counts[result][s] = counts.WithLabelValues(name, s.String())
		}
	}
	ages := promauto.With(reg).NewHistogramVec(telemetry.AgeHistogram(telemetry.MetricAuditStaleAge,
		"How long ago the change was made that a stale answer missed, by the time in the data; where they hold none, how long ago the answer was read from the database, "+
			"which is the most that it can be. Under stamped there must be none at all: the log names what was missed."),
		[]string{telemetry.LabelStrategy})
	for _, s := range cache.Strategies() {
		a.ages[s] = ages.WithLabelValues(s.String())
	}
	return a
}

// due returns what the ledger vouches for if an answer that is looked for now is to be audited, and then has it noted what that says; else nil. It costs
// an atomic load.
func (s *Server) due(c *fasthttp.RequestCtx, now time.Time) *freshness.AsOf {
	if now.UnixNano() < s.audit.next.Load() {
		return nil
	}
	c.SetUserValue(viewcache.LocalSeen, new(viewcache.Seen))
	return s.ledger.AsOf()
}

// take notes an answer that is to be audited, unless another request was faster.
func (s *Server) take(c *fasthttp.RequestCtx, strategy cache.Strategy, asOf *freshness.AsOf) {
	seen, ok := c.UserValue(viewcache.LocalSeen).(*viewcache.Seen)
	if !ok || seen.Status != fiber.StatusOK && seen.Status != fiber.StatusNotFound || !c.IsGet() && !c.IsHead() {
		return
	}
	now := time.Now()
	next := s.audit.next.Load()
	if now.UnixNano() < next || !s.audit.next.CompareAndSwap(next, now.Add(s.audit.every).UnixNano()) {
		return
	}
	request := fasthttp.AcquireRequest() // never given back: it is one a second
	request.Header.SetMethod(fiber.MethodGet)
	request.Header.SetHostBytes(c.Request.Header.Host())
	request.SetRequestURIBytes(c.Request.Header.RequestURI()) // it copies
	select {
	case s.audit.work <- sample{request, strategy, asOf, seen, now}:
	default: // the last one is still being looked at
	}
}

// Audit compares answers with the truth until ctx ends, and then returns nil. Its own requests are counted nowhere but as audits, and among
// the database's queries by the strategy audit.
func (s *Server) Audit(ctx context.Context) error {
	if s.audit.every <= 0 {
		return nil
	}
	s.audit.next.Store(0)
	defer s.audit.next.Store(math.MaxInt64)
	for {
		select {
		case <-ctx.Done():
			return nil
		case x := <-s.audit.work:
			result := s.compare(ctx, x)
			if ctx.Err() == nil {
				s.audit.counts[result][x.strategy].Inc()
			}
		}
	}
}

// localAudit is the name of the local in which a request of the auditor carries its context.
const localAudit = "strata.audit"

// compare makes an answer again and says how the one that went out compares with it.
func (s *Server) compare(ctx context.Context, x sample) int {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	truth, read := freshness.Collect(cache.Audit(cache.WithStrategy(ctx, x.strategy)))
	var c fasthttp.RequestCtx
	c.Init(x.request, nil, nil)
	c.SetUserValue(localAudit, truth)
	s.inner(&c)
	status, body := c.Response.StatusCode(), c.Response.Body()
	switch {
	case status != fiber.StatusOK && status != fiber.StatusNotFound:
		return auditError
	case status == x.seen.Status && (status == fiber.StatusNotFound || bytes.Equal(body, x.seen.Body)):
		return auditSame
	case x.strategy != cache.Stamped:
		s.audit.ages[x.strategy].Observe(x.missed(body).Seconds())
		return auditStale
	case !s.ledger.Await(ctx, freshness.Commit{}): // until it knows all that the truth may have held
		return auditError
	}
	// A change that the answer need not have shown is one of the same tags that was not visible when the answer was looked for.
	stamp := read.Stamp()
	truthSnapshot := stamp.Snapshot
	stamp.Snapshot = x.asOf.Snapshot
	switch s.ledger.Judge(&stamp, nil) {
	case freshness.Invalidated:
		return auditChanged
	case freshness.Fresh:
		s.condemn(truth, x, stamp.Epoch, truthSnapshot, body)
		return auditStale
	}
	return auditError
}

// remake answers a request of the auditor, and counts nothing.
func (s *Server) remake(c *fiber.Ctx, truth context.Context) {
	c.SetUserContext(truth)
	if err := s.protect(c); err != nil {
		s.writeError(c, err)
	}
}
