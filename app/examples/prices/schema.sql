CREATE TABLE agencies (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE flats (id bigint PRIMARY KEY, title text NOT NULL, agency bigint NOT NULL REFERENCES agencies);
CREATE TABLE prices (flat bigint PRIMARY KEY REFERENCES flats ON DELETE CASCADE, amount bigint NOT NULL);

-- A change of a flat or of its price touches one answer; one of an agency, which is rare, all.
SELECT strata_watch('flats', 'flat:{id}'), strata_watch('prices', 'flat:{flat}'), strata_watch('agencies', 'agencies');
