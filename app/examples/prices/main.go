// Command prices is a small service of somebody else's: three tables, one join, net/http. It shows
// how little of a service has to know that its answers are cached.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"example.com/strata/app/changelog"
)

//go:embed schema.sql
var schema string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("DATABASE_URL"), os.Getenv("REDIS_URL"), "127.0.0.1:8090"); err != nil {
		fmt.Fprintln(os.Stderr, "prices:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The schema must be there, see install.
func run(ctx context.Context, databaseURL, redisURL, addr string) error {
	pool, err := pgxpool.New(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	flats, err := openFlats(pool, redisURL)
	if err != nil {
		return err
	}
	defer flats.close()
	server := &http.Server{Addr: addr, Handler: handler(flats), ReadHeaderTimeout: 5 * time.Second}
	working, ctx := errgroup.WithContext(ctx)
	working.Go(func() error { return flats.follow(ctx) })
	working.Go(func() error {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	working.Go(func() error {
		<-ctx.Done()
		return server.Shutdown(context.WithoutCancel(ctx))
	})
	return working.Wait()
}

// install makes the change log and the tables, as the role that owns them.
func install(ctx context.Context, conn *pgx.Conn) error {
	if err := changelog.Install(ctx, conn); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, schema)
	return err
}
