package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// The faults that an owner's command finds before it has changed anything. Each names the command.
const (
	faultPooler   = `a pooler stands between this command and the database, and gives each of its transactions another session: name the server itself in the URL`
	faultNoPublic = `the database %s has no schema public, where Strata's tables are: CREATE SCHEMA public AUTHORIZATION %s`
	faultCreate   = `the role %s may not create tables in the schema public of the database %s: GRANT CREATE ON SCHEMA public TO %s`
	faultAppRole  = `the role strata_app, which the service works as, does not exist, and the role %s may not create it: have an administrator run CREATE ROLE strata_app LOGIN PASSWORD '...', then try again`
)

// ownerSettings are what the owner's commands rely on, whatever the role's own settings are: above all the schema, of which PostgreSQL's manual has each user
// have one. The service's functions name it, so that nobody's search_path leads them elsewhere.
var ownerSettings = []setting{
	{"search_path", "public, pg_temp"},
	{"statement_timeout", "0"}, // an index of a large table takes its time
	{"lock_timeout", "0"},
	{"idle_in_transaction_session_timeout", "0"},
	{"transaction_timeout", "0"},
	{"default_transaction_isolation", "read committed"},
}

// ownerConfig reads the URL of the role that owns the schema.
func ownerConfig(url string) (*pgx.ConnConfig, error) {
	cc, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the owner's database URL: %w", err)
	}
	for name, value := range tracked {
		cc.RuntimeParams[name] = value
	}
	return cc, nil
}

// connectOwner opens a connection for an owner's command. The caller closes it.
func connectOwner(ctx context.Context, url string) (*pgx.Conn, error) {
	cc, err := ownerConfig(url)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", classify(ctx, err))
	}
	if err := prepareOwner(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// prepareOwner does what each of an owner's connections needs, and refuses one that its commands could not work on.
func prepareOwner(ctx context.Context, conn *pgx.Conn) error {
	through, err := leadsToPooler(ctx, conn)
	if err != nil {
		return fmt.Errorf("looking at the connection: %w", classify(ctx, err))
	}
	if through {
		return fmt.Errorf("%w: %s", listing.ErrSetup, faultPooler)
	}
	if err := setSession(ctx, conn, ownerSettings); err != nil {
		return err
	}
	const sql = `
		SELECT current_database(), current_user, current_setting('server_encoding'), to_regnamespace('public') IS NOT NULL,
			coalesce(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), false), to_regclass('public.listings') IS NOT NULL,
			to_regrole('strata_app') IS NOT NULL OR (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)`
	var database, role, encoding string
	var public, mayCreate, migrated, appRole bool
	if err := conn.QueryRow(ctx, sql).Scan(&database, &role, &encoding, &public, &mayCreate, &migrated, &appRole); err != nil {
		return fmt.Errorf("looking at the database: %w", classify(ctx, err))
	}
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", listing.ErrSetup, fmt.Sprintf(format, args...))
	}
	switch {
	case encoding != "UTF8":
		return fault(faultEncoding, database, encoding, database)
	case !public:
		return fault(faultNoPublic, database, role)
	case !mayCreate:
		return fault(faultCreate, role, database, role)
	case !appRole && !migrated:
		return fault(faultAppRole, role)
	}
	return nil
}

// advised adds what to do to an error of an owner's command whose reason is not in its words.
func advised(err error) error {
	if errors.Is(err, listing.ErrSetup) && codeOf(err) == "42P01" {
		return fmt.Errorf("%w (is the database migrated? strata migrate brings its schema up to date)", err)
	}
	return err
}
