// Package listing is the domain: what a listing is, how listings are searched, and the questions that are expensive to answer.
package listing

import (
	"context"
	"errors"
	"time"

	"example.com/strata/app/freshness"
)

// The errors that a Store or Service returns, beside those of the context.
var (
	ErrNotFound     = errors.New("not found")                // no such listing or city
	ErrConflict     = errors.New("changed by somebody else") // the version that the caller named is no longer the present one
	ErrUnknownCity  = errors.New("no such city")             // a listing names a city that is not in the table of cities
	ErrUnknownAgent = errors.New("no such agent")            // a listing names an agent that does not exist
	ErrCursor       = errors.New("not a cursor that this service issued for this search")
	ErrKeyReused    = errors.New("the key was used for another request")
	ErrInProgress   = errors.New("a request with the same key is under way")

	ErrUnavailable = errors.New("the database cannot be reached")                  // connection refused, lost, or not free in time
	ErrBusy        = errors.New("other transactions were in the way")              // several times over: conflicts, deadlocks, locks
	ErrReadOnly    = errors.New("the database takes no changes at present")        // a standby, or one that is held
	ErrExhausted   = errors.New("the database has run out of something")           // disk, memory, connections
	ErrSetup       = errors.New("the database is not set up as the service needs") // schema, rights, credentials
	ErrRefused     = errors.New("the database refuses these values")               // a constraint or a trigger of its own
	ErrReferred    = errors.New("something else in the database refers to it")     // or claims what it claims
	ErrFault       = errors.New("the database reports a fault of its own")         // corruption, or data that cannot be computed with
)

// PropertyType is what is offered.
type PropertyType string

// The property types.
const (
	Apartment PropertyType = "apartment"
	Studio    PropertyType = "studio"
	House     PropertyType = "house"
	Townhouse PropertyType = "townhouse"
	Villa     PropertyType = "villa"
	Loft      PropertyType = "loft"
)

// Offer is how it is offered.
type Offer string

// The offers.
const (
	Sale Offer = "sale"
	Rent Offer = "rent" // the price is a month's
)

// Status is where a listing stands. Searches look among active ones unless they say otherwise, and statistics count no others: a sold flat must
// not look for sale.
type Status string

// The statuses.
const (
	Active    Status = "active"
	Reserved  Status = "reserved"
	Sold      Status = "sold" // or let
	Withdrawn Status = "withdrawn"
)

// Listing is one property on offer, as it is stored.
type Listing struct {
	ID          int64        `json:"id"`
	Title       string       `json:"title"`
	Description string       `json:"description"`
	City        string       `json:"city"`    // slug of a City, such as "lisbon"
	Region      string       `json:"region"`  // the city's
	Country     string       `json:"country"` // the city's, ISO 3166-1 alpha-2
	Type        PropertyType `json:"type"`
	Offer       Offer        `json:"offer"`
	PriceMinor  int64        `json:"price_minor"` // in hundredths of Currency
	Currency    string       `json:"currency"`    // ISO 4217
	Bedrooms    int          `json:"bedrooms"`
	Bathrooms   int          `json:"bathrooms"`
	AreaM2      float64      `json:"area_m2"`
	Latitude    float64      `json:"latitude"`  // degrees, WGS 84
	Longitude   float64      `json:"longitude"` // degrees, WGS 84
	Amenities   []string     `json:"amenities"` // sorted; never nil
	Status      Status       `json:"status"`
	AgentID     int64        `json:"agent_id"`
	CreatedAt   time.Time    `json:"created_at"`
	UpdatedAt   time.Time    `json:"updated_at"`
	Version     int64        `json:"version"` // grows with every change that the database's triggers see
	Row         int64        `json:"-"`       // names this state of the row, whoever made it and however; 0 in what comes out of a cache
}

// Match reports whether a listing is one that a writer has seen. A nil Match accepts every one.
type Match func(*Listing) bool

func (m Match) accepts(l *Listing) bool { return m == nil || m(l) }

// Draft is what a writer decides about a listing. The rest of it comes from the database: id, region, country, times, version.
type Draft struct {
	Title       string
	Description string
	City        string
	Type        PropertyType
	Offer       Offer
	PriceMinor  int64
	Currency    string
	Bedrooms    int
	Bathrooms   int
	AreaM2      float64
	Latitude    float64
	Longitude   float64
	Amenities   []string
	Status      Status
	AgentID     int64
}

// Draft returns the part of the listing that a writer decides.
func (l *Listing) Draft() Draft {
	return Draft{
		Title: l.Title, Description: l.Description, City: l.City, Type: l.Type, Offer: l.Offer,
		PriceMinor: l.PriceMinor, Currency: l.Currency, Bedrooms: l.Bedrooms, Bathrooms: l.Bathrooms, AreaM2: l.AreaM2,
		Latitude: l.Latitude, Longitude: l.Longitude, Amenities: l.Amenities, Status: l.Status, AgentID: l.AgentID,
	}
}

// Once names a request that is to be done once, however often it is sent.
type Once struct {
	Owner   string   // whose key it is; others may use the same one
	Key     string   // the client's, unlike those of its other requests
	Request [32]byte // a hash of what is asked for, so that a key that is used for something else is noticed
}

// Page is one page of a search. Its items are whole listings, in the order asked for.
type Page struct {
	Items []Listing `json:"items"` // never nil
	Next  string    `json:"next"`  // cursor of the page that follows; empty on the last
}

// Facet is how many of the listings that a search found have each value of a field, on all its pages.
type Facet struct {
	Name   string       `json:"name"`   // one of Facets
	Values []FacetCount `json:"values"` // the most frequent first, at most MaxFacetValues; never nil
}

// MaxFacetValues bounds the values of a Facet.
const MaxFacetValues = 100

// FacetCount is how many listings have a value.
type FacetCount struct {
	Value string `json:"value"` // as a search would name it
	Count int64  `json:"count"`
}

// City is a place where listings can be, and how many are active there.
type City struct {
	Slug       string  `json:"slug"`
	Name       string  `json:"name"`
	Region     string  `json:"region"`
	RegionSlug string  `json:"region_slug"` // what a search calls the region
	Country    string  `json:"country"`     // ISO 3166-1 alpha-2
	Latitude   float64 `json:"latitude"`
	Longitude  float64 `json:"longitude"`
	ForSale    int64   `json:"for_sale"`
	ForRent    int64   `json:"for_rent"`
}

// CityStats is the expensive question: what does a city cost? Active listings only.
type CityStats struct {
	City      string      `json:"city"`
	Listings  int64       `json:"listings"`
	Groups    []TypeStats `json:"groups"`     // by offer, then type; only those with listings; never nil
	UpdatedAt time.Time   `json:"updated_at"` // of the city's most recently changed listing of any status; zero time without one
}

// TypeStats are the prices of one offer and property type in a city. Percentiles are interpolated (percentile_cont).
type TypeStats struct {
	Offer      Offer        `json:"offer"`
	Type       PropertyType `json:"type"`
	Listings   int64        `json:"listings"`
	Currency   string       `json:"currency"`     // prices of other currencies are left out of the percentiles
	PriceMinor Percentiles  `json:"price_minor"`  // hundredths of Currency
	PerM2Minor Percentiles  `json:"per_m2_minor"` // hundredths of Currency a square metre
}

// Percentiles of a price.
type Percentiles struct {
	P10    float64 `json:"p10"`
	Median float64 `json:"median"`
	P90    float64 `json:"p90"`
}

// Store is where listings live: Postgres. Its reads add their stamp to the context's collector (freshness.Depend) if the context
// has one, and may then come from a standby as far as the ledger finds them fresh. Without a collector they hold everything that had committed before. Its writes return the id of their transaction.
type Store interface {
	// Listing returns one listing of any status, or ErrNotFound.
	Listing(ctx context.Context, id int64) (Listing, error)
	// Search returns one page. It returns ErrCursor for a cursor that it did not issue for the query.
	Search(ctx context.Context, q Query) (Page, error)
	// Facets returns the query's facets in the order of Facets, whatever its order and cursor.
	Facets(ctx context.Context, q Query) ([]Facet, error)
	// Cities returns all cities, the largest first.
	Cities(ctx context.Context) ([]City, error)
	// CityStats returns a city's statistics, or ErrNotFound.
	CityStats(ctx context.Context, city string) (CityStats, error)

	// Create stores a new listing. It returns ErrUnknownCity or ErrUnknownAgent if the draft names one.
	Create(ctx context.Context, d Draft) (Listing, freshness.Commit, error)
	// CreateOnce is Create, unless once was done before: then it returns what that returned, and replayed. It returns ErrKeyReused if
	// what was done is something else, and ErrInProgress if it is being done at this moment. What failed was not done.
	CreateOnce(ctx context.Context, once Once, d Draft) (l Listing, commit freshness.Commit, replayed bool, err error)
	// Update replaces a listing if row is 0 or its present Row, and returns it with what it replaced. Else it returns
	// ErrConflict, or ErrNotFound, or as Create does.
	Update(ctx context.Context, id, row int64, d Draft) (now, before Listing, commit freshness.Commit, err error)
	// Delete removes a listing if row is 0 or its present Row, and returns what it removed. Else as Update.
	Delete(ctx context.Context, id, row int64) (Listing, freshness.Commit, error)
}
