-- +goose Up

-- The change log: one row for each statement that changed something, written by triggers in the transaction that changes it.
-- Whoever reads it by the difference of two snapshots learns of every committed change exactly once.

CREATE TABLE change_log (
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tags        text[] NOT NULL,
    origin      text NOT NULL DEFAULT current_setting('application_name'),
    traceparent text DEFAULT nullif(current_setting('strata.traceparent', true), ''),
    logged_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, seq) -- found by xid; every index is paid for by every write
) WITH (
    -- Rows are appended at one end and pruned at the other: clean up often, while the pages are still in memory.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);

CREATE INDEX change_log_logged_at ON change_log USING brin (logged_at); -- for pruning; costs writes next to nothing

-- Rows of transactions below the floor may be gone from the log.
CREATE TABLE change_floor (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    xid    xid8 NOT NULL
);
INSERT INTO change_floor (xid) VALUES ('0');

-- strata_tags are the tags of a statement that touched these listings and cities, each named once: the tag of every listing, of every
-- city, and 'listings'. Beyond 500 tags those of single listings are left out, and '*' stands for them.
-- +goose StatementBegin
CREATE FUNCTION strata_tags(ids bigint[], cities text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF cardinality(ids) = 1 AND cardinality(cities) = 1 THEN -- nearly always, so it has to be quick
        RETURN ARRAY['listing:' || ids[1], 'city:' || cities[1], 'listings'];
    END IF;
    RETURN CASE WHEN cardinality(ids) + cardinality(cities) < 500
        THEN ARRAY(SELECT 'listing:' || id FROM unnest(ids) id)
        ELSE ARRAY['*']
        END
        || ARRAY(SELECT 'city:' || city FROM unnest(cities[:498]) city)
        || 'listings'::text;
END
$$;
-- +goose StatementEnd

-- strata_log_listings logs what a statement did to listings, by their rows before and after: a listing that moves touches
-- the city that it leaves too.
--
-- The notification only wakes the feeds. A session that changes a great deal can switch it off with
-- SET strata.notify = off: feeds look at the log by themselves before long.
-- +goose StatementBegin
CREATE FUNCTION strata_log_listings() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO public.change_log (tags)
        SELECT public.strata_tags(array_agg(DISTINCT id), array_agg(DISTINCT city))
        FROM (SELECT id, city FROM old_rows UNION ALL SELECT id, city FROM touched_rows) AS either
        HAVING count(*) > 0;
    ELSE
        INSERT INTO public.change_log (tags)
        SELECT public.strata_tags(array_agg(id), array_agg(DISTINCT city))
        FROM touched_rows
        HAVING count(*) > 0;
    END IF;
    IF FOUND AND current_setting('strata.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('strata_changes', '');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- strata_log_everything logs a statement after which nothing that was read before can be trusted.
-- +goose StatementBegin
CREATE FUNCTION strata_log_everything() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.change_log (tags) VALUES (ARRAY['*']);
    IF current_setting('strata.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('strata_changes', '');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER log_insert AFTER INSERT ON listings
    REFERENCING NEW TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION strata_log_listings();
CREATE TRIGGER log_update AFTER UPDATE ON listings
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION strata_log_listings();
CREATE TRIGGER log_delete AFTER DELETE ON listings
    REFERENCING OLD TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION strata_log_listings();
CREATE TRIGGER log_truncate AFTER TRUNCATE ON listings
    FOR EACH STATEMENT EXECUTE FUNCTION strata_log_everything();
CREATE TRIGGER log_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cities
    FOR EACH STATEMENT EXECUTE FUNCTION strata_log_everything();

-- A session that switches triggers off by its session_replication_role, as bulk loaders do, is logged all the same.
ALTER TABLE listings
    ENABLE ALWAYS TRIGGER log_insert, ENABLE ALWAYS TRIGGER log_update,
    ENABLE ALWAYS TRIGGER log_delete, ENABLE ALWAYS TRIGGER log_truncate;
ALTER TABLE cities ENABLE ALWAYS TRIGGER log_change;

-- strata_prune removes rows of the log that are older than keep, raises the floor to just above the largest transaction
-- among them, and returns how many there were. It leaves alone what a running transaction could still add to or miss.
-- Only one session prunes at a time; for the others there is nothing to do.
-- +goose StatementBegin
CREATE FUNCTION strata_prune(keep interval) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present CONSTANT pg_snapshot := pg_current_snapshot();
    removed bigint;
    largest xid8;
BEGIN
    IF keep IS NULL OR keep < interval '0' THEN
        RAISE EXCEPTION 'the log cannot be kept for %', keep USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('strata_prune')) THEN
        RETURN 0;
    END IF;
    WITH gone AS (
        DELETE FROM public.change_log
        WHERE logged_at < clock_timestamp() - keep AND xid < pg_snapshot_xmin(present)
        RETURNING xid
    )
    SELECT count(*), max(xid) INTO removed, largest FROM gone;
    UPDATE public.change_floor SET xid = (largest::text::bigint + 1)::text::xid8
    WHERE xid <= largest;
    RETURN removed;
END
$$;
-- +goose StatementEnd
