// Package viewcache keeps whole HTTP responses. A view is stamped with everything that was read to build it, so it is refused exactly
// when one of those things changed, and nobody keeps a list of URLs to purge.
package viewcache

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/telemetry"
)

// Key names a view.
type Key struct {
	Class string // listing, page, cities or stats: the label of its metrics
	Text  string // canonical: requests that mean the same have the same. It outlives the request
}

// LocalSource is the name of the Fiber local in which a request's cache.Source is left for whoever counts answers.
const LocalSource = "strata.source"

// errOrigin is what a handler's 5xx becomes, so that an older view may stand in for it.
var errOrigin = errors.New("the handler answered with a server error")

// Config says what shared caches in front of the service, a CDN say, may do with its answers. Zero values mean: nothing without asking.
//
// RFC 9111, section 4.2.4, has s-maxage forbid stale answers, while RFC 5861 makes the two stale directives a permission; CDNs take them for one.
type Config struct {
	SharedMaxAge         time.Duration // answer without asking, in whole seconds; how long they may not notice a change
	StaleWhileRevalidate time.Duration // after that, answer once more while they ask
	StaleIfError         time.Duration // after that, answer while nobody here can
}

// Views keeps the responses of the routes that it is put in front of.
type Views struct {
	layers  *cache.Caches
	classes map[string]*cache.Layered[string, *view]
	metrics *metrics

	policy, stalePolicy string // lines of the header that are the same for all answers, and for all stale ones
}

// New returns a view cache over the process's caches.
func New(cfg Config, layers *cache.Caches, tel *telemetry.Telemetry) *Views {
	v := &Views{
		layers: layers, classes: make(map[string]*cache.Layered[string, *view]), metrics: newMetrics(tel.Registry, layers),
		policy: cfg.policy(layers.Lab()), stalePolicy: Config{}.policy(layers.Lab()),
	}
	// Shares of L1: single listings are many and small, pages are fewer and twenty times as big, the rest is one or one a city.
	for class, share := range map[string]float64{"listing": 0.5, "page": 0.45, "stats": 0.04, "cities": 0.01} {
		v.classes[class] = cache.Of(layers, cache.Class[string, *view]{
			Name: class, Level: cache.Views, Share: share,
			Key:    func(text string) string { return text },
			Encode: encode, Decode: decode,
		})
	}
	return v
}

// Handler answers GET and HEAD requests from the cache, or lets the handlers behind it answer and keeps what they say. key names the view
// that a request asks for; with ok false the request passes by the views. Every answer gets ETag, Vary, Cache-Control, Cache-Status, Strata-As-Of,
// Age and Server-Timing, and is in the coding and on the conditions that the request asks for. It returns fiber.ErrNotAcceptable or
// fiber.ErrPreconditionFailed where there is no such answer.
func (v *Views) Handler(key func(*fiber.Ctx) (Key, bool)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if m := c.Method(); m != fiber.MethodGet && m != fiber.MethodHead {
			return c.Next()
		}
		asked := AskedBy(&c.Request().Header)
		if accept := acceptable(asked.encoding); accept.nothing() {
			return errNotAcceptable
		}
		ctx := c.UserContext()
		if cache.Audited(ctx) { // nobody reads the header fields, and nothing is to be counted
			if k, ok := key(c); ok {
				v.classes[k.Class].Audited(ctx, k.Text)
			}
			return c.Next()
		}
		strategy, keeps := v.layers.Keeps(ctx, cache.Views)
		k, ok := key(c)
		if !ok || !keeps {
			return v.pass(c, ctx, strategy, &asked)
		}
		view, result, ok := v.classes[k.Class].Lookup(ctx, k.Text)
		if !ok {
			return v.fill(c, ctx, strategy, v.classes[k.Class], k.Text, &asked)
		}
		c.Locals(LocalSource, cache.SourceViewL1)
		return v.answer(c.Context(), strategy, view, &asked, result, nil)
	}
}

// Hit answers a GET request for the view from L1 if that has a fresh one, as Handler does, and reports whether it did. It is for servers that know
// the key before Fiber has seen the request, and only for requests that are Simple and without a strategy of their own.
func (v *Views) Hit(c *fasthttp.RequestCtx, key Key, asked *Asked) bool {
	strategy, keeps := v.layers.Keeps(context.Background(), cache.Views)
	if !keeps {
		return false
	}
	view, result, ok := v.classes[key.Class].Lookup(context.Background(), key.Text)
	return ok && v.answer(c, strategy, view, asked, result, nil) == nil
}

// pass lets the handlers answer and keeps nothing. What nobody keeps is not compressed either, unless the client takes it no other way.
func (v *Views) pass(c *fiber.Ctx, ctx context.Context, strategy cache.Strategy, asked *Asked) error {
	ctx, trail := cache.Follow(ctx)
	c.SetUserContext(ctx)
	if err := c.Next(); err != nil {
		return err
	}
	return v.finish(c, strategy, described(c), asked, cache.Result{Source: cache.SourcePostgres}, trail)
}

// fill gets the view from L2, from another request that is making it, or from the handlers.
func (v *Views) fill(c *fiber.Ctx, ctx context.Context, strategy cache.Strategy, views *cache.Layered[string, *view], key string, asked *Asked) error {
	ctx, trail := cache.Follow(ctx)
	got, result, err := views.Fill(ctx, key, func(ctx context.Context) (*view, error) {
		c.SetUserContext(ctx)
		if err := c.Next(); err != nil {
			return nil, err
		}
		stamp := freshness.Collected(ctx)
		made := capture(c, stamp.Tags)
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
		return v.finish(c, strategy, described(c), asked, result, trail) // the handlers' own error goes out
	}
	if err != nil {
		return err
	}
	return v.finish(c, strategy, got, asked, result, trail)
}

// finish answers with the view, after the handlers or another layer were asked. trail is what the data level did.
func (v *Views) finish(c *fiber.Ctx, strategy cache.Strategy, view *view, asked *Asked, result cache.Result, trail *cache.Trail) error {
	sum, read := trail.Sum()
	if read && result.Source == cache.SourcePostgres { // passed by: nobody has summed it up yet
		sum.Steps = result.Steps
		result = sum
	}
	if !read && result.Source == cache.SourcePostgres && view.etag == "" {
		return nil // a refusal: it has nothing to do with the caches
	}
	if view.status >= fiber.StatusInternalServerError { // says nothing of the data, so it is as of no time
		result.AsOf, result.Filled = time.Time{}, time.Time{}
	}
	c.Locals(LocalSource, result.Source)
	return v.answer(c.Context(), strategy, view, asked, result, trail)
}

// answer makes the response what the request asks for: the view in one coding, or word that the client has it. The error says that it is neither.
// trail is nil for a view out of L1.
func (v *Views) answer(c *fasthttp.RequestCtx, strategy cache.Strategy, view *view, asked *Asked, result cache.Result, trail *cache.Trail) error {
	if seen, ok := c.UserValue(LocalSeen).(*Seen); ok {
		seen.note(view, result, trail)
	}
	res := &c.Response
	if trail != nil { // the handlers may have said so before it was clear whether it can be said
		res.Header.Del(fiber.HeaderETag)
		res.Header.Del(fiber.HeaderLastModified)
	}
	if view.etag == "" { // an error: it has one form, and no condition is about it
		write(res, view, identity)
		v.describe(&res.Header, strategy, view, asked, identity, 0, result, trail)
		return nil
	}
	asOf := result.AsOf
	if asOf.IsZero() {
		asOf = result.Filled
	}
	modified := view.lastModified(asOf)
	form, err := asked.resolve(view, modified)
	if err != nil && !errors.Is(err, errNotModified) {
		return err
	}
	if err != nil {
		res.Header.SetContentTypeBytes(nil)
		res.SetStatusCode(fiber.StatusNotModified)
		res.ResetBody()
	} else {
		write(res, view, form)
	}
	v.describe(&res.Header, strategy, view, asked, form, modified, result, trail)
	return nil
}

// write makes a form of the view the response.
func write(res *fasthttp.Response, view *view, c coding) {
	res.SetStatusCode(view.status)
	res.Header.SetContentType(view.contentType)
	body := view.form(c)
	if unsafe.SliceData(body) != unsafe.SliceData(res.Body()) { // the handlers' own is there already, in memory that fasthttp would give away
		res.SetBodyRaw(body) // not copied: fasthttp only reads it
	}
}

// describe writes the header fields, all as one: the name of the first, and its value with the lines of the others behind. fasthttp
// writes a value as it is, and to look each name up among those before it would cost a hit more than all else that it does here.
func (v *Views) describe(h *fasthttp.ResponseHeader, strategy cache.Strategy, view *view, asked *Asked, c coding, modified int64, result cache.Result, trail *cache.Trail) {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	b := appendCacheStatus((*buf)[:0], result, trail, strategy != cache.None && asked.Anew())
	b = append(b, lineServerTiming...)
	b = appendServerTiming(b, result)
	if !result.AsOf.IsZero() {
		b = append(b, lineAsOf...)
		b = appendAsOf(b, result, v.layers.Clock())
	}
	if old := ageOf(result, trail); old >= 0 {
		b = append(b, lineAge...)
		b = appendSeconds(b, old)
		v.metrics.observe(strategy, result, old)
	}
	if view.etag != "" {
		b = append(b, lineETag...)
		b = appendETag(b, view.etag, c)
		b = append(b, v.policyFor(asked, result.Source)...)
		if h.StatusCode() == fiber.StatusOK { // what else describes the form is not for those who have it (RFC 9110, section 15.4.5)
			if modified != 0 {
				b = append(b, lineLastModified...)
				b = appendDate(b, modified)
			}
			if c != identity {
				b = append(b, lineContentEncoding...)
				b = append(b, codingNames[c]...)
			}
			if asked.surrogate && view.keys != "" {
				b = append(b, lineSurrogateKey...)
				b = append(b, view.keys...)
			}
		}
	}
	h.SetCanonical(headerCacheStatus, b) // it copies
	*buf = b
}

// policyFor returns the lines that say what others may do with the answer. One to a request that says who asks is nobody else's (RFC 9111, section 3.5),
// and s-maxage would allow it.
func (v *Views) policyFor(asked *Asked, source cache.Source) string {
	switch {
	case asked.credentials:
		return lineCacheControl + "no-store"
	case source == cache.SourceStale: // it is what we have, and nobody else's to take for fresh
		return v.stalePolicy
	}
	return v.policy
}

// scratch holds buffers for header fields: one on the stack would escape into fasthttp, and be an allocation a request.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}
