package listing

import (
	"strconv"
	"strings"
)

// Sort is the order of a page. Equal values are ordered by id, so that every order is total and a cursor can resume it.
type Sort string

// The orders.
const (
	Newest   Sort = "newest"     // created last first
	Cheapest Sort = "price_asc"  // lowest price first
	Dearest  Sort = "price_desc" // highest price first
)

// The bounds of Query.Limit.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// Query is a search among active listings. Zero fields do not restrict it. It is comparable, so that it can be a cache key:
// two queries that mean the same must be equal, which Normal sees to.
type Query struct {
	City        string
	Type        PropertyType
	Offer       Offer
	PriceMin    int64 // in minor units, inclusive
	PriceMax    int64 // in minor units, inclusive
	BedroomsMin int
	Sort        Sort   // empty means Newest
	Limit       int    // 1 to MaxLimit; 0 means DefaultLimit
	Cursor      string // Next of the page before
}

// Normal returns the query with defaults spelled out.
func (q Query) Normal() Query {
	if q.Sort == "" {
		q.Sort = Newest
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	return q
}

// Key returns the canonical text of a normal query: the parameters that differ from the default, in alphabetical order, in the form
// of a URL's query. Equal queries have equal keys and different queries different ones.
func (q Query) Key() string {
	b := make([]byte, 0, 96)
	text := func(name, value string) {
		if value != "" {
			b = append(append(append(append(b, '&'), name...), '='), escape(value)...)
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			b = strconv.AppendInt(append(append(append(b, '&'), name...), '='), value, 10)
		}
	}
	q = q.Normal()
	number("bedrooms_min", int64(q.BedroomsMin))
	text("city", q.City)
	text("cursor", q.Cursor)
	if q.Limit != DefaultLimit {
		number("limit", int64(q.Limit))
	}
	text("offer", string(q.Offer))
	number("price_max", q.PriceMax)
	number("price_min", q.PriceMin)
	if q.Sort != Newest {
		text("sort", string(q.Sort))
	}
	text("type", string(q.Type))
	if len(b) == 0 {
		return ""
	}
	return string(b[1:])
}

// escape keeps a value from reading like another parameter.
func escape(value string) string {
	if !strings.ContainsAny(value, "&=%") {
		return value
	}
	return strings.NewReplacer("%", "%25", "&", "%26", "=", "%3D").Replace(value)
}
