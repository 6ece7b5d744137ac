package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresServer is a data directory and, while it runs, the process on it. Stack.mu guards it.
type postgresServer struct {
	bin     string // directory of the programs
	data    string
	port    int
	process *Process
}

// openPostgres makes a data directory, starts a server on it and creates the roles and the database.
func (s *Stack) openPostgres(ctx context.Context, found installation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postgres = &postgresServer{bin: found.bin, data: filepath.Join(s.Dir, "postgres-"+found.version)}
	if err := s.initdb(ctx); err != nil {
		return err
	}
	err := s.onFreePort(func(port int) error {
		s.postgres.port = port
		return s.runPostgres(ctx)
	})
	if err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		s.postgres.process.end(syscall.SIGQUIT)
		return fmt.Errorf("preparing its database: %w", err)
	}
	return nil
}

// initdb makes the data directory, in the locale of the public Postgres images if the system has it, else in C, which knows no letters but ASCII.
func (s *Stack) initdb(ctx context.Context) error {
	password := filepath.Join(s.Dir, "password")
	if err := s.user.writeFile(password, s.password+"\n"); err != nil {
		return err
	}
	defer os.Remove(password)

	locales := []string{"C.UTF-8", "C"}
	if runtime.GOOS != "linux" {
		locales = locales[1:]
	}
	var err error
	for _, locale := range locales {
		err = s.runToEnd(ctx, "initdb", filepath.Join(s.postgres.bin, "initdb"),
			"--pgdata="+s.postgres.data, "--username="+superuser, "--pwfile="+password, "--auth=scram-sha-256",
			"--encoding=UTF8", "--locale="+locale, "--no-sync", "--no-instructions")
		if err == nil {
			return s.configurePostgres()
		}
	}
	return err
}

// runToEnd runs a command as the servers' user and waits for it. Its output is in the error if it fails.
func (s *Stack) runToEnd(ctx context.Context, name string, args ...string) error {
	logPath := filepath.Join(s.Dir, name+".log")
	process, err := s.spawn(logPath, syscall.SIGTERM, args)
	if err != nil {
		return err
	}
	select {
	case <-process.done:
	case <-ctx.Done():
		process.end(syscall.SIGKILL)
		return ctx.Err()
	}
	if process.err != nil {
		return fmt.Errorf("%s: %w:\n%s", name, process.err, tail(logPath))
	}
	return nil
}

func (s *Stack) configurePostgres() error {
	settings := map[string]string{
		"listen_addresses":         loopback,
		"unix_socket_directories":  "", // a socket's path has a length limit that temporary directories can exceed
		"max_connections":          "100",
		"shared_buffers":           "256MB", // holds 100,000 listings with their indexes, and is taken only as it is used
		"shared_preload_libraries": "pg_stat_statements",
		"track_io_timing":          "on",
		"fsync":                    "off", // no power cut is survived, nor has to be; a crash of the processes is
		"full_page_writes":         "off",
		"max_wal_size":             "2GB", // no checkpoint in the middle of a measurement
	}
	for name, value := range s.cfg.PostgresSettings {
		settings[name] = value
	}
	maps.Copy(settings, s.cfg.PostgresSettings)
	file, err := os.OpenFile(filepath.Join(s.postgres.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	quote := strings.NewReplacer(`'`, `''`, `\`, `\\`)
	for name, value := range settings {
		if _, err := fmt.Fprintf(file, "%s = '%s'\n", name, quote.Replace(value)); err != nil {
			return err
		}
	}
	return file.Close()
}

// runPostgres starts the server on its data directory and port, and waits until it takes connections.
func (s *Stack) runPostgres(ctx context.Context) error {
	process, err := s.run(ctx, server{
		name:   "postgres",
		args:   []string{filepath.Join(s.postgres.bin, "postgres"), "-D", s.postgres.data, "-p", fmt.Sprint(s.postgres.port)},
		signal: syscall.SIGQUIT, // at once, without a checkpoint: the files are thrown away
		answers: func(ctx context.Context) error {
			return s.asSuperuser(ctx, "postgres", func(*pgx.Conn) error { return nil })
		},
	})
	s.postgres.process = process
	return err
}

// prepare creates what the owner's migrations may not: the roles, and in template1 the extension, so that each database has it.
func (s *Stack) prepare(ctx context.Context) error {
	err := s.asSuperuser(ctx, "template1", func(conn *pgx.Conn) error {
		// The password is made of letters and digits. CREATE ROLE takes no parameters.
		_, err := conn.Exec(ctx, `
			CREATE ROLE `+OwnerRole+` LOGIN PASSWORD '`+s.password+`' IN ROLE pg_monitor;
			CREATE ROLE `+AppRole+` LOGIN PASSWORD '`+s.password+`';
			CREATE EXTENSION pg_stat_statements;
			GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO `+OwnerRole+`; -- that is, pg_stat_statements_reset`)
		if err != nil {
			return err
		}
		return conn.QueryRow(ctx, `SELECT split_part(current_setting('server_version'), ' ', 1)`).Scan(&s.PostgresVersion)
	})
	if err != nil {
		return err
	}
	s.OwnerURL, s.DatabaseURL, err = s.createDatabase(ctx, Database)
	s.SuperuserURL = s.postgresURL(superuser, Database)
	return err
}

// CreateDatabase creates another empty database, like the one that the Stack comes with, and returns its URLs for the two roles.
// So tests need not share one.
func (s *Stack) CreateDatabase(ctx context.Context, name string) (ownerURL, appURL string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createDatabase(ctx, name)
}

func (s *Stack) createDatabase(ctx context.Context, name string) (ownerURL, appURL string, err error) {
	err = s.asSuperuser(ctx, "postgres", func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` OWNER `+OwnerRole)
		return err
	})
	if err != nil {
		return "", "", fmt.Errorf("creating database %s: %w", name, err)
	}
	return s.postgresURL(OwnerRole, name), s.postgresURL(AppRole, name), nil
}

func (s *Stack) asSuperuser(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.postgresURL(superuser, database))
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(ctx))
}

func (s *Stack) postgresURL(role, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, s.password),
		Host:     address(s.postgres.port),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PostgresPID returns the process id of the Postgres postmaster, the parent of all its other processes; 0 while it is killed.
func (s *Stack) PostgresPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres.process == nil {
		return 0
	}
	return s.postgres.process.PID()
}

// KillPostgres ends Postgres as a crash would, by an immediate shutdown: open transactions are lost, committed ones are not. It returns when it is gone.
func (s *Stack) KillPostgres() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres == nil || s.postgres.process == nil {
		return
	}
	s.postgres.process.end(syscall.SIGQUIT)
	s.postgres.process = nil
}

// StartPostgres starts Postgres again after KillPostgres, on its port and its data, and returns when it has recovered.
func (s *Stack) StartPostgres(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres.process != nil {
		return errors.New("a Postgres that runs cannot be started")
	}
	return s.runPostgres(ctx)
}
