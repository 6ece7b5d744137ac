package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

// CreateOnce implements listing.Store. The answer is kept in the transaction that creates the listing: there is one exactly if the listing was
// created, whatever dies when. Who comes while that transaction is open is told so rather than made to wait: a request that hangs would hang all its retries, each
// with a connection.
func (db *DB) CreateOnce(ctx context.Context, once listing.Once, d listing.Draft) (l listing.Listing, commit freshness.Commit, replayed bool, err error) {
	taken := db.idTaken(ctx)
	l, err = again(ctx, func(err error) bool { return undone(err) || taken(err) || keptMeanwhile(err) }, func() (l listing.Listing, err error) {
		l, commit, replayed, err = db.createOnce(ctx, once, d)
		return l, err
	})
	return l, commit, replayed, err
}

// keptMeanwhile reports whether somebody else has done it since this transaction looked.
func keptMeanwhile(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.ConstraintName == "idempotency_keys_pkey"
}

func (db *DB) createOnce(ctx context.Context, once listing.Once, d listing.Draft) (l listing.Listing, commit freshness.Commit, replayed bool, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return l, freshness.Commit{}, false, fmt.Errorf("%s: %w", nameCreate, err)
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}) // so that the key is looked for after it is held
	if err != nil {
		return l, freshness.Commit{}, false, fmt.Errorf("%s: %w", nameBegin, classify(ctx, err))
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // after a commit it does nothing
	before, err := db.begin(ctx, conn, once)
	switch {
	case err != nil:
		return l, freshness.Commit{}, false, err
	case before != nil && before.request != once.Request:
		return l, freshness.Commit{}, false, listing.ErrKeyReused
	case before != nil:
		return before.listing, before.commit, true, nil
	}
	w, err := ask(ctx, db, conn, nil, insertListing(), collectCreated, draftArgs(d))
	if err != nil {
		return l, freshness.Commit{}, false, err
	}
	answer, err := json.Marshal(w.now)
	if err != nil {
		return l, freshness.Commit{}, false, fmt.Errorf("encoding the answer: %w", err)
	}
	const sql = `INSERT INTO idempotency_keys (owner, key, request, answer) VALUES ($1, $2, $3, $4)`
	_, err = ask(ctx, db, conn, nil, query{name: nameKeep, sql: sql}, nothing, []any{once.Owner, once.Key, once.Request[:], string(answer)})
	if err != nil {
		return l, freshness.Commit{}, false, err
	}
	if err := tx.Commit(ctx); err != nil {
		return l, freshness.Commit{}, false, fmt.Errorf("committing: %w", classify(ctx, err))
	}
	return *w.now, w.commit, false, nil
}

// answered is what is kept of a request that was done.
type answered struct {
	request [32]byte
	listing listing.Listing
	commit  freshness.Commit
}

// begin returns the kept answer, or nil, once it has the key to itself until the transaction ends. If somebody else has, it returns listing.ErrInProgress.
func (db *DB) begin(ctx context.Context, conn *pgxpool.Conn, once listing.Once) (*answered, error) {
	const sql = `SELECT request, answer, xid::text || coalesce('-' || lpad(to_hex(epoch), 16, '0'), '') FROM idempotency_keys WHERE owner = $1 AND key = $2`
	free := false
	found, err := ask(ctx, db, conn, &preamble{
		// A statement of its own, so that the query's snapshot is taken with the key in hand. Two keys with one hash are told to come again, and that is all.
		sql:  `SELECT pg_try_advisory_xact_lock($1), set_config('strata.traceparent', $2, true)`,
		args: []any{lockOf(once), telemetry.Traceparent(ctx)},
		scan: func(row pgx.Row) error { return row.Scan(&free, nil) },
	}, query{name: nameBegin, sql: sql}, collectAnswer, []any{once.Owner, once.Key})
	if err == nil && !free {
		return nil, listing.ErrInProgress
	}
	return found, err
}

// lockOf is the number of the advisory lock that a key has.
func lockOf(once listing.Once) int64 {
	hash := sha256.Sum256([]byte(once.Owner + "\x00" + once.Key))
	return int64(binary.BigEndian.Uint64(hash[:]))
}

func collectAnswer(rows pgx.Rows) (*answered, error) {
	if !rows.Next() {
		return nil, rows.Err()
	}
	var a answered
	var request, kept []byte
	var commit string
	if err := rows.Scan(&request, &kept, &commit); err != nil {
		return nil, err
	}
	if copy(a.request[:], request) != len(a.request) {
		return nil, errors.New("the hash of a kept request is cut off")
	}
	if err := json.Unmarshal(kept, &a.listing); err != nil {
		return nil, fmt.Errorf("decoding a kept answer: %w", err)
	}
	var err error
	a.commit, err = freshness.ParseCommit(commit)
	return &a, err
}

func nothing(rows pgx.Rows) (struct{}, error) {
	for rows.Next() {
	}
	return struct{}{}, nil
}

// PruneKeys removes kept answers that are older than keep, and returns how many there were. Any number of replicas may call it.
func (db *DB) PruneKeys(ctx context.Context, keep time.Duration) (int64, error) {
	// Some at a time, so that no statement is long, and one replica at a time.
	const sql = `
		WITH turn AS MATERIALIZED (
			SELECT pg_try_advisory_xact_lock(hashtext('strata_prune_keys')) AS mine
		), gone AS (
			DELETE FROM idempotency_keys WHERE (owner, key) IN (
				SELECT owner, key FROM idempotency_keys, turn
				WHERE mine AND created_at < clock_timestamp() - $1::interval
				ORDER BY created_at LIMIT 1000
			) RETURNING 1
		) SELECT count(*) FROM gone`
	for all := int64(0); ; {
		n, err := write(ctx, db, query{name: namePruneKeys, sql: sql}, func(rows pgx.Rows) (int64, error) {
			return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		}, keep)
		all += n
		if err != nil || n == 0 {
			return all, err
		}
	}
}

// KeyRetention is how long an answer is kept: longer than anybody retries.
const KeyRetention = 24 * time.Hour

// RunPruning prunes kept answers now and then until ctx ends. It is not the feed's work: not every strategy has one.
func (db *DB) RunPruning(ctx context.Context, log *slog.Logger) error {
	const every = 10 * time.Minute
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		if _, err := db.PruneKeys(ctx, KeyRetention); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "pruning kept answers", "error", err)
		}
	}
}
