package httpapi

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/listing"
)

// searchParams describes what parseQuery reads.
func searchParams() []*huma.Param {
	param := func(name, about string, schema *huma.Schema, example ...any) *huma.Param {
		p := &huma.Param{Name: name, In: "query", Description: about, Schema: schema}
		if len(example) > 0 {
			p.Example = example[0]
		}
		return p
	}
	limit := integer(1, listing.MaxLimit)
	limit.Default = listing.DefaultLimit
	sort := enum(listing.Sorts())
	sort.Default = string(listing.Newest)
	status := enum(listing.Statuses())
	status.Default = string(listing.Active)
	text := func() *huma.Schema { return &huma.Schema{Type: "string"} }
	return []*huma.Param{
		param("city", "The city's slug, in any case", text(), "lisbon"),
		param("region", "The region's slug, in any case: a city's region_slug", text(), "lisbon-district"),
		param("country", "ISO 3166-1 alpha-2, in any case", text(), "PT"),
		param("type", "", enum(listing.PropertyTypes())),
		param("offer", "", enum(listing.Offers())),
		param("status", "", status),
		param("price_min", "In hundredths of the currency", integer(0, listing.MaxPriceMinor)),
		param("price_max", "In hundredths of the currency", integer(1, listing.MaxPriceMinor)),
		param("bedrooms_min", "", integer(0, listing.MaxRooms)),
		param("bedrooms_max", "", integer(0, listing.MaxRooms)),
		param("bathrooms_min", "", integer(0, listing.MaxRooms)),
		param("area_min", "In square metres, with at most two decimals", number(0, listing.MaxAreaM2)),
		param("area_max", "In square metres, with at most two decimals", number(0.01, listing.MaxAreaM2)),
		param("amenities", "All of these, separated by commas, in any order: "+strings.Join(listing.Amenities(), ", "), text(), "balcony,pool"),
		param("bbox", "A part of the map with its borders: least longitude, least latitude, largest longitude, largest latitude, in degrees with at most six decimals. It cannot cross the 180th meridian", text(), "-9.2,38.69,-9.09,38.8"),
		param("q", "Words in the title or the description, in any case and form; \"several words\" together, or, and -without. At least one word must be wanted",
			&huma.Schema{Type: "string", MaxLength: pointer(listing.MaxText)}, "river balcony"),
		param("sort", "By creation, latest first; by price; by area; or, only with q, by how well the words fit", sort),
		param("limit", "How many listings a page has", limit),
		param("cursor", "The value of next from the page before, for the page that follows it in the same search; limit and facets may change", text()),
		param("facets", "Count the listings of all pages by these, separated by commas: "+strings.Join(listing.Facets(), ", "), text(), "type,offer"),
	}
}

func pointer[T any](v T) *T { return &v }

// A bit for each parameter of a search, to notice one that comes twice.
const (
	seenCity = 1 << iota
	seenRegion
	seenCountry
	seenType
	seenOffer
	seenStatus
	seenPriceMin
	seenPriceMax
	seenBedroomsMin
	seenBedroomsMax
	seenBathrooms
	seenAreaMin
	seenAreaMax
	seenAmenities
	seenBox
	seenText
	seenSort
	seenLimit
	seenCursor
	seenFacets
)

// queryParser reads the parameters of a search one by one.
type queryParser struct {
	q     listing.Query
	seen  uint32
	wrong []*huma.ErrorDetail
}

// parseQuery reads a search, in its normal form. Parameters may come in any order; an empty one is as good as none; enumerations, places and words
// may be in any case, lists in any order, numbers with zeros around them. The query's strings may share the memory of args: they live as long as the request. If
// anything is wrong the result is every fault of it.
func parseQuery(args *fasthttp.Args) (listing.Query, []*huma.ErrorDetail) {
	var p queryParser
	for name, value := range args.All() {
		p.add(name, value)
	}
	q := &p.q
	if q.PriceMax != 0 && q.PriceMin > q.PriceMax {
		p.fault("price_max", nil, "must not be below price_min")
	}
	if q.AreaMax != 0 && q.AreaMin > q.AreaMax {
		p.fault("area_max", nil, "must not be below area_min")
	}
	if q.BedroomsBelow != 0 && q.BedroomsMin >= q.BedroomsBelow {
		p.fault("bedrooms_max", nil, "must not be below bedrooms_min")
	}
	if q.Sort == listing.Best && q.Text == "" {
		p.fault("sort", nil, "must not be relevance without q")
	}
	return q.Normal(), p.wrong
}

// The limits of numbers with decimals, in their last decimal.
const (
	maxArea      = listing.MaxAreaM2 * 100
	maxLongitude = 180_000_000
	maxLatitude  = 90_000_000
)

func (p *queryParser) add(name, value []byte) {
	q := &p.q
	switch string(name) {
	case "city":
		if p.first(seenCity, name, value) {
			q.City = folded(value)
			p.check(listing.IsSlug(q.City), name, value, "must be a city's slug, such as lisbon or new-york")
		}
	case "region":
		if p.first(seenRegion, name, value) {
			q.Region = folded(value)
			p.check(listing.IsSlug(q.Region), name, value, "must be a region's slug, such as bavaria or lisbon-district")
		}
	case "country":
		if p.first(seenCountry, name, value) {
			q.Country = capitals(value)
			p.check(listing.IsCountry(q.Country), name, value, "must be a country's code of two letters, such as PT")
		}
	case "type":
		if p.first(seenType, name, value) {
			q.Type = listing.PropertyType(folded(value))
			p.check(q.Type.Valid(), name, value, "must be one of apartment, studio, house, townhouse, villa, loft")
		}
	case "offer":
		if p.first(seenOffer, name, value) {
			q.Offer = listing.Offer(folded(value))
			p.check(q.Offer.Valid(), name, value, "must be sale or rent")
		}
	case "status":
		if p.first(seenStatus, name, value) {
			q.Status = listing.Status(folded(value))
			p.check(q.Status.Valid(), name, value, "must be one of active, reserved, sold, withdrawn")
		}
	case "sort":
		if p.first(seenSort, name, value) {
			q.Sort = listing.Sort(folded(value))
			p.check(q.Sort.Valid(), name, value, "must be one of newest, price_asc, price_desc, area_asc, area_desc, relevance")
		}
	case "cursor":
		if p.first(seenCursor, name, value) {
			q.Cursor = utils.UnsafeString(value)
			p.check(isCursor(value), name, value, mustBeCursor)
		}
	case "amenities":
		if p.first(seenAmenities, name, value) {
			p.words(name, value, func(word string) (ok bool) { q.Amenities, ok = q.Amenities.With(word); return ok }, "must be amenities that can be searched for, separated by commas")
		}
	case "facets":
		if p.first(seenFacets, name, value) {
			p.words(name, value, func(word string) (ok bool) { q.Facets, ok = q.Facets.With(word); return ok }, "must be facets, separated by commas")
		}
	case "q":
		if p.first(seenText, name, value) {
			var ok bool
			q.Text, ok = listing.NormalText(utils.UnsafeString(value))
			p.check(ok, name, value, "must be at most 100 characters with at least one word that is wanted")
		}
	case "bbox":
		if p.first(seenBox, name, value) {
			p.box(name, value)
		}
	default:
		p.addNumber(name, value)
	}
}

func (p *queryParser) addNumber(name, value []byte) {
	q := &p.q
	switch string(name) {
	case "price_min":
		p.number(seenPriceMin, name, value, 0, listing.MaxPriceMinor, &q.PriceMin)
	case "price_max":
		p.number(seenPriceMax, name, value, 1, listing.MaxPriceMinor, &q.PriceMax)
	case "bedrooms_min":
		p.count(seenBedroomsMin, name, value, 0, listing.MaxRooms, &q.BedroomsMin)
	case "bedrooms_max":
		most := -1
		p.count(seenBedroomsMax, name, value, 0, listing.MaxRooms, &most)
		q.BedroomsBelow = max(q.BedroomsBelow, most+1)
	case "bathrooms_min":
		p.count(seenBathrooms, name, value, 0, listing.MaxRooms, &q.BathroomsMin)
	case "area_min":
		p.area(seenAreaMin, name, value, 0, &q.AreaMin)
	case "area_max":
		p.area(seenAreaMax, name, value, 1, &q.AreaMax)
	case "limit":
		p.count(seenLimit, name, value, 1, listing.MaxLimit, &q.Limit)
	default:
		p.fault(shown(string(name)), nil, "is not a parameter of this operation")
	}
}

// first reports whether the parameter has a value and had none before.
func (p *queryParser) first(bit uint32, name, value []byte) bool {
	if p.seen&bit != 0 {
		p.fault(string(name), value, "must be given once")
		return false
	}
	p.seen |= bit
	return len(value) > 0
}

func (p *queryParser) check(ok bool, name, value []byte, must string) {
	if !ok {
		p.fault(string(name), value, must)
	}
}

func (p *queryParser) number(bit uint32, name, value []byte, least, most int64, into *int64) {
	if !p.first(bit, name, value) {
		return
	}
	n, ok := parseNumber(value)
	if !ok || n < least || n > most {
		p.fault(string(name), value, "must be a whole number from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10))
		return
	}
	*into = n
}

func (p *queryParser) count(bit uint32, name, value []byte, least, most int64, into *int) {
	n := int64(-1)
	p.number(bit, name, value, least, most, &n)
	if n >= 0 {
		*into = int(n)
	}
}

func (p *queryParser) area(bit uint32, name, value []byte, least int64, into *int64) {
	if !p.first(bit, name, value) {
		return
	}
	n, ok := parseDecimal(value, 2, maxArea)
	if !ok || n < least {
		p.fault(string(name), value, "must be square metres, at most "+strconv.Itoa(listing.MaxAreaM2)+", with at most two decimals")
		return
	}
	*into = n
}

// box reads four degrees.
func (p *queryParser) box(name, value []byte) {
	var edges [4]int64
	rest := value
	for i := range edges {
		part := rest
		at := bytes.IndexByte(rest, ',')
		if last := i == len(edges)-1; last != (at < 0) {
			p.fault(string(name), value, "must be four numbers with commas between them: least longitude, least latitude, largest longitude, largest latitude")
			return
		}
		if at >= 0 {
			part, rest = rest[:at], rest[at+1:]
		}
		most := int64(maxLongitude)
		if i%2 == 1 {
			most = maxLatitude
		}
		var ok bool
		if edges[i], ok = parseDegrees(part, most); !ok {
			p.fault(string(name), value, "must be degrees with at most six decimals: longitudes from -180 to 180, latitudes from -90 to 90")
			return
		}
	}
	if edges[0] >= edges[2] || edges[1] >= edges[3] {
		p.fault(string(name), value, "must have a width and a height: least longitude, least latitude, largest longitude, largest latitude")
		return
	}
	p.q.Box = listing.Box{MinLon: int32(edges[0]), MinLat: int32(edges[1]), MaxLon: int32(edges[2]), MaxLat: int32(edges[3])}
}

// words reads words with commas between them, in any order and case, each as often as one likes.
func (p *queryParser) words(name, value []byte, add func(word string) bool, must string) {
	text := folded(value)
	for len(text) > 0 {
		word, rest, more := strings.Cut(text, ",")
		if !add(word) || more && rest == "" {
			p.fault(string(name), value, must)
			return
		}
		text = rest
	}
}

func (p *queryParser) fault(name string, value []byte, must string) {
	detail := &huma.ErrorDetail{Location: "query." + name, Message: must}
	if value != nil {
		detail.Value = shown(string(value))
	}
	p.wrong = append(p.wrong, detail)
}

// parseNumber reads decimal digits and nothing else.
func parseNumber(text []byte) (int64, bool) {
	const most = 18 // digits that surely fit
	text = bytes.TrimLeft(text, "0")
	if len(text) > most {
		return 0, false
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseDecimal reads a number with at most that many decimals that count, and returns it in units of the last.
func parseDecimal(text []byte, decimals int, most int64) (int64, bool) {
	whole, fraction, point := bytes.Cut(text, []byte{'.'})
	if len(whole) == 0 || point && len(fraction) == 0 {
		return 0, false
	}
	n, ok := parseNumber(whole)
	if !ok || n > most {
		return 0, false
	}
	fraction = bytes.TrimRight(fraction, "0")
	if len(fraction) > decimals {
		return 0, false
	}
	for i := range decimals {
		n *= 10
		if i < len(fraction) {
			if fraction[i] < '0' || fraction[i] > '9' {
				return 0, false
			}
			n += int64(fraction[i] - '0')
		}
	}
	return n, n <= most
}

func parseDegrees(text []byte, most int64) (int64, bool) {
	text, negative := bytes.CutPrefix(text, []byte{'-'})
	n, ok := parseDecimal(text, 6, most)
	if negative {
		n = -n
	}
	return n, ok
}

// folded returns the value in lower case, in its own memory: these are the decoded arguments of this very request, and folding them once more changes nothing.
func folded(value []byte) string {
	for i, c := range value {
		if 'A' <= c && c <= 'Z' {
			value[i] = c + 'a' - 'A'
		}
	}
	return utils.UnsafeString(value)
}

// capitals is folded, the other way.
func capitals(value []byte) string {
	for i, c := range value {
		if 'a' <= c && c <= 'z' {
			value[i] = c - 'a' + 'A'
		}
	}
	return utils.UnsafeString(value)
}

const mustBeCursor = "must be the value of next from a page of the same search"

// isCursor reports whether text looks like one of our cursors. Whether it is one only the store can tell.
func isCursor(text []byte) bool {
	const most = 128
	for _, c := range text {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return len(text) <= most
}
