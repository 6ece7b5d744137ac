package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A session has what the service relies on, whatever the settings of the role or the database are. On a connection of its own that is set once. A pooler, such
// as PgBouncer with pool_mode=transaction, gives each transaction another server's session: it takes no parameters at the start that it does not keep track of,
// loses what was prepared, and would hand on to strangers what was set. There the settings come with each statement, in the same round trip and for its
// transaction only, and each statement is planned anew. That is the price, and that no notification comes through: the feed polls.

// tracked are the parameters that a pooler keeps track of, so they can be asked for at the start.
var tracked = map[string]string{"client_encoding": "UTF8", "timezone": "UTC", "datestyle": "ISO, MDY"}

// setting is a server's parameter, and what it has to be.
type setting struct{ name, value string }

// settings are those of each transaction. default_transaction_read_only is not among them: whoever sets it means it.
func settings(cfg Config) []setting {
	return []setting{
		{"search_path", "public, pg_temp"},
		{"statement_timeout", strconv.FormatInt(cfg.StatementTimeout.Milliseconds(), 10)},
		{"lock_timeout", "0"}, // the statement's is enough
		{"gin_fuzzy_search_limit", "0"},
		{"extra_float_digits", "1"}, // a number comes back as it was stored
	}
}

// sessionSettings are those that only a session of our own can have. Not every release knows all.
func sessionSettings(cfg Config) []setting {
	return append(settings(cfg), []setting{
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"idle_in_transaction_session_timeout", strconv.FormatInt(2*cfg.StatementTimeout.Milliseconds(), 10)},
		{"idle_session_timeout", "0"}, // the pool's own connections are idle, and closed when it sees fit
		{"transaction_timeout", "0"},
	}...)
}

// errPooled is a connection's that turned out to lead to a pooler, or no longer to. The next one is opened for what there is.
var errPooled = errors.New("a pooler was found between the service and the database")

// sessions opens connections for what there is between the service and the server.
type sessions struct {
	cfg    Config
	pooled atomic.Bool
}

// begin prepares a connection's settings before it is opened.
func (s *sessions) begin(_ context.Context, cc *pgx.ConnConfig) error {
	for name, value := range tracked {
		cc.RuntimeParams[name] = value
	}
	if s.pooled.Load() {
		cc.DefaultQueryExecMode = pgx.QueryExecModeExec // in one round trip, which the settings go before
	}
	return nil
}

// pooledKey is where a connection notes among its custom data that it leads to a pooler.
const pooledKey = "strata.pooled"

// pooled reports whether a connection leads to a pooler.
func pooled(conn *pgx.Conn) bool { return conn.PgConn().CustomData()[pooledKey] != nil }

// ready does what each new connection needs once.
func (s *sessions) ready(ctx context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name: "timestamptz", OID: pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}, // so that an answer does not depend on where the service runs
	})
	through, err := leadsToPooler(ctx, conn)
	if err != nil {
		return fmt.Errorf("looking at the connection: %w", classify(ctx, err))
	}
	if s.pooled.Swap(through) != through {
		return errPooled
	}
	if through {
		conn.PgConn().CustomData()[pooledKey] = true
		return nil
	}
	return setSession(ctx, conn, sessionSettings(s.cfg))
}

// leadsToPooler reports whether somebody between us and the server gives out its sessions: then the process that answers is not the one that greeted us.
// It prepares nothing.
func leadsToPooler(ctx context.Context, conn *pgx.Conn) (bool, error) {
	results, err := conn.PgConn().Exec(ctx, `SELECT pg_backend_pid()`).ReadAll()
	if err != nil {
		return false, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return false, errors.New("the server does not say which process it is")
	}
	return string(results[0].Rows[0][0]) != strconv.FormatUint(uint64(conn.PgConn().PID()), 10), nil
}

// setSession sets those of the settings that the server knows.
func setSession(ctx context.Context, conn *pgx.Conn, all []setting) error {
	const sql = `SELECT set_config(wanted.name, wanted.value, false) FROM unnest($1::text[], $2::text[]) AS wanted (name, value) JOIN pg_settings USING (name)`
	names, values := make([]string, len(all)), make([]string, len(all))
	for i, one := range all {
		names[i], values[i] = one.name, one.value
	}
	if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeExec, names, values); err != nil {
		return fmt.Errorf("setting what the session relies on: %w", classify(ctx, err))
	}
	return nil
}

// transactionSettings is what goes before a statement that a pooler may give to any session.
func transactionSettings(cfg Config) *preamble {
	p := preamble{sql: `SELECT set_config($1, $2, true)`}
	for i, one := range settings(cfg) {
		if i > 0 {
			p.sql += `, set_config($` + strconv.Itoa(2*i+1) + `, $` + strconv.Itoa(2*i+2) + `, true)`
		}
		p.args = append(p.args, one.name, one.value)
	}
	p.scan = func(row pgx.Row) error { return row.Scan(make([]any, len(p.args)/2)...) }
	return &p
}

// acquireFrom takes a connection from a pool: if need be another one, after the first has found out what there is between us and the server.
func acquireFrom(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	conn, err := pool.Acquire(ctx)
	if errors.Is(err, errPooled) {
		conn, err = pool.Acquire(ctx)
	}
	return conn, err
}
