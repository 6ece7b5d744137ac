package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sony/gobreaker/v2"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// What became of a read that the standby could answer.
const (
	standbyServed  = "served"  // it answered, and the ledger found the answer fresh
	standbyRefused = "refused" // it answered, and the ledger knows of a change that the answer lacks: the primary was asked
	standbySkipped = "skipped" // it was not asked, because it is known to lack a change of the tag: the primary was
	standbyFailed  = "failed"  // it did not answer in time: the primary was asked
	standbyOpen    = "open"    // it was not asked, because it failed before: the primary was
)

// standby is where stamped reads go first. It lags, by milliseconds or by hours, so the ledger judges what it says like an entry of a cache, and
// only what is fresh is used. Everything else is read from the primary at once: a cache that kept refilling itself from a standby that
// lacks a change would refuse each fill and fill again.
type standby struct {
	pool    *pgxpool.Pool
	ledger  *freshness.Ledger
	breaker *gobreaker.CircuitBreaker[struct{}]
	within  time.Duration
	metrics *metrics
	horizon atomic.Pointer[horizon]

	acquireTimeouts atomic.Uint64
}

// horizon is how far the standby had replayed when it last answered.
type horizon struct {
	epoch freshness.Epoch
	xmin  freshness.XID
	until time.Time // when it is no longer believed
}

// How long a horizon is believed. Within it, no read of what the standby is known to lack is tried in vain; beyond it, one that may succeed by now is.
const (
	horizonHolds = 50 * time.Millisecond
	strangeHolds = time.Second // where the ledger cannot judge the standby at all: it follows another history, or lags by more than the change log's retention
)

// errLeft is what the breaker is told of a read whose caller gave up: it says nothing of the standby.
var errLeft = errors.New("the caller has left")

func newStandby(ctx context.Context, cfg Config, m *metrics, log *slog.Logger) (*standby, error) {
	if cfg.Ledger == nil {
		return nil, errors.New("a standby needs a ledger to judge what it says")
	}
	pool, err := newPool(ctx, &sessions{cfg: cfg}, cfg.ReadURL)
	if err != nil {
		return nil, fmt.Errorf("the standby: %w", err)
	}
	s := &standby{pool: pool, ledger: cfg.Ledger, within: cfg.StandbyTimeout, metrics: m}
	s.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        "standby",
		Timeout:     time.Second, // then one read may try again
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsExcluded:  func(err error) bool { return errors.Is(err, errLeft) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			m.standbyBreaker.Set(map[gobreaker.State]float64{gobreaker.StateOpen: 1, gobreaker.StateHalfOpen: 0.5}[to])
			log.LogAttrs(context.Background(), slog.LevelWarn, "standby breaker changed", slog.String("from", from.String()), slog.String("to", to.String()))
		},
	})
	return s, nil
}

// readStandby is read by way of the standby. answered is false where the primary has to be asked.
//
// What is served from here is as of the ledger's as-of time, not of the read's beginning: the ledger vouches that nothing it knows of is missing. For the same reason the
// stamp reaches as far as the ledger's snapshot, although the standby's own can be trusted only below its Xmin.
func readStandby[T any](ctx context.Context, db *DB, q query, tag string, collect func(pgx.Rows) (T, error), args []any) (value T, answered bool, err error) {
	s := db.standby
	if s.lacks(tag) {
		s.metrics.standbyReads[standbySkipped].Inc()
		return value, false, nil
	}
	var read freshness.Stamp
	_, broken := s.breaker.Execute(func() (struct{}, error) {
		attempt, cancel := context.WithTimeout(ctx, s.within)
		defer cancel()
		conn, failed := acquireFrom(attempt, s.pool)
		if failed != nil && attempt.Err() != nil && ctx.Err() == nil {
			s.acquireTimeouts.Add(1)
		}
		if failed == nil {
			defer conn.Release()
			value, read, err = readStamped(attempt, db, conn, q, tag, collect, args)
			if failed = err; errors.Is(err, listing.ErrNotFound) {
				failed = nil
			}
			if failed == nil {
				s.notice(read)
			}
		}
		if failed != nil && ctx.Err() != nil {
			return struct{}{}, errLeft
		}
		return struct{}{}, failed
	})
	result, done := s.result(ctx, broken, read)
	s.metrics.standbyReads[result].Inc()
	if errors.Is(broken, errLeft) {
		return value, true, fmt.Errorf("%s: %w", q.name, ctx.Err())
	}
	return value, done, err
}

// result judges what came of asking the standby, and tells the collector of what can be used.
func (s *standby) result(ctx context.Context, broken error, read freshness.Stamp) (result string, usable bool) {
	switch {
	case errors.Is(broken, gobreaker.ErrOpenState), errors.Is(broken, gobreaker.ErrTooManyRequests):
		return standbyOpen, false
	case broken != nil:
		return standbyFailed, false
	}
	asOf, _, blind := s.ledger.Horizon() // before judging: then the verdict is at least as new as the claim
	if blind || s.ledger.Judge(&read, nil) != freshness.Fresh {
		return standbyRefused, false
	}
	read.Snapshot = freshness.Either(read.Snapshot, asOf.Snapshot)
	freshness.DependAsOf(ctx, read, asOf.Time)
	return standbyServed, true
}

// lacks reports whether the standby is known not to have replayed a change of the tag yet, or nothing can be known of it.
func (s *standby) lacks(tag string) bool {
	if _, _, blind := s.ledger.Horizon(); blind {
		return true // nothing that it says could be judged
	}
	h := s.horizon.Load()
	if h == nil || time.Now().After(h.until) {
		return false
	}
	known := freshness.Stamp{Epoch: h.epoch, Snapshot: freshness.Snapshot{Xmin: h.xmin, Xmax: h.xmin}, Tags: []string{tag}}
	return s.ledger.Judge(&known, nil) != freshness.Fresh
}

// notice remembers how far the standby is, from what a read was stamped.
func (s *standby) notice(read freshness.Stamp) {
	holds := horizonHolds
	if s.ledger.Judge(&read, nil) == freshness.Unjudged {
		holds = strangeHolds
	}
	s.horizon.Store(&horizon{epoch: read.Epoch, xmin: read.Snapshot.Xmin, until: time.Now().Add(holds)})
}
