package listing

import (
	"slices"
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
	Smallest Sort = "area_asc"   // smallest area first
	Largest  Sort = "area_desc"  // largest area first
	Best     Sort = "relevance"  // what matches Query.Text best first; only with a text
)

// The bounds of Query.Limit.
const (
	DefaultLimit = 20
	MaxLimit     = 100
)

// Query is a search among the listings of one status. Zero fields do not restrict it. It is comparable, so that it can be a cache key:
// two queries that mean the same must be equal, which Normal sees to. Numbers are whole for the same reason.
type Query struct {
	City          string // a slug
	Region        string // a slug
	Country       string // two capital letters
	Type          PropertyType
	Offer         Offer
	Status        Status // empty means Active
	PriceMin      int64  // in minor units, inclusive
	PriceMax      int64  // in minor units, inclusive
	BedroomsMin   int
	BedroomsBelow int // exclusive, so that zero bedrooms can be asked for
	BathroomsMin  int
	AreaMin       int64 // in hundredths of a square metre, inclusive
	AreaMax       int64 // in hundredths of a square metre, inclusive
	Amenities     AmenitySet
	Box           Box
	Text          string // words to be found in title or description, as NormalText returns them
	Sort          Sort   // empty means Newest
	Limit         int    // 1 to MaxLimit; 0 means DefaultLimit
	Cursor        string // Next of the page before
	Facets        FacetSet
}

// Box is a part of the map, its borders included, in millionths of a degree: about a decimetre. The zero Box is no restriction.
type Box struct{ MinLon, MinLat, MaxLon, MaxLat int32 }

// Normal returns the query with defaults spelled out.
func (q Query) Normal() Query {
	if q.Status == "" {
		q.Status = Active
	}
	if q.Sort == "" {
		q.Sort = Newest
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	return q
}

// Listings returns the query without its facets: what its page is kept as.
func (q Query) Listings() Query {
	q.Facets = 0
	return q.Normal()
}

// Counts returns the query without order and place in it: what its facets are kept as, for all its pages.
func (q Query) Counts() Query {
	q.Sort, q.Limit, q.Cursor = "", 0, ""
	return q.Normal()
}

// Scope is the text of what a cursor belongs to: all that decides which listings follow one another. How many a page has does not.
func (q Query) Scope() string {
	q.Limit, q.Cursor, q.Facets = 0, "", 0
	return q.Key()
}

// Key returns the canonical text of a query: the parameters that differ from the default, in alphabetical order, in the form
// of a URL's query. Equal queries have equal keys and different queries different ones.
func (q Query) Key() string {
	b := keyText(make([]byte, 0, 160))
	q = q.Normal()
	b = b.text("amenities", q.Amenities.String())
	b = b.decimal("area_max", q.AreaMax)
	b = b.decimal("area_min", q.AreaMin)
	b = b.number("bathrooms_min", int64(q.BathroomsMin))
	b = b.box("bbox", q.Box)
	if q.BedroomsBelow != 0 {
		b = strconv.AppendInt(b.name("bedrooms_max"), int64(q.BedroomsBelow)-1, 10)
	}
	b = b.number("bedrooms_min", int64(q.BedroomsMin))
	b = b.text("city", q.City)
	b = b.text("country", q.Country)
	b = b.text("cursor", q.Cursor)
	b = b.text("facets", q.Facets.String())
	if q.Limit != DefaultLimit {
		b = b.number("limit", int64(q.Limit))
	}
	b = b.text("offer", string(q.Offer))
	b = b.number("price_max", q.PriceMax)
	b = b.number("price_min", q.PriceMin)
	b = b.text("q", q.Text)
	b = b.text("region", q.Region)
	if q.Sort != Newest {
		b = b.text("sort", string(q.Sort))
	}
	if q.Status != Active {
		b = b.text("status", string(q.Status))
	}
	b = b.text("type", string(q.Type))
	if len(b) == 0 {
		return ""
	}
	return string(b[1:])
}

// keyText is a key being written, with an ampersand before each parameter.
type keyText []byte

func (b keyText) name(name string) keyText {
	return append(append(append(b, '&'), name...), '=')
}

func (b keyText) text(name, value string) keyText {
	if value == "" {
		return b
	}
	return append(b.name(name), escape(value)...)
}

func (b keyText) number(name string, value int64) keyText {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(b.name(name), value, 10)
}

func (b keyText) decimal(name string, hundredths int64) keyText {
	if hundredths == 0 {
		return b
	}
	return appendDecimal(b.name(name), hundredths, 2)
}

func (b keyText) box(name string, box Box) keyText {
	if box == (Box{}) {
		return b
	}
	b = b.name(name)
	for i, edge := range [...]int32{box.MinLon, box.MinLat, box.MaxLon, box.MaxLat} {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendDecimal(b, int64(edge), 6)
	}
	return b
}

// appendDecimal appends a number of that many decimals without the zeros at its end.
func appendDecimal(b []byte, scaled int64, decimals int) []byte {
	if scaled < 0 {
		b = append(b, '-')
		scaled = -scaled
	}
	unit := int64(1)
	for range decimals {
		unit *= 10
	}
	b = strconv.AppendInt(b, scaled/unit, 10)
	rest := scaled % unit
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	for rest > 0 {
		unit /= 10
		b = append(b, byte('0'+rest/unit))
		rest %= unit
	}
	return b
}

// escape keeps a value from reading like another parameter.
func escape(value string) string {
	if !strings.ContainsAny(value, "&=%") {
		return value
	}
	return strings.NewReplacer("%", "%25", "&", "%26", "=", "%3D").Replace(value)
}

// amenities are what a search can ask for, in the order of a set's bits. New ones go to the end: sets are kept in caches.
// A listing may say more of itself than a search can ask.
var amenities = []string{
	"balcony", "bike-storage", "concierge", "dishwasher", "elevator", "fireplace", "furnished", "garage", "garden", "heat-pump",
	"parking", "pets-allowed", "pool", "roof-terrace", "sea-view", "solar-panels", "storage", "terrace", "underfloor-heating", "washing-machine",
}

// facets are what can be counted, in the order of a set's bits.
var facets = []string{"type", "offer", "city", "region", "country", "bedrooms", "amenities"}

// AmenitySet is a set of amenities: comparable, without order, each once.
type AmenitySet uint32

// FacetSet is a set of facets.
type FacetSet uint8

// Amenities returns the names of all amenities that can be searched for.
func Amenities() []string { return slices.Clone(amenities) }

// Facets returns the names of all facets.
func Facets() []string { return slices.Clone(facets) }

// With returns the set with one more amenity, or false for a name that is none.
func (s AmenitySet) With(name string) (AmenitySet, bool) {
	bit, ok := bitOf(amenities, name)
	return s | AmenitySet(bit), ok
}

// Names returns the set's amenities in the order of Amenities.
func (s AmenitySet) Names() []string { return namesOf(amenities, uint64(s)) }

// String returns the names with commas between them.
func (s AmenitySet) String() string { return joined(amenities, uint64(s)) }

// With returns the set with one more facet, or false for a name that is none.
func (s FacetSet) With(name string) (FacetSet, bool) {
	bit, ok := bitOf(facets, name)
	return s | FacetSet(bit), ok
}

// Names returns the set's facets in the order of Facets.
func (s FacetSet) Names() []string { return namesOf(facets, uint64(s)) }

// String returns the names with commas between them.
func (s FacetSet) String() string { return joined(facets, uint64(s)) }

func bitOf(words []string, name string) (uint64, bool) {
	i := slices.Index(words, name)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

func namesOf(words []string, bits uint64) (names []string) {
	for i, word := range words {
		if bits&(1<<i) != 0 {
			names = append(names, word)
		}
	}
	return names
}

func joined(words []string, bits uint64) string {
	if bits == 0 {
		return ""
	}
	return strings.Join(namesOf(words, bits), ",")
}
