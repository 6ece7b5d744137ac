package main

import (
	"fmt"
	"math"
	"net/http"
)

// The composition of the traffic, as in lib/traffic.js.
const (
	detailShare     = 0.7  // of the reads
	searchShare     = 0.25 // of the reads; the rest are statistics
	listingExponent = 1.2  // of the popularity of the listings in demand
	cityExponent    = 0.6  // of the popularity of cities: less steep than their sizes
)

// The classes of requests.
const (
	classDetail = "detail"
	classSearch = "search"
	classStats  = "stats"
	classWrite  = "write"
)

// traffic is what visitors of a property portal ask for: request number i is the same for everybody who has the same settings.
// It is lib/traffic.js in Go; a test compares the two.
type traffic struct {
	seed     uint32
	listings int      // their ids are 1 to this
	hot      int      // how many of them are in demand
	cities   []string // slugs, the most popular first
	writes   float64  // share of the requests that change a listing
}

// request is one of them.
type request struct {
	class, method, path string
	id                  int     // of detail and write
	factor              float64 // of write: what the price is multiplied by
}

func (t *traffic) request(i uint32) request {
	r := newRandom(t.seed, i)
	u := r.uniform()
	if u < t.writes {
		return t.write(r)
	}
	read := (u - t.writes) / (1 - t.writes)
	switch {
	case read < detailShare:
		return t.detail(r)
	case read < detailShare+searchShare:
		return t.search(r)
	}
	return request{class: classStats, method: http.MethodGet, path: "/v1/cities/" + t.city(r) + "/stats"}
}

// detail scatters the listings in demand over all: rank r is r strides from a start.
func (t *traffic) detail(r *random) request {
	start, stride := int(scramble(t.seed))%t.listings, coprime(int(math.Floor(float64(t.listings)*0.6180339887498949)), t.listings)
	id := 1 + (start+r.zipf(t.hot, listingExponent)*stride)%t.listings
	return request{class: classDetail, method: http.MethodGet, path: listingPath(id), id: id}
}

// search returns first pages: a city's landing page, or that with one or two filters or another order.
func (t *traffic) search(r *random) request {
	path := "/v1/listings?city=" + t.city(r)
	offer, kind, sort := r.uniform(), r.uniform(), r.uniform()
	switch {
	case offer < 0.5:
	case offer < 0.85:
		path += "&offer=sale"
	default:
		path += "&offer=rent"
	}
	if sort >= 0.92 {
		path += "&sort=price_asc"
	}
	switch {
	case kind < 0.92:
	case kind < 0.98:
		path += "&type=apartment"
	default:
		path += "&type=house"
	}
	return request{class: classSearch, method: http.MethodGet, path: path}
}

// write returns a change of price. Sellers do not know what is popular: every listing is as likely.
func (t *traffic) write(r *random) request {
	id := 1 + int(r.uniform()*float64(t.listings))
	return request{class: classWrite, method: http.MethodPatch, path: listingPath(id), id: id, factor: 0.97 + 0.06*r.uniform()}
}

func (t *traffic) city(r *random) string {
	return t.cities[r.zipf(len(t.cities), cityExponent)-1]
}

// distinct returns what is read in the first n requests from first on, each once, in the order of its first appearance.
func (t *traffic) distinct(first uint32, n int) []string {
	var paths []string
	seen := make(map[string]bool)
	for i := range n {
		r := t.request(first + uint32(i))
		if r.class == classWrite || seen[r.path] {
			continue
		}
		seen[r.path] = true
		paths = append(paths, r.path)
	}
	return paths
}

// String describes the traffic.
func (t *traffic) String() string {
	return fmt.Sprintf("Of the reads, %.0f %% ask for one listing, %.0f %% for the first page of a search in one of %d cities (all, for sale or to let; all types, apartments or houses; "+
		"the newest or the cheapest first) and %.0f %% for a city's statistics. %d of the %d listings are in demand; the popularity of the k-th is about k^-%.1f, that of the k-th city k^-%.1f. "+
		"%.2f %% of the requests change the price of some listing, which touches all pages and the statistics of its city. Which request comes when depends on the seed alone, so every strategy gets the same.",
		100*detailShare, 100*searchShare, len(t.cities), 100*(1-detailShare-searchShare), t.hot, t.listings, listingExponent, cityExponent, 100*t.writes)
}

func listingPath(id int) string { return fmt.Sprintf("/v1/listings/%d", id) }

// coprime returns the first number from near on that has no factor in common with n.
func coprime(near, n int) int {
	for c := max(near, 1); ; c++ {
		if gcd(c, n) == 1 {
			return c
		}
	}
}

func gcd(a, b int) int {
	if b == 0 {
		return a
	}
	return gcd(b, a%b)
}
