package postgres

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// order is how the database sorts a page and goes on behind a row of it. Each order but that by rank has an index, with a city and without.
type order struct {
	column string
	down   bool
	value  func(key int64) any            // the column's value that a cursor's key stands for
	key    func(l *listing.Listing) int64 // and back; nil: it comes with the row
}

const rankColumn = `rank`

func orderOf(s listing.Sort) order {
	area := order{
		column: `area_m2`,
		value:  func(key int64) any { return math.Float64frombits(uint64(key)) },
		key:    func(l *listing.Listing) int64 { return int64(math.Float64bits(l.AreaM2)) },
	}
	price := order{
		column: `price_minor`,
		value:  func(key int64) any { return key },
		key:    func(l *listing.Listing) int64 { return l.PriceMinor },
	}
	switch s {
	case listing.Cheapest:
		return price
	case listing.Dearest:
		price.down = true
		return price
	case listing.Smallest:
		return area
	case listing.Largest:
		area.down = true
		return area
	case listing.Best:
		return order{column: rankColumn, down: true, value: func(key int64) any { return math.Float32frombits(uint32(key)) }}
	}
	return order{
		column: `created_at`, down: true,
		value: func(key int64) any { return time.UnixMicro(key) },
		key:   func(l *listing.Listing) int64 { return l.CreatedAt.UnixMicro() },
	}
}

// by is what stands behind ORDER BY.
func (o order) by() string {
	if o.down {
		return o.column + ` DESC, id DESC`
	}
	return o.column + `, id`
}

// Search implements listing.Store. It depends on the tag of the query's city, or on those of all cities where it looks.
func (db *DB) Search(ctx context.Context, q listing.Query) (listing.Page, error) {
	q = q.Normal()
	q.Limit = max(1, min(q.Limit, listing.MaxLimit))
	key, err := db.cursorKey(ctx)
	if err != nil {
		return listing.Page{}, err
	}
	var after *cursor
	if q.Cursor != "" {
		c, err := key.decode(q.Cursor, q.Scope())
		if err != nil {
			return listing.Page{}, err
		}
		after = &c
	}
	statement, args := searchSQL(q, after)
	return read(ctx, db, statement, q.Tag(), func(rows pgx.Rows) (listing.Page, error) {
		return collectPage(rows, q, key)
	}, args...)
}

// conditions are put together from fixed fragments; what the reader said is in the arguments only.
type conditions struct {
	where strings.Builder
	args  []any
}

// arg adds an argument and returns what stands for it.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return `$` + strconv.Itoa(len(c.args))
}

func (c *conditions) restrict(condition string, value any) {
	c.where.WriteString(` AND ` + condition + c.arg(value))
}

// searched is a search before it is decided what to select.
type searched struct {
	conditions
	from   string // the tables
	places string // SELECT of the cities where the query looks; empty: it names one city or none
	rank   string
}

// whereOf turns all of a query but its order into SQL. If merged is set, the search is of one of its cities, called place.slug.
func whereOf(q listing.Query, merged bool) *searched {
	s := &searched{from: `listings`}
	s.where.WriteString(` WHERE ` + statusIs(q.Status))
	if q.City != "" {
		s.restrict(`city = `, q.City)
	}
	s.addPlaces(q, merged)
	if q.Offer != "" {
		s.restrict(`offer = `, string(q.Offer))
	}
	if q.Type != "" {
		s.restrict(`type = `, string(q.Type))
	}
	if q.PriceMin != 0 {
		s.restrict(`price_minor >= `, q.PriceMin)
	}
	if q.PriceMax != 0 {
		s.restrict(`price_minor <= `, q.PriceMax)
	}
	if q.BedroomsMin != 0 {
		s.restrict(`bedrooms >= `, q.BedroomsMin)
	}
	if q.BedroomsBelow != 0 {
		s.restrict(`bedrooms < `, q.BedroomsBelow)
	}
	if q.BathroomsMin != 0 {
		s.restrict(`bathrooms >= `, q.BathroomsMin)
	}
	if q.AreaMin != 0 {
		s.restrict(`area_m2 >= `, float64(q.AreaMin)/100)
	}
	if q.AreaMax != 0 {
		s.restrict(`area_m2 <= `, float64(q.AreaMax)/100)
	}
	if q.Box != (listing.Box{}) {
		s.restrict(`latitude >= `, degrees(q.Box.MinLat))
		s.restrict(`latitude <= `, degrees(q.Box.MaxLat))
		s.restrict(`longitude >= `, degrees(q.Box.MinLon))
		s.restrict(`longitude <= `, degrees(q.Box.MaxLon))
	}
	s.addTerms(q)
	return s
}

// statusIs is spelled out, not an argument, because the indexes are partial.
func statusIs(status listing.Status) string {
	switch status {
	case listing.Reserved:
		return `status = 'reserved'`
	case listing.Sold:
		return `status = 'sold'`
	case listing.Withdrawn:
		return `status = 'withdrawn'`
	}
	return `status = 'active'`
}

func degrees(millionths int32) float64 { return float64(millionths) / 1e6 }

func (s *searched) addPlaces(q listing.Query, merged bool) {
	if q.Region == "" && q.Country == "" {
		return
	}
	var where []string
	if q.Region != "" {
		where = append(where, `region_slug = `+s.arg(q.Region))
	}
	country := ``
	if q.Country != "" {
		country = `country = ` + s.arg(q.Country)
		where = append(where, country)
	}
	places := `SELECT slug FROM cities WHERE ` + strings.Join(where, ` AND `)
	if q.City == "" {
		s.places = places
	}
	switch {
	case merged:
		s.where.WriteString(` AND city = place.slug`)
	case q.Region == "" && q.Box != (listing.Box{}):
		// Not by the country's cities: the planner takes them and the box for independent, and expects a hundredth of what there is.
		s.where.WriteString(` AND ` + country)
	default:
		s.where.WriteString(` AND city IN (` + places + `)`)
	}
}

// addTerms adds a condition each for words and amenities: joined into one, words that are all too frequent to count would find everything
// instead of nothing.
func (s *searched) addTerms(q listing.Query) {
	if q.Text == "" && q.Amenities == 0 {
		return
	}
	s.from = `listings JOIN listing_terms ON listing_id = id`
	if q.Text != "" {
		text := `websearch_to_tsquery('pg_catalog.english', ` + s.arg(q.Text) + `)`
		s.rank = `ts_rank(terms, ` + text + `)`
		s.where.WriteString(` AND terms @@ ` + text)
	}
	if q.Amenities != 0 {
		s.where.WriteString(` AND terms @@ ` + s.arg(`'#`+strings.Join(q.Amenities.Names(), `' & '#`)+`'`) + `::tsquery`)
	}
}

// dependence returns SQL of the cities that the result depends on, or nothing if the query's own tag says it.
func (s *searched) dependence() string {
	if s.places == "" {
		return ""
	}
	return `ARRAY(` + s.places + ` ORDER BY slug)`
}

// usual reports whether a query is one of the frequent kind, for which one plan is as good as another: filters that the indexes of each order hold.
func usual(q listing.Query) bool {
	plain := listing.Query{City: q.City, Type: q.Type, Offer: q.Offer, Status: listing.Active, PriceMin: q.PriceMin, PriceMax: q.PriceMax,
		BedroomsMin: q.BedroomsMin, Sort: q.Sort, Limit: q.Limit, Cursor: q.Cursor}
	return q == plain
}

// searchSQL returns the statement of one page, which begins behind a cursor if there is one. The page of a region or country is merged from the
// first rows of each of its cities, because only with a city does an index hold them in order. Where words, amenities or a box narrow the search down,
// the planner does better with the question as a whole.
func searchSQL(q listing.Query, after *cursor) (query, []any) {
	merged := q.City == "" && (q.Region != "" || q.Country != "") && q.Status == listing.Active && q.Text == "" && q.Amenities == 0 && q.Box == (listing.Box{})
	s := whereOf(q, merged)
	o := orderOf(q.Sort)
	columns, sorted := listingColumns, o.column
	if o.key == nil {
		columns, sorted = s.rank+` AS `+rankColumn+`, `+columns, s.rank
	}
	if after != nil {
		than := ` > `
		if o.down {
			than = ` < `
		}
		// A row comparison, so that an index can begin there.
		s.where.WriteString(` AND (` + sorted + `, id)` + than + `(` + s.arg(o.value(after.key)) + `, ` + s.arg(after.id) + `)`)
	}
	// One more, to know whether a page follows.
	tail := ` ORDER BY ` + o.by() + ` LIMIT ` + s.arg(q.Limit+1)
	sql := `SELECT ` + columns + ` FROM ` + s.from + s.where.String() + tail
	if merged {
		sql = `SELECT found.* FROM (` + s.places + `) AS place CROSS JOIN LATERAL (` + sql + `) AS found` + tail
	}
	return query{name: nameSearch, sql: sql, places: s.dependence(), custom: !usual(q)}, s.args
}

func collectPage(rows pgx.Rows, q listing.Query, key cursorKey) (listing.Page, error) {
	o := orderOf(q.Sort)
	page := listing.Page{Items: make([]listing.Listing, 0, q.Limit+1)}
	var before []any
	var rank float32
	if o.key == nil {
		before = []any{&rank}
	}
	var c cursor // of the last row that the page has room for
	for rows.Next() {
		page.Items = append(page.Items, listing.Listing{})
		last := &page.Items[len(page.Items)-1]
		if err := scanListing(rows, last, before...); err != nil {
			return listing.Page{}, err
		}
		if len(page.Items) == q.Limit {
			c = cursor{key: int64(math.Float32bits(rank)), id: last.ID}
			if o.key != nil {
				c.key = o.key(last)
			}
		}
	}
	if len(page.Items) <= q.Limit {
		return page, nil
	}
	page.Items = page.Items[:q.Limit]
	page.Next = key.encode(c, q.Scope())
	return page, nil
}

// Facets implements listing.Store. It depends on what the page does.
func (db *DB) Facets(ctx context.Context, q listing.Query) ([]listing.Facet, error) {
	names := q.Facets.Names()
	if len(names) == 0 {
		return nil, nil
	}
	statement, args := facetsSQL(q.Normal())
	return read(ctx, db, statement, q.Tag(), func(rows pgx.Rows) ([]listing.Facet, error) {
		facets := make([]listing.Facet, len(names))
		for i, name := range names {
			facets[i] = listing.Facet{Name: name, Values: []listing.FacetCount{}}
		}
		for rows.Next() {
			var i int
			var v listing.FacetCount
			if err := rows.Scan(&i, &v.Value, &v.Count); err != nil {
				return nil, err
			}
			if f := &facets[i]; len(f.Values) < listing.MaxFacetValues {
				f.Values = append(f.Values, v)
			}
		}
		return facets, nil
	}, args...)
}

// facetsSQL counts all facets in one pass over the matching listings, but for amenities, of which a listing has several.
func facetsSQL(q listing.Query) (query, []any) {
	s := whereOf(q, false)
	var sets, whens, values, branches []string
	from := s.from
	for i, name := range q.Facets.Names() {
		column := name
		switch name {
		case "amenities":
			vocabulary := `ARRAY['` + strings.Join(listing.Amenities(), `', '`) + `']`
			branches = append(branches, fmt.Sprintf(`SELECT %d AS facet, amenity AS value, count(*) AS listings FROM (SELECT unnest(amenities) AS amenity FROM %s) AS named
				WHERE amenity = ANY (%s) GROUP BY amenity`, i, s.from+s.where.String(), vocabulary))
			continue
		case "region":
			column = `region_slug`
			from = s.from + ` JOIN (SELECT slug, region_slug FROM cities) AS home ON slug = city`
		}
		sets = append(sets, `(`+column+`)`)
		values = append(values, column+`::text`)
		whens = append(whens, fmt.Sprintf(`WHEN GROUPING(%s) = 0 THEN %d`, column, i))
	}
	if sets != nil {
		branches = append(branches, `SELECT CASE `+strings.Join(whens, ` `)+` END AS facet, coalesce(`+strings.Join(values, `, `)+`) AS value, count(*) AS listings
			FROM `+from+s.where.String()+` GROUP BY GROUPING SETS (`+strings.Join(sets, `, `)+`)`)
	}
	sql := `SELECT facet, value, listings FROM (` + strings.Join(branches, ` UNION ALL `) + `) AS counted ORDER BY facet, listings DESC, value`
	return query{name: nameFacets, sql: sql, places: s.dependence(), custom: true}, s.args
}
