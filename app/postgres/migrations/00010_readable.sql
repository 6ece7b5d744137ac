-- +goose Up

-- What the service may know of its schema: of which release it is.
GRANT SELECT ON goose_db_version TO strata_app;

-- strata_advance_ids brings the sequence of listings' ids up to the largest of them, which somebody has loaded with the ids they had elsewhere. Who comes while another
-- does it finds it done.
-- +goose StatementBegin
CREATE FUNCTION strata_advance_ids() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    ids CONSTANT text := pg_get_serial_sequence('public.listings', 'id');
    largest bigint;
    present bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('strata_advance_ids'));
    SELECT max(id) INTO largest FROM public.listings;
    EXECUTE format('SELECT last_value FROM %s', ids) INTO present;
    IF largest > present THEN
        PERFORM setval(ids, largest);
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION strata_advance_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION strata_advance_ids() TO strata_app;
