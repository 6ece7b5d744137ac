// Package httpapi is the public HTTP side of the service: routes, OpenAPI, problem details, authentication and limits.
//
// A request goes through these, from the first to the last: metrics and trace, recovery from panics, what the request's headers ask of the caches,
// the view cache, the client's rate, a deadline, and the operation itself. A view that is found answers the request before the last three.
package httpapi

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
	"golang.org/x/time/rate"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/app/ratelimit"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// Config holds the settings of a Server. Zero values mean the defaults.
type Config struct {
	Tokens []Token // who may write. None: writes are switched off

	// What a client may ask for in a second, ten times that at once; 0: as much as it likes. A read that a view answers is not counted.
	ReadRate       int64
	WriteRate      int64
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed when clients are told apart; none

	RevalidationRate  float64 // requests a second that may ask for an answer past the caches; 10. Below 0: none
	RevalidationBurst int     // of those that may come at once; 20

	RequestTimeout time.Duration // an operation may take; 10 s
	ReadTimeout    time.Duration // a client may take to send a request; 10 s
	WriteTimeout   time.Duration // a client may take to receive an answer; 30 s
	IdleTimeout    time.Duration // a connection may wait for its next request; 75 s, above the usual 60 s of proxies, so that they close first

	MaxConns int // connections at once; 4096: more are refused. Each keeps a buffer for a header, and while somebody who may write sends a body, up to 1 MiB

	AuditInterval time.Duration // between two answers that are audited; 1 s; negative: none is
	SlowRequest   time.Duration // a request may take before the log notes it; 1 s
}

// The limits of a request. What exceeds them is refused before it reaches a handler.
const (
	maxBody   = 1 << 20 // bytes; the largest sensible listing has 50 kB
	maxHeader = 8 << 10 // bytes of the request line and all header fields
	maxURL    = 2 << 10 // bytes of path and query
)

func (c Config) withDefaults() Config {
	orDefault(&c.RevalidationRate, 10)
	orDefault(&c.RevalidationBurst, 20)
	orDefault(&c.RequestTimeout, 10*time.Second)
	orDefault(&c.ReadTimeout, 10*time.Second)
	orDefault(&c.WriteTimeout, 30*time.Second)
	orDefault(&c.IdleTimeout, 75*time.Second)
	orDefault(&c.MaxConns, 4096)
	orDefault(&c.AuditInterval, time.Second)
	orDefault(&c.SlowRequest, time.Second)
	return c
}

func orDefault[T comparable](value *T, byDefault T) {
	var zero T
	if *value == zero {
		*value = byDefault
	}
}

// Server answers the public API.
type Server struct {
	cfg      Config
	listings *listing.Service
	views    *viewcache.Views
	layers   *cache.Caches
	ledger   *freshness.Ledger
	tel      *telemetry.Telemetry

	app       *fiber.App
	inner     fasthttp.RequestHandler // the app's
	audit     *auditor
	access    accessLog
	mu        sync.Mutex
	conns     *bounded    // nil before Serve
	stopped   atomic.Bool // Shutdown was called
	metrics   *metrics
	shortcuts *shortcuts
	strategy  cache.Strategy // of requests that choose none

	limiter       *ratelimit.Limiter
	readRate      *ratelimit.Policy // nil without
	writeRate     *ratelimit.Policy // nil without
	revalidations *rate.Limiter
	contexts      []context.Context // one for each strategy, so that no request of the laboratory has to make one
}

// New returns a Server that listens nowhere yet.
func New(cfg Config, listings *listing.Service, views *viewcache.Views, layers *cache.Caches, ledger *freshness.Ledger, limiter *ratelimit.Limiter, tel *telemetry.Telemetry) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg: cfg, listings: listings, views: views, layers: layers, ledger: ledger, tel: tel,
		metrics: newMetrics(tel.Registry), shortcuts: newShortcuts(), strategy: layers.Strategy(context.Background()),
		limiter: limiter, readRate: policyOf("reads", cfg.ReadRate), writeRate: policyOf("writes", cfg.WriteRate),
	}
	s.audit, s.access.slow = newAuditor(cfg.AuditInterval, tel.Registry), cfg.SlowRequest
	s.revalidations = rate.NewLimiter(rate.Limit(cfg.RevalidationRate), cfg.RevalidationBurst)
	if cfg.RevalidationRate < 0 {
		s.revalidations = rate.NewLimiter(0, 0)
	}
	for _, strategy := range cache.Strategies() {
		s.contexts = append(s.contexts, cache.WithStrategy(context.Background(), strategy))
	}
	s.app = fiber.New(fiber.Config{
		AppName:                      "strata",
		CaseSensitive:                true,
		StrictRouting:                true,
		BodyLimit:                    maxBody,
		ReadBufferSize:               maxHeader,
		ReadTimeout:                  cfg.ReadTimeout,
		WriteTimeout:                 cfg.WriteTimeout,
		IdleTimeout:                  cfg.IdleTimeout,
		Concurrency:                  cfg.MaxConns + fiber.DefaultConcurrency, // never reached: Serve bounds them, and a worker is free a little later than its connection
		DisablePreParseMultipartForm: true,                                    // nobody here wants one, so nobody shall make us read one
		DisableStartupMessage:        true,
		ErrorHandler:                 s.refuse,
	})
	s.app.Use(s.serve)
	s.register()
	server := s.app.Server()
	s.inner = server.Handler
	server.HeaderReceived = s.received
	server.Handler = func(ctx *fasthttp.RequestCtx) {
		if mayHaveUnread(&ctx.Request.Header) {
			leaveUnread(ctx)
		}
		switch {
		case s.short(ctx):
		case !knownMethod(ctx.Method()): // Fiber would answer in plain text
			s.refuseMethod(ctx)
		default:
			s.inner(ctx)
		}
		if s.stopped.Load() {
			ctx.Response.SetConnectionClose() // fasthttp says so only once it closes connections that wait
		}
	}
	s.answerBrokenRequests(server)
	return s
}

// answerBrokenRequests has requests that were not read to their end answered by refuse, where their clients can see it.
func (s *Server) answerBrokenRequests(server *fasthttp.Server) {
	refuse := server.ErrorHandler // Fiber's, which ends in refuse
	server.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) {
		leaveUnread(ctx)
		refuse(ctx, err)
	}
}

// Serve answers on l until Shutdown, and then returns nil. It closes l. After Shutdown it returns at once.
func (s *Server) Serve(l net.Listener) error {
	connections := s.bound(l)
	if !s.listen(connections) {
		return l.Close()
	}
	defer connections.wait()
	return s.app.Listener(connections)
}

func (s *Server) listen(l *bounded) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = l
	return !s.stopped.Load()
}

// Shutdown stops listening and waits for the answers under way until ctx ends. A connection that waits for its next request is answered once more,
// and told that this was the last time, before it is closed: a request may be on its way already, and nobody but its client may send a write again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped.Store(true)
	conns := s.conns
	s.mu.Unlock()
	if conns != nil {
		conns.leave(ctx)
	}
	return s.app.ShutdownWithContext(ctx)
}

// closedOnce is a listener that may be closed again.
type closedOnce struct {
	net.Listener
	once sync.Once
	err  error
}

// Close closes the listener, and returns what that returned the first time.
func (l *closedOnce) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// SetDeadline bounds the waiting for a connection, where the listener can do that.
func (l *closedOnce) SetDeadline(t time.Time) error {
	bounded, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return bounded.SetDeadline(t)
}

func knownMethod(method []byte) bool {
	switch string(method) {
	case fiber.MethodGet, fiber.MethodHead, fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete,
		fiber.MethodOptions, fiber.MethodConnect, fiber.MethodTrace:
		return true
	}
	return false
}

// refuseMethod answers a request whose method is not HTTP's.
func (s *Server) refuseMethod(ctx *fasthttp.RequestCtx) {
	c := s.app.AcquireCtx(ctx)
	defer s.app.ReleaseCtx(c)
	_ = s.refuse(c, fiber.ErrNotImplemented) // it returns no error
}
