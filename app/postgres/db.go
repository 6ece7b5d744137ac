package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"strata/app/listing"
	"strata/app/telemetry"
)

// DB is the listings' database. It implements listing.Store and may be used by any number of goroutines.
type DB struct {
	cfg     Config
	pool    *pgxpool.Pool // of the primary
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
	pool, err := newPool(ctx, cfg, cfg.URL)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reaching the database: %w", classify(ctx, err))
	}
	db := &DB{cfg: cfg, pool: pool, tracer: tel.Tracer, metrics: newMetrics(tel.Registry, cfg.Strategies)}
	tel.Registry.MustRegister(telemetry.NewPoolCollector(primaryPool, poolStats(pool, &db.metrics.acquireTimeouts)))
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
func newPool(ctx context.Context, cfg Config, url string) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	pc.MaxConns = int32(min(cfg.PoolSize, 10_000))
	pc.ConnConfig.ConnectTimeout = cfg.ConnectTimeout
	pc.ConnConfig.RuntimeParams["statement_timeout"] = strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10)
	if !strings.HasPrefix(pc.ConnConfig.RuntimeParams["application_name"], "strata") {
		pc.ConnConfig.RuntimeParams["application_name"] = "strata" // the change log's origin: how the service's own writes are told from others
	}
	pc.AfterConnect = prepareConn
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

// dial opens a connection beside the pool, with the pool's settings but its own name. onNotification is called by whoever uses the
// connection, when it receives one. The caller closes it.
func (db *DB) dial(ctx context.Context, applicationName string, onNotification func()) (*pgx.Conn, error) {
	cc := db.pool.Config().ConnConfig
	cc.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { onNotification() }
	cc.RuntimeParams["application_name"] = applicationName
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", classify(ctx, err))
	}
	if err := prepareConn(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// prepareConn does what each new connection needs once.
func prepareConn(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}, // so that an answer does not depend on where the service runs
	})
	history, err := historyOf(ctx, conn)
	if err != nil {
		return err
	}
	conn.PgConn().CustomData()[historyKey] = history
	return nil
}

// acquire takes a connection from the pool. The caller releases it.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, db.cfg.AcquireTimeout)
	defer cancel()
	conn, err := db.pool.Acquire(waiting)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && waiting.Err() != nil {
		db.metrics.acquireTimeouts.Add(1)
		return nil, fmt.Errorf("%w: no connection became free in %v", listing.ErrUnavailable, db.cfg.AcquireTimeout)
	}
	return nil, classify(ctx, err)
}
