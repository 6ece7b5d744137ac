package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Standby is a second Postgres that streams from the Stack's own, or from another Standby, and may be read meanwhile. It ends with the Stack.
type Standby struct {
	stack  *Stack
	server postgresServer // Stack.mu guards it
}

// StartStandby copies the running Postgres and starts a hot standby on the copy. It returns when the standby takes connections.
func (s *Stack) StartStandby(ctx context.Context) (*Standby, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startStandby(ctx, s.postgres.port)
}

// StartStandby starts a standby of this one: after a promotion it follows on the new timeline.
func (b *Standby) StartStandby(ctx context.Context) (*Standby, error) {
	b.stack.mu.Lock()
	defer b.stack.mu.Unlock()
	return b.stack.startStandby(ctx, b.server.port)
}

func (s *Stack) startStandby(ctx context.Context, from int) (*Standby, error) {
	name := fmt.Sprintf("standby-%d", len(s.standbys)+1)
	b := &Standby{stack: s, server: postgresServer{bin: s.postgres.bin, data: filepath.Join(s.Dir, name)}}
	// In a file, for everybody may read a command line.
	passfile := filepath.Join(s.Dir, "passfile")
	if err := s.user.writeFile(passfile, "*:*:*:*:"+s.password+"\n"); err != nil {
		return nil, err
	}
	// --write-recovery-conf notes the connection in postgresql.auto.conf, and that this is a standby.
	err := s.runToEnd(ctx, "pg_basebackup", filepath.Join(b.server.bin, "pg_basebackup"),
		"--dbname="+fmt.Sprintf("host=%s port=%d user=%s passfile=%s sslmode=disable application_name=%s", loopback, from, superuser, passfile, name),
		"--pgdata="+b.server.data, "--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	if err != nil {
		return nil, err
	}
	err = s.onFreePort(func(port int) error {
		b.server.port = port
		return b.run(ctx)
	})
	if err != nil {
		return nil, fmt.Errorf("starting the standby: %w", err)
	}
	s.standbys = append(s.standbys, b)
	return b, nil
}

// run starts the server and waits until it takes connections, which a standby does once it has replayed up to where its copy is consistent.
func (b *Standby) run(ctx context.Context) error {
	process, err := b.stack.run(ctx, server{
		name: filepath.Base(b.server.data),
		args: []string{filepath.Join(b.server.bin, "postgres"), "-D", b.server.data, "-p", fmt.Sprint(b.server.port),
			"-c", "wal_retrieve_retry_interval=100ms"}, // looks for a primary that was away; 5 s by default
		signal: syscall.SIGQUIT,
		answers: func(ctx context.Context) error {
			return b.ask(ctx, func(*pgx.Conn) error { return nil })
		},
	})
	b.server.process = process
	return err
}

// URL returns how to reach at the standby what databaseURL names at the primary.
func (b *Standby) URL(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return databaseURL // nobody can connect to it here either
	}
	u.Host = address(b.server.port)
	return u.String()
}

// Pause stops replay: the standby answers from what it has, and falls behind.
func (b *Standby) Pause(ctx context.Context) error {
	return b.exec(ctx, `SELECT pg_wal_replay_pause()`)
}

// Resume goes on with replay after Pause.
func (b *Standby) Resume(ctx context.Context) error {
	return b.exec(ctx, `SELECT pg_wal_replay_resume()`)
}

// Promote makes the standby a primary of its own, on a new timeline, and returns when it takes writes.
func (b *Standby) Promote(ctx context.Context) error {
	return b.exec(ctx, `SELECT pg_promote()`)
}

// Lag returns how many bytes of the primary's log the standby has not replayed yet.
func (b *Standby) Lag(ctx context.Context) (bytes int64, err error) {
	var written string
	err = b.stack.asSuperuser(ctx, "postgres", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&written)
	})
	if err != nil {
		return 0, err
	}
	err = b.ask(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn())::bigint`, written).Scan(&bytes)
	})
	return bytes, err
}

// Kill ends the standby as a crash would. It returns when it is gone.
func (b *Standby) Kill() {
	b.stack.mu.Lock()
	defer b.stack.mu.Unlock()
	b.kill()
}

func (b *Standby) kill() {
	if b.server.process != nil {
		b.server.process.end(syscall.SIGQUIT)
	}
	b.server.process = nil
}

// Start starts the standby again after Kill, on its port and its data.
func (b *Standby) Start(ctx context.Context) error {
	b.stack.mu.Lock()
	defer b.stack.mu.Unlock()
	if b.server.process != nil {
		return errors.New("a standby that runs cannot be started")
	}
	return b.run(ctx)
}

// Remove ends the standby and deletes its files.
func (b *Standby) Remove() error {
	b.Kill()
	return os.RemoveAll(b.server.data)
}

func (b *Standby) exec(ctx context.Context, sql string) error {
	return b.ask(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

func (b *Standby) ask(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, strings.Replace(b.stack.postgresURL(superuser, "postgres"), address(b.stack.postgres.port), address(b.server.port), 1))
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}
