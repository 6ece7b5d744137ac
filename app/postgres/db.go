package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

// DB is the listings' database. It implements listing.Store and may be used by any number of goroutines.
type DB struct {
	cfg     Config
	pool    *pgxpool.Pool // of the primary
	feeding *sessions     // the pool's, or the feed's own
	standby *standby      // nil without one
	tracer  trace.Tracer
	metrics *metrics
	key     atomic.Pointer[cursorKey] // nil until it was read
}

var _ listing.Store = (*DB)(nil)

// Open returns a DB whose primary has answered once. The standby may come and go. The caller closes it.
func Open(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (*DB, error) {
	if cfg.URL == "" {
		return nil, errors.New("no database URL")
	}
	cfg = cfg.withDefaults()
	session := &sessions{cfg: cfg}
	pool, err := newPool(ctx, session, cfg.URL)
	if err != nil {
		return nil, err
	}
	if err := examine(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	db := &DB{cfg: cfg, pool: pool, feeding: session, tracer: tel.Tracer, metrics: newMetrics(tel.Registry, cfg.Strategies)}
	tel.Registry.MustRegister(telemetry.NewPoolCollector(primaryPool, poolStats(pool, &db.metrics.acquireTimeouts)))
	if cfg.FeedURL != "" {
		db.feeding = &sessions{cfg: cfg}
	}
	if cfg.ReadURL == "" {
		return db, nil
	}
	if db.standby, err = newStandby(ctx, cfg, db.metrics, tel.Log); err != nil {
		pool.Close()
		return nil, err
	}
	tel.Registry.MustRegister(telemetry.NewPoolCollector(standbyPool, poolStats(db.standby.pool, &db.standby.acquireTimeouts)))
	return db, nil
}

// newPool returns a pool that has not connected yet.
func newPool(ctx context.Context, session *sessions, url string) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	pc.MaxConns = int32(min(session.cfg.PoolSize, 10_000))
	pc.ConnConfig.ConnectTimeout = session.cfg.ConnectTimeout
	if !strings.HasPrefix(pc.ConnConfig.RuntimeParams["application_name"], "strata") {
		pc.ConnConfig.RuntimeParams["application_name"] = "strata" // the change log's origin: how the service's own writes are told from others
	}
	pc.BeforeConnect = session.begin
	pc.AfterConnect = session.ready
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("opening the pool: %w", err)
	}
	return pool, nil
}

// Close closes all connections. It waits for those in use.
func (db *DB) Close() {
	if db.standby != nil {
		db.standby.pool.Close()
	}
	db.pool.Close()
}

// DialFeed opens a connection to the primary beside the pool, with the pool's settings but its own name. It is a
// changelog.Connect.
func (db *DB) DialFeed(ctx context.Context, onNotification func(payload string)) (*pgx.Conn, error) {
	cc := db.pool.Config().ConnConfig
	if db.cfg.FeedURL != "" {
		direct, err := pgx.ParseConfig(db.cfg.FeedURL)
		if err != nil {
			return nil, fmt.Errorf("reading the feed's database URL: %w", err)
		}
		cc = direct
		cc.ConnectTimeout = db.cfg.ConnectTimeout
	}
	cc.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { onNotification(n.Payload) }
	cc.RuntimeParams["application_name"] = "strata-feed"
	_ = db.feeding.begin(ctx, cc) // it never fails
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", classify(ctx, err))
	}
	if err := db.feeding.ready(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// acquire takes a connection from the pool. The caller releases it.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, db.cfg.AcquireTimeout)
	defer cancel()
	conn, err := acquireFrom(waiting, db.pool)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && waiting.Err() != nil {
		db.metrics.acquireTimeouts.Add(1)
		return nil, fmt.Errorf("%w: no connection became free in %v", listing.ErrUnavailable, db.cfg.AcquireTimeout)
	}
	return nil, classify(ctx, err)
}
