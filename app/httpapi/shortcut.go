package httpapi

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/cache"
	"example.com/strata/app/viewcache"
)

// The way to a view leads through Fiber's context, its router and the parsing of the URL, which together cost more than the view. They
// say the same for the same bytes, so their word is kept: a URL that has led to a view before goes there at once. Whatever is not a
// plain hit takes the whole way.

// shortcut is where a URL leads.
type shortcut struct {
	url   string // path and query, byte by byte as the client sends them
	key   viewcache.Key
	route *route
}

// shortcuts remembers as many as it has places. A URL has one place, and the last to come has it: many URLs for one view cannot grow it.
type shortcuts struct {
	seed   maphash.Seed
	places [1 << 14]atomic.Pointer[shortcut]
}

func newShortcuts() *shortcuts { return &shortcuts{seed: maphash.MakeSeed()} }

func (s *shortcuts) place(url string) *atomic.Pointer[shortcut] {
	return &s.places[maphash.String(s.seed, url)%uint64(len(s.places))]
}

// find returns where the URL leads, or nil.
func (s *shortcuts) find(url string) *shortcut {
	if found := s.place(url).Load(); found != nil && found.url == url {
		return found
	}
	return nil
}

// remembering returns a key builder that also remembers where the request's URL leads.
func (s *Server) remembering(path string, key func(*fiber.Ctx) (viewcache.Key, bool)) func(*fiber.Ctx) (viewcache.Key, bool) {
	route := s.metrics.route(path)
	return func(c *fiber.Ctx) (viewcache.Key, bool) {
		k, ok := key(c)
		if url := utils.UnsafeString(c.Request().Header.RequestURI()); ok && s.shortcuts.find(url) == nil {
			url = utils.CopyString(url)
			s.shortcuts.place(url).Store(&shortcut{url, k, route})
		}
		return k, ok
	}
}

// localSampled is the name of the local that tells serve that a request was picked for tracing: the dice are thrown once.
const localSampled = "strata.sampled"

// short answers a request that hits a view, and reports whether it did.
func (s *Server) short(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	if !h.IsGet() || s.layers.Lab() {
		return false
	}
	to := s.shortcuts.find(utils.UnsafeString(h.RequestURI()))
	if to == nil {
		return false
	}
	began := time.Now()
	audited := s.due(ctx, began)
	var asked viewcache.Asked
	var traceparent, id []byte
	seen := false
	for name, value := range h.All() {
		switch string(name) {
		case "Traceparent":
			traceparent = value
		case headerSeen:
			seen = true
		case headerRequestID:
			id = value
		default:
			asked.Note(name, value)
		}
	}
	sampled := s.tel.Sampled(utils.UnsafeString(traceparent))
	if sampled || seen || !asked.Simple() || !s.views.Hit(ctx, to.key, &asked) {
		ctx.SetUserValue(localSampled, sampled)
		return false
	}
	secure(&ctx.Response.Header, true)
	echoID(&ctx.Response.Header, id)
	s.metrics.answers[cache.SourceViewL1][s.strategy].Inc()
	s.metrics.observer(to.route, methodIndex(fiber.MethodGet), ctx.Response.StatusCode(), s.strategy).Observe(time.Since(began).Seconds())
	if audited != nil {
		s.take(ctx, s.strategy, audited)
	}
	return true
}

// sampled reports whether a request is to be traced.
func (s *Server) sampled(c *fiber.Ctx, traceparent string) bool {
	if decided, ok := c.Locals(localSampled).(bool); ok {
		return decided
	}
	return s.tel.Sampled(traceparent)
}
