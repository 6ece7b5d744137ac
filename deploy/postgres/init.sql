-- What a superuser does once, on the empty cluster: the roles and the extension. The rest is done by `strata migrate`, as the owner.
\set ON_ERROR_STOP on
\getenv owner_password STRATA_OWNER_PASSWORD
\getenv app_password STRATA_APP_PASSWORD
\getenv monitor_password STRATA_MONITOR_PASSWORD

-- The owner of the schema: migrations, seeds, and the laboratory, which reads statistics of others.
CREATE ROLE strata_owner LOGIN PASSWORD :'owner_password' IN ROLE pg_monitor;
-- The service: what it may do is said in the migration that grants it.
CREATE ROLE strata_app LOGIN PASSWORD :'app_password';
-- The exporter: statistics, and no row of anybody's.
CREATE ROLE strata_monitor LOGIN PASSWORD :'monitor_password' IN ROLE pg_monitor CONNECTION LIMIT 5;
ALTER ROLE strata_monitor SET search_path = pg_catalog, public;

ALTER DATABASE strata OWNER TO strata_owner;
CREATE EXTENSION pg_stat_statements;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO strata_owner; -- that is, pg_stat_statements_reset
GRANT ALL ON SCHEMA public TO strata_owner; -- since Postgres 15 not everybody's
