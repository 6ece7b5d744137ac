package httpapi

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/cache"
)

// BenchmarkBareHandler is Fiber answering with the same bytes and header fields and nothing around it: what a hit is measured against.
func BenchmarkBareHandler(b *testing.B) {
	s := newService(b, cache.Config{Strategy: cache.Stamped})
	hit := s.get(b, "/v1/listings/7")
	app := fiber.New()
	body := []byte(hit.body)
	app.Get("/v1/listings/:id", func(c *fiber.Ctx) error {
		h := &c.Response().Header
		for _, name := range []string{"Etag", "Vary", "Cache-Control", "Last-Modified", "Cache-Status", "Server-Timing", "Strata-As-Of", "Age"} {
			h.Set(name, hit.header.Get(name))
		}
		h.SetContentType(typeJSON)
		c.Response().SetBodyRaw(body)
		return nil
	})
	benchmark(b, app.Handler(), "/v1/listings/7")
}

func BenchmarkHit(b *testing.B) {
	s := newService(b, cache.Config{Strategy: cache.Stamped})
	for name, path := range map[string]string{
		"listing": "/v1/listings/7",
		"search":  "/v1/listings?city=lisbon&type=apartment&offer=sale&sort=price_asc&limit=10",
		"cities":  "/v1/cities",
		"stats":   "/v1/cities/lisbon/stats",
	} {
		b.Run(name, func(b *testing.B) {
			s.get(b, path)
			benchmark(b, s.app.Server().Handler, path)
		})
	}
}

func benchmark(b *testing.B, handler fasthttp.RequestHandler, path string) {
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu(b)
	b.RunParallel(func(pb *testing.PB) {
		var ctx fasthttp.RequestCtx
		for pb.Next() {
			ctx.Request.Reset()
			ctx.Response.Reset()
			ctx.Request.Header.SetMethod(http.MethodGet)
			ctx.Request.SetRequestURI(path)
			ctx.ResetUserValues()
			handler(&ctx)
			if ctx.Response.StatusCode() != http.StatusOK {
				b.Errorf("status %d: %s", ctx.Response.StatusCode(), ctx.Response.Body())
				return
			}
		}
	})
	b.ReportMetric(float64(cpu(b)-began)/float64(b.N), "cpu-ns/op") // unlike the clock, it does not count who else uses the machine
}

// cpu returns the processor time that this process has used, in nanoseconds.
func cpu(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
