package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"strata/app/freshness"
	"strata/app/telemetry"
)

// FeedConfig holds the settings of a Feed. Zero values mean the defaults.
type FeedConfig struct {
	Interval    time.Duration // between polls when nothing wakes the feed; 100 ms: the bound on an answer's age if notifications get lost
	MinInterval time.Duration // between polls at least; 2 ms: a burst of commits is one poll, and a reader with an invented transaction id cannot make more
	Retention   time.Duration // of the change log; 1 h. Must be longer than any entry lives, L2's included
	PruneEvery  time.Duration // 1 min
}

func (c FeedConfig) withDefaults() FeedConfig {
	for _, d := range []struct {
		value     *time.Duration
		byDefault time.Duration
	}{{&c.Interval, 100 * time.Millisecond}, {&c.MinInterval, 2 * time.Millisecond}, {&c.Retention, time.Hour}, {&c.PruneEvery, time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.byDefault
		}
	}
	return c
}

// Feed reads the change log into a ledger. A poll is the difference of two snapshots: it brings every row that became visible since the poll
// before, whatever the order of commits, once, and waits for nobody.
type Feed struct {
	cfg     FeedConfig
	db      *DB
	ledger  *freshness.Ledger
	log     *slog.Logger
	metrics *feedMetrics

	epoch    freshness.Epoch // of the poll before
	snapshot string          // of the poll before, as PostgreSQL prints it
}

// beforeAll is a snapshot that sees nothing, so that the difference to it is the whole log.
const beforeAll = "1:1:"

// NewFeed returns a feed that fills the ledger while it runs.
func NewFeed(cfg FeedConfig, db *DB, ledger *freshness.Ledger, tel *telemetry.Telemetry) *Feed {
	return &Feed{cfg: cfg.withDefaults(), db: db, ledger: ledger, log: tel.Log, metrics: newFeedMetrics(tel.Registry, ledger)}
}

// Run feeds the ledger until ctx ends. It survives the loss of its connection: the next poll continues from the snapshot of the last, so
// nothing is missed, only late. It returns nil.
func (f *Feed) Run(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { f.prune(ctx); return nil })
	const firstPause, longestPause = 50 * time.Millisecond, time.Second
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		f.metrics.failed.Inc()
		f.log.WarnContext(ctx, "change feed interrupted", "error", err)
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	return both.Wait()
}

// follow polls over one connection until it breaks or ctx ends.
func (f *Feed) follow(ctx context.Context) error {
	notified := false // a notification came since the last poll began
	conn, err := f.db.dial(ctx, "strata-feed", func() { notified = true })
	if err != nil {
		return err
	}
	defer closeConn(conn)
	h, err := historyOf(ctx, conn)
	if err != nil {
		return err
	}
	if h.standby {
		return errors.New("the feed's server is a standby: it cannot say what is in progress on the primary")
	}
	if h.epoch != f.epoch {
		f.epoch, f.snapshot = h.epoch, beforeAll
	}
	if !pooled(conn) { // a pooler would have somebody else's session listen
		if _, err := conn.Exec(ctx, `LISTEN strata_changes`); err != nil {
			return fmt.Errorf("listening for changes: %w", err)
		}
	}
	for {
		began := time.Now()
		notified = false // whoever sent one had committed, so this poll brings it
		if err := f.poll(ctx, conn, began); err != nil {
			return err
		}
		sleep(ctx, f.cfg.MinInterval-time.Since(began))
		if notified {
			continue
		}
		if err := f.wait(ctx, conn, began); err != nil {
			return err
		}
	}
}

// poll asks what became visible since the poll before, and tells the ledger.
func (f *Feed) poll(ctx context.Context, conn *pgx.Conn, began time.Time) error {
	const sql = `
		WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot)
		SELECT now.snapshot::text, f.xid::text, c.xid::text, c.tags, c.origin, c.traceparent,
			(extract(epoch FROM clock_timestamp() - c.logged_at))::float8
		FROM now CROSS JOIN public.change_floor f LEFT JOIN public.change_log c
			ON c.xid >= pg_snapshot_xmin($1::pg_snapshot) AND NOT pg_visible_in_snapshot(c.xid, $1::pg_snapshot)`
	ctx, cancel := context.WithTimeout(ctx, f.db.cfg.StatementTimeout)
	defer cancel()
	rows, err := conn.Query(ctx, sql, f.snapshot)
	if err != nil {
		return fmt.Errorf("reading the change log: %w", err)
	}
	var snapshot, floor string
	var seen []change
	var xid, origin, traceparent *string
	var lag *float64
	var tags []string
	_, err = pgx.ForEachRow(rows, []any{&snapshot, &floor, &xid, &tags, &origin, &traceparent, &lag}, func() error {
		if xid != nil { // no change: one row without any
			c := change{xid: *xid, tags: tags, origin: *origin, lag: *lag}
			if traceparent != nil {
				c.traceparent = *traceparent
			}
			seen = append(seen, c)
			tags = nil // pgx would reuse the array
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the change log: %w", err)
	}
	return f.apply(snapshot, floor, seen, began)
}

// change is a row of the change log as a poll reads it.
type change struct {
	xid    string
	tags   []string
	origin string

	traceparent string  // of the writer's trace; empty mostly
	lag         float64 // seconds since it was logged, by the database's clock
}

func (f *Feed) apply(snapshot, floor string, seen []change, began time.Time) (err error) {
	p := freshness.Poll{Began: began, Epoch: f.epoch, Changes: make([]freshness.Change, len(seen))}
	if p.Snapshot, err = freshness.ParseSnapshot(snapshot); err != nil {
		return err
	}
	if p.Floor, err = freshness.ParseXID(floor); err != nil {
		return err
	}
	first := f.snapshot == beforeAll
	for i, c := range seen {
		if first {
			c.traceparent = "" // what is read now is not the first to show an old change
		}
		xid, err := freshness.ParseXID(c.xid)
		if err != nil {
			return err
		}
		p.Changes[i] = freshness.Change{XID: xid, Tags: c.tags, Traceparent: c.traceparent}
	}
	reset := f.ledger.Apply(p)
	f.snapshot = snapshot
	f.metrics.count(reset, seen, first)
	if reset != freshness.NoReset {
		f.log.Info("ledger reset", "reason", string(reset), "epoch", fmt.Sprintf("%016x", uint64(f.epoch)), "floor", p.Floor.String(), "changes", len(seen))
	}
	return nil
}

// wait returns when a commit notifies, when somebody wants a poll, or when Interval has passed since the last one began.
func (f *Feed) wait(ctx context.Context, conn *pgx.Conn, began time.Time) error {
	waiting, cancel := context.WithDeadline(ctx, began.Add(f.cfg.Interval))
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-f.ledger.Wanted():
			cancel()
		case <-waiting.Done():
		}
	}()
	err := conn.PgConn().WaitForNotification(waiting)
	cancel()
	<-done
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && conn.IsClosed() { // else it was only the end of waiting
		return fmt.Errorf("waiting for a change: %w", err)
	}
	return nil
}

// prune shortens the log now and then. Whichever replica comes first does it for all.
func (f *Feed) prune(ctx context.Context) {
	for sleep(ctx, f.cfg.PruneEvery); ctx.Err() == nil; sleep(ctx, f.cfg.PruneEvery) {
		if _, err := f.db.Prune(ctx, f.cfg.Retention); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "pruning the change log", "error", err)
		}
	}
}

// sleep returns after d or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// closeConn says goodbye to the server, but not for long: it may be what broke.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_ = conn.Close(ctx)
}

type feedMetrics struct {
	polled, failed    prometheus.Counter
	fromAPI, fromElse prometheus.Counter
	resets            *prometheus.CounterVec
	lag               prometheus.Histogram
}

func newFeedMetrics(reg prometheus.Registerer, ledger *freshness.Ledger) *feedMetrics {
	auto := promauto.With(reg)
	polls := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricFeedPolls,
		Help: "Looks at the change log. Errors mean that the connection broke; the feed continues from the last snapshot, late.",
	}, []string{telemetry.LabelResult})
	changes := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricFeedChanges,
		Help: "Changes read, by who made them: the service's own writes, or anybody else with access to the database.",
	}, []string{telemetry.LabelOrigin})
	m := &feedMetrics{
		polled: polls.WithLabelValues("ok"), failed: polls.WithLabelValues("error"),
		fromAPI: changes.WithLabelValues("api"), fromElse: changes.WithLabelValues("other"),
		resets: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricEpochResets,
			Help: "Times that the ledger forgot everything, so that all entries became misses. Epoch: failover or restore. Full: more tags changed than it may remember.",
		}, []string{telemetry.LabelReason}),
		lag: auto.NewHistogram(telemetry.AgeHistogram(telemetry.MetricFeedLag,
			"Time from a change being logged to its being in the ledger. It includes the rest of the writer's transaction.")),
	}
	for _, reason := range []freshness.Reset{freshness.ResetStart, freshness.ResetEpoch, freshness.ResetFull} {
		m.resets.WithLabelValues(string(reason))
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: telemetry.MetricFeedAge,
		Help: "Time since the ledger's as-of time: how old an answer out of a cache may be at most. Above 2 the caches are blind and the database answers.",
	}, func() float64 {
		if asOf := ledger.AsOf().Time; !asOf.IsZero() {
			return time.Since(asOf).Seconds()
		}
		return 0
	})
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: telemetry.MetricLedgerTags, Help: "Tags with a known change within the change log's retention.",
	}, func() float64 { return float64(ledger.Tags()) })
	return m
}

// count adds up what a poll brought. The lag of what the first poll brings says how old the log is, not how late the feed.
func (m *feedMetrics) count(reset freshness.Reset, seen []change, first bool) {
	m.polled.Inc()
	if reset != freshness.NoReset {
		m.resets.WithLabelValues(string(reset)).Inc()
	}
	for _, c := range seen {
		if strings.HasPrefix(c.origin, "strata") {
			m.fromAPI.Inc()
		} else {
			m.fromElse.Inc()
		}
		if !first {
			m.lag.Observe(c.lag)
		}
	}
}
