package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// fault is something that happens to a deployment. hurt does it and takes it back.
type fault struct {
	name string
	hurt func(ctx context.Context, w *world, binary string) error
}

// faults are all that there are, the gentle ones first.
func faults() []fault {
	return []fault{
		{"none", func(ctx context.Context, _ *world, _ string) error { return pause(ctx, 2*time.Second) }},
		{"redis-flushed", redisDo(0, []any{"FLUSHALL"}, nil)},
		{"redis-full", redisDo(2*time.Second, []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"})},
		{"redis-read-only", redisDo(2*time.Second, []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"})},
		{"redis-hangs", func(ctx context.Context, w *world, _ string) error { return freeze(ctx, w.stack.RedisPID()) }},
		{"redis-killed", redisKilled},
		{"connections-cut", func(ctx context.Context, w *world, _ string) error {
			for range 5 {
				w.proxy.cut()
				if err := pause(ctx, 300*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		}},
		{"database-slow", func(ctx context.Context, w *world, _ string) error {
			w.proxy.delay.Store(int64(50 * time.Millisecond))
			defer w.proxy.delay.Store(0)
			return pause(ctx, 3*time.Second)
		}},
		{"database-unreachable", func(ctx context.Context, w *world, _ string) error {
			w.proxy.refuse.Store(true)
			defer w.proxy.refuse.Store(false)
			w.proxy.cut()
			return pause(ctx, 4*time.Second)
		}},
		{"connections-exhausted", connectionsExhausted},
		{"replica-killed", replicaKilled},
		{"replica-frozen", func(ctx context.Context, w *world, _ string) error { return freeze(ctx, w.replicas[1].pid()) }},
		{"backend-killed", backendKilled},
		{"postgres-crashed", postgresCrashed},
		{"commits-lost", commitsLost},
		{"directory-put-back", directoryPutBack},
		{"template-copied", templateCopied},
		{"standby-promoted", standbyPromoted},
	}
}

func (r *replica) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process.PID()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// freeze stops a process for longer than its peers are patient.
func freeze(ctx context.Context, pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, 3*time.Second)
	return errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
}

// redisDo sends Redis a command, and later one that takes it back.
func redisDo(between time.Duration, do, undo []any) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, _ string) error {
		opts, err := redis.ParseURL(w.stack.RedisURL)
		if err != nil {
			return err
		}
		client := redis.NewClient(opts)
		defer client.Close()
		if err := client.Do(ctx, do...).Err(); err != nil {
			return err
		}
		if err := pause(ctx, between); err != nil || undo == nil {
			return err
		}
		return client.Do(ctx, undo...).Err()
	}
}

func redisKilled(ctx context.Context, w *world, _ string) error {
	w.stack.StopRedis()
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	return w.stack.StartRedis(ctx)
}

func connectionsExhausted(ctx context.Context, w *world, _ string) error {
	var open []*pgx.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close(context.WithoutCancel(ctx))
		}
	}()
	for {
		c, err := pgx.Connect(ctx, w.stack.DatabaseURL)
		if err != nil {
			break // as many as there may be
		}
		open = append(open, c)
	}
	w.proxy.cut() // whoever had one has to come back for it
	return pause(ctx, 3*time.Second)
}

func replicaKilled(ctx context.Context, w *world, binary string) error {
	if err := syscall.Kill(w.replicas[0].pid(), syscall.SIGKILL); err != nil {
		return err
	}
	_ = w.replicas[0].process.Wait()
	if err := w.start(ctx, 0, binary); err != nil {
		return err
	}
	return w.ready(ctx)
}

// rollBack uses up transaction ids that a crash will have forgotten.
func (w *world) rollBack(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.stack.OwnerURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for range 200 {
		if _, err := conn.Exec(ctx, `BEGIN; SELECT pg_current_xact_id(); ROLLBACK`); err != nil {
			return err
		}
	}
	return nil
}

// backendKilled has Postgres recover from a crash under the same postmaster.
func backendKilled(ctx context.Context, w *world, _ string) error {
	if err := w.rollBack(ctx); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, w.stack.OwnerURL)
	if err != nil {
		return err
	}
	if err := syscall.Kill(int(conn.PgConn().PID()), syscall.SIGKILL); err != nil {
		return err
	}
	_ = conn.Close(ctx)
	return w.answers(ctx)
}

// answers waits until Postgres takes connections.
func (w *world) answers(ctx context.Context) error {
	return until(ctx, time.Minute, func() error {
		conn, err := pgx.Connect(ctx, w.stack.OwnerURL)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
}

func postgresCrashed(ctx context.Context, w *world, _ string) error {
	if err := w.rollBack(ctx); err != nil {
		return err
	}
	w.stack.KillPostgres()
	return w.stack.StartPostgres(ctx)
}

// commitsLost crashes a Postgres that acknowledges before it has written.
func commitsLost(ctx context.Context, w *world, _ string) error {
	set := func(value string) error {
		conn, err := pgx.Connect(ctx, w.stack.SuperuserURL)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		if _, err := conn.Exec(ctx, `ALTER SYSTEM SET synchronous_commit = `+value); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, `SELECT pg_reload_conf()`)
		return err
	}
	if err := set("off"); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	w.plainSQL.Store(true)
	defer w.plainSQL.Store(false)
	w.writing.Lock()   // until the last write by the API is done
	w.writing.Unlock() //nolint:staticcheck // that is all it is for
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	began := time.Now()
	w.stack.KillPostgres()
	return errors.Join(w.stack.StartPostgres(ctx), w.settleAll(ctx, began), set("on"))
}

// stopCleanly ends Postgres in order, without a crash.
func (w *world) stopCleanly(ctx context.Context) error {
	pid := w.stack.PostgresPID()
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		return err
	}
	err := until(ctx, time.Minute, func() error {
		if syscall.Kill(pid, 0) == nil {
			return errors.New("it still runs")
		}
		return nil
	})
	w.stack.KillPostgres() // which has nothing to do any more, and notes that it is gone
	return err
}

// directoryPutBack puts a copy of the data directory into its place, made of a Postgres that was stopped in order.
func directoryPutBack(ctx context.Context, w *world, _ string) error {
	found, err := filepath.Glob(filepath.Join(w.stack.Dir, "postgres-*"))
	if err != nil {
		return err
	}
	data := ""
	for _, path := range found {
		if info, err := os.Stat(filepath.Join(path, "PG_VERSION")); err == nil && !info.IsDir() {
			data = path
		}
	}
	if data == "" {
		return fmt.Errorf("no data directory among %v", found)
	}
	if err := w.stopCleanly(ctx); err != nil {
		return err
	}
	saved := data + ".saved"
	defer os.RemoveAll(saved)
	if out, err := exec.CommandContext(ctx, "cp", "-a", data, saved).CombinedOutput(); err != nil {
		return fmt.Errorf("copying: %w: %s", err, out)
	}
	if err := w.stack.StartPostgres(ctx); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // so that there is something to lose
		return err
	}
	return w.alone(ctx, time.Now(), func() error {
		if err := w.stopCleanly(ctx); err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(data), os.Rename(saved, data)); err != nil {
			return err
		}
		return w.stack.StartPostgres(ctx)
	})
}

// templateCopied puts a copy of the database in its place, as it was some seconds before.
func templateCopied(ctx context.Context, w *world, _ string) error {
	name := func(url string) (string, error) { c, err := pgx.ParseConfig(url); return c.Database, err }
	database, err := name(w.stack.OwnerURL)
	if err != nil {
		return err
	}
	quoted := pgx.Identifier{database}.Sanitize()
	connected := func(sql ...string) error {
		w.proxy.refuse.Store(true)
		defer w.proxy.refuse.Store(false)
		w.proxy.cut()
		config, err := pgx.ParseConfig(w.stack.SuperuserURL)
		if err != nil {
			return err
		}
		config.Database = "template1"
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		for _, one := range sql {
			if err := until(ctx, 10*time.Second, func() error {
				_, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, database)
				if err == nil {
					_, err = conn.Exec(ctx, one)
				}
				return err
			}); err != nil {
				return fmt.Errorf("%s: %w", strings.Fields(one)[0], err)
			}
		}
		return nil
	}
	if err := connected(`DROP DATABASE IF EXISTS copied`, `CREATE DATABASE copied TEMPLATE `+quoted); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	return w.alone(ctx, time.Now(), func() error {
		return connected(`DROP DATABASE `+quoted, `ALTER DATABASE copied RENAME TO `+quoted)
	})
}

// standbyPromoted promotes a standby that lacks the last commits, and goes back to the primary, which then lacks those of the standby: the epoch changes twice.
func standbyPromoted(ctx context.Context, w *world, _ string) error {
	standby, err := w.stack.StartStandby(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = standby.Remove() }()
	if err := standby.Pause(ctx); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	primary := *w.proxy.target.Load()
	promoted, err := pgx.ParseConfig(standby.URL(w.stack.OwnerURL))
	if err != nil {
		return err
	}
	turn := func(to string, before func() error) error {
		return w.alone(ctx, time.Now(), func() error {
			w.proxy.refuse.Store(true)
			defer w.proxy.refuse.Store(false)
			w.proxy.cut()
			err := before()
			w.proxy.target.Store(&to)
			return err
		})
	}
	err = turn(fmt.Sprintf("%s:%d", promoted.Host, promoted.Port), func() error { return standby.Promote(ctx) })
	if err == nil {
		err = pause(ctx, 2*time.Second)
	}
	return errors.Join(err, turn(primary, func() error { return nil }))
}
