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

-- strata_watch_listings puts the triggers of the listings in order, also after another table has
-- taken the place of listings.
CREATE FUNCTION public.strata_watch_listings() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.strata_put_triggers('public.listings', 'public.strata_log_listings', 'public.strata_log_listing_row');
    INSERT INTO public.change_watch (relation, triggers, mend) VALUES ('public.listings',
        ARRAY['strata_insert=O', 'strata_update=O', 'strata_delete=O', 'strata_truncate=A', 'strata_row=R'],
        'SELECT public.strata_watch_listings()')
    ON CONFLICT (relation) DO UPDATE SET triggers = excluded.triggers;
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
CREATE TRIGGER terms_row AFTER INSERT OR DELETE ON listings FOR EACH ROW EXECUTE FUNCTION public.strata_keep_terms_of_row();
ALTER TABLE listings ENABLE TRIGGER terms_insert, ENABLE TRIGGER terms_delete, ENABLE REPLICA TRIGGER terms_row;

SELECT public.strata_watch_listings(), public.strata_watch_terms(), public.strata_watch('public.cities', '*');
SELECT public.strata_grant('strata_app');
SELECT public.strata_begin_epoch();
REVOKE EXECUTE ON FUNCTION public.strata_log_listing_row(), public.strata_watch_listings(), public.strata_watch_terms(),
    public.strata_keep_terms_of_row() FROM PUBLIC;
