package httpapi

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/valyala/fasthttp"

	"strata/app/cache"
	"strata/app/freshness"
	"strata/app/telemetry"
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
}

// sample is an answer that went out.
type sample struct {
	request  *fasthttp.Request
	strategy cache.Strategy
	asOf     *freshness.AsOf // what the ledger vouched for just before the answer was looked for, so that the answer claims no less
	sum      uint64          // of the body, not compressed
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
	return a
}

// due returns what the ledger vouches for if an answer that is looked for now is to be audited, else nil. It costs an atomic load.
func (s *Server) due(now time.Time) *freshness.AsOf {
	if now.UnixNano() < s.audit.next.Load() {
		return nil
	}
	return s.ledger.AsOf()
}

// take notes an answer that is to be audited, unless another request was faster.
func (s *Server) take(c *fasthttp.RequestCtx, strategy cache.Strategy, asOf *freshness.AsOf) {
	if c.Response.StatusCode() != fiber.StatusOK || !c.IsGet() {
		return
	}
	now := time.Now().UnixNano()
	next := s.audit.next.Load()
	if now < next || !s.audit.next.CompareAndSwap(next, now+int64(s.audit.every)) {
		return
	}
	body, err := c.Response.BodyUncompressed()
	if err != nil {
		return
	}
	request := fasthttp.AcquireRequest() // never given back: it is one a second
	request.Header.SetMethod(fiber.MethodGet)
	request.Header.SetHostBytes(c.Request.Header.Host())
	request.SetRequestURIBytes(c.Request.Header.RequestURI()) // it copies
	select {
	case s.audit.work <- sample{request, strategy, asOf, xxhash.Sum64(body)}:
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
	status := c.Response.StatusCode()
	switch {
	case status != fiber.StatusOK && status != fiber.StatusNotFound:
		return auditError
	case status == fiber.StatusOK && xxhash.Sum64(c.Response.Body()) == x.sum:
		return auditSame
	case x.strategy != cache.Stamped:
		return auditStale
	case !s.ledger.Await(ctx, math.MaxUint64): // until it knows all that the truth may have held
		return auditError
	}
	// A change that the answer need not have shown is one of the same tags that was not visible when the answer was looked for.
	stamp := read.Stamp()
	stamp.Snapshot = x.asOf.Snapshot
	switch s.ledger.Judge(&stamp, nil) {
	case freshness.Invalidated:
		return auditChanged
	case freshness.Fresh:
		s.tel.Log.LogAttrs(ctx, slog.LevelError, "audit found a stale answer", slog.String("path", string(x.request.URI().Path())), slog.String("as_of", x.asOf.Text))
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
