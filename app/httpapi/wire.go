package httpapi

import (
	"time"

	"example.com/strata/app/listing"
)

// The types of this file are those of package listing as the API describes them. They are converted, not copied field by field, so the compiler
// sees to it that both have the same fields.

// listingWire is listing.Listing.
type listingWire struct {
	ID          int64                `json:"id" doc:"Given by the service" minimum:"1" example:"4711"`
	Title       string               `json:"title" doc:"One line" maxLength:"200" example:"Bright flat near the river"`
	Description string               `json:"description" maxLength:"10000"`
	City        string               `json:"city" doc:"Slug of a city" maxLength:"64" example:"lisbon"`
	Region      string               `json:"region" doc:"The city's" example:"Lisboa"`
	Country     string               `json:"country" doc:"The city's; ISO 3166-1 alpha-2" example:"PT"`
	Type        listing.PropertyType `json:"type" enum:"apartment,studio,house,townhouse,villa,loft"`
	Offer       listing.Offer        `json:"offer" doc:"For rent, the price is a month's" enum:"sale,rent"`
	PriceMinor  int64                `json:"price_minor" doc:"In hundredths of the currency" minimum:"1" maximum:"1000000000000" example:"32500000"`
	Currency    string               `json:"currency" doc:"ISO 4217" example:"EUR"`
	Bedrooms    int                  `json:"bedrooms" minimum:"0" maximum:"100" example:"2"`
	Bathrooms   int                  `json:"bathrooms" minimum:"0" maximum:"100" example:"1"`
	AreaM2      float64              `json:"area_m2" exclusiveMinimum:"0" maximum:"1000000" example:"71.5"`
	Latitude    float64              `json:"latitude" doc:"Degrees, WGS 84" minimum:"-90" maximum:"90" example:"38.7223"`
	Longitude   float64              `json:"longitude" doc:"Degrees, WGS 84" minimum:"-180" maximum:"180" example:"-9.1393"`
	Amenities   []string             `json:"amenities" doc:"Sorted, each once" maxItems:"50"`
	Status      listing.Status       `json:"status" doc:"Searches look among active ones unless they say otherwise; statistics count no others" enum:"active,reserved,sold,withdrawn"`
	AgentID     int64                `json:"agent_id" minimum:"1" example:"17"`
	CreatedAt   time.Time            `json:"created_at"`
	UpdatedAt   time.Time            `json:"updated_at"`
	Version     int64                `json:"version" doc:"Grows with every change that the database's triggers see" minimum:"1" example:"3"`
	Row         int64                `json:"-"`
}

// draftWire is listing.Draft: the body of a write.
type draftWire struct {
	Title       string               `json:"title" doc:"One line" minLength:"1" maxLength:"200" example:"Bright flat near the river"`
	Description string               `json:"description" doc:"Empty if left out" required:"false" maxLength:"10000"`
	City        string               `json:"city" doc:"Slug of a city" pattern:"^[a-z0-9]+(-[a-z0-9]+)*$" maxLength:"64" example:"lisbon"`
	Type        listing.PropertyType `json:"type" enum:"apartment,studio,house,townhouse,villa,loft"`
	Offer       listing.Offer        `json:"offer" doc:"For rent, the price is a month's" enum:"sale,rent"`
	PriceMinor  int64                `json:"price_minor" doc:"In hundredths of the currency" minimum:"1" maximum:"1000000000000" example:"32500000"`
	Currency    string               `json:"currency" doc:"ISO 4217" pattern:"^[A-Z]{3}$" example:"EUR"`
	Bedrooms    int                  `json:"bedrooms" minimum:"0" maximum:"100" example:"2"`
	Bathrooms   int                  `json:"bathrooms" minimum:"0" maximum:"100" example:"1"`
	AreaM2      float64              `json:"area_m2" exclusiveMinimum:"0" maximum:"1000000" example:"71.5"`
	Latitude    float64              `json:"latitude" doc:"Degrees, WGS 84" minimum:"-90" maximum:"90" example:"38.7223"`
	Longitude   float64              `json:"longitude" doc:"Degrees, WGS 84" minimum:"-180" maximum:"180" example:"-9.1393"`
	Amenities   []string             `json:"amenities" doc:"Text of 1 to 50 characters each; none if left out" required:"false" maxItems:"50"`
	Status      listing.Status       `json:"status" doc:"active if left out" required:"false" enum:"active,reserved,sold,withdrawn"`
	AgentID     int64                `json:"agent_id" doc:"An agent that exists" minimum:"1" example:"17"`
}

// pageWire is listing.Page.
type pageWire struct {
	Items  []listingWire               `json:"items" doc:"In the order asked for"`
	Next   string                      `json:"next" doc:"The parameter cursor for the next page; empty on the last"`
	Facets map[string][]facetCountWire `json:"facets,omitempty" doc:"For each of the parameter facets, how many listings on all pages have each value: the most frequent first, at most 100"`
}

// facetCountWire is listing.FacetCount.
type facetCountWire struct {
	Value string `json:"value" doc:"As a search would name it" example:"apartment"`
	Count int64  `json:"count" minimum:"1" example:"42"`
}

// citiesWire holds all cities.
type citiesWire struct {
	Items []cityWire `json:"items" doc:"The largest first"`
}

// cityWire is listing.City.
type cityWire struct {
	Slug       string  `json:"slug" example:"lisbon"`
	Name       string  `json:"name" example:"Lisbon"`
	Region     string  `json:"region" example:"Lisboa"`
	RegionSlug string  `json:"region_slug" doc:"What a search calls the region" example:"lisboa"`
	Country    string  `json:"country" doc:"ISO 3166-1 alpha-2" example:"PT"`
	Latitude   float64 `json:"latitude" doc:"Degrees, WGS 84"`
	Longitude  float64 `json:"longitude" doc:"Degrees, WGS 84"`
	ForSale    int64   `json:"for_sale" doc:"Active listings for sale"`
	ForRent    int64   `json:"for_rent" doc:"Active listings for rent"`
}

// statsWire is listing.CityStats.
type statsWire struct {
	City      string          `json:"city" example:"lisbon"`
	Listings  int64           `json:"listings" doc:"Active ones"`
	Groups    []typeStatsWire `json:"groups" doc:"By offer, then type; only those with listings"`
	UpdatedAt time.Time       `json:"updated_at" doc:"Of the city's most recently changed listing of any status; the year 1 without one"`
}

// typeStatsWire is listing.TypeStats.
type typeStatsWire struct {
	Offer      listing.Offer        `json:"offer" enum:"sale,rent"`
	Type       listing.PropertyType `json:"type" enum:"apartment,studio,house,townhouse,villa,loft"`
	Listings   int64                `json:"listings"`
	Currency   string               `json:"currency" doc:"Prices in others are left out of the percentiles"`
	PriceMinor percentilesWire      `json:"price_minor" doc:"In hundredths of the currency"`
	PerM2Minor percentilesWire      `json:"per_m2_minor" doc:"In hundredths of the currency, a square metre"`
}

// percentilesWire is listing.Percentiles.
type percentilesWire struct {
	P10    float64 `json:"p10"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
}

func pageOf(p listing.Page, facets []listing.Facet) pageWire {
	items := make([]listingWire, len(p.Items))
	for i := range p.Items {
		items[i] = listingWire(p.Items[i])
	}
	page := pageWire{Items: items, Next: p.Next}
	if len(facets) > 0 {
		page.Facets = make(map[string][]facetCountWire, len(facets))
	}
	for _, f := range facets {
		counts := make([]facetCountWire, len(f.Values))
		for i, v := range f.Values {
			counts[i] = facetCountWire(v)
		}
		page.Facets[f.Name] = counts
	}
	return page
}

func citiesOf(cities []listing.City) citiesWire {
	items := make([]cityWire, len(cities))
	for i := range cities {
		items[i] = cityWire(cities[i])
	}
	return citiesWire{Items: items}
}

func statsOf(s listing.CityStats) statsWire {
	groups := make([]typeStatsWire, len(s.Groups))
	for i, g := range s.Groups {
		groups[i] = typeStatsWire{
			Offer: g.Offer, Type: g.Type, Listings: g.Listings, Currency: g.Currency,
			PriceMinor: percentilesWire(g.PriceMinor), PerM2Minor: percentilesWire(g.PerM2Minor),
		}
	}
	return statsWire{City: s.City, Listings: s.Listings, Groups: groups, UpdatedAt: s.UpdatedAt}
}
