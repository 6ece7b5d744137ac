package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// written is what a write says of one listing: how it was, how it is or was last, and the transaction.
// Without before there was no such listing; without now nothing was written.
type written struct {
	before, now *listing.Listing
	commit      freshness.Commit
}

// collectWritten reads rows of a transaction id and listingColumns. The row as it was before has no transaction id.
func collectWritten(rows pgx.Rows) (w written, err error) {
	for rows.Next() {
		var l listing.Listing
		var commit *string
		if err := scanListing(rows, &l, &commit); err != nil {
			return written{}, err
		}
		if commit == nil {
			w.before = &l
			continue
		}
		w.now = &l
		if w.commit, err = freshness.ParseCommit(*commit); err != nil {
			return written{}, err
		}
	}
	return w, nil
}

// collectChange is collectWritten for writes that need the listing to be there and to be in the state that the writer saw.
func collectChange(rows pgx.Rows) (written, error) {
	w, err := collectWritten(rows)
	switch {
	case err != nil:
		return written{}, err
	case w.before == nil:
		return written{}, listing.ErrNotFound
	case w.now == nil:
		return written{}, listing.ErrConflict
	}
	return w, nil
}

// Create implements listing.Store.
func (db *DB) Create(ctx context.Context, d listing.Draft) (listing.Listing, freshness.Commit, error) {
	w, err := again(ctx, db.idTaken(ctx), func() (written, error) {
		return write(ctx, db, insertListing(), collectCreated, draftArgs(d)...)
	})
	if err != nil {
		return listing.Listing{}, freshness.Commit{}, err
	}
	return *w.now, w.commit, nil
}

// idTaken returns a reason to insert once more: the id that the sequence gave is taken, because listings were loaded with the ids they had elsewhere. Then the sequence is
// brought up to them.
func (db *DB) idTaken(ctx context.Context) func(error) bool {
	return func(err error) bool {
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "23505" || pg.ConstraintName != "listings_pkey" {
			return false
		}
		const sql = `SELECT strata_advance_ids()`
		_, failed := write(ctx, db, query{name: nameAdvance, sql: sql}, nothing)
		return failed == nil
	}
}

func insertListing() query {
	return query{name: nameCreate, sql: `
		INSERT INTO listings (title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms,
			area_m2, latitude, longitude, amenities, status, agent_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
		RETURNING ` + changelog.Commit + `, ` + listingColumns}
}

// collectCreated is collectWritten for an insert.
func collectCreated(rows pgx.Rows) (written, error) {
	w, err := collectWritten(rows)
	if err == nil && w.now == nil {
		err = pgx.ErrNoRows // drain prefers the server's own reason
	}
	return w, err
}

// Update implements listing.Store. The row is locked before it is read, so that what is returned as before is exactly what
// the update replaced.
func (db *DB) Update(ctx context.Context, id, row int64, d listing.Draft) (now, before listing.Listing, commit freshness.Commit, err error) {
	const sql = `
		WITH before AS (
			SELECT ` + listingColumns + ` FROM listings WHERE id = $16 FOR UPDATE
		), now AS (
			UPDATE listings
			SET title = $1, description = $2, city = $3, type = $4, offer = $5, price_minor = $6, currency = $7, bedrooms = $8,
				bathrooms = $9, area_m2 = $10, latitude = $11, longitude = $12, amenities = $13, status = $14, agent_id = $15
			WHERE id = (SELECT id FROM before WHERE $17::bigint = 0 OR row = $17)
			RETURNING ` + changelog.Commit + ` AS commit, ` + listingColumns + `
		)
		SELECT NULL AS commit, * FROM before UNION ALL SELECT * FROM now`
	w, err := write(ctx, db, query{name: nameUpdate, sql: sql}, collectChange, append(draftArgs(d), id, row)...)
	if err != nil {
		return listing.Listing{}, listing.Listing{}, freshness.Commit{}, err
	}
	return *w.now, *w.before, w.commit, nil
}

// Delete implements listing.Store.
func (db *DB) Delete(ctx context.Context, id, row int64) (listing.Listing, freshness.Commit, error) {
	const sql = `
		WITH before AS (
			SELECT ` + listingColumns + ` FROM listings WHERE id = $1 FOR UPDATE
		), gone AS (
			DELETE FROM listings
			WHERE id = (SELECT id FROM before WHERE $2::bigint = 0 OR row = $2)
			RETURNING ` + changelog.Commit + ` AS commit, ` + listingColumns + `
		)
		SELECT NULL AS commit, * FROM before UNION ALL SELECT * FROM gone`
	w, err := write(ctx, db, query{name: nameDelete, sql: sql}, collectChange, id, row)
	if err != nil {
		return listing.Listing{}, freshness.Commit{}, err
	}
	return *w.now, w.commit, nil
}

func draftArgs(d listing.Draft) []any {
	amenities := append([]string{}, d.Amenities...) // the caller's stays as it is, and nil would be NULL
	slices.Sort(amenities)
	amenities = slices.Compact(amenities)
	return []any{d.Title, d.Description, d.City, string(d.Type), string(d.Offer), d.PriceMinor, d.Currency, d.Bedrooms, d.Bathrooms,
		d.AreaM2, d.Latitude, d.Longitude, amenities, string(d.Status), d.AgentID}
}
