package httpapi

import (
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/listing"
	"example.com/strata/app/viewcache"
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
		f := invalid(wrong...)
		if len(wrong) == 1 && wrong[0].Message == mustBeCursor {
			f.slug = slugCursor
		}
		return listing.Query{}, f
	}
	q.City, q.Region, q.Country = strings.Clone(q.City), strings.Clone(q.Region), strings.Clone(q.Country)
	q.Text, q.Cursor = strings.Clone(q.Text), strings.Clone(q.Cursor)
	q.Type, q.Offer = listing.PropertyType(strings.Clone(string(q.Type))), listing.Offer(strings.Clone(string(q.Offer)))
	q.Status, q.Sort = listing.Status(strings.Clone(string(q.Status))), listing.Sort(strings.Clone(string(q.Sort)))
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
