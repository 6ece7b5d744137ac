package postgres

import (
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"example.com/strata/app/listing"
)

// seedUntil is when the youngest seeded listing may have been created. It is fixed, so that a seed always gives the same
// rows, and past, so that what is created afterwards is newer.
var seedUntil = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// seedSpan is how far back the oldest reach.
const seedSpan = 2 * 365 * 24 * time.Hour

// typeShape is what properties of a type are like.
type typeShape struct {
	kind               listing.PropertyType
	share              float64 // of all listings
	area, spread       float64 // log-normal: median in m², sigma of the logarithm
	level              float64 // of the price of a square metre, against the city's
	perRoom            float64 // m² to a bedroom
	leastBeds, maxBeds int
}

var typeShapes = [...]typeShape{
	{listing.Apartment, 0.56, 74, 0.35, 1.00, 34, 1, 5},
	{listing.Studio, 0.13, 31, 0.20, 1.12, 0, 0, 0},
	{listing.House, 0.13, 128, 0.30, 0.88, 36, 2, 7},
	{listing.Townhouse, 0.09, 112, 0.25, 0.95, 36, 2, 6},
	{listing.Villa, 0.04, 235, 0.35, 1.25, 48, 3, 9},
	{listing.Loft, 0.05, 92, 0.30, 1.15, 62, 1, 3},
}

// zipf returns the running sums of n shares in proportion to 1/rank^s: few cities have most of the listings.
func zipf(n int, s float64) []float64 {
	sums := make([]float64, n)
	total := 0.0
	for i := range sums {
		total += math.Pow(float64(i+1), -s)
		sums[i] = total
	}
	for i := range sums {
		sums[i] /= total
	}
	return sums
}

// seedListing makes listing number id. It depends on nothing but the seed and its arguments, so the same listing comes out whatever their number.
func seedListing(seed uint64, id int64, cityShares []float64, agents int64) listing.Listing {
	r := rand.New(rand.NewPCG(seed, uint64(id)))
	city := &seedCities[min(sort.SearchFloat64s(cityShares, r.Float64()), len(seedCities)-1)]
	shape := pickShape(r)

	l := listing.Listing{
		ID: id, City: city.slug, Region: city.region, Country: city.country, Type: shape.kind, Offer: listing.Sale,
		Currency: city.currency, Status: pickStatus(r), AgentID: 1 + r.Int64N(agents), Version: 1,
	}
	if r.Float64() < 0.32 {
		l.Offer = listing.Rent
	}
	l.AreaM2 = math.Max(14, math.Round(2*shape.area*math.Exp(shape.spread*r.NormFloat64()))/2)
	if shape.perRoom > 0 {
		l.Bedrooms = min(max(int(l.AreaM2/shape.perRoom+r.Float64()-0.5), shape.leastBeds), shape.maxBeds)
	}
	l.Bathrooms = 1 + l.Bedrooms/3
	if l.AreaM2 > 150 && r.Float64() < 0.5 {
		l.Bathrooms++
	}
	l.PriceMinor = seedPrice(r, city, shape, &l)
	l.Latitude, l.Longitude = around(r, city)
	l.Amenities = pickAmenities(r)
	l.CreatedAt = seedUntil.Add(-time.Duration(r.Int64N(int64(seedSpan)))).Truncate(time.Microsecond)
	l.UpdatedAt = l.CreatedAt
	if l.Status != listing.Active || r.Float64() < 0.3 {
		l.UpdatedAt = l.CreatedAt.Add(time.Duration(r.Float64() * float64(seedUntil.Sub(l.CreatedAt)))).Truncate(time.Microsecond)
	}
	describe(r, &l, city.name)
	return l
}

func pickShape(r *rand.Rand) *typeShape {
	x := r.Float64()
	for i := range typeShapes {
		if x -= typeShapes[i].share; x < 0 {
			return &typeShapes[i]
		}
	}
	return &typeShapes[0]
}

func pickStatus(r *rand.Rand) listing.Status {
	switch x := r.Float64(); {
	case x < 0.92:
		return listing.Active
	case x < 0.95:
		return listing.Reserved
	case x < 0.985:
		return listing.Sold
	}
	return listing.Withdrawn
}

// seedPrice is log-normal around the city's level and rounded as people do: to three figures.
func seedPrice(r *rand.Rand, city *seedCity, shape *typeShape, l *listing.Listing) int64 {
	perM2, spread := city.sale, 0.32
	if l.Offer == listing.Rent {
		perM2, spread = city.rent, 0.24
	}
	price := perM2 * shape.level * math.Exp(spread*r.NormFloat64()) * l.AreaM2
	price *= math.Pow(l.AreaM2/shape.area, -0.12) // the larger, the cheaper by the square metre
	step := math.Pow(10, math.Floor(math.Log10(price))-2)
	return int64(math.Round(price/step)*step) * 100
}

// around returns a place near the city's centre, to about a metre.
func around(r *rand.Rand, city *seedCity) (latitude, longitude float64) {
	const kmPerDegree = 111.2
	north, east := r.NormFloat64()*city.radius/2, r.NormFloat64()*city.radius/2
	latitude = city.latitude + north/kmPerDegree
	longitude = city.longitude + east/(kmPerDegree*math.Cos(city.latitude*math.Pi/180))
	return math.Round(latitude*1e5) / 1e5, math.Round(longitude*1e5) / 1e5
}

func pickAmenities(r *rand.Rand) []string {
	names := make([]string, 0, 8)
	for _, i := range r.Perm(len(amenities))[:2+r.IntN(6)] {
		names = append(names, amenities[i].name)
	}
	slices.Sort(names)
	return names
}
