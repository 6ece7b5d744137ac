package httpapi

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/cache"
)

// accessLog says which requests failed or were slow: the others are counted, and traced by sample. It tells nothing of who asked.
type accessLog struct {
	slow    time.Duration // a request that takes so long is noted
	next    atomic.Int64  // Unix nanoseconds: no line before
	leftOut atomic.Int64  // lines since the last one
}

// accessPause is the least time between two lines: when everything is slow, ten examples a second tell as much as all.
const accessPause = 100 * time.Millisecond

func (s *Server) logAccess(ctx context.Context, r *route, method uint8, status int, took time.Duration, source cache.Source, strategy cache.Strategy) {
	a := &s.access
	if status < fiber.StatusInternalServerError && took < a.slow {
		return
	}
	now := time.Now().UnixNano()
	next := a.next.Load()
	if now < next || !a.next.CompareAndSwap(next, now+int64(accessPause)) {
		a.leftOut.Add(1)
		return
	}
	message, level := "slow request", slog.LevelWarn
	if status >= fiber.StatusInternalServerError {
		message = "request answered with an error"
	}
	s.tel.Log.LogAttrs(ctx, level, message,
		slog.String("method", methods[method]), slog.String("route", r.name), slog.Int("status", status), slog.Duration("took", took),
		slog.String("source", source.String()), slog.String("strategy", strategy.String()), slog.Int64("left_out", a.leftOut.Swap(0)))
}
