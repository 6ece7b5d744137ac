package httpapi

import (
	"bytes"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"strata/app/listing"
)

// searchParams describes what parseQuery reads.
func searchParams() []*huma.Param {
	param := func(name, about string, schema *huma.Schema) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: about, Schema: schema}
	}
	limit := integer(1, listing.MaxLimit)
	limit.Default = listing.DefaultLimit
	sort := enum(listing.Sorts())
	sort.Default = string(listing.Newest)
	return []*huma.Param{
		param("city", "The city's slug, in any case", &huma.Schema{Type: "string"}),
		param("type", "", enum(listing.PropertyTypes())),
		param("offer", "", enum(listing.Offers())),
		param("price_min", "In hundredths of the currency", integer(0, listing.MaxPriceMinor)),
		param("price_max", "In hundredths of the currency", integer(1, listing.MaxPriceMinor)),
		param("bedrooms_min", "", integer(0, listing.MaxRooms)),
		param("sort", "By creation, latest first, or by price", sort),
		param("limit", "How many listings a page has", limit),
		param("cursor", "The value of next from the page before, for the page that follows it", &huma.Schema{Type: "string"}),
	}
}

// A bit for each parameter of a search, to notice one that comes twice.
const (
	seenCity = 1 << iota
	seenType
	seenOffer
	seenPriceMin
	seenPriceMax
	seenBedrooms
	seenSort
	seenLimit
	seenCursor
)

// queryParser reads the parameters of a search one by one.
type queryParser struct {
	q     listing.Query
	seen  uint16
	wrong []*huma.ErrorDetail
}

// parseQuery reads a search, in its normal form. Parameters may come in any order; an empty one is as good as none; the values of enumerations
// and cities may be in any case. The query's strings share the memory of args: they live as long as the request. If anything is wrong
// the result is every fault of it.
func parseQuery(args *fasthttp.Args) (listing.Query, []*huma.ErrorDetail) {
	var p queryParser
	for name, value := range args.All() {
		p.add(name, value)
	}
	if p.q.PriceMax != 0 && p.q.PriceMin > p.q.PriceMax {
		p.fault("price_max", nil, "must not be below price_min")
	}
	return p.q.Normal(), p.wrong
}

func (p *queryParser) add(name, value []byte) {
	q := &p.q
	switch string(name) {
	case "city":
		if p.first(seenCity, name, value) {
			q.City = folded(value)
			p.check(listing.IsSlug(q.City), name, value, "must be a city's slug, such as lisbon or new-york")
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
	case "sort":
		if p.first(seenSort, name, value) {
			q.Sort = listing.Sort(folded(value))
			p.check(q.Sort.Valid(), name, value, "must be newest, price_asc or price_desc")
		}
	case "cursor":
		if p.first(seenCursor, name, value) {
			q.Cursor = utils.UnsafeString(value)
			p.check(isCursor(value), name, value, "must be the value of next from the page before")
		}
	case "price_min":
		p.number(seenPriceMin, name, value, 0, listing.MaxPriceMinor, &q.PriceMin)
	case "price_max":
		p.number(seenPriceMax, name, value, 1, listing.MaxPriceMinor, &q.PriceMax)
	case "bedrooms_min":
		var n int64
		p.number(seenBedrooms, name, value, 0, listing.MaxRooms, &n)
		q.BedroomsMin = max(q.BedroomsMin, int(n))
	case "limit":
		var n int64
		p.number(seenLimit, name, value, 1, listing.MaxLimit, &n)
		q.Limit = max(q.Limit, int(n))
	default:
		p.fault(shown(string(name)), nil, "is not a parameter of this operation")
	}
}

// first reports whether the parameter has a value and had none before.
func (p *queryParser) first(bit uint16, name, value []byte) bool {
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

func (p *queryParser) number(bit uint16, name, value []byte, least, most int64, into *int64) {
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

// folded returns the value in lower case, in its own memory: these are the decoded arguments of this very request, and folding them once more changes nothing.
func folded(value []byte) string {
	for i, c := range value {
		if 'A' <= c && c <= 'Z' {
			value[i] = c + 'a' - 'A'
		}
	}
	return utils.UnsafeString(value)
}

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
