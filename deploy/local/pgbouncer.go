package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// StartPgBouncer starts a PgBouncer before the Stack's Postgres, with its defaults but for pool_mode=transaction and few server connections, so that sessions do change hands. It returns
// how a database's URL reads by way of it, for either role. It is installed by apt if it is missing, and runs as long as the Stack.
func (s *Stack) StartPgBouncer(ctx context.Context) (by func(databaseURL string) string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, err := s.pgbouncer(ctx)
	if err != nil {
		return nil, err
	}
	users := filepath.Join(s.Dir, "pgbouncer-users.txt")
	if err := s.user.writeFile(users, fmt.Sprintf("%q %q\n%q %q\n", AppRole, s.password, OwnerRole, s.password)); err != nil {
		return nil, err
	}
	config := filepath.Join(s.Dir, "pgbouncer.ini")
	err = s.onFreePort(func(port int) error {
		by = func(databaseURL string) string {
			u, _ := url.Parse(databaseURL) // the Stack's own
			u.Host = address(port)
			return u.String()
		}
		err := s.user.writeFile(config, fmt.Sprintf(`[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = %[1]s
listen_port = %[3]d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[4]s
pool_mode = transaction
default_pool_size = 3
`, loopback, s.postgres.port, port, users))
		if err != nil {
			return err
		}
		_, err = s.run(ctx, server{name: "pgbouncer", args: []string{path, config}, signal: syscall.SIGTERM, answers: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, by(s.postgresURL(AppRole, Database)))
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		}})
		return err
	})
	return by, err
}

// pgbouncer returns the program's path, and has it installed if it is missing.
func (s *Stack) pgbouncer(ctx context.Context) (string, error) {
	for range 2 {
		for _, dir := range s.cfg.places() {
			if path := program(dir, "pgbouncer"); path != "" {
				return path, nil
			}
		}
		if err := install(ctx, s.cfg.Log, []string{"pgbouncer"}); err != nil && !errors.Is(err, errCannotInstall) {
			return "", err
		}
	}
	return "", errors.New("no pgbouncer found, neither on PATH nor in the usual directories (Debian and Ubuntu: apt install pgbouncer)")
}
