-- +goose Up

-- What a loader can write that no reader can read: elements of a list that are NULL, times that no calendar has, numbers that no sum survives. From now on the table refuses them.
-- Where there are such rows already, this names them and changes nothing.
-- +goose StatementBegin
DO $$
DECLARE
    fault record;
    said text := '';
BEGIN
    FOR fault IN
        SELECT what, count(*) AS rows, string_agg(id::text, ', ' ORDER BY id) FILTER (WHERE place <= 10) AS some, min(mend) AS mend
        FROM (
            SELECT id, what, mend, row_number() OVER (PARTITION BY what ORDER BY id) AS place
            FROM listings CROSS JOIN LATERAL (VALUES
                ('amenities with NULL or more than one dimension', array_position(amenities, NULL) IS NOT NULL OR coalesce(array_ndims(amenities), 1) <> 1,
                    'UPDATE listings SET amenities = array_remove(ARRAY(SELECT unnest(amenities)), NULL) WHERE id IN (...)'),
                ('created_at outside the years 1 to 9999', NOT (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
                    'UPDATE listings SET created_at = now() WHERE id IN (...)'),
                ('updated_at outside the years 1 to 9999', NOT (updated_at >= '0001-01-01 00:00:00+00' AND updated_at < '10000-01-01 00:00:00+00'),
                    'UPDATE listings SET updated_at = now() WHERE id IN (...)'),
                ('area_m2 below 0.01', area_m2 < 0.01, 'UPDATE listings SET area_m2 = 0.01 WHERE id IN (...)'),
                ('price_minor above 10^15', price_minor > 1000000000000000, 'UPDATE listings SET price_minor = 1000000000000000 WHERE id IN (...)'),
                ('an id below 1', id < 1, 'DELETE FROM listings WHERE id IN (...)'),
                ('a version below 1', version < 1, 'UPDATE listings SET title = title WHERE id IN (...)')
            ) AS faults (what, is_so, mend) WHERE is_so
        ) AS faulty GROUP BY what ORDER BY what
    LOOP
        said := said || format('; %s: %s, ids %s%s (such as: %s)', fault.rows, fault.what, fault.some, CASE WHEN fault.rows > 10 THEN ', ...' ELSE '' END, fault.mend);
    END LOOP;
    IF said <> '' THEN
        RAISE EXCEPTION 'listings hold what cannot be read%', said USING ERRCODE = 'check_violation', HINT = 'Mend the rows, then migrate again.';
    END IF;
END
$$;
-- +goose StatementEnd

ALTER TABLE listings
    ADD CONSTRAINT listings_amenities_readable CHECK (array_position(amenities, NULL) IS NULL AND coalesce(array_ndims(amenities), 1) = 1),
    ADD CONSTRAINT listings_created_at_readable CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    ADD CONSTRAINT listings_updated_at_readable CHECK (updated_at >= '0001-01-01 00:00:00+00' AND updated_at < '10000-01-01 00:00:00+00'),
    ADD CONSTRAINT listings_area_readable CHECK (area_m2 >= 0.01),
    ADD CONSTRAINT listings_price_readable CHECK (price_minor <= 1000000000000000),
    ADD CONSTRAINT listings_id_readable CHECK (id >= 1),
    ADD CONSTRAINT listings_version_readable CHECK (version >= 1);
