package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"example.com/strata/app/listing"
)

// classify turns an error of the driver into one that the domain knows. An error of the caller's own context stays that.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if errors.Is(err, listing.ErrSetup) { // said before, in words of ours
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fmt.Errorf("%w: %w", meaningOf(pg), err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", listing.ErrUnavailable, err)
	}
	return err
}

// states are SQLSTATEs that mean something else than the rest of their class.
var states = map[string]error{
	"25006": listing.ErrReadOnly,    // read_only_sql_transaction: a standby before a failover has come through, or a database that is held
	"25P03": listing.ErrBusy,        // idle_in_transaction_session_timeout
	"25P04": listing.ErrUnavailable, // transaction_timeout
	"40002": listing.ErrReferred,    // transaction_integrity_constraint_violation
	"40003": listing.ErrUnavailable, // statement_completion_unknown
	"22021": listing.ErrRefused,     // character_not_in_repertoire, also of a read that asks for one
	"22P05": listing.ErrRefused,     // untranslatable_character, likewise
	"23000": listing.ErrReferred,    // integrity_constraint_violation
	"23001": listing.ErrReferred,    // restrict_violation
	"23503": listing.ErrReferred,    // foreign_key_violation of a constraint that is not ours
	"23505": listing.ErrReferred,    // unique_violation
	"23P01": listing.ErrReferred,    // exclusion_violation
	"55P02": listing.ErrSetup,       // cant_change_runtime_param
	"57P04": listing.ErrSetup,       // database_dropped
	"08P01": listing.ErrSetup,       // protocol_violation: a pooler that does not know what it was sent
}

// classes are what the first two characters of a SQLSTATE mean (PostgreSQL, appendix A). What is in none is the code of somebody's own RAISE, or of a
// server that only speaks PostgreSQL's protocol.
var classes = map[string]error{
	"03": listing.ErrSetup,       // SQL statement not yet complete
	"08": listing.ErrUnavailable, // connection exception
	"09": listing.ErrRefused,     // triggered action exception
	"0A": listing.ErrSetup,       // feature not supported
	"0B": listing.ErrFault,       // invalid transaction initiation
	"0F": listing.ErrFault,       // locator exception
	"0L": listing.ErrSetup,       // invalid grantor
	"0P": listing.ErrSetup,       // invalid role specification
	"0Z": listing.ErrFault,       // diagnostics exception
	"10": listing.ErrFault,       // XQuery error
	"20": listing.ErrRefused,     // case not found, of somebody's trigger
	"21": listing.ErrRefused,     // cardinality violation, likewise
	"22": listing.ErrRefused,     // data exception
	"23": listing.ErrRefused,     // integrity constraint violation
	"24": listing.ErrFault,       // invalid cursor state
	"25": listing.ErrBusy,        // invalid transaction state
	"26": listing.ErrBusy,        // invalid SQL statement name: a pooler lost what was prepared
	"27": listing.ErrReferred,    // triggered data change violation
	"28": listing.ErrSetup,       // invalid authorization specification
	"2B": listing.ErrSetup,       // dependent privilege descriptors still exist
	"2D": listing.ErrRefused,     // invalid transaction termination
	"2F": listing.ErrRefused,     // SQL routine exception
	"34": listing.ErrFault,       // invalid cursor name
	"38": listing.ErrRefused,     // external routine exception
	"39": listing.ErrRefused,     // external routine invocation exception
	"3B": listing.ErrFault,       // savepoint exception
	"3D": listing.ErrSetup,       // invalid catalog name
	"3F": listing.ErrSetup,       // invalid schema name
	"40": listing.ErrBusy,        // transaction rollback
	"42": listing.ErrSetup,       // syntax error or access rule violation
	"44": listing.ErrRefused,     // WITH CHECK OPTION violation
	"53": listing.ErrExhausted,   // insufficient resources
	"54": listing.ErrRefused,     // program limit exceeded
	"55": listing.ErrBusy,        // object not in prerequisite state
	"57": listing.ErrUnavailable, // operator intervention: also the statement timeout, since the caller's context has not ended
	"58": listing.ErrExhausted,   // system error: of the disk, mostly
	"72": listing.ErrBusy,        // snapshot too old
	"F0": listing.ErrSetup,       // configuration file error
	"HV": listing.ErrUnavailable, // foreign data wrapper error
	"P0": listing.ErrRefused,     // PL/pgSQL error: somebody's trigger says no
	"XX": listing.ErrFault,       // internal error
}

// meaningOf returns what the domain knows a server's error as.
func meaningOf(pg *pgconn.PgError) error {
	switch {
	case pg.Code == "23503" && pg.ConstraintName == "listings_city_fkey":
		return listing.ErrUnknownCity
	case pg.Code == "23503" && pg.ConstraintName == "listings_agent_fkey":
		return listing.ErrUnknownAgent
	}
	if known, ok := states[pg.Code]; ok {
		return known
	}
	if known, ok := classes[pg.Code[:min(2, len(pg.Code))]]; ok {
		return known
	}
	return listing.ErrRefused
}

// ofReading is a classified error as it is for a read: nobody asked to store the values that the database has trouble with, so they are its own.
func ofReading(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code == "22021" || pg.Code == "22P05" {
		return err
	}
	if errors.Is(err, listing.ErrRefused) || errors.Is(err, listing.ErrReferred) {
		return fmt.Errorf("%w: %w", listing.ErrFault, pg)
	}
	return err
}

// codeOf returns the SQLSTATE of an error, or nothing.
func codeOf(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	return pg.Code
}

// mostAttempts bounds how often something is done over because the database asked for it.
const mostAttempts = 5

// again does something until it succeeds or fails in a way that doing it over does not mend.
func again[T any](ctx context.Context, worth func(error) bool, do func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		value, err := do()
		if err == nil || attempt == mostAttempts || ctx.Err() != nil || !worth(err) {
			return value, err
		}
		select { // whoever was in the way may be so again, at the same pace
		case <-time.After(rand.N(time.Duration(4<<attempt) * time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// undone reports whether the server undid all that was asked for, or never began it, and it may go well the next time.
func undone(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "40001", "40P01", // serialization_failure, deadlock_detected
			"55P03",          // lock_not_available: somebody's lock_timeout
			"25P03", "25P02", // the transaction ended under our hands
			"72000",          // snapshot_too_old
			"0A000", "26000": // the plan of a statement that was prepared before a migration, or by way of a pooler
			return true
		}
		return false
	}
	return pgconn.SafeToRetry(err)
}

// unread reports whether a read may go well the next time: in addition where the connection was lost.
func unread(err error) bool {
	return undone(err) || errors.Is(err, listing.ErrUnavailable) && lost(err)
}

// lost reports whether the connection broke, while the server may well take another.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "57P01", "57P02", "57P05", "08003", "08006": // the server ended it: shut down, crashed, idle; or a pooler did
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	return !errors.As(err, &connect) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed))
}
