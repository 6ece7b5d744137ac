-- What is watched: the triggers of the change log on our tables, in place of those of migration 2.
-- In ordinary sessions those of statements log, one row for each. Where replication applies rows,
-- and for loaders that set session_replication_role, those of rows do: PostgreSQL calls no others
-- there.

DROP TRIGGER log_insert ON listings;
DROP TRIGGER log_update ON listings;
DROP TRIGGER log_delete ON listings;
DROP TRIGGER log_truncate ON listings;
DROP TRIGGER log_change ON cities;

CREATE FUNCTION public.strata_log_listing_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.strata_log_row(CASE TG_OP
        WHEN 'INSERT' THEN public.strata_tags(ARRAY[NEW.id], ARRAY[NEW.city])
        WHEN 'DELETE' THEN public.strata_tags(ARRAY[OLD.id], ARRAY[OLD.city])
        ELSE public.strata_tags(ARRAY(SELECT DISTINCT unnest(ARRAY[OLD.id, NEW.id])), ARRAY(SELECT DISTINCT unnest(ARRAY[OLD.city, NEW.city])))
        END);
    RETURN NULL;
END
$$;

-- strata_keep_terms is that of migration 4, but that it does not mind words that are there already: where all
-- triggers of a table are switched on by hand, those for replicated rows are called as well.
CREATE OR REPLACE FUNCTION public.strata_keep_terms() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.listing_terms
        SELECT id, public.strata_terms(title, description, amenities) FROM touched_rows
        ON CONFLICT (listing_id) DO UPDATE SET terms = excluded.terms;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM public.listing_terms WHERE listing_id IN (SELECT id FROM touched_rows);
    ELSIF TG_OP = 'TRUNCATE' THEN
        TRUNCATE public.listing_terms;
    ELSE -- an update, row by row, after the whole statement: another row may have taken the id that this one left
        DELETE FROM public.listing_terms WHERE listing_id = OLD.id AND NOT EXISTS (SELECT FROM public.listings WHERE id = OLD.id);
        INSERT INTO public.listing_terms VALUES (NEW.id, public.strata_terms(NEW.title, NEW.description, NEW.amenities))
        ON CONFLICT (listing_id) DO UPDATE SET terms = excluded.terms;
    END IF;
    RETURN NULL;
END
$$;

-- Words of listings that come by replication: their statements call no triggers either.
CREATE FUNCTION public.strata_keep_terms_of_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM public.listing_terms WHERE listing_id = OLD.id;
    ELSE
        INSERT INTO public.listing_terms VALUES (NEW.id, public.strata_terms(NEW.title, NEW.description, NEW.amenities))
        ON CONFLICT (listing_id) DO UPDATE SET terms = excluded.terms;
    END IF;
    RETURN NULL;
END
$$;

-- strata_rebuild_terms makes the words of all listings anew.
CREATE FUNCTION public.strata_rebuild_terms() RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.listing_terms WHERE NOT EXISTS (SELECT FROM public.listings WHERE id = listing_id);
    INSERT INTO public.listing_terms SELECT id, public.strata_terms(title, description, amenities) FROM public.listings
    ON CONFLICT (listing_id) DO UPDATE SET terms = excluded.terms WHERE listing_terms.terms <> excluded.terms;
$$;

-- strata_watch_listings puts the triggers of the listings in order, also after another table has taken the
-- place of listings. Words that were not kept meanwhile are made anew.
CREATE FUNCTION public.strata_watch_listings() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    words_missed boolean;
    name text;
BEGIN
    words_missed := EXISTS (SELECT FROM public.strata_watch_problems() WHERE relation = 'public.listings' AND problem LIKE '%terms%');
    PERFORM public.strata_put_triggers('public.listings', 'public.strata_log_listings', 'public.strata_log_listing_row');
    FOREACH name IN ARRAY ARRAY['terms_insert', 'terms_update', 'terms_delete', 'terms_truncate', 'terms_row',
            'locate_insert', 'locate_update', 'touch_update'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON public.listings', name);
    END LOOP;
    CREATE TRIGGER terms_insert AFTER INSERT ON public.listings
        REFERENCING NEW TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION public.strata_keep_terms();
    CREATE TRIGGER terms_update AFTER UPDATE ON public.listings FOR EACH ROW
        WHEN ((NEW.id, NEW.title, NEW.description, NEW.amenities) IS DISTINCT FROM (OLD.id, OLD.title, OLD.description, OLD.amenities))
        EXECUTE FUNCTION public.strata_keep_terms();
    CREATE TRIGGER terms_delete AFTER DELETE ON public.listings
        REFERENCING OLD TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION public.strata_keep_terms();
    CREATE TRIGGER terms_truncate AFTER TRUNCATE ON public.listings
        FOR EACH STATEMENT EXECUTE FUNCTION public.strata_keep_terms();
    CREATE TRIGGER terms_row AFTER INSERT OR DELETE ON public.listings
        FOR EACH ROW EXECUTE FUNCTION public.strata_keep_terms_of_row();
    CREATE TRIGGER locate_insert BEFORE INSERT ON public.listings
        FOR EACH ROW WHEN (NEW.region IS NULL OR NEW.country IS NULL) EXECUTE FUNCTION public.strata_locate_listing();
    CREATE TRIGGER locate_update BEFORE UPDATE ON public.listings
        FOR EACH ROW WHEN (NEW.city IS DISTINCT FROM OLD.city) EXECUTE FUNCTION public.strata_locate_listing();
    CREATE TRIGGER touch_update BEFORE UPDATE ON public.listings
        FOR EACH ROW EXECUTE FUNCTION public.strata_touch_listing();
    ALTER TABLE public.listings ENABLE ALWAYS TRIGGER terms_update, ENABLE ALWAYS TRIGGER terms_truncate,
        ENABLE REPLICA TRIGGER terms_row;
    INSERT INTO public.change_watch (relation, triggers, mend) VALUES ('public.listings',
        ARRAY['strata_insert=O', 'strata_update=O', 'strata_delete=O', 'strata_truncate=A', 'strata_row=R',
            'terms_insert=O', 'terms_update=A', 'terms_delete=O', 'terms_truncate=A', 'terms_row=R'],
        'SELECT public.strata_watch_listings()')
    ON CONFLICT (relation) DO UPDATE SET triggers = excluded.triggers;
    IF words_missed THEN
        PERFORM public.strata_rebuild_terms();
    END IF;
END
$$;

-- strata_watch_terms does the same for the words of the listings, which their triggers keep: those
-- who change them by hand are logged, and everybody else by what they do to the listings.
CREATE FUNCTION public.strata_watch_terms() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DROP TRIGGER IF EXISTS strata_direct ON public.listing_terms;
    CREATE TRIGGER strata_direct AFTER INSERT OR UPDATE OR DELETE ON public.listing_terms
        FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.strata_log_everything();
    DROP TRIGGER IF EXISTS strata_direct_row ON public.listing_terms;
    CREATE TRIGGER strata_direct_row AFTER INSERT OR UPDATE OR DELETE ON public.listing_terms
        FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.strata_log_everything();
    DROP TRIGGER IF EXISTS strata_truncate ON public.listing_terms;
    CREATE TRIGGER strata_truncate AFTER TRUNCATE ON public.listing_terms
        FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.strata_log_everything();
    ALTER TABLE public.listing_terms ENABLE REPLICA TRIGGER strata_direct_row, ENABLE ALWAYS TRIGGER strata_truncate;
    INSERT INTO public.change_watch (relation, triggers, mend) VALUES ('public.listing_terms',
        ARRAY['strata_direct=O', 'strata_direct_row=R', 'strata_truncate=A'], 'SELECT public.strata_watch_terms()')
    ON CONFLICT (relation) DO UPDATE SET triggers = excluded.triggers;
END
$$;

SELECT public.strata_watch_listings(), public.strata_watch_terms(), public.strata_watch('public.cities', '*');
SELECT public.strata_grant('strata_app');
SELECT public.strata_begin_epoch();
REVOKE EXECUTE ON FUNCTION public.strata_log_listing_row(), public.strata_watch_listings(), public.strata_watch_terms(),
    public.strata_keep_terms_of_row(), public.strata_rebuild_terms() FROM PUBLIC;
