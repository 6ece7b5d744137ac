package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// CityStats implements listing.Store. This is the expensive question: each of the city's listings is fetched, and its active
// ones sorted twice.
func (db *DB) CityStats(ctx context.Context, city string) (listing.CityStats, error) {
	const sql = `
		WITH here AS MATERIALIZED (
			SELECT offer, type, currency, price_minor::double precision AS price, CASE WHEN area_m2 >= 0.01 THEN price_minor / area_m2 END AS per_m2, status, updated_at
			FROM listings WHERE city = $1
		), groups AS ( -- with the currency that most of their listings have
			SELECT offer, type, count(*) AS listings, mode() WITHIN GROUP (ORDER BY currency) AS currency
			FROM here WHERE status = 'active' GROUP BY offer, type
		), priced AS (
			SELECT offer, type, currency,
				percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY price) AS price,
				percentile_cont(ARRAY[0.1, 0.5, 0.9]) WITHIN GROUP (ORDER BY per_m2) AS per_m2
			FROM here WHERE status = 'active' GROUP BY offer, type, currency
		)
		SELECT (SELECT max(updated_at) FROM here),
			coalesce(g.offer, ''), coalesce(g.type, ''), coalesce(g.listings, 0), coalesce(g.currency, ''), p.price, p.per_m2
		FROM cities c
		LEFT JOIN (groups g JOIN priced p USING (offer, type, currency)) ON true
		WHERE c.slug = $1
		ORDER BY g.offer, g.type`
	return read(ctx, db, query{name: nameCityStats, sql: sql}, listing.CityTag(city), func(rows pgx.Rows) (listing.CityStats, error) {
		return collectStats(rows, city)
	}, city)
}

func collectStats(rows pgx.Rows, city string) (listing.CityStats, error) {
	stats := listing.CityStats{City: city, Groups: []listing.TypeStats{}}
	known := false
	for rows.Next() {
		known = true
		var g listing.TypeStats
		var updated *time.Time
		var price, perM2 []float64
		err := rows.Scan(&updated, (*string)(&g.Offer), (*string)(&g.Type), &g.Listings, &g.Currency, &price, &perM2)
		if err != nil {
			return listing.CityStats{}, err
		}
		if updated != nil {
			stats.UpdatedAt = *updated
		}
		if g.Listings == 0 {
			continue // the one row of a city without active listings
		}
		g.PriceMinor, g.PerM2Minor = percentiles(price), percentiles(perM2)
		stats.Listings += g.Listings
		stats.Groups = append(stats.Groups, g)
	}
	if !known {
		return listing.CityStats{}, listing.ErrNotFound
	}
	return stats, nil
}

func percentiles(p []float64) listing.Percentiles {
	if len(p) != 3 {
		return listing.Percentiles{}
	}
	return listing.Percentiles{P10: p[0], Median: p[1], P90: p[2]}
}
