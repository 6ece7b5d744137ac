package httpapi

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// The header fields that are this service's own.
const (
	headerStrategy = "Strata-Strategy" // of a request in the laboratory: the strategy to answer it with
	headerSeen     = "Strata-Seen"     // of a write's answer: its transaction; of a request: a transaction that the client has seen the effect of
)

// seenWithin is how long a read waits for the ledger to cover a write that its client has seen, before it reads the database instead.
const seenWithin = 50 * time.Millisecond

// serve is around every request that HTTP could parse. On a hit it is most of the work there is, so it makes nothing that a hit does not need.
func (s *Server) serve(c *fiber.Ctx) error {
	if truth, ok := c.Locals(localAudit).(context.Context); ok {
		s.remake(c, truth)
		return nil
	}
	began := time.Now()
	audited := s.due(c.Context(), began)
	method := methodIndex(c.Method())
	s.metrics.active[method].Inc()
	s.open(c)
	var span trace.Span
	if traceparent := c.Get("traceparent"); s.sampled(c, traceparent) {
		span = s.startSpan(c, traceparent)
	}
	if err := s.protect(c); err != nil {
		s.writeError(c, err)
	}
	forbidStoring(c)
	source, strategy := s.count(c, s.metrics.route(c.Route().Path), method, time.Since(began), span)
	if audited != nil && source <= cache.SourceDataL2 && c.Locals(viewcache.LocalSource) != nil {
		s.take(c.Context(), strategy, audited)
	}
	s.metrics.active[method].Dec()
	return nil
}

// refuse answers what never came to serve: requests that are too large or not HTTP.
func (s *Server) refuse(c *fiber.Ctx, err error) error {
	s.open(c)
	s.writeError(c, err)
	forbidStoring(c)
	s.count(c, s.metrics.unmatched, methodIndex(c.Method()), 0, nil)
	return nil
}

// panicked is a panic that was recovered from.
type panicked struct {
	value any
	stack []byte
}

// Error says what the panic said.
func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func (s *Server) protect(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p, debug.Stack()}
		}
	}()
	if err := s.prepare(c); err != nil {
		return err
	}
	if isPreflight(c) {
		preflight(c)
		return nil
	}
	return c.Next()
}

// prepare puts into the context what the request's header fields ask of the caches.
func (s *Server) prepare(c *fiber.Ctx) error {
	if len(c.Request().Header.RequestURI()) > maxURL { // the request's own RequestURI would have it parsed once more
		return fiber.ErrRequestURITooLong
	}
	if s.layers.Lab() {
		if name := c.Get(headerStrategy); name != "" {
			if err := s.choose(c, name); err != nil {
				return err
			}
		}
	}
	s.name(c) // behind choose, which has contexts for those that say nothing yet
	if xid := c.Get(headerSeen); xid != "" {
		return s.awaitSeen(c, xid)
	}
	return nil
}

func (s *Server) choose(c *fiber.Ctx, name string) error {
	strategy, err := cache.ParseStrategy(name)
	if err != nil {
		return badHeader(headerStrategy, name, "must be none, ttl, aside or stamped")
	}
	if ctx := c.UserContext(); ctx != context.Background() {
		c.SetUserContext(cache.WithStrategy(ctx, strategy))
		return nil
	}
	c.SetUserContext(s.contexts[strategy])
	return nil
}

// awaitSeen makes sure that the answer holds what its client has seen. Only a stamped cache can tell whether it does; what the others hold is
// as old as their lifetime allows, which is what they are compared for.
func (s *Server) awaitSeen(c *fiber.Ctx, text string) error {
	commit, err := freshness.ParseCommit(text)
	if err != nil {
		return badHeader(headerSeen, text, "must be the transaction that the answer to a write names")
	}
	ctx := c.UserContext()
	if s.layers.Strategy(ctx) != cache.Stamped || s.ledger.Covers(commit) {
		return nil
	}
	awaiting, span := s.tel.Tracer.Start(ctx, telemetry.SpanFeedAwait)
	defer span.End()
	awaiting, cancel := context.WithTimeout(awaiting, seenWithin)
	defer cancel()
	if !s.ledger.Await(awaiting, commit) {
		c.SetUserContext(cache.Bypass(ctx))
	}
	return nil
}

// forbidStoring keeps errors out of all caches: some of their statuses may be stored unless that is said (RFC 9110, section 15.1), and what does not exist
// now may exist in a moment.
func forbidStoring(c *fiber.Ctx) {
	if c.Response().StatusCode() >= fiber.StatusBadRequest {
		c.Response().Header.Set(fiber.HeaderCacheControl, "no-store")
	}
}

// revalidate lets a request that asks for an answer anew (Cache-Control: no-cache, max-age=0; Pragma) pass by the caches. What a stamped cache gives
// is as good as proven, so for it this means reading the database; so that nobody can hurt that, only so many do, and the others are answered as usual.
func (s *Server) revalidate(c *fiber.Ctx) error {
	ctx := c.UserContext()
	asked := viewcache.AskedBy(&c.Request().Header)
	switch {
	case !asked.Anew() || s.layers.Strategy(ctx) == cache.None:
	case s.revalidations.Allow():
		c.SetUserContext(cache.Bypass(ctx))
	default:
		s.metrics.refused[refusedRevalidationRate].Inc()
	}
	return c.Next()
}

// bounded gives an operation its deadline. It stands behind the view cache: a hit needs none.
func (s *Server) bounded(c *fiber.Ctx) error {
	outer := c.UserContext()
	ctx, cancel := context.WithTimeout(outer, s.cfg.RequestTimeout)
	defer cancel()
	c.SetUserContext(ctx)
	err := c.Next()
	c.SetUserContext(outer)
	return err
}

// count notes one answer: once in each metric, and on the span if there is one.
func (s *Server) count(c *fiber.Ctx, r *route, method uint8, took time.Duration, span trace.Span) (cache.Source, cache.Strategy) {
	ctx := c.UserContext()
	strategy := s.layers.Strategy(ctx)
	status := c.Response().StatusCode()
	source := sourceOf(c, method, status)
	if status >= fiber.StatusBadRequest {
		s.countRefusal(c, status)
	}
	s.metrics.answers[source][strategy].Inc()
	s.logAccess(ctx, r, method, status, took, source, strategy)
	observer := s.metrics.observer(r, method, status, strategy)
	if span == nil {
		observer.Observe(took.Seconds())
		return source, strategy
	}
	telemetry.Observe(ctx, observer, took.Seconds())
	if r.name != "" {
		span.SetName(methods[method] + " " + r.name)
		span.SetAttributes(telemetry.AttrHTTPRoute.String(r.name))
	}
	span.SetAttributes(telemetry.AttrHTTPStatus.Int(status), telemetry.AttrSource.String(source.String()), telemetry.AttrStrategy.String(strategy.String()))
	if query := c.Request().URI().QueryString(); status < fiber.StatusBadRequest && len(query) > 0 {
		span.SetAttributes(telemetry.AttrURLQuery.String(string(query)))
	}
	span.SetAttributes(outcomes(cache.TrailOf(ctx), source)...)
	if status >= fiber.StatusInternalServerError {
		span.SetAttributes(telemetry.AttrErrorType.String(strconv.Itoa(status)))
		span.SetStatus(codes.Error, "")
	}
	span.End()
	return source, strategy
}

// outcomes are what the layers said, as attributes. Without a trail a view out of L1 answered, or no cache was asked.
func outcomes(trail *cache.Trail, source cache.Source) (attrs []attribute.KeyValue) {
	if trail == nil {
		if source == cache.SourceViewL1 {
			attrs = append(attrs, telemetry.AttrViewL1Outcome.String(cache.Hit.String()))
		}
		return attrs
	}
	collapsed := false
	for _, layer := range []struct {
		key   attribute.Key
		level cache.Level
		layer cache.Layer
	}{
		{telemetry.AttrViewL1Outcome, cache.Views, cache.L1}, {telemetry.AttrViewL2Outcome, cache.Views, cache.L2},
		{telemetry.AttrDataL1Outcome, cache.Data, cache.L1}, {telemetry.AttrDataL2Outcome, cache.Data, cache.L2},
	} {
		step := trail.Step(layer.level, layer.layer)
		if step.Outcome != 0 {
			attrs = append(attrs, layer.key.String(step.Outcome.String()))
		}
		collapsed = collapsed || step.Collapsed
	}
	if collapsed {
		attrs = append(attrs, telemetry.AttrCoalesced.Bool(true))
	}
	if asOf := trail.AsOf(); !asOf.IsZero() {
		attrs = append(attrs, telemetry.AttrAge.Float64(time.Since(asOf).Seconds()*1000))
	}
	return attrs
}

// sourceOf says where an answer came from. The view cache knows it of every read that had an answer, also of one that there is no such thing.
func sourceOf(c *fiber.Ctx, method uint8, status int) cache.Source {
	if status >= fiber.StatusBadRequest && status != fiber.StatusNotFound {
		return cache.SourceError
	}
	if source, ok := c.Locals(viewcache.LocalSource).(cache.Source); ok {
		return source
	}
	switch {
	case status >= fiber.StatusBadRequest:
		return cache.SourceError
	case methods[method] == fiber.MethodGet || methods[method] == fiber.MethodHead || methods[method] == fiber.MethodOptions:
		return cache.SourceViewL1 // the service's own pages: made once, kept in the process
	}
	return cache.SourcePostgres
}

// startSpan starts the server span of a sampled request. What it keeps of the request is copied: Fiber reuses its buffers.
func (s *Server) startSpan(c *fiber.Ctx, traceparent string) trace.Span {
	attrs := []attribute.KeyValue{
		telemetry.AttrHTTPMethod.String(methods[methodIndex(c.Method())]),
		telemetry.AttrURLPath.String(strings.Clone(c.Path())),
		telemetry.AttrURLScheme.String(strings.Clone(c.Protocol())),
		telemetry.AttrProtocolVersion.String(strings.TrimPrefix(string(c.Request().Header.Protocol()), "HTTP/")),
	}
	host := string(c.Request().Header.Host())
	if name, port, err := net.SplitHostPort(host); err == nil {
		host = name
		if number, err := strconv.Atoi(port); err == nil {
			attrs = append(attrs, telemetry.AttrServerPort.Int(number))
		}
	}
	attrs = append(attrs, telemetry.AttrServerAddress.String(host))
	ctx, span := s.tel.StartServer(c.UserContext(), traceparent, c.Get("tracestate"), methods[methodIndex(c.Method())], attrs...)
	c.SetUserContext(ctx)
	return span
}
