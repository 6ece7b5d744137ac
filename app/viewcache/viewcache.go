// Package viewcache keeps whole HTTP responses. A view is stamped with everything that was read to build it, so it is refused exactly
// when one of those things changed, and nobody keeps a list of URLs to purge.
package viewcache

import (
	"context"
	"errors"
	"sync"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"strata/app/cache"
	"strata/app/telemetry"
)

// Key names a view.
type Key struct {
	Class string // listing, page, cities or stats: the label of its metrics
	Text  string // canonical: requests that mean the same have the same. It outlives the request
}

// LocalSource is the name of the Fiber local in which a request's telemetry.Source is left for whoever counts answers.
const LocalSource = "strata.source"

// errOrigin is what a handler's 5xx becomes, so that an older view may stand in for it.
var errOrigin = errors.New("the handler answered with a server error")

// Views keeps the responses of the routes that it is put in front of.
type Views struct {
	layers  *cache.Layers
	classes map[string]*cache.Layered[string, *view]
	metrics *metrics
}

// New returns a view cache over the process's layers.
func New(layers *cache.Layers, tel *telemetry.Telemetry) *Views {
	v := &Views{layers: layers, classes: make(map[string]*cache.Layered[string, *view]), metrics: newMetrics(tel.Registry, layers)}
	// Shares of L1: single listings are many and small, pages are fewer and twenty times as big, the rest is one or one a city.
	for class, share := range map[string]float64{"listing": 0.5, "page": 0.45, "stats": 0.04, "cities": 0.01} {
		v.classes[class] = cache.New(layers, cache.Class[string, *view]{
			Name: class, Level: cache.Views, Share: share,
			Key:    func(text string) string { return text },
			Encode: encode, Decode: decode,
		})
	}
	return v
}

// Handler answers GET requests from the cache, or lets the handlers behind it answer and keeps what they say. key names the view
// that a request asks for; with ok false the request passes by the views. Every answer to a GET gets ETag, Cache-Status, Strata-As-Of, Age and
// Server-Timing, and a request whose If-None-Match names the ETag gets 304.
func (v *Views) Handler(key func(*fiber.Ctx) (Key, bool)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if m := c.Method(); m != fiber.MethodGet && m != fiber.MethodHead {
			return c.Next()
		}
		ctx := c.UserContext()
		if cache.Audited(ctx) { // nobody reads the header fields, and nothing is to be counted
			return c.Next()
		}
		strategy, keeps := v.layers.Keeps(ctx, cache.Views)
		k, ok := key(c)
		if !ok || !keeps {
			return v.pass(c, ctx, strategy)
		}
		if v.hit(c.Context(), ctx, strategy, k) {
			c.Locals(LocalSource, telemetry.SourceViewL1)
			return nil
		}
		return v.fill(c, ctx, strategy, v.classes[k.Class], k.Text)
	}
}

// Hit answers a GET request for the view from L1 if that has a fresh one, as Handler does, and reports whether it did. It is for servers that know
// the key before Fiber has seen the request, and only for requests without a strategy of their own.
func (v *Views) Hit(c *fasthttp.RequestCtx, key Key) bool {
	strategy, keeps := v.layers.Keeps(context.Background(), cache.Views)
	return keeps && v.hit(c, context.Background(), strategy, key)
}

func (v *Views) hit(c *fasthttp.RequestCtx, ctx context.Context, strategy cache.Strategy, key Key) bool {
	view, result, ok := v.classes[key.Class].Lookup(ctx, key.Text)
	if !ok {
		return false
	}
	write(&c.Response, view)
	v.describe(&c.Response.Header, strategy, view.etag, result, nil)
	notModified(c, view.etag)
	return true
}

// pass lets the handlers answer and keeps nothing.
func (v *Views) pass(c *fiber.Ctx, ctx context.Context, strategy cache.Strategy) error {
	ctx, trail := cache.Follow(ctx)
	c.SetUserContext(ctx)
	if err := c.Next(); err != nil {
		return err
	}
	etag := string(c.Response().Header.Peek(fiber.HeaderETag))
	if etag == "" && c.Response().StatusCode() == fiber.StatusOK {
		etag = etagOf(c.Response().Body())
	}
	v.finish(c, strategy, etag, cache.Result{Source: telemetry.SourcePostgres}, trail)
	return nil
}

// fill gets the view from L2, from another request that is making it, or from the handlers.
func (v *Views) fill(c *fiber.Ctx, ctx context.Context, strategy cache.Strategy, views *cache.Layered[string, *view], key string) error {
	ctx, trail := cache.Follow(ctx)
	answered := false // by the handlers, for this very request
	got, result, err := views.Fill(ctx, key, func(ctx context.Context) (*view, error) {
		answered = true
		c.SetUserContext(ctx)
		if err := c.Next(); err != nil {
			return nil, err
		}
		made := capture(c)
		switch {
		case made.status >= fiber.StatusInternalServerError:
			return nil, errOrigin
		case made.status != fiber.StatusOK:
			return made, cache.ErrDoNotKeep
		}
		return made, nil
	})
	c.SetUserContext(ctx) // without the collector of the load
	if errors.Is(err, errOrigin) {
		v.finish(c, strategy, "", result, trail) // the handlers' own error goes out
		return nil
	}
	if err != nil {
		return err
	}
	if !answered || result.Source == telemetry.SourceStale {
		write(c.Response(), got)
	}
	v.finish(c, strategy, got.etag, result, trail)
	return nil
}

// write makes the view the response.
func write(res *fasthttp.Response, view *view) {
	res.ResetBody()
	res.SetStatusCode(view.status)
	res.SetBodyRaw(view.body) // not copied: fasthttp only reads it
	res.Header.SetContentType(view.contentType)
}

// finish adds the headers that say where an answer came from and how fresh it is. trail is what the data level did; nil for a view out of L1.
func (v *Views) finish(c *fiber.Ctx, strategy cache.Strategy, etag string, result cache.Result, trail *cache.Trail) {
	if trail != nil && result.Source == telemetry.SourcePostgres { // the handlers made it
		source, read := trail.Source()
		if !read && etag == "" {
			return // a refusal: it has nothing to do with the caches
		}
		if read {
			result.Source = source
		}
		result.AsOf, result.Loaded = trail.AsOf(), trail.Loaded()
	}
	c.Locals(LocalSource, result.Source)
	v.describe(&c.Response().Header, strategy, etag, result, trail)
	notModified(c.Context(), etag)
}

// notModified turns the answer into 304 if the client has it already.
func notModified(c *fasthttp.RequestCtx, etag string) {
	if etag == "" || c.Response.StatusCode() != fiber.StatusOK || !matches(c.Request.Header.Peek(fiber.HeaderIfNoneMatch), etag) {
		return
	}
	c.Response.ResetBody()
	c.SetStatusCode(fiber.StatusNotModified)
}

// describe writes the header fields.
func (v *Views) describe(h *fasthttp.ResponseHeader, strategy cache.Strategy, etag string, result cache.Result, trail *cache.Trail) {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	if etag != "" {
		h.SetCanonical(headerETag, utils.UnsafeBytes(etag)) // it copies
		h.SetCanonical(headerCacheControl, noCache)
	}
	*buf = appendCacheStatus((*buf)[:0], result, trail)
	h.SetCanonical(headerCacheStatus, *buf)
	*buf = appendServerTiming((*buf)[:0], result)
	h.SetCanonical(headerServerTiming, *buf)
	if !result.AsOf.IsZero() {
		*buf = appendAsOf((*buf)[:0], result)
		h.SetCanonical(headerAsOf, *buf)
	}
	if old := ageOf(result, trail); old >= 0 {
		*buf = appendSeconds((*buf)[:0], old)
		h.SetCanonical(headerAge, *buf)
		v.metrics.observe(strategy, result, old)
	}
}

// scratch holds buffers for header fields: one on the stack would escape into fasthttp, and be an allocation a request.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}
