-- +goose Up

-- What searches need beyond cities and prices: regions by a name that fits into a URL, areas, the map, words, amenities, and signed cursors.

-- The slug of a region, as that of a city: without accents, in lower case.
ALTER TABLE cities ADD COLUMN region_slug text GENERATED ALWAYS AS (
    trim(BOTH '-' FROM regexp_replace(
        lower(regexp_replace(normalize(translate(region, 'ŁłØøĐđ', 'LlOoDd'), NFKD), '[\u0300-\u036f]', '', 'g')), '[^a-z0-9]+', '-', 'g'))
) STORED;
CREATE INDEX cities_region ON cities (region_slug);
CREATE INDEX cities_country ON cities (country);

-- One index for each order of a search, with a city and without. A search of a region or country merges those of its cities. The columns behind
-- the id are there to be filtered on: PostgreSQL compares them inside the index, so that a listing that does not match is never fetched.
DROP INDEX listings_newest, listings_price, listings_city_newest, listings_city_price;
CREATE INDEX listings_newest ON listings (created_at, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';
CREATE INDEX listings_price ON listings (price_minor, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';
CREATE INDEX listings_area ON listings (area_m2, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';
CREATE INDEX listings_city_newest ON listings (city, created_at, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';
CREATE INDEX listings_city_price ON listings (city, price_minor, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';
CREATE INDEX listings_city_area ON listings (city, area_m2, id, offer, type, bedrooms, bathrooms) WHERE status = 'active';

-- The map. Not GiST: of a box that holds everything the planner must know that it does, and for ranges of numbers it does.
CREATE INDEX listings_place ON listings (latitude, longitude, offer, type, bedrooms, bathrooms) WHERE status = 'active';

-- Listings that are not active are few, and few ask for them.
CREATE INDEX listings_inactive ON listings (status, created_at, id, city) WHERE status <> 'active';

-- The words of a listing and, with a # before each, its amenities. They have a table of their own so that a change of price, the most frequent
-- change, neither computes them nor touches their index. No foreign key: the triggers below see to it that each listing has its row.
CREATE TABLE listing_terms (
    listing_id bigint PRIMARY KEY,
    terms      tsvector NOT NULL
);

-- strata_terms cuts what is longer than a tsvector can hold: the service's own limits are lower, but not everybody writes through it.
-- +goose StatementBegin
CREATE FUNCTION strata_terms(title text, description text, amenities text[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT setweight(to_tsvector('english', left(title, 2000)), 'A')
        || to_tsvector('english', left(description, 20000))
        || array_to_tsvector(ARRAY(SELECT DISTINCT '#' || left(amenity, 100) FROM unnest(amenities[:200]) amenity WHERE amenity IS NOT NULL))
$$;
-- +goose StatementEnd

INSERT INTO listing_terms SELECT id, strata_terms(title, description, amenities) FROM listings;
CREATE INDEX listing_terms_terms ON listing_terms USING gin (terms);

-- +goose StatementBegin
CREATE FUNCTION strata_keep_terms() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO public.listing_terms SELECT id, public.strata_terms(title, description, amenities) FROM touched_rows;
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
-- +goose StatementEnd

CREATE TRIGGER terms_insert AFTER INSERT ON listings
    REFERENCING NEW TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION strata_keep_terms();
CREATE TRIGGER terms_update AFTER UPDATE ON listings FOR EACH ROW
    WHEN ((NEW.id, NEW.title, NEW.description, NEW.amenities) IS DISTINCT FROM (OLD.id, OLD.title, OLD.description, OLD.amenities))
    EXECUTE FUNCTION strata_keep_terms();
CREATE TRIGGER terms_delete AFTER DELETE ON listings
    REFERENCING OLD TABLE AS touched_rows FOR EACH STATEMENT EXECUTE FUNCTION strata_keep_terms();
CREATE TRIGGER terms_truncate AFTER TRUNCATE ON listings
    FOR EACH STATEMENT EXECUTE FUNCTION strata_keep_terms();
ALTER TABLE listings -- also in sessions that switch triggers off by their session_replication_role
    ENABLE ALWAYS TRIGGER terms_insert, ENABLE ALWAYS TRIGGER terms_update,
    ENABLE ALWAYS TRIGGER terms_delete, ENABLE ALWAYS TRIGGER terms_truncate;

-- What cursors are signed with: one for all replicas, because it is where they all look. Two random UUIDs are 244 bits of chance.
CREATE TABLE cursor_key (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    key    bytea NOT NULL CHECK (length(key) >= 32)
);
INSERT INTO cursor_key (key) VALUES (sha256((gen_random_uuid()::text || gen_random_uuid()::text)::bytea));

GRANT SELECT ON listing_terms, cursor_key TO strata_app;
REVOKE EXECUTE ON FUNCTION strata_terms(text, text, text[]), strata_keep_terms() FROM PUBLIC;
