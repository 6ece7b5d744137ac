// Package postgres is where listings live: the pool, the SQL, the schema with its change log, and the feed that reads the log.
package postgres

import (
	"context"
	"time"

	"example.com/strata/app/freshness"
)

// Config holds the settings of a DB. Zero values mean the defaults.
type Config struct {
	URL              string        // of the application role, such as postgres://strata_app@localhost:5432/strata
	PoolSize         int           // most connections at once, to each server; 10
	ConnectTimeout   time.Duration // for opening one connection; 3 s
	AcquireTimeout   time.Duration // how long a request waits for a free connection before it gives up; 2 s
	StatementTimeout time.Duration // after which the server stops a statement; 10 s

	FeedURL string // of the primary for the change feed, past a pooler that keeps notifications back; empty: URL

	ReadURL        string                       // of a standby for reads that are stamped; empty: the primary answers all
	Ledger         *freshness.Ledger            // judges what the standby says; needed with ReadURL
	StandbyTimeout time.Duration                // for a read of the standby, waiting for a connection included, before the primary is asked; 1 s
	Strategies     []string                     // values of the metrics' label strategy; none
	Strategy       func(context.Context) string // returns the one of a request; always the first
}

func (c Config) withDefaults() Config {
	if c.PoolSize <= 0 {
		c.PoolSize = 10
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 3 * time.Second
	}
	if c.AcquireTimeout <= 0 {
		c.AcquireTimeout = 2 * time.Second
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = 10 * time.Second
	}
	if c.StandbyTimeout <= 0 {
		c.StandbyTimeout = time.Second
	}
	if len(c.Strategies) == 0 {
		c.Strategies = []string{"none"}
	}
	if c.Strategy == nil {
		c.Strategy = func(context.Context) string { return c.Strategies[0] }
	}
	return c
}
