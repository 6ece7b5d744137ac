package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// listingColumns are what scanListing reads, in its order.
const listingColumns = `id, title, description, city, region, country, type, offer, price_minor, currency, bedrooms, bathrooms,
	area_m2, latitude, longitude, amenities, status, agent_id, created_at, updated_at, version, listings.xmin::text::bigint AS row`

// scanListing reads one row of listingColumns, behind the columns that before takes.
func scanListing(rows pgx.Rows, l *listing.Listing, before ...any) error {
	err := rows.Scan(append(before, &l.ID, &l.Title, &l.Description, &l.City, &l.Region, &l.Country,
		(*string)(&l.Type), (*string)(&l.Offer), &l.PriceMinor, &l.Currency, &l.Bedrooms, &l.Bathrooms,
		&l.AreaM2, &l.Latitude, &l.Longitude, &l.Amenities, (*string)(&l.Status), &l.AgentID, &l.CreatedAt, &l.UpdatedAt, &l.Version, &l.Row)...)
	slices.Sort(l.Amenities) // not everybody who writes sorts them
	return err
}

// Listing implements listing.Store. It depends on the listing's tag, also if there is none: its creation touches the tag.
func (db *DB) Listing(ctx context.Context, id int64) (listing.Listing, error) {
	const sql = `SELECT ` + listingColumns + ` FROM listings WHERE id = $1`
	return read(ctx, db, query{name: nameListing, sql: sql}, listing.Tag(id), func(rows pgx.Rows) (l listing.Listing, err error) {
		if !rows.Next() {
			return l, listing.ErrNotFound
		}
		return l, scanListing(rows, &l)
	}, id)
}

// Cities implements listing.Store. It depends on every change of a listing; a change of the cities themselves touches everything.
func (db *DB) Cities(ctx context.Context) ([]listing.City, error) {
	const sql = `
		SELECT c.slug, c.name, c.region, c.region_slug, c.country, c.latitude, c.longitude, coalesce(l.for_sale, 0), coalesce(l.for_rent, 0)
		FROM cities c
		LEFT JOIN (
			SELECT city, count(*) FILTER (WHERE offer = 'sale') AS for_sale, count(*) FILTER (WHERE offer = 'rent') AS for_rent
			FROM listings WHERE status = 'active' GROUP BY city
		) l ON l.city = c.slug
		ORDER BY coalesce(l.for_sale + l.for_rent, 0) DESC, c.slug`
	return read(ctx, db, query{name: nameCities, sql: sql}, listing.TagListings, func(rows pgx.Rows) ([]listing.City, error) {
		cities := make([]listing.City, 0, 64)
		for rows.Next() {
			var c listing.City
			if err := rows.Scan(&c.Slug, &c.Name, &c.Region, &c.RegionSlug, &c.Country, &c.Latitude, &c.Longitude, &c.ForSale, &c.ForRent); err != nil {
				return nil, err
			}
			cities = append(cities, c)
		}
		return cities, nil
	})
}
