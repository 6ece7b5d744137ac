-- +goose Up

-- The role of the service: it reads and writes the domain, and reads the change log. It can neither change the schema nor
-- write the log itself, which only triggers do. Whoever deploys gives it a password.

-- +goose StatementBegin
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'strata_app') THEN
        CREATE ROLE strata_app LOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- roles belong to the whole cluster: another database of it was migrated at this moment
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;
-- +goose StatementEnd

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO strata_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON listings, agents, cities TO strata_app;
GRANT SELECT ON change_log, change_floor TO strata_app;

REVOKE EXECUTE ON FUNCTION strata_locate_listing(), strata_touch_listing(), strata_tags(bigint[], text[]), strata_log_listings(),
    strata_log_everything(), strata_prune(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata_prune(interval) TO strata_app;
