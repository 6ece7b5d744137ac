package httpapi

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"strata/app/listing"
	"strata/app/viewcache"
)

// The functions of this file read what a request asks for, from its path and its query. The view cache asks them for a key before any handler runs,
// and the handlers ask them again on a miss, for the same value or for everything that is wrong. So the two cannot differ.

// keyOf returns the function that names the views of a route. A route without one keeps none.
func keyOf(path string) func(*fiber.Ctx) (viewcache.Key, bool) {
	switch path {
	case "/v1/listings":
		return searchKey
	case "/v1/listings/:id":
		return listingKey
	case "/v1/cities":
		return citiesKey
	case "/v1/cities/:city/stats":
		return statsKey
	}
	return func(*fiber.Ctx) (viewcache.Key, bool) { return viewcache.Key{}, false }
}

// listingKey names the view of one listing.
func listingKey(c *fiber.Ctx) (viewcache.Key, bool) {
	id := c.Params("id")
	if _, ok := parseID(id); !ok || !plain(c) || hasQuery(c) {
		return viewcache.Key{}, false
	}
	return viewcache.Key{Class: "listing", Text: strings.Clone(id)}, true
}

// searchKey names the view of one page.
func searchKey(c *fiber.Ctx) (viewcache.Key, bool) {
	if !plain(c) {
		return viewcache.Key{}, false
	}
	q, wrong := parseQuery(c.Context().QueryArgs())
	if wrong != nil {
		return viewcache.Key{}, false
	}
	return viewcache.Key{Class: "page", Text: q.Key()}, true
}

// citiesKey names the view of all cities.
func citiesKey(c *fiber.Ctx) (viewcache.Key, bool) {
	return viewcache.Key{Class: "cities", Text: "all"}, plain(c) && !hasQuery(c)
}

// statsKey names the view of a city's statistics.
func statsKey(c *fiber.Ctx) (viewcache.Key, bool) {
	city, ok := parseCity(c.Params("city"))
	if !ok || !plain(c) || hasQuery(c) {
		return viewcache.Key{}, false
	}
	return viewcache.Key{Class: "stats", Text: strings.Clone(city)}, true
}

// plain reports whether a request may be answered from a view: not if it says who asks. Nothing here depends on that today, but a shared
// copy of an answer must never come to (RFC 9111, section 3.5).
func plain(c *fiber.Ctx) bool {
	return len(c.Request().Header.Peek(fiber.HeaderAuthorization)) == 0
}

func hasQuery(c *fiber.Ctx) bool { return len(c.Request().URI().QueryString()) > 0 }

// noQuery returns a failure that names each query parameter, for operations without any.
func noQuery(c *fiber.Ctx) error {
	if !hasQuery(c) {
		return nil
	}
	var wrong []*huma.ErrorDetail
	for name := range c.Context().QueryArgs().All() {
		wrong = append(wrong, &huma.ErrorDetail{Location: "query." + shown(string(name)), Message: "is not a parameter of this operation"})
	}
	if wrong == nil {
		return nil
	}
	return invalid(wrong...)
}

// idOf returns the id in the path, or a failure.
func idOf(c *fiber.Ctx) (int64, error) {
	text := c.Params("id")
	id, ok := parseID(text)
	if !ok {
		return 0, invalid(&huma.ErrorDetail{Location: "path.id", Message: "must be a listing's id: a whole number above 0", Value: shown(text)})
	}
	return id, nil
}

// cityOf returns the city in the path, in a string of its own, or a failure.
func cityOf(c *fiber.Ctx) (string, error) {
	text := c.Params("city")
	city, ok := parseCity(text)
	if !ok {
		return "", invalid(&huma.ErrorDetail{Location: "path.city", Message: "must be a city's slug, such as lisbon or new-york", Value: shown(text)})
	}
	return strings.Clone(city), nil
}

// queryOf returns the search that the request asks for, in strings of its own, or a failure that lists everything wrong with it.
func queryOf(c *fiber.Ctx) (listing.Query, error) {
	q, wrong := parseQuery(c.Context().QueryArgs())
	if wrong != nil {
		return listing.Query{}, invalid(wrong...)
	}
	q.City, q.Cursor = strings.Clone(q.City), strings.Clone(q.Cursor)
	q.Type, q.Offer = listing.PropertyType(strings.Clone(string(q.Type))), listing.Offer(strings.Clone(string(q.Offer)))
	q.Sort = listing.Sort(strings.Clone(string(q.Sort)))
	return q, nil
}

// parseID reads a listing's id. Only one spelling of each is accepted, so that each has one key.
func parseID(text string) (int64, bool) {
	if text == "" || text[0] < '1' || text[0] > '9' {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	return id, err == nil
}

// parseCity reads a city's slug in any case. The result may share the text's memory.
func parseCity(text string) (string, bool) {
	text = strings.ToLower(text)
	return text, listing.IsSlug(text)
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
