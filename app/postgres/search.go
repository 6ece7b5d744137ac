package postgres

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"strata/app/listing"
)

// order is how the database sorts a page and goes on behind a row of it. Each order has an index, with a city and without.
type order struct {
	by     string
	behind string // a row comparison, so that an index can begin there
	code   byte   // in cursors
}

func orderOf(s listing.Sort) order {
	switch s {
	case listing.Cheapest:
		return order{by: `price_minor, id`, behind: `(price_minor, id) > `, code: 'c'}
	case listing.Dearest:
		return order{by: `price_minor DESC, id DESC`, behind: `(price_minor, id) < `, code: 'd'}
	}
	return order{by: `created_at DESC, id DESC`, behind: `(created_at, id) < `, code: 'n'}
}

// Search implements listing.Store. It depends on the tag of the query's most selective facet.
func (db *DB) Search(ctx context.Context, q listing.Query) (listing.Page, error) {
	q = q.Normal()
	q.Limit = max(1, min(q.Limit, listing.MaxLimit))
	sql, args, err := searchSQL(q)
	if err != nil {
		return listing.Page{}, err
	}
	return read(ctx, db, query{nameSearch, sql}, q.Tag(), func(rows pgx.Rows) (listing.Page, error) {
		return collectPage(rows, q)
	}, args...)
}

// searchSQL puts the statement together from fixed fragments; what the reader said is in the arguments only.
func searchSQL(q listing.Query) (string, []any, error) {
	var where strings.Builder
	var args []any
	restrict := func(condition string, value any) {
		args = append(args, value)
		where.WriteString(` AND ` + condition + `$` + strconv.Itoa(len(args)))
	}
	if q.City != "" {
		restrict(`city = `, q.City)
	}
	if q.Offer != "" {
		restrict(`offer = `, string(q.Offer))
	}
	if q.Type != "" {
		restrict(`type = `, string(q.Type))
	}
	if q.PriceMin != 0 {
		restrict(`price_minor >= `, q.PriceMin)
	}
	if q.PriceMax != 0 {
		restrict(`price_minor <= `, q.PriceMax)
	}
	if q.BedroomsMin != 0 {
		restrict(`bedrooms >= `, q.BedroomsMin)
	}
	o := orderOf(q.Sort)
	if q.Cursor != "" {
		c, err := decodeCursor(q.Cursor, o.code)
		if err != nil {
			return "", nil, err
		}
		var key any = c.key
		if o.code == 'n' {
			key = time.UnixMicro(c.key)
		}
		args = append(args, key, c.id)
		where.WriteString(` AND ` + o.behind + `($` + strconv.Itoa(len(args)-1) + `, $` + strconv.Itoa(len(args)) + `)`)
	}
	args = append(args, q.Limit+1) // one more, to know whether a page follows
	return `SELECT ` + listingColumns + ` FROM listings WHERE status = 'active'` + where.String() +
		` ORDER BY ` + o.by + ` LIMIT $` + strconv.Itoa(len(args)), args, nil
}

func collectPage(rows pgx.Rows, q listing.Query) (listing.Page, error) {
	page := listing.Page{Items: make([]listing.Listing, 0, q.Limit+1)}
	for rows.Next() {
		page.Items = append(page.Items, listing.Listing{})
		if err := scanListing(rows, &page.Items[len(page.Items)-1]); err != nil {
			return listing.Page{}, err
		}
	}
	if len(page.Items) <= q.Limit {
		return page, nil
	}
	page.Items = page.Items[:q.Limit]
	last := &page.Items[q.Limit-1]
	c := cursor{key: last.PriceMinor, id: last.ID}
	code := orderOf(q.Sort).code
	if code == 'n' {
		c.key = last.CreatedAt.UnixMicro()
	}
	page.Next = c.encode(code)
	return page, nil
}
