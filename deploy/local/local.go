// Package local runs a private Postgres and a private Redis as child processes: for the laboratory, for a first look, and for the tests.
// They listen on free loopback ports with random passwords, keep their files in one temporary directory, and leave nothing behind,
// in whatever way the program ends.
package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Database is the name of the database that a Stack comes with.
const Database = "strata"

// The roles of every database of a Stack.
const (
	OwnerRole = "strata_owner" // owns the databases, runs the migrations; may read all statistics, is no superuser
	AppRole   = "strata_app"   // what the service connects as; the migrations grant it what it needs
	superuser = "postgres"
)

// readyTimeout bounds each server's start. Each takes well under a second, recovery after KillPostgres a few; a loaded CI machine takes its time.
const readyTimeout = time.Minute

// Config holds a Stack's settings. Its zero value is fit for use.
type Config struct {
	Dir              string            // the private directory is made in here; the system's temporary directory
	Log              func(line string) // told what takes time or may surprise, one line at a time; by default it goes to standard error
	PostgresSettings map[string]string // go to postgresql.conf after the Stack's own, so they win, but for the port
	NoRedis          bool              // start no Redis: RedisURL stays empty
	NoInstall        bool              // never install a missing server by apt

	places   func() []string     // directories to look for servers in, before PATH; usualPlaces
	freePort func() (int, error) // freePort
}

// Stack is a running Postgres and Redis. Its fields do not change once Start has returned it. Its methods may be called from any goroutine.
type Stack struct {
	Dir             string // the private directory; Stop removes it
	OwnerURL        string // the database as its owner
	DatabaseURL     string // the database as the application's role
	SuperuserURL    string // the database as superuser, for resetting statistics and the like
	PostgresVersion string // such as 15.18
	RedisURL        string
	RedisVersion    string // such as "redis 7.0.15", "valkey 8.1.4", or "miniredis"
	MiniRedis       bool   // neither Redis nor Valkey was to be had, so an imitation inside this process stands in

	cfg      Config
	user     *account // whom the servers run as, if not as this process
	guard    *guard
	stop     func() error
	password string // of all roles and of Redis

	mu        sync.Mutex // held while a server is started or stopped
	postgres  *postgresServer
	redis     redisServer // nil without Redis
	redisPort int
	standbys  []*Standby
	clusters  int // how many have been started
}

// Start starts Postgres and Redis and returns when both answer. They run until Stop, until ctx ends, or until this process does.
// If a server is missing it is installed by apt where that is possible without a question; otherwise the error says what to install.
// Only Redis can be done without: see Stack.MiniRedis.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	if cfg.Log == nil {
		cfg.Log = func(line string) { fmt.Fprintln(os.Stderr, line) }
	}
	if cfg.places == nil {
		cfg.places = usualPlaces
	}
	if cfg.freePort == nil {
		cfg.freePort = freePort
	}
	found, err := find(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Stack{cfg: cfg, password: rand.Text()}
	s.stop = sync.OnceValue(s.cleanUp)
	if err := s.start(ctx, found); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	context.AfterFunc(ctx, func() {
		if err := s.stop(); err != nil {
			cfg.Log("Cleaning up: " + err.Error())
		}
	})
	return s, nil
}

func (s *Stack) start(ctx context.Context, found servers) error {
	if err := s.makeDir(); err != nil {
		return err
	}
	if !s.cfg.NoRedis {
		if err := s.openRedis(ctx, found.redis); err != nil {
			return fmt.Errorf("starting Redis: %w", err)
		}
	}
	// The newest that works: an installation can lack pg_stat_statements, or be closed to the user that the server must run as.
	var failed []error
	for _, installation := range found.postgres {
		err := s.openPostgres(ctx, installation)
		if err == nil {
			return nil
		}
		failed = append(failed, fmt.Errorf("starting Postgres from %s: %w", installation.bin, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// makeDir makes the private directory. Its guard is there first, so that no moment is left in which it could be forgotten.
func (s *Stack) makeDir() error {
	var err error
	if s.user, err = unprivileged(); err != nil {
		return err
	}
	parent, err := filepath.Abs(cmp.Or(s.cfg.Dir, os.TempDir()))
	if err != nil {
		return err
	}
	if !s.user.reaches(parent) {
		if s.cfg.Dir != "" {
			return fmt.Errorf("root cannot run Postgres, and another user cannot enter %s", parent)
		}
		parent = "/tmp" // TMPDIR may be root's own
	}
	s.Dir = filepath.Join(parent, "strata-"+strings.ToLower(rand.Text()))
	if s.guard, err = newGuard(s.Dir); err != nil {
		return fmt.Errorf("starting the guard: %w", err)
	}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		return err
	}
	return s.user.own(s.Dir)
}

// Stop ends the servers and everything that Launch has started, the newest first, and removes their files. What the servers
// hold is lost. It may be called more than once.
func (s *Stack) Stop() error { return s.stop() }

func (s *Stack) cleanUp() error {
	if s.guard == nil {
		return nil
	}
	err := s.guard.close() // first: it also ends a start that is under way
	// The guard has done the rest as well, unless somebody has killed it.
	s.StopRedis()
	for _, standby := range s.standbys {
		standby.Kill()
	}
	s.KillPostgres()
	return errors.Join(err, os.RemoveAll(s.Dir))
}
