package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// ErrNotEmpty is returned for a seed of a database that already holds listings.
var ErrNotEmpty = errors.New("the database already holds listings; a seed needs an empty one")

// SeedConfig says what to fill a database with. The same values give the same rows.
type SeedConfig struct {
	Listings int                   // how many; their ids are 1 to Listings
	Seed     uint64                // chooses among the possible worlds
	Progress func(done, total int) // told now and then how many listings are in, and at the end; nil: nobody
}

// Seed fills an empty, migrated database, as its owner: real cities of very different sizes, agents, and listings with prices that
// suit them. It is one transaction, so that a seed that is interrupted leaves nothing.
func Seed(ctx context.Context, ownerURL string, cfg SeedConfig) error {
	if cfg.Listings < 0 {
		return fmt.Errorf("seeding: %d listings", cfg.Listings)
	}
	if cfg.Progress == nil {
		cfg.Progress = func(int, int) {}
	}
	conn, err := connectOwner(ctx, ownerURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return fill(ctx, tx, cfg) }); err != nil {
		return fmt.Errorf("seeding: %w", advised(classify(ctx, err)))
	}
	// Statistics for the planner, and the visibility map, without which no query can be answered from an index alone.
	if _, err := conn.Exec(ctx, `VACUUM (ANALYZE) cities, agents, listings, listing_terms`); err != nil {
		return fmt.Errorf("analysing the seeded tables: %w", classify(ctx, err))
	}
	cfg.Progress(cfg.Listings, cfg.Listings)
	return nil
}

func fill(ctx context.Context, tx pgx.Tx, cfg SeedConfig) error {
	if _, err := tx.Exec(ctx, `LOCK TABLE cities, agents, listings IN SHARE ROW EXCLUSIVE MODE`); err != nil { // so that two seeds do not meet
		return err
	}
	var taken bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (TABLE listings) OR EXISTS (TABLE agents) OR EXISTS (TABLE cities)`).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return ErrNotEmpty
	}
	agents := int64(max(20, cfg.Listings/250))
	if err := fillCities(ctx, tx); err != nil {
		return err
	}
	if err := fillAgents(ctx, tx, cfg.Seed, agents); err != nil {
		return err
	}
	indexes, err := dropIndexes(ctx, tx)
	if err != nil {
		return err
	}
	if err := fillListings(ctx, tx, cfg, agents); err != nil {
		return err
	}
	for _, definition := range indexes {
		if _, err := tx.Exec(ctx, definition); err != nil {
			return err
		}
	}
	const sql = `
		SELECT setval(pg_get_serial_sequence('agents', 'id'), $1::bigint, true),
			setval(pg_get_serial_sequence('listings', 'id'), greatest($2::bigint, 1), $2::bigint > 0)`
	_, err = tx.Exec(ctx, sql, agents, int64(cfg.Listings))
	return err
}

// dropIndexes drops the indexes of the listings and their terms that no constraint needs, and returns the statements that make them again. Made in one
// go at the end they cost a fraction of what they cost row by row.
func dropIndexes(ctx context.Context, tx pgx.Tx) (definitions []string, err error) {
	const sql = `
		SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
		FROM pg_index WHERE indrelid IN ('listings'::regclass, 'listing_terms'::regclass) AND NOT indisunique
		ORDER BY indexrelid`
	rows, _ := tx.Query(ctx, sql) // its error is the rows'
	var names []string
	var name, definition string
	if _, err := pgx.ForEachRow(rows, []any{&name, &definition}, func() error {
		names, definitions = append(names, name), append(definitions, definition)
		return nil
	}); err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := tx.Exec(ctx, `DROP INDEX `+name); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(ctx, `SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL work_mem = '256MB'`) // for sorting, and for the log's triggers
	return definitions, err
}

func fillCities(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"cities"},
		[]string{"slug", "name", "region", "country", "latitude", "longitude"},
		pgx.CopyFromSlice(len(seedCities), func(i int) ([]any, error) {
			c := &seedCities[i]
			return []any{c.slug, c.name, c.region, c.country, c.latitude, c.longitude}, nil
		}))
	return err
}

func fillAgents(ctx context.Context, tx pgx.Tx, seed uint64, n int64) error {
	random := rand.New(rand.NewPCG(seed, 0))
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"agents"},
		[]string{"id", "name", "email", "phone"},
		pgx.CopyFromSlice(int(n), func(i int) ([]any, error) {
			name := givenNames[random.IntN(len(givenNames))] + " " + familyNames[random.IntN(len(familyNames))]
			return []any{int64(i + 1), name, fmt.Sprintf("agent%d@example.com", i+1), fmt.Sprintf("555%07d", random.IntN(10_000_000))}, nil
		}))
	return err
}

func fillListings(ctx context.Context, tx pgx.Tx, cfg SeedConfig, agents int64) error {
	const reportEvery = 1000
	shares := zipf(len(seedCities), 0.9)
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"listings"},
		[]string{"id", "title", "description", "city", "region", "country", "type", "offer", "price_minor", "currency", "bedrooms", "bathrooms",
			"area_m2", "latitude", "longitude", "amenities", "status", "agent_id", "created_at", "updated_at", "version"},
		pgx.CopyFromSlice(cfg.Listings, func(i int) ([]any, error) {
			if i%reportEvery == 0 {
				cfg.Progress(i, cfg.Listings)
			}
			return seedRow(seedListing(cfg.Seed, int64(i+1), shares, agents)), nil
		}))
	return err
}

func seedRow(l listing.Listing) []any {
	return []any{l.ID, l.Title, l.Description, l.City, l.Region, l.Country, string(l.Type), string(l.Offer), l.PriceMinor, l.Currency, l.Bedrooms, l.Bathrooms,
		l.AreaM2, l.Latitude, l.Longitude, l.Amenities, string(l.Status), l.AgentID, l.CreatedAt, l.UpdatedAt, l.Version}
}
