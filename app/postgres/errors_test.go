package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

func TestDatabaseThatDoesNotAnswerIsUnavailable(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{PoolSize: 1, StatementTimeout: 200 * time.Millisecond})
	l := create(t, db, draft("alpha"))
	read := func(ctx context.Context) error { _, err := db.Listing(ctx, l.ID); return err }

	t.Run("no free connection", func(t *testing.T) {
		db := d.open(t, Config{PoolSize: 1, AcquireTimeout: 20 * time.Millisecond})
		read := func(ctx context.Context) error { _, err := db.Listing(ctx, l.ID); return err }
		conn, err := db.pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		if err := read(t.Context()); !errors.Is(err, listing.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := read(ctx); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, listing.ErrUnavailable) {
			t.Errorf("the caller's own deadline: got error %v, want DeadlineExceeded", err)
		}
	})
	t.Run("connection lost", func(t *testing.T) {
		killed := connect(t, stack().SuperuserURL)
		if _, err := killed.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'strata' AND datname = $1`,
			one[string](t, d, `SELECT current_database()`)); err != nil {
			t.Fatal(err)
		}
		if err := read(t.Context()); err != nil && !errors.Is(err, listing.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
		if err := read(t.Context()); err != nil {
			t.Errorf("the connection was not replaced: %v", err)
		}
	})
	t.Run("row locked for too long", func(t *testing.T) {
		tx, err := d.owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.Background())
		if _, err := tx.Exec(t.Context(), `SELECT FROM listings FOR UPDATE`); err != nil {
			t.Fatal(err)
		}
		if _, _, err := db.Delete(t.Context(), l.ID, 0); !errors.Is(err, listing.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		tel, err := telemetry.New(t.Context(), telemetry.Config{}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, err = Open(t.Context(), Config{URL: "postgres://strata_app:hunter2@" + l.Addr().String() + "/strata"}, tel)
		if !errors.Is(err, listing.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got error %v, want ErrUnavailable without the password", err)
		}
	})
}
