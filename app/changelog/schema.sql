-- The change log: what was changed, written by triggers in the transaction that changes it. Whoever
-- reads it by the difference of two snapshots learns of every committed change exactly once. This
-- file may be run again: it leaves what is there, and replaces functions. It needs PostgreSQL 13.

-- One row for each statement that changed something.
CREATE TABLE IF NOT EXISTS public.change_log (
    seq         bigint GENERATED ALWAYS AS IDENTITY,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),
    tags        text[] NOT NULL,
    origin      text NOT NULL DEFAULT current_setting('application_name'),
    traceparent text DEFAULT nullif(current_setting('strata.traceparent', true), ''),
    logged_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, seq) -- found by xid; every index is paid for by every write
) WITH (
    -- Rows are appended at one end and pruned at the other: clean up often, while the pages are
    -- still in memory.
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.05
);
CREATE INDEX IF NOT EXISTS change_log_logged_at ON public.change_log USING brin (logged_at); -- for pruning

-- Rows of transactions below the floor may be gone from the log.
CREATE TABLE IF NOT EXISTS public.change_floor (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    xid    xid8 NOT NULL
);
INSERT INTO public.change_floor (xid) VALUES ('0') ON CONFLICT DO NOTHING;

-- The epoch names one line of history in which no transaction id is given out twice and no change
-- goes unlogged. PostgreSQL empties an unlogged table when it recovers from a crash, and a standby
-- has none, so one that is promoted begins without. The start of the server tells a data directory
-- that was stopped, copied and put back; the database's oid a copy of the database; the shape a
-- trigger that was switched off, or a table put in another's place.
CREATE UNLOGGED TABLE IF NOT EXISTS public.change_epoch (
    single   boolean PRIMARY KEY DEFAULT true CHECK (single),
    id       bigint NOT NULL,
    database oid NOT NULL,
    started  timestamptz NOT NULL, -- the server's
    shape    bigint NOT NULL       -- of what is watched, when the epoch began
);

-- The present epoch's id where standbys can read it.
CREATE TABLE IF NOT EXISTS public.change_epoch_copy (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    id     bigint NOT NULL
);

-- The tables whose changes are to be logged, and by which triggers. How a trigger is to be enabled
-- stands behind its name, as pg_trigger.tgenabled has it: O in ordinary sessions, R where
-- replication applies rows, A in both.
CREATE TABLE IF NOT EXISTS public.change_watch (
    relation text PRIMARY KEY, -- with its schema
    triggers text[] NOT NULL,  -- such as log_insert=O
    mend     text NOT NULL     -- SQL that puts them right
);

-- strata_epoch returns the id of the present epoch, or nothing if none is valid. Whoever reads asks
-- for it in the statement that reads: behind a pooler a connection does not break when the server
-- behind it changes.
CREATE OR REPLACE FUNCTION public.strata_epoch() RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF pg_catalog.pg_is_in_recovery() THEN -- where not even the name of an unlogged table may be mentioned
        RETURN (SELECT id FROM public.change_epoch_copy);
    END IF;
    RETURN (
        SELECT id FROM public.change_epoch
        WHERE started OPERATOR(pg_catalog.=) pg_catalog.pg_postmaster_start_time() AND database OPERATOR(pg_catalog.=) (
            SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()));
END
$$;

-- strata_shape is a hash of everything on which it depends that changes of the watched tables are
-- logged: which table has the name, its file, whether it is part of a family of tables, its
-- triggers with their state, and when they or their functions were last changed. A change that is
-- taken back leaves another hash than before.
CREATE OR REPLACE FUNCTION public.strata_shape() RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(hashtextextended(concat_ws(':', w.relation, c.oid, c.relkind, c.relfilenode, family.tables,
            t.tgname, t.tgenabled, t.xmin, p.xmin), 0)::numeric) % 9223372036854775807, 0)
        FROM public.change_watch w
        LEFT JOIN pg_class c ON c.oid = to_regclass(w.relation)
        LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
        LEFT JOIN pg_proc p ON p.oid = t.tgfoid
        CROSS JOIN LATERAL (
            SELECT count(*) AS tables FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid
        ) family);
END
$$;

-- strata_watched_epoch is strata_epoch for whoever reads the log: it returns nothing if the shape
-- is not that of the epoch.
CREATE OR REPLACE FUNCTION public.strata_watched_epoch() RETURNS bigint
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN public.strata_epoch();
    END IF;
    RETURN (SELECT id FROM public.change_epoch WHERE id = public.strata_epoch() AND shape = public.strata_shape());
END
$$;

-- strata_begin_epoch begins an epoch, unless there is a valid one other than that which the caller
-- refuses. What was logged before is visible in whatever is read in the new one, but for what is
-- still running: the floor rises to that. Rows that seem to come from the future, as a dump of
-- another server brings them, go.
CREATE OR REPLACE FUNCTION public.strata_begin_epoch(refused bigint DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    present bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('strata_epoch', 0));
    present := public.strata_watched_epoch();
    IF present IS DISTINCT FROM refused AND present IS NOT NULL THEN
        RETURN;
    END IF;
    -- 60 bits of chance: those of a random UUID without its version and variant.
    present := ('x' || substr(translate(gen_random_uuid()::text, '-', ''), 18, 15))::bit(60)::bigint;
    DELETE FROM public.change_epoch;
    INSERT INTO public.change_epoch (id, database, started, shape)
    SELECT greatest(present, 1), oid, pg_postmaster_start_time(), public.strata_shape()
    FROM pg_database WHERE datname = current_database();
    INSERT INTO public.change_epoch_copy (id) VALUES (greatest(present, 1))
    ON CONFLICT (single) DO UPDATE SET id = excluded.id;
    DELETE FROM public.change_log WHERE xid >= pg_snapshot_xmax(pg_current_snapshot());
    UPDATE public.change_floor SET xid = pg_snapshot_xmin(pg_current_snapshot());
END
$$;

-- strata_watch_problems lists what keeps changes of watched tables from being logged, with the SQL
-- that mends it.
CREATE OR REPLACE FUNCTION public.strata_watch_problems() RETURNS TABLE (relation text, problem text, mend text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH watched AS (
        SELECT w.*, to_regclass(w.relation) AS oid FROM public.change_watch w
    ), wanted AS (
        SELECT w.relation, w.oid, w.mend, split_part(t, '=', 1) AS name, split_part(t, '=', 2) AS enabled
        FROM watched w CROSS JOIN unnest(w.triggers) t
    )
    SELECT w.relation, 'there is no such table', w.mend FROM watched w WHERE w.oid IS NULL
    UNION ALL
    SELECT w.relation, 'it is not an ordinary table', w.mend
    FROM watched w JOIN pg_class c ON c.oid = w.oid WHERE c.relkind <> 'r'
    UNION ALL
    SELECT w.relation, format('table %s inherits from it, and its rows change unlogged', i.inhrelid::regclass),
        format('ALTER TABLE %s NO INHERIT %s', i.inhrelid::regclass, w.oid)
    FROM watched w JOIN pg_inherits i ON i.inhparent = w.oid
    UNION ALL
    SELECT w.relation, format('it is a part of table %s, and what is written by way of that goes unlogged', i.inhparent::regclass),
        CASE WHEN p.relkind = 'p' THEN format('ALTER TABLE %s DETACH PARTITION %s', p.oid::regclass, w.oid)
        ELSE format('ALTER TABLE %s NO INHERIT %s', w.oid, p.oid::regclass) END
    FROM watched w JOIN pg_inherits i ON i.inhrelid = w.oid JOIN pg_class p ON p.oid = i.inhparent
    UNION ALL
    SELECT w.relation, CASE WHEN t.oid IS NULL THEN format('trigger %s is missing', w.name)
        ELSE format('trigger %s is %s', w.name, CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'O' THEN 'off where replication applies rows'
            WHEN 'R' THEN 'off in ordinary sessions' ELSE 'on where it should not be' END) END, w.mend
    FROM wanted w LEFT JOIN pg_trigger t ON t.tgrelid = w.oid AND t.tgname = w.name AND NOT t.tgisinternal
    WHERE w.oid IS NOT NULL AND t.tgenabled IS DISTINCT FROM w.enabled::"char"
$$;

-- strata_notify wakes the feeds when the transaction commits. A session that changes a great deal
-- can switch it off with SET strata.notify = off, and one that prepares transactions must: PREPARE
-- TRANSACTION refuses those that notify. Feeds look at the log by themselves before long.
CREATE OR REPLACE FUNCTION public.strata_notify() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF current_setting('strata.notify', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('strata_changes', '');
    END IF;
END
$$;

-- strata_log_everything logs a statement after which nothing that was read before can be trusted.
CREATE OR REPLACE FUNCTION public.strata_log_everything() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.change_log (tags) VALUES (ARRAY['*']);
    PERFORM public.strata_notify();
    RETURN NULL;
END
$$;

-- strata_log_row logs a change of one row, where triggers are called for each. Statements have no
-- end there, so after some 500 rows of a transaction, '*' stands for all that follow.
CREATE OR REPLACE FUNCTION public.strata_log_row(touched text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    me CONSTANT xid8 := pg_current_xact_id();
    last record;
BEGIN
    SELECT seq, tags INTO last FROM public.change_log WHERE xid = me ORDER BY seq DESC LIMIT 1;
    IF last.tags = ARRAY['*'] THEN
        RETURN;
    END IF;
    IF last.seq - (SELECT seq FROM public.change_log WHERE xid = me ORDER BY seq LIMIT 1) > 500 THEN
        touched := ARRAY['*'];
    END IF;
    INSERT INTO public.change_log (tags) VALUES (touched);
    IF last.seq IS NULL THEN
        PERFORM public.strata_notify();
    END IF;
END
$$;

-- strata_prune removes rows of the log that are older than keep, raises the floor to just above the
-- largest transaction among them, and returns how many there were. It leaves alone what a running
-- transaction could still add to or miss. Only one session prunes at a time; for the others there
-- is nothing to do.
CREATE OR REPLACE FUNCTION public.strata_prune(keep interval) RETURNS bigint
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

-- strata_watch sees to it that changes of a table are logged, by anybody, from the end of this
-- transaction on. Each tag is text with columns in braces, such as 'price:{id}' or 'city:{city}': a
-- row that changes from one value to another touches the tags of both. Of a statement that touches
-- more than 500 tags, '*' is logged. It may be called again with other tags.
CREATE OR REPLACE FUNCTION public.strata_watch(watched regclass, VARIADIC tags text[]) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    schema_name text;
    table_name  text;
    logger      text;
    tag         text;
    part        text[];
    expressions text := '';
    of_row      text;
    expression  text;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = watched;
    IF octet_length(table_name) > 48 THEN -- the functions' names begin and end with something more
        RAISE EXCEPTION 'the name of table % is longer than 48 bytes', watched USING ERRCODE = 'name_too_long';
    END IF;
    FOREACH tag IN ARRAY tags LOOP
        expression := '';
        FOR part IN SELECT regexp_matches(tag, '([^{}]*)(?:\{([^{}]+)\})?', 'g') LOOP
            CONTINUE WHEN part[1] = '' AND part[2] IS NULL;
            IF part[2] IS NOT NULL AND NOT EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = watched AND attname = part[2] AND attnum > 0 AND NOT attisdropped) THEN
                RAISE EXCEPTION 'table % has no column % for the tag %', watched, part[2], tag USING ERRCODE = 'undefined_column';
            END IF;
            expression := expression || CASE WHEN expression = '' THEN '' ELSE ' || ' END || quote_literal(part[1])
                || CASE WHEN part[2] IS NULL THEN '' ELSE format(' || coalesce(r.%I::text, ''null'')', part[2]) END;
        END LOOP;
        IF expression = '' THEN
            RAISE EXCEPTION 'an empty tag for table %', watched USING ERRCODE = 'invalid_parameter_value';
        END IF;
        expressions := expressions || CASE WHEN expressions = '' THEN '' ELSE ', ' END || expression;
    END LOOP;
    IF expressions = '' THEN
        RAISE EXCEPTION 'no tags for table %', watched USING ERRCODE = 'invalid_parameter_value';
    END IF;
    logger := format('%I.%I', schema_name, 'strata_log_' || table_name);
    of_row := format('%I.%I', schema_name, 'strata_log_' || table_name || '_row');
    -- A function of its own, so that its statements are planned once a session.
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        DECLARE
            touched text[];
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                SELECT array_agg(DISTINCT t) INTO touched
                FROM (SELECT * FROM old_rows UNION ALL SELECT * FROM touched_rows) r CROSS JOIN unnest(ARRAY[%2$s]) t;
            ELSE
                SELECT array_agg(DISTINCT t) INTO touched FROM touched_rows r CROSS JOIN unnest(ARRAY[%2$s]) t;
            END IF;
            IF touched IS NOT NULL THEN
                INSERT INTO public.change_log (tags) VALUES (CASE WHEN cardinality(touched) > 500 THEN ARRAY['*'] ELSE touched END);
                PERFORM public.strata_notify();
            END IF;
            RETURN NULL;
        END
        $body$ $create$, logger, expressions);
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION %1$s() RETURNS trigger
            LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
        BEGIN
            PERFORM public.strata_log_row(ARRAY(
                SELECT DISTINCT t FROM (SELECT OLD.* WHERE TG_OP <> 'INSERT' UNION ALL SELECT NEW.* WHERE TG_OP <> 'DELETE') r
                CROSS JOIN unnest(ARRAY[%2$s]) t));
            RETURN NULL;
        END
        $body$ $create$, of_row, expressions);
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s(), %s() FROM PUBLIC', logger, of_row);
    PERFORM public.strata_put_triggers(watched, logger, of_row);
    INSERT INTO public.change_watch (relation, triggers, mend)
    VALUES (format('%I.%I', schema_name, table_name),
        ARRAY['strata_insert=O', 'strata_update=O', 'strata_delete=O', 'strata_truncate=A', 'strata_row=R'],
        format('SELECT public.strata_watch(%L, %s)', format('%I.%I', schema_name, table_name),
            (SELECT string_agg(quote_literal(t), ', ' ORDER BY n) FROM unnest(tags) WITH ORDINALITY AS given(t, n))))
    ON CONFLICT (relation) DO UPDATE SET triggers = excluded.triggers, mend = excluded.mend;
END
$$;

-- strata_put_triggers puts the triggers on a table that log what is done to it: by statement in
-- ordinary sessions, and by row where replication applies rows, which calls no triggers of
-- statements.
CREATE OR REPLACE FUNCTION public.strata_put_triggers(watched regclass, logger text, of_row text) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['strata_insert', 'strata_update', 'strata_delete', 'strata_truncate', 'strata_row'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', name, watched);
    END LOOP;
    EXECUTE format('CREATE TRIGGER strata_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS touched_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %s()', watched, logger);
    EXECUTE format('CREATE TRIGGER strata_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS touched_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %s()', watched, logger);
    EXECUTE format('CREATE TRIGGER strata_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS touched_rows
        FOR EACH STATEMENT EXECUTE FUNCTION %s()', watched, logger);
    EXECUTE format('CREATE TRIGGER strata_truncate AFTER TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION public.strata_log_everything()', watched);
    EXECUTE format('CREATE TRIGGER strata_row AFTER INSERT OR UPDATE OR DELETE ON %s
        FOR EACH ROW EXECUTE FUNCTION %s()', watched, of_row);
    EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER strata_row, ENABLE ALWAYS TRIGGER strata_truncate', watched);
END
$$;

-- strata_grant lets a role read what the log says, begin epochs and prune: what a service needs
-- beside its own tables.
CREATE OR REPLACE FUNCTION public.strata_grant(reader regrole) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('GRANT SELECT ON public.change_log, public.change_floor, public.change_epoch, public.change_epoch_copy,
        public.change_watch TO %s', reader);
    EXECUTE format('GRANT EXECUTE ON FUNCTION public.strata_epoch(), public.strata_shape(), public.strata_watched_epoch(),
        public.strata_begin_epoch(bigint), public.strata_watch_problems(), public.strata_prune(interval) TO %s', reader);
END
$$;

REVOKE EXECUTE ON FUNCTION public.strata_epoch(), public.strata_shape(), public.strata_watched_epoch(),
    public.strata_watch_problems(), public.strata_begin_epoch(bigint), public.strata_notify(), public.strata_log_everything(),
    public.strata_log_row(text[]), public.strata_prune(interval), public.strata_watch(regclass, text[]),
    public.strata_put_triggers(regclass, text, text), public.strata_grant(regrole) FROM PUBLIC;
